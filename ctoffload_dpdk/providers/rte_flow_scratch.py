"""Rules that are made to see whether a driver takes them, and taken out again at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import IndirectAction, Port, Rule
from ctoffload_dpdk.dpdk.actions import (
    Action,
    Attr,
    Conntrack,
    Drop,
    Jump,
    ModifyField,
    PortRepresentor,
    Queue,
    RepresentedPort,
    Rss,
    TcpDirection,
)
from ctoffload_dpdk.dpdk.items import Item
from ctoffload_dpdk.providers._rte_flow_probe import forget_errno
from ctoffload_dpdk.providers.capability import Domain, Engine

# Far from the groups of any pipeline, and below the 65,535 that mlx5 has.
GROUP = 60000
# A table of templates holds so many rules; more than a question ever makes.
TABLE_RULES = 8
# Their value is the template's, not the rule's.
IN_TEMPLATE = (Jump, Queue, Rss, Drop, RepresentedPort, PortRepresentor, ModifyField)
# A connection in the middle of its life that judges no window.
CONTEXT = Conntrack(
    original=TcpDirection(scale=7, last_ack_seen=True, sent_end=1000, reply_end=66000, max_win=65000, max_ack=1000),
    reply=TcpDirection(scale=7, last_ack_seen=True, sent_end=1000, reply_end=66000, max_win=65000, max_ack=1000),
    liberal_mode=True,
)


@dataclass
class Account:
    """What the questions made and took out again.

    left: what could not be taken out so far, and why; tried again before each question.
    """

    rules_created: int = 0
    rules_destroyed: int = 0
    objects_created: int = 0
    objects_destroyed: int = 0
    left: list[tuple[Any, str]] = field(default_factory=list)

    def made(self, what: Any) -> None:
        self.rules_created += isinstance(what, Rule)
        self.objects_created += isinstance(what, IndirectAction)

    def take_out(self, what: Any) -> None:
        """Destroys something that a question made; keeps it, with the reason, where that fails."""
        try:
            what.close()
        except FlowError as error:
            self.left.append((what, error.message))
            return
        self.rules_destroyed += isinstance(what, Rule)
        self.objects_destroyed += isinstance(what, IndirectAction)

    def try_again(self) -> None:
        """What is left, in the order it was left: a rule before the table it is in."""
        left, self.left = self.left, []
        for what, _ in left:
            self.take_out(what)


def attr_of(domain: Domain, group: int, priority: int = 0) -> Attr:
    return Attr(
        group=group,
        priority=priority,
        ingress=domain is Domain.INGRESS,
        egress=domain is Domain.EGRESS,
        transfer=domain is Domain.TRANSFER,
    )


class Scratch:
    """What one question makes; it is gone when the `with` ends. Its methods raise FlowError with the driver's words.

    port: on which rules are made; queue: the flow queue for asynchronous ones, which nobody else may be using.
    """

    def __init__(self, port: Port, engine: Engine, queue: int, account: Account) -> None:
        self.port = port
        self.engine = engine
        self.queue = queue
        self.account = account
        self._made: list[Any] = []

    def __enter__(self) -> Scratch:
        self.account.try_again()
        forget_errno()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._made:
            self.account.take_out(self._made.pop())

    def rule(self, attr: Attr, pattern: Sequence[Item], actions: Sequence[Action]) -> Rule:
        """A rule, made by the engine of this scratch pad and confirmed by the driver; FlowError EIO where it is not."""
        if self.engine is Engine.SYNC:
            made: Rule = self.port.create_rule(attr, pattern, actions)
            self._keep(made)
            return made
        patterns = self._keep(self.port.pattern_template(pattern, attr))
        fixed = [isinstance(action, IN_TEMPLATE) for action in actions]
        templates = self._keep(self.port.actions_template(actions, attr, fixed=fixed))
        forget_errno()
        table = self._keep(self.port.template_table(attr, [patterns], [templates], TABLE_RULES))
        queue = self.port.flow_queue(self.queue)
        rule = self._keep(queue.enqueue_create(table, pattern, actions))
        queue.push()
        queue.pull_all()
        if rule.is_failed:
            raise FlowError("rte_flow_pull: the queued rule failed", errno=5, op="rte_flow_pull")
        return rule  # type: ignore[no-any-return]

    def context(self, domain: Domain) -> IndirectAction:
        """A CONNTRACK object for rules of this domain."""
        made = self.port.create_indirect(CONTEXT, ingress=domain is Domain.INGRESS, transfer=domain is Domain.TRANSFER)
        self._keep(made)
        return made

    def _keep(self, made: Any) -> Any:
        self._made.append(made)
        self.account.made(made)
        return made
