"""How fast rules go in, answer and go out. Every figure is of one core: the caller's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.conntrack._bench import Frames
from ctoffload_dpdk.dpdk._bench import UdpRules
from ctoffload_dpdk.engine import Engine
from hwlab.rules import Rules

PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99, 99.9)
LIMIT_S = 120


def spread(values: NDArray[Any]) -> dict[str, float]:
    """Percentiles by their names, with mean, least and most."""
    found = {f"p{p:g}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}
    return found | {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def of_calls(rules: Rules, index: int, n: int) -> dict[str, Any]:
    """Nanoseconds of each rte_flow_create, query of COUNT, and destroy, of n rules one by one."""
    group = rules.group(index)
    made = UdpRules(rules.probes[index].port.id, group=group)
    created, words = made.create_each(n)
    if not len(created):
        raise UsageError(f"not one rule was taken: {words}", op="of_calls")
    queried = made.query_each()
    destroyed = made.destroy_each()
    return {
        "rules": len(created),
        "ended": words,
        "create": spread(created),
        "query": spread(queried),
        "destroy": spread(destroyed),
    }


def of_queries(rules: Rules, index: int, n: int) -> dict[str, Any]:
    """Nanoseconds of each query of n rules, after a rule was made for each."""
    answers = of_calls(rules, index, n)
    return {"rules": answers["rules"], **answers["query"]}


def through_the_engine(
    engine: Engine, ends: tuple[Any, Any], n: int, rounds: int, now_ms: Callable[[], int]
) -> dict[str, Any]:
    """Rules per second while n connections are switched into the NIC and out again, the wall's and the core's time.

    windows: rules/s of each millisecond or longer in which rules were confirmed, of all rounds.
    """
    engine.layer.set_global_cfg({"hw-offload": "false"})
    frames, order = Frames(n), np.arange(n, dtype=np.uint32)
    for reply, port in enumerate(ends):
        frames.fill(order, reply=bool(reply))
        frames.run(engine.conntrack.shards[0], n, now_ms=now_ms(), port=port.id, port_generation=port.generation)
    found: dict[str, list[dict[str, Any]]] = {"install": [], "remove": []}
    for _ in range(rounds):
        for name, on in (("install", True), ("remove", False)):
            found[name].append(switched(engine, on, now_ms))
    return {"connections": n, "engine": engine.settings.ct_offload_flow_engine} | {
        name: summed(rounds_) for name, rounds_ in found.items()
    }


def switched(engine: Engine, on: bool, now_ms: Callable[[], int]) -> dict[str, Any]:
    """One switch, until nothing is under way."""
    before = engine.rules()
    count = (lambda: engine.rules().created) if on else (lambda: engine.rules().destroyed)
    done, windows = count(), []
    first, began, used = done, time.perf_counter_ns(), time.thread_time_ns()
    engine.layer.set_global_cfg({"hw-offload": "true" if on else "false"})
    mark, idle = began, 0
    while idle < 3:
        # A NIC that still works on rules is no idle turn: what it confirms brings the next connections on their way.
        idle = 0 if engine.run_once(now_ms()) or engine.provider.stats().unsettled else idle + 1
        now, n = time.perf_counter_ns(), count()
        if n > done and now - mark >= 1_000_000:
            windows.append((n - done) / (now - mark) * 1e9)
            mark, done = now, n
        if now - began > LIMIT_S * 1e9:
            raise UsageError(f"not done after {LIMIT_S} s", op="switched")
    took, busy = time.perf_counter_ns() - began, time.thread_time_ns() - used
    n = count() - first
    return {"rules": n, "wall_ns": took, "core_ns": busy, "windows": windows, "live_before": before.live}


def summed(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    rules = sum(r["rules"] for r in rounds)
    windows = np.array([w for r in rounds for w in r["windows"]] or [0.0])
    return {
        "rules": rules,
        "per_s": rules / max(sum(r["wall_ns"] for r in rounds), 1) * 1e9,
        "per_core_s": rules / max(sum(r["core_ns"] for r in rounds), 1) * 1e9,
        "windows": spread(windows),
    }
