"""The command top: what a look over all connections tells, where counters do not."""

from __future__ import annotations

import json
from collections import Counter
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


def top(system: System, rows: int = 12, **filters: Any) -> Steps:
    """The connections with the most packets, and all of them by offload state and by the reason."""
    states: Counter[int] = Counter()
    reasons: Counter[int] = Counter()
    best: Rows | None = None
    n = 0
    for part in system.slices(Filter.of(**filters)):
        n += len(part)
        states.update(part["offload"].tolist())
        reasons.update(part["reason"][part["offload"] != OFFLOAD_STATES.index("yes")].tolist())
        if len(part):
            best = busiest(part if best is None else np.concatenate([best, part]), rows)
        yield
    return {
        "connections": n,
        "offload": {name: states[i] for i, name in enumerate(OFFLOAD_STATES)},
        "reasons": {Reason(reason).text: count for reason, count in reasons.most_common()},
        "busiest": [] if best is None else json.loads(b"[" + json_rows(best) + b"]"),
    }


def busiest(rows: Rows, most: int) -> Rows:
    """Those with the most packets, these first."""
    packets = rows["packets"].sum(axis=1)
    chosen: Rows = rows[np.argsort(packets, kind="stable")[::-1][:most]]
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
