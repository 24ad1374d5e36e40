"""How fast a running engine answers: a million connections, threads, the real socket, the real command."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable

from bench import Row

LIMIT_S = 600
ANSWER_BAR_MS = 50.0
DUMP_BAR = 300_000.0
RATIO_BAR = 0.97


def quartiles(figures: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(figures, n=4)
    return low, middle, high


def rows() -> Iterable[Row]:
    done = subprocess.run(
        [sys.executable, "-m", "bench._control"], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    found = json.loads(done.stdout.splitlines()[-1])
    on, off = found["packet_ns"]["on"], found["packet_ns"]["off"]
    low, ratio, high = quartiles([o / n for n, o in zip(on, off, strict=True)])
    yield Row(
        "packet rate, offload on and nothing to offload, of off", "x", ratio, RATIO_BAR, False,
        statistics.median(off), 0.0, "ns a packet with offload off", low, high,
    )  # fmt: skip
    for command, answer in found["answers_ms"].items():
        low, first, high = quartiles(answer["first"])
        whole = statistics.median(answer["whole"])
        streams = whole > 1.5 * first
        yield Row(
            f"{'first line' if streams else 'answer'} at 1M connections: {command}", "ms", first, ANSWER_BAR_MS, True,
            whole, 0.0, f"ms for all of it; longest of {len(answer['first'])} first lines {max(answer['first']):.0f}",
            low, high,
        )  # fmt: skip
    low, lines, high = quartiles(found["dump"]["ours"])
    yield Row(
        f"dump of 1M connections, {found['grown_mb']:.0f} MB more meanwhile", "lines/s", lines, DUMP_BAR, False,
        statistics.median(found["dump"]["control"]), 0.0, "lines/s read by Python", low, high,
    )  # fmt: skip
