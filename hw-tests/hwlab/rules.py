"""Rules of the tests' own, without an engine: by whichever engine the driver has, where packets meet them."""

from __future__ import annotations

import itertools
from typing import Any

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import Rule
from ctoffload_dpdk.dpdk.actions import Action, Age, Count, Drop, Jump, Mark, Queue
from ctoffload_dpdk.dpdk.items import Eth, Ipv4, Ipv6, Item, Tcp, Udp
from ctoffload_dpdk.providers.capability import Domain, Engine
from ctoffload_dpdk.providers.rte_flow_probe import PortProbe
from ctoffload_dpdk.providers.rte_flow_questions import GROUP_0
from ctoffload_dpdk.providers.rte_flow_scratch import IN_TEMPLATE, attr_of

GROUP = 7
TABLE_RULES = 4096
CLIENT, SERVER, SERVER_PORT = ("198.51.100.1", "2001:db8::1"), ("198.51.100.254", "2001:db8::ffff"), 53


class Rules:
    """Rules by number. A rule stands in a group of ours, to which one of group 0 leads, where the driver has groups."""

    def __init__(self, probes: list[PortProbe]) -> None:
        self.probes = probes
        self._rules: dict[int, Rule] = {}
        self._numbers = itertools.count(1)
        self._tables: dict[Any, Any] = {}
        self._entries: dict[int, Rule] = {}
        self._templates: list[Any] = []

    def group(self, index: int) -> int:
        """Where rules of this port stand. The way there is made first."""
        probe = self.probes[index]
        if probe.findings[next(k for k in probe.findings if k[0] == "rules" and k[1] is Domain.INGRESS)].how == GROUP_0:
            return 0
        if index not in self._entries:
            self._entries[index] = self._make(index, 0, [Eth()], [Jump(GROUP)], 8)
        return GROUP

    def create(self, index: int, proto: str, number: int, actions: list[str], *, ipv6: bool = False) -> int:
        """A rule for what the client's port `number` sends. Returns the rule's number. Raises FlowError."""
        made = self._make(
            index, self.group(index), pattern(proto, number, ipv6), [self._action(index, a) for a in actions]
        )
        rule = next(self._numbers)
        self._rules[rule] = made
        return rule

    def _make(self, index: int, group: int, items: list[Item], actions: list[Action], room: int = TABLE_RULES) -> Rule:
        probe = self.probes[index]
        attr = attr_of(Domain.INGRESS, group)
        if probe.engine is Engine.SYNC:
            return probe.port.create_rule(attr, items, actions)
        key = (
            index,
            group,
            tuple(map(type, items)),
            tuple(a if isinstance(a, IN_TEMPLATE) else type(a) for a in actions),
        )
        if key not in self._tables:
            patterns = probe.port.pattern_template(items, attr)
            templates = probe.port.actions_template(actions, attr, fixed=[isinstance(a, IN_TEMPLATE) for a in actions])
            self._templates += [patterns, templates]
            self._tables[key] = probe.port.template_table(attr, [patterns], [templates], room)
        queue = probe.port.flow_queue(0)
        rule = queue.enqueue_create(self._tables[key], items, actions)
        queue.push()
        queue.pull_all()
        if rule.is_failed:
            rule.close()
            raise FlowError("rte_flow_pull: the queued rule failed", errno=5, op="rte_flow_pull")
        return rule

    def _action(self, index: int, text: str) -> Action:
        """An action by its word; hairpin: into the queue that leads out by a port without the host."""
        if text == "hairpin":
            return Queue(self.probes[index].prepared.hairpin_queue or 0)
        return action(text)

    def query(self, rule: int) -> dict[str, Any]:
        """Packets, bytes, seconds idle, aged; None where the rule does not tell."""
        made = self._rules[rule]
        kinds = {type(a) for a in made.actions}
        count = made.query_count() if Count in kinds else None
        age = made.query_age() if Age in kinds else None
        return {
            "packets": count.packets if count else None,
            "bytes": count.bytes if count else None,
            "idle_s": age.idle_s if age else None,
            "is_aged": age.is_aged if age else None,
        }

    def destroy(self, rule: int) -> None:
        self._rules.pop(rule).close()

    def fill(self, index: int, most: int) -> dict[str, Any]:
        """Rules until one is refused, or `most`. They stay. Returns their numbers' first and last, and the refusal."""
        said, errno, first = "", 0, 0
        last = first
        try:
            for number in range(1, most + 1):
                last = self.create(index, "udp", number % 60000 + 1, ["count", "queue"], ipv6=number > 60000)
                first = first or last
        except FlowError as error:
            said, errno = error.message, error.errno
        return {"first": first, "last": last, "rules": last - first + 1 if last else 0, "errno": errno, "said": said}

    def is_there(self, rule: int) -> bool:
        return not self._rules[rule].is_gone

    def forget(self) -> None:
        """After a stop: the rules went with it."""
        self._rules.clear()
        self._entries.clear()

    def clear(self) -> int:
        """Destroys every rule made by number; how many."""
        n = len(self._rules)
        for rule in [*self._rules]:
            self.destroy(rule)
        return n

    def close(self) -> None:
        """Before the ports are closed."""
        for owned in (*self._rules.values(), *self._entries.values(), *self._tables.values(), *self._templates):
            owned.close()


def pattern(proto: str, number: int, ipv6: bool) -> list[Item]:
    l4: Item = (Tcp if proto == "tcp" else Udp)(src_port=number, dst_port=SERVER_PORT)
    src, dst = CLIENT[ipv6], SERVER[ipv6]
    return [Eth(), Ipv6(src=src, dst=dst) if ipv6 else Ipv4(src=src, dst=dst), l4]


def action(text: str) -> Action:
    """count, queue, drop, age:SECONDS, mark:NUMBER."""
    word, _, number = text.partition(":")
    if word == "age":
        return Age(timeout_s=int(number))
    if word == "mark":
        return Mark(int(number))
    return {"count": Count(), "queue": Queue(0), "drop": Drop()}[word]
