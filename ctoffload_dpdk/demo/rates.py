"""Rates of this machine: the engine between two emulated ports, on connections of one UDP packet size."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.demo.lab import RX_RING, Lab
from ctoffload_dpdk.engine import Eal, Settings

SCHEMA = 1
PERCENTILES = (50, 90, 99)
# Ethernet, IPv4, UDP to port 53, 22 bytes: 64 bytes.
HEADER = bytes.fromhex("02000000000b02000000000a0800450000320000000040110000000000000000000000000035001e0000")
FRAME_BYTES = 64
FIRST_HOST = 0x0A000000
SERVER = (0xC000, 0x0201)
RULES_BESIDES = 4096
A, B = 0, 1


@dataclass(frozen=True)
class Rate:
    """One figure. n: how many packets or connections; percentiles: of the time of one, over bursts or rounds, in ns."""

    name: str
    unit: str
    n: int
    seconds: float
    percentiles_ns: dict[str, float]

    @property
    def per_s(self) -> float:
        return self.n / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "n": self.n,
            "seconds": round(self.seconds, 6),
            "per_s": round(self.per_s),
            "ns": {name: round(value, 1) for name, value in self.percentiles_ns.items()},
        }


def rate_of(name: str, unit: str, sizes: list[int], times_ns: list[int]) -> Rate:
    """The rate over rounds of these sizes."""
    each = np.array(times_ns, np.float64) / np.maximum(np.array(sizes), 1)
    found = {f"p{p}": float(np.percentile(each, p)) for p in PERCENTILES} | {"max": float(each.max())}
    return Rate(name, unit, sum(sizes), sum(times_ns) / 1e9, found)


def frames(numbers: NDArray[np.uint32], *, reply: bool = False) -> Packets:
    """A packet of each of these connections. UDP over IPv4 may go without a checksum, and so these do."""
    n = len(numbers)
    data = np.zeros((n, FRAME_BYTES), np.uint8)
    data[:, : len(HEADER)] = np.frombuffer(HEADER, np.uint8)
    words = data[:, 14:].view(">u2")
    client = numbers.astype(np.uint32) + np.uint32(FIRST_HOST)
    src, dst = (8, 6) if reply else (6, 8)
    words[:, src], words[:, src + 1] = client >> 16, client & 0xFFFF
    words[:, dst], words[:, dst + 1] = SERVER
    words[:, 10], words[:, 11] = (53, 40_000) if reply else (40_000, 53)
    total = words[:, :10].astype(np.uint32).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    words[:, 5] = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    offset = np.arange(n, dtype=np.uint64) * np.uint64(FRAME_BYTES)
    return Packets(data.reshape(-1), offset, np.full(n, FRAME_BYTES, np.uint32))


class Rates:
    """Measures one after the other: each stands on what the one before left in the tracker and in the NIC."""

    def __init__(self, eal: Eal, connections: int, settings: Settings | None = None) -> None:
        self.n = connections
        self.lab = Lab(
            eal,
            settings or Settings(hw_offload=False, ct_offload_max_connections=2 * connections),
            capacity=2 * connections + RULES_BESIDES,
            prefault=1,
        )
        self.order = np.arange(connections, dtype=np.uint32)
        self.dice = np.random.default_rng(1)

    def all(self, told: Callable[[Rate], None] = lambda rate: None) -> list[Rate]:
        """Every figure, told as it is known."""
        found = []
        for measure in (self.new, self.replies, self.hits, self.install, self.forwarded, self.remove):
            found.append(measure())
            told(found[-1])
        return found

    def new(self) -> Rate:
        """First packets of connections: each makes one."""
        return self.through("new connections", "connections", self.order, A)

    def replies(self) -> Rate:
        return self.through("first replies", "packets", self.order, B)

    def hits(self) -> Rate:
        """Packets of connections that are there, in random order."""
        return self.through("packets in software", "packets", self.dice.permutation(self.order), A)

    def through(self, name: str, unit: str, order: NDArray[np.uint32], side: int) -> Rate:
        """A packet of each connection through the engine: received, tracked, sent on; without the wire's time."""
        packets = frames(order, reply=side == B)
        sizes, times = [], []
        before = self.lab.packets().host_tx
        for first in range(0, len(packets), RX_RING):
            burst = packets.slice(first, first + RX_RING)
            self.lab.nics[side].wire_send(burst)
            began = time.perf_counter_ns()
            self.lab.engine.run_once(self.lab.now_ms)
            times.append(time.perf_counter_ns() - began)
            sizes.append(len(burst))
            for nic in self.lab.nics:
                nic.wire_receive()
        self.check(self.lab.packets().host_tx - before, len(packets), f"{name}: packets sent on")
        return rate_of(name, unit, sizes, times)

    def install(self) -> Rate:
        return self.switched("connections put into the NIC", on=True)

    def remove(self) -> Rate:
        return self.switched("connections taken out", on=False)

    def switched(self, name: str, *, on: bool) -> Rate:
        """The switch is set, and every connection follows: two rules each, made or destroyed by rte_flow."""
        self.lab.engine.layer.set_global_cfg({"hw-offload": "true" if on else "false"})
        before = installed(self.lab)
        sizes: list[int] = []
        times: list[int] = []
        while (abs(installed(self.lab) - before) < self.n) and len(times) < 100 * self.n:
            had = installed(self.lab)
            began = time.perf_counter_ns()
            self.lab.engine.run_once(self.lab.now_ms)
            times.append(time.perf_counter_ns() - began)
            sizes.append(abs(installed(self.lab) - had))
        self.check(abs(installed(self.lab) - before), self.n, name)
        self.lab.engine.settle(self.lab.now_ms)
        return rate_of(name, "connections", *in_rounds(sizes, times))

    def forwarded(self) -> Rate:
        """Packets that the emulated NIC forwards by itself: its own cost, not that of a NIC."""
        packets = frames(self.dice.permutation(self.order))
        before = self.lab.packets().nic_forwarded
        sizes, times = [], []
        for first in range(0, len(packets), RX_RING):
            burst = packets.slice(first, first + RX_RING)
            began = time.perf_counter_ns()
            self.lab.nics[A].wire_send(burst)
            times.append(time.perf_counter_ns() - began)
            sizes.append(len(burst))
            for nic in self.lab.nics:
                nic.wire_receive()
        self.check(self.lab.packets().nic_forwarded - before, len(packets), "packets forwarded by the emulated NIC")
        return rate_of("packets through the emulated NIC", "packets", sizes, times)

    def check(self, found: int, wanted: int, what: str) -> None:
        """A rate of something that did not happen is none: raises CtoffloadError unless found is wanted."""
        if found != wanted:
            raise CtoffloadError(f"{what}: {found:,} of {wanted:,}, so that no rate can be given", op="bench")

    def close(self) -> None:
        self.lab.close()

    def __enter__(self) -> Rates:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def installed(lab: Lab) -> int:
    """Connections that are in hardware."""
    return lab.engine.layer.statistics().installed


def in_rounds(sizes: list[int], times_ns: list[int]) -> tuple[list[int], list[int]]:
    """Turns joined until each has moved something: the work of one turn may be seen in the next."""
    joined_sizes, joined_times, waiting_ns = [], [], 0
    for size, took_ns in zip(sizes, times_ns, strict=True):
        waiting_ns += took_ns
        if size:
            joined_sizes.append(size)
            joined_times.append(waiting_ns)
            waiting_ns = 0
    return joined_sizes, joined_times
