"""Many connections with a packet every 4.9 s and a timeout of 5 s: none is lost, and at the end nothing is left.

50 000 of them here; a million in `make test-all`.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from story import with_plan

from ctoffload_dpdk.base.packets import Packets

IS_LONG = os.environ.get("CTOFFLOAD_EXPLORE") == "1" and "ASAN_OPTIONS" not in os.environ
N = 1_000_000 if IS_LONG else 50_000
pytestmark = [
    pytest.mark.eal("--no-pci --no-huge -m 256 --no-shconf --no-telemetry"),
    pytest.mark.timeout(900 if IS_LONG else 120),
]

FRAME_BYTES = 60
CHUNK = 512  # as many as a receive queue holds
BULK = 1 << 15
TIMEOUT_S = 5
ROUNDS = 3
STEP_S = 0.5
# timeout, granularity of AGE, sampling period, refresh of the source, step of this test's clock
BOUND_S = TIMEOUT_S + 1 + 1.25 + 1 + STEP_S


def checksum(header: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Of the IPv4 headers in rows."""
    words = header.reshape(len(header), 10, 2).astype(np.uint32)
    total = (words[:, :, 0] << 8 | words[:, :, 1]).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    return (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).astype(np.uint16)


def frames(first: int, last: int, *, reply: bool) -> Packets:
    """One UDP packet of each connection: 10.x.x.x port 1024 and up, 192.168.1.1 port 53."""
    n = last - first
    number = np.arange(first, last, dtype=np.uint32)
    client = (0x0A000000 | number).astype(">u4").view(np.uint8).reshape(n, 4)
    client_port = (1024 + number % 60000).astype(">u2").view(np.uint8).reshape(n, 2)
    rows = np.zeros((n, FRAME_BYTES), np.uint8)
    rows[:, 12:14] = (8, 0)
    rows[:, 14:24] = (0x45, 0, 0, FRAME_BYTES - 14, 0, 0, 0, 0, 64, 17)
    at = (30, 26, 36, 34) if reply else (26, 30, 34, 36)
    rows[:, at[0] : at[0] + 4] = client
    rows[:, at[1] : at[1] + 4] = (192, 168, 1, 1)
    rows[:, at[2] : at[2] + 2] = client_port
    rows[:, at[3] : at[3] + 2] = (0, 53)
    rows[:, 38:40] = (0, FRAME_BYTES - 34)
    rows[:, 24:26] = checksum(rows[:, 14:34]).astype(">u2").view(np.uint8).reshape(n, 2)
    return Packets(
        rows.reshape(-1), np.arange(n, dtype=np.uint64) * np.uint64(FRAME_BYTES), np.full(n, FRAME_BYTES, np.uint32)
    )


def establish(lab: Any) -> None:
    """A packet of each in both directions, through software."""
    for side in range(2):
        for first in range(0, N, CHUNK):
            lab.nics[side].wire_send(frames(first, min(first + CHUNK, N), reply=bool(side)))
            lab.engine.settle(lab.now_ms)
            lab.nics[1 - side].wire_receive()


def packet_of_each(lab: Any, side: int) -> None:
    """In one direction, through the NIC."""
    for first in range(0, N, BULK):
        lab.nics[side].wire_send(frames(first, min(first + BULK, N), reply=bool(side)))
        lab.nics[1 - side].wire_receive()


def advance(lab: Any, seconds: float) -> None:
    """Time passes. A worker's thread turns all the time; here it turns as often as a round of the sampler needs."""
    until = lab.now_ms + round(seconds * 1000)
    while lab.now_ms < until:
        lab.advance(min(STEP_S, (until - lab.now_ms) / 1000))
        for _ in range(N // 2048):
            lab.engine.run_once(lab.now_ms)


@pytest.mark.parametrize(("plan", "engine"), [("age", "sync"), ("count", "async")])
def test_none_is_lost_while_it_is_used_and_none_is_left_when_it_is_not(
    make_lab: Any, plan: str, engine: str, record_property: Any
) -> None:
    began = time.monotonic()
    settings = replace(
        with_plan(plan, engine, udp_multiple=TIMEOUT_S),
        ct_offload_max_connections=N + 1,
        ct_offload_counters=2 * N + 4096,
        ct_offload_ages=2 * N + 4096,
    )
    lab = make_lab(settings, capacity=2 * N + 4096)
    establish(lab)
    assert lab.engine.connections().live == N
    assert lab.rules == 2 * N
    seen = lab.engine.packets().host_rx
    for turn in range(ROUNDS):
        advance(lab, 4.9)
        before = lab.packets().nic_forwarded
        packet_of_each(lab, turn % 2)
        assert lab.packets().nic_forwarded - before == N, "each goes through the NIC"
    assert lab.engine.packets().host_rx == seen, "and none through software"
    advance(lab, 4.5)
    assert lab.engine.connections().live == N
    advance(lab, BOUND_S - 4.5)
    gone = lab.engine.connections()
    assert (gone.live, gone.expired, gone.created) == (0, N, N)
    assert lab.rules == 0
    assert lab.rules_high_water() >= 2 * N
    lab.assert_audit_matches()
    took_s = time.monotonic() - began
    record_property("connections", N)
    record_property("rules_high_water", lab.rules_high_water())
    record_property("seconds", round(took_s, 1))
    print(f"plan {plan}, {engine}: {N} connections, high-water mark {lab.rules_high_water()} rules, {took_s:.1f} s")
