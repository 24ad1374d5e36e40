"""The provider's rule engine on the stand-in: a module of functions for a `Worker`.

A rule is a shape of standin/mlx5/shapes.py with a source port of its own.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

from ctoffload_dpdk.dpdk.actions import Action
from ctoffload_dpdk.dpdk.items import Item, Tcp, Udp
from ctoffload_dpdk.providers._rte_flow_testengine import TestEngine
from ctoffload_dpdk.providers.rte_flow_types import Result
from standin.mlx5 import bench, shapes

PULLS = 200000
held: dict[str, Any] = {}


def start(eal_args: list[str], is_hardware: bool, n_counters: int, queues: int, queue_size: int) -> None:
    bench.start(eal_args, is_hardware, n_counters, queues, queue_size)
    held["shapes"] = []
    held["engine"] = TestEngine(
        bench.bench.ports[0].id, is_async=is_hardware, n_queues=queues, queue_size=queue_size, limit_ms=1000
    )


def rule_of(shape: shapes.Shape, port: int) -> tuple[list[Item], list[Action]]:
    """The shape with this source port."""
    pattern = [replace(i, src_port=port) if isinstance(i, Tcp | Udp) else i for i in shape.pattern]
    return pattern, bench.with_context(shape.attr, shape.actions)


def table(name: str, n_rules: int = 1024, fixed: list[bool] | None = None) -> int:
    """Adds a table for rules of this shape; 0 or errno."""
    shape = shapes.BY_NAME[name]
    pattern, actions = rule_of(shape, 1)
    rc = held["engine"].table_add(
        shape.attr, pattern, actions, shapes.fixed(shape.actions) if fixed is None else fixed, n_rules
    )
    if rc == 0:
        held["shapes"].append(shape)
    return int(rc)


def create(n: int, first_port: int = 1, number: int = 0, now: bool = False) -> list[int]:
    """n rules in a table, one after the other; what each answered."""
    engine, shape = held["engine"], held["shapes"][number]
    return [engine.create(number, *rule_of(shape, first_port + i), now=now) for i in range(n)]


def create_rewriting(actions: list[Action], number: int = 0) -> int:
    """A rule whose rewrites are its own."""
    shape = held["shapes"][number]
    pattern, own = rule_of(shape, 7)
    rewrites = iter(actions)
    own = [next(rewrites) if type(a) is type(actions[0]) else a for a in own]
    return int(held["engine"].create(number, pattern, own))


def destroy(rules: list[int], now: bool = False) -> list[int]:
    return [held["engine"].destroy(rule, now=now) for rule in rules]


def push() -> int:
    return int(held["engine"].push())


def pull(now_ms: int = 0) -> list[Result]:
    """One pull."""
    return list(held["engine"].pull(now_ms))


def settle() -> list[Result]:
    """Pushes, and pulls until nothing is under way; sorted by rule."""
    engine = held["engine"]
    engine.push()
    found = engine.pull()
    for _ in range(PULLS):
        if not engine.n_waiting:
            break
        more = engine.pull()
        found += more
        if not more:
            os.sched_yield()
    more = engine.pull()
    while more:
        found += more
        more = engine.pull()
    assert not engine.n_waiting, f"never answered: {engine.n_waiting}, {engine.counts}"
    return sorted(found, key=lambda r: r.rule)


def fill() -> int:
    """Creates until an answer is not EINPROGRESS; how many were taken, and the answer that was not."""
    taken = 0
    while True:
        (rc,) = create(1, 1 + taken)
        if rc != errno.EINPROGRESS:
            held["refused"] = rc
            return taken
        taken += 1


def refused() -> int:
    return int(held["refused"])


def message() -> str:
    return str(held["engine"].message)


def live(number: int = 0) -> tuple[int, int]:
    found: tuple[int, int] = held["engine"].table_live(number)
    return found


def counts() -> dict[str, int]:
    return dict(held["engine"].counts)


def n_waiting() -> int:
    return int(held["engine"].n_waiting)


def there() -> list[int]:
    """The numbers of the rules that have a handle."""
    return [i for i in range(4096) if held["engine"].holds(i)]


def table_remove(number: int = 0) -> int:
    return int(held["engine"].table_remove(number))


def port_gone() -> None:
    held["engine"].port_gone()


def flush() -> int:
    bench.bench.ports[0].flush_rules()
    return int(held["engine"].flushed())


def close() -> int:
    return int(held["engine"].close())


def finish() -> None:
    bench.finish()
