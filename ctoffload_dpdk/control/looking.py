"""The command top: what a look over all connections tells, where counters do not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.control.command import Answers, Command, Parameter, Steps
from ctoffload_dpdk.control.filters import FILTER_PARAMETERS, OFFLOAD_STATES, Filter
from ctoffload_dpdk.control.system import SLICE, System
from ctoffload_dpdk.engine import CONNECTION, json_rows

Rows = NDArray[np.void]

MAX_ROWS = 200
# Room for those of one more release.
MAX_REASONS = 32
IN_HARDWARE = OFFLOAD_STATES.index("yes")


def top(system: System, rows: int = 12, **filters: Any) -> Steps:
    """The connections with the most packets, and all of them by offload state and by the reason."""
    wanted = Filter.of(**filters).conditions
    numbers = np.zeros((len(OFFLOAD_STATES), MAX_REASONS), np.int64)
    counting = system.walk(wanted)
    for walk in counting:
        walk.tally(numbers)
        yield {**summary(numbers), "busiest": [], **counting.progress()}
    totals, best = summary(numbers), np.zeros(0, CONNECTION)
    shown: list[dict[str, Any]] = []
    searching = system.walk(wanted)
    for walk in searching if rows else ():
        found = walk.rows(SLICE, more_than(best, rows))
        if len(found):
            best = busiest(best, found, rows)
            shown = documents(best)
        yield {**totals, "busiest": shown, **searching.progress()}
    return {**totals, "busiest": shown}


def summary(numbers: NDArray[np.int64]) -> dict[str, Any]:
    """Of int64[state, reason]: how many, by offload state, and those not in hardware by the reason, most first."""
    reasons = numbers[:IN_HARDWARE].sum(axis=0)
    return {
        "connections": int(numbers.sum()),
        "offload": dict(zip(OFFLOAD_STATES, numbers.sum(axis=1).tolist(), strict=True)),
        "reasons": {Reason(i).text: int(reasons[i]) for i in np.argsort(-reasons, kind="stable") if reasons[i]},
    }


def documents(rows: Rows) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(b"[" + json_rows(rows) + b"]")
    return found


def more_than(best: Rows, most: int) -> int:
    """How many packets one must have more than to be among the busiest; -1: none are needed."""
    return int(best["packets"][-1].sum()) if len(best) == most else -1


def busiest(best: Rows, part: Rows, most: int) -> Rows:
    """Those of both with the most packets, these first. best: sorted so."""
    both = np.concatenate([best, part])
    chosen: Rows = both[np.argsort(-both["packets"].sum(axis=1).astype(np.int64), kind="stable")[:most]]
    return chosen


TOP_COMMANDS = (
    Command(
        "top",
        "The busiest connections, and all of them by offload state and reason.",
        Answers.DOCUMENT,
        top,
        (
            Parameter("rows", int, "how many of the busiest", minimum=0, maximum=MAX_ROWS),
            *FILTER_PARAMETERS,
        ),
        "a slice of the table at a time: what comes and goes meanwhile is in or not",
    ),
)
