"""What the demo sends: packets, the side each enters at, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.errors import CaptureError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.demo.generated import generate
from ctoffload_dpdk.engine import sides

EXAMPLE = Path(__file__).parent / "example.pcap"
A, B = 0, 1


@dataclass(frozen=True, eq=False)
class Traffic:
    """side: uint8[n], 0 where a packet enters at A, the initiator of its connection, 1 at B; at_ms: int64[n], hand-run
    time since the first packet, never running backwards; error: why a capture file could be read in part only."""

    name: str
    packets: Packets
    side: NDArray[np.uint8]
    at_ms: NDArray[np.int64]
    error: CaptureError | None = None

    @property
    def span_ms(self) -> int:
        return int(self.at_ms[-1]) if len(self.at_ms) else 0

    def runs(self) -> Iterator[tuple[int, int, int, int]]:
        """(first, end, side, at_ms) of each stretch of packets that enter at one side at one time, in order."""
        if not len(self.packets):
            return
        changes = np.flatnonzero((np.diff(self.side) != 0) | (np.diff(self.at_ms) != 0)) + 1
        edges = [0, *changes.tolist(), len(self.packets)]
        for first, end in pairwise(edges):
            yield first, end, int(self.side[first]), int(self.at_ms[first])


def from_capture(path: Path) -> Traffic:
    """The packets of a capture file. Raises CaptureError where it cannot be read at all, or holds no packet."""
    capture = read_capture(path)
    if not len(capture.packets):
        raise capture.error or CaptureError(f"{path}: there is no packet in this capture", hint="give another file")
    return of(path.name, capture.packets, capture.error)


def generated(seed: int = 1) -> Traffic:
    """Traffic made with scapy. Raises UsageError where scapy is not installed."""
    return of(f"generated traffic, seed {seed}", generate(seed=seed))


def of(name: str, packets: Packets, error: CaptureError | None = None) -> Traffic:
    """Finds out when and at which side each packet enters."""
    since_first = (packets.time_ns - packets.time_ns[0]) // 1_000_000
    at_ms = np.maximum.accumulate(np.maximum(since_first, 0))
    return Traffic(name, packets, sides(packets, at_ms), at_ms, error)
