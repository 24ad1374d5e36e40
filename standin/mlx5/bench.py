"""Ports and rules on the stand-in, made by the binding of DPDK: a module of functions for a `Worker`.

Rules are named by the order of their making, from 0. Shapes are those of shapes.py.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

from build_support import dpdk
from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import Eal, Event, FlowSizes, Port
from ctoffload_dpdk.dpdk.actions import Action, Age, Attr, Conntrack, Indirect
from ctoffload_dpdk.dpdk.items import Item
from standin.mlx5 import shapes

N_QUEUES = 2
N_COUNTERS = 1024
PULLS = 200000
LEFT_OVER = 3999  # no errno of Linux


@dataclass
class Bench:
    """What this process holds."""

    eal: Any = None
    ports: list[Port] = field(default_factory=list)
    is_hardware: bool = False
    contexts: dict[str, Any] = field(default_factory=dict)  # by direction
    rules: dict[int, list[Any]] = field(default_factory=dict)  # the rule, then what it stands on
    aged_events: list[int] = field(default_factory=list)
    subscription: Any = None


bench = Bench()


def start(
    eal_args: list[str], is_hardware: bool, n_counters: int = N_COUNTERS, queues: int = 1, queue_size: int = 64
) -> None:
    """Starts every port."""
    sizes = FlowSizes(queues=queues, queue_size=queue_size, counters=n_counters, ages=n_counters, conntracks=64)
    bench.eal = Eal.start(eal_args)
    bench.is_hardware = is_hardware
    bench.ports = [bench.eal.port(address.id) for address in bench.eal.ports()]
    pool = bench.eal.mempool(2047, cache_size=0)
    for port in bench.ports:
        port.configure(rx_queues=N_QUEUES, tx_queues=N_QUEUES)
        port.setup_queues(pool, descriptors=64)
    for port in bench.ports:
        if is_hardware:
            port.configure_flow(sizes)
    for port in bench.ports:
        port.start()


def port_drivers() -> list[str]:
    return [port.driver for port in bench.ports]


def try_context() -> dict[str, Any]:
    """Makes a context; says what the driver said."""
    try:
        context(Attr(ingress=True))
    except FlowError as error:
        return {"errno": error.errno, "message": error.message}
    return {}


def context(attr: Attr) -> Any:
    """The CONNTRACK object for rules of this direction; made once."""
    direction = "transfer" if attr.transfer else "egress" if attr.egress else "ingress"
    if direction not in bench.contexts:
        bench.contexts[direction] = bench.ports[0].create_indirect(Conntrack(), **{direction: True})
    return bench.contexts[direction]


def with_context(attr: Attr, actions: list[Action]) -> list[Action]:
    """CONNTRACK can only be an indirect action."""
    return [Indirect(context(attr), Conntrack) if isinstance(a, Conntrack) else a for a in actions]


def make(attr: Attr, pattern: list[Item], actions: list[Action]) -> int:
    """Makes a rule by the port's engine; returns its number. Raises FlowError where the driver refuses."""
    port = bench.ports[0]
    actions = with_context(attr, actions)
    number = max(bench.rules, default=-1) + 1
    if bench.is_hardware:
        bench.rules[number] = make_by_template(port, attr, pattern, actions)
    else:
        bench.rules[number] = [port.create_rule(attr, pattern, actions)]
    return number


def make_by_template(port: Port, attr: Attr, pattern: list[Item], actions: list[Action]) -> list[Any]:
    made: list[Any] = []
    try:
        made.insert(0, port.pattern_template(pattern, attr))
        made.insert(0, port.actions_template(actions, attr, fixed=shapes.fixed(actions)))
        made.insert(0, port.template_table(attr, [made[1]], [made[0]], 8))
        queue = port.flow_queue(0)
        made.insert(0, queue.enqueue_create(made[0], pattern, actions))
        queue.push()
        pull(queue)
        if made[0].is_failed:
            raise FlowError("the queue entry failed", errno=5, op="rte_flow_pull")
    except FlowError:
        remove(made)
        raise
    return made


def pull(queue: Any) -> None:
    """Pulls until nothing is under way."""
    for _ in range(PULLS):
        queue.pull(16)
        if not queue.n_under_way:
            return
    raise AssertionError("a queue entry never completed")


