"""The command top: what a look over all connections tells, where counters do not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.control.command import Answers, Command, Parameter, Steps
from ctoffload_dpdk.control.filters import FILTER_PARAMETERS, OFFLOAD_STATES, Filter
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import json_rows

Rows = NDArray[np.void]

MAX_ROWS = 200
IN_HARDWARE = OFFLOAD_STATES.index("yes")


def top(system: System, rows: int = 12, **filters: Any) -> Steps:
    """The connections with the most packets, and all of them by offload state and by the reason."""
    states = np.zeros(len(OFFLOAD_STATES), np.int64)
    reasons = np.zeros(len(Reason), np.int64)
    best: Rows | None = None
    n = 0
    for part in system.slices(Filter.of(**filters)):
        n += len(part)
        states += np.bincount(part["offload"], minlength=len(states))
        reasons += np.bincount(part["reason"][part["offload"] != IN_HARDWARE], minlength=len(reasons))
        best = busiest(best, part, rows)
        yield
    return {
        "connections": n,
        "offload": dict(zip(OFFLOAD_STATES, states.tolist(), strict=True)),
        "reasons": {Reason(i).text: int(reasons[i]) for i in np.argsort(-reasons, kind="stable") if reasons[i]},
        "busiest": json.loads(b"[" + json_rows(best) + b"]") if best is not None and len(best) else [],
    }


def busiest(best: Rows | None, part: Rows, most: int) -> Rows:
    """Those of both with the most packets, these first. best: sorted so."""
    if best is not None and len(best) == most:
        least = best["packets"][-1].sum() if most else np.inf
        part = part[part["packets"].sum(axis=1) > least]
        if not len(part):
            return best
    both = part if best is None else np.concatenate([best, part])
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
