"""Rules through templates and queues: a port with one table per direction of thought, ready to take rules."""

from __future__ import annotations

from typing import Any

from nicsim_packets import udp

from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items

SIZES = FlowSizes(queues=2, queue_size=8, counters=64, ages=64, conntracks=8)
ROOT = Attr(ingress=True)
COUNT_DROP = [actions.Count(), actions.Drop()]


def number(n: int) -> list[Any]:
    """The pattern of one connection of many, by its source port; `packet(n)` is a packet of it."""
    return [items.Eth(), items.Ipv4(src="10.0.0.1", dst="10.0.0.2"), items.Udp(src_port=n, dst_port=80)]


def packet(n: int) -> Any:
    return udp(4, sport=n)


class Bench:
    """A table on a host; `create` and `destroy` put operations on a queue, `run` pushes and pulls them."""

    def __init__(
        self, host: Any, chosen: list[Any] | None = None, *, room: int = 16, attr: Any = ROOT, fixed: Any = None
    ) -> None:
        self.host, self.port, self.nic = host, host.port, host.nic
        self.actions = COUNT_DROP if chosen is None else chosen
        self.table = self.new_table(attr, [number(0)], [(self.actions, fixed)], room)

    def keep(self, owned: Any) -> Any:
        """What nobody holds would be a forgotten object."""
        self.host.objects.append(owned)
        return owned

    def new_table(self, attr: Any, patterns: list[Any], chosen: list[Any], room: int, *, relaxed: bool = False) -> Any:
        """Of patterns, and of actions with what of them is fixed."""
        kept = [self.keep(self.port.pattern_template(p, attr, relaxed=relaxed)) for p in patterns]
        templates = [self.keep(self.port.actions_template(a, attr, fixed=fixed)) for a, fixed in chosen]
        return self.keep(self.port.template_table(attr, kept, templates, room))

    def pattern_of(self, attr: Any) -> Any:
        return self.keep(self.port.pattern_template(number(0), attr))

    def actions_of(self, attr: Any) -> Any:
        return self.keep(self.port.actions_template([actions.Drop()], attr))

    def enqueue(self, pattern: list[Any], own: list[Any] | None = None, **which: Any) -> Any:
        """A rule of the bench's table, whatever it is."""
        return self.keep(self.port.flow_queue().enqueue_create(self.table, pattern, own or self.actions, **which))

    def shared(self, action: Any = None, *, queue: int = 0, postpone: bool = False) -> Any:
        """An indirect action, a context where none is named."""
        action = action or actions.Conntrack(state=actions.ConntrackState.ESTABLISHED)
        return self.keep(self.port.flow_queue(queue).enqueue_indirect_create(action, ingress=True, postpone=postpone))

    def add(self, table: Any, pattern: list[Any], own: list[Any], **which: Any) -> Any:
        """A rule of any table, executed; its result is not looked at."""
        queue = self.port.flow_queue()
        rule = self.keep(queue.enqueue_create(table, pattern, own, **which))
        queue.pull_all()
        return rule

    def create(
        self,
        n: int,
        own: list[Any] | None = None,
        *,
        queue: int = 0,
        postpone: bool = True,
        user_data: int | None = None,
    ) -> Any:
        """Rule number n; its result bears that number, or another one."""
        told = n if user_data is None else user_data
        return self.keep(
            self.port.flow_queue(queue).enqueue_create(
                self.table, number(n), own or self.actions, user_data=told, postpone=postpone
            )
        )

    def destroy(self, rule: Any, n: int = 0, *, queue: int = 0, postpone: bool = True) -> None:
        self.port.flow_queue(queue).enqueue_destroy(rule, user_data=n, postpone=postpone)

    def pull(self, queue: int = 0) -> list[tuple[int, bool]]:
        """user_data and success of each result that is there."""
        pulled = self.port.flow_queue(queue).pull()
        return list(zip(pulled.user_data.tolist(), pulled.is_ok.tolist(), strict=True))

    def run(self, queue: int = 0) -> list[tuple[int, bool]]:
        self.port.flow_queue(queue).push()
        return self.pull(queue)

    def rules(self, numbers: range) -> list[Any]:
        """Made, and confirmed."""
        made = []
        for n in numbers:
            made.append(self.create(n))
            if len(made) % SIZES.queue_size == 0:
                self.run()
        self.run()
        return made

    def hits(self, n: int) -> int:
        """What the rule of this number counted after one more packet; 0 where there is none."""
        self.host.send(packet(n))
        found = [r for r in self.nic.rules() if r["src_port"] == n]
        return int(found[0]["packets"]) if found else 0