def remove(made: list[Any]) -> None:
    for thing in made:
        thing.close()


def create(shape: str) -> int:
    """Makes the rule of a shape; returns its number."""
    found = shapes.BY_NAME[shape]
    return make(found.attr, found.pattern, found.actions)


def create_ageing(timeout_s: int, context: int = 0) -> int:
    """A rule that ages out timeout_s seconds after the last hit; context is what the driver reports it by."""
    found = shapes.BY_NAME["in/2/v4-tcp/age+jump"]
    return make(found.attr, found.pattern, [Age(timeout_s, context), *found.actions[1:]])


def destroy(number: int) -> None:
    remove(bench.rules.pop(number))


def query_count(number: int) -> tuple[int | None, int | None]:
    count = bench.rules[number][0].query_count()
    return count.packets, count.bytes


def query_age(number: int) -> tuple[bool, int | None]:
    """(is aged, seconds since the last hit)"""
    age = bench.rules[number][0].query_age()
    return age.is_aged, age.idle_s


def watch_aged() -> None:
    """Counts the events that say a rule aged out."""
    bench.subscription = bench.ports[0].on_event(Event.FLOW_AGED, lambda *_: bench.aged_events.append(1))


def n_aged_events() -> int:
    return len(bench.aged_events)


def aged() -> list[int]:
    """What rte_flow_get_aged_flows lists."""
    return [int(context) for context in bench.ports[0].aged()]


def query_context() -> dict[str, Any]:
    """The ingress context as the binding reads it back."""
    read = bench.contexts["ingress"].query()
    return {"state": read.state.name, "max_win": read.original.max_win, "reply_end": read.reply.reply_end}


def update_context_direction(is_original: bool) -> None:
    """Which direction rules that are made from now on belong to."""
    bench.contexts["ingress"].update_conntrack(original_direction=is_original)


def rte_errno() -> ctypes.c_int:
    """This thread's rte_errno."""
    return ctypes.c_int.in_dll(ctypes.CDLL(dpdk.library("librte_eal")), "per_lcore__rte_errno")


def try_make(shape: str, left_over: int = LEFT_OVER) -> dict[str, Any]:
    """Makes the rule of a shape; says what the driver said, errno 0 where it set none. Empty where it was accepted.

    left_over: rte_errno before the call. The driver of 22.11 refuses some rules with whatever is in it, and takes 0 for
    success, so 0 can crash the process.
    """
    found = shapes.BY_NAME[shape]
    rte_errno().value = left_over
    try:
        make(found.attr, found.pattern, found.actions)
    except FlowError as error:
        number = error.errno if error.errno != left_over else 0
        return {"op": error.op, "errno": number, "message": str(error.message), "type": error.cause}
    return {}


def try_create(shape: str) -> dict[str, Any]:
    """As try_make, but the rule goes at once."""
    said = try_make(shape)
    if not said:
        destroy_last()
    return said


def destroy_last() -> None:
    """Removes the rule made last, where there is one."""
    if bench.rules:
        destroy(max(bench.rules))


def try_validate(shape: str) -> dict[str, Any]:
    """What rte_flow_validate says. Never called with hardware steering: that crashes the driver of 22.11."""
    if bench.is_hardware:
        raise AssertionError("rte_flow_validate crashes the driver of 22.11 with hardware steering")
    found = shapes.BY_NAME[shape]
    try:
        bench.ports[0].validate_rule(found.attr, found.pattern, with_context(found.attr, found.actions))
    except FlowError as error:
        return {"op": error.op, "errno": error.errno, "message": str(error.message), "type": error.cause}
    return {}


def take_down() -> None:
    """Everything in order, as a well-behaved application does: rules, contexts, ports."""
    for number in list(bench.rules):
        destroy(number)
    while bench.contexts:
        bench.contexts.popitem()[1].close()
    while bench.ports:
        port = bench.ports.pop()
        port.stop()
        port.close()


def finish() -> None:
    """Called when the worker ends."""
    take_down()


def shape_names(needs_switch: bool) -> list[str]:
    return shapes.names(needs_switch)
