"""Idle connections end, used ones stay: a timeout of 5 s, a packet every 4.9 s, many connections at once."""

from __future__ import annotations

from typing import Any

import pytest
from hwlab.frames import CLIENT, SERVER, many_udp

TIMEOUT_S, PERIOD_S, ROUNDS = 5, 4.9, 20
# Seconds, the refresh of the slowest driver twice, and a sweep.
LATE_S = 8.0


@pytest.mark.timeout(1200)
def test_a_packet_every_4_9_s_keeps_every_connection_alive_and_silence_ends_all(
    traffic: None, lab: Any, make_system: Any, record: Any
) -> None:
    n = lab.inventory.scale
    system = make_system(
        ct_offload_timeout_udp_single=30, ct_offload_timeout_udp_first=30, ct_offload_timeout_udp_multiple=TIMEOUT_S
    )
    forth, back = many_udp(CLIENT, n), many_udp(SERVER, n)
    for frames, side in ((forth, CLIENT), (back, SERVER)):
        feed(system, side, frames)
    system.settle()
    rows = system.bench.call("connections")
    in_hardware = sum(row["in_hardware"] for row in rows)
    assert len(rows) == n, f"{len(rows)} of {n} connections arrived"
    record("connections kept alive every 4.9 s", n, "connections", in_hardware=in_hardware)
    for _ in range(ROUNDS if lab.inventory.is_emulated else 4):
        system.wait(PERIOD_S)
        feed(system, CLIENT, forth)
        assert len(system.bench.call("connections")) == n, "a connection expired although it was used"
    late_s = system.wait_until_empty(TIMEOUT_S + LATE_S) - TIMEOUT_S
    record("the last connection ended after its timeout", late_s, "s", lower_is_better=True)
    assert late_s >= -0.5
    assert system.rules == 0
    assert system.stats()["connections"]["expired"] == n
    assert system.bench.call("account") == []


def feed(system: Any, side: int, frames: list[bytes]) -> None:
    wire = system.wires[side % len(system.wires)]
    for first in range(0, len(frames), 256):
        wire.send(frames[first : first + 256])
        if not system.bench.inventory.is_emulated:
            system.wait(0.02)
        wire.receive(0.0)
    for other in system.wires:
        other.receive(0.0)


def test_a_full_nic_leaves_the_rest_in_software_and_says_so(
    traffic: None, lab: Any, make_bench: Any, record: Any
) -> None:
    """Rules for a few hundred connections fit; the others are tracked, and go in as room is made."""
    from hwlab.story import System  # noqa: PLC0415

    # Software steering sets nothing aside: there the emulated NIC itself has to be small.
    bench = make_bench(**({"capacity": 512} if lab.inventory.profile == "connectx-sws" else {}))
    system = System(bench, lab.generators(bench), {"ct_offload_counters": 512, "ct_offload_ages": 512})
    choice = system.choices["udp/ipv4"]
    if choice["plan"] not in ("age", "count"):
        pytest.skip(f"UDP takes neither counters nor ages here: {choice['why']}")
    n = 600
    feed(system, CLIENT, many_udp(CLIENT, n))
    feed(system, SERVER, many_udp(SERVER, n))
    system.settle()
    rows = system.bench.call("connections")
    inside = sum(row["in_hardware"] for row in rows)
    reasons = {row["reason"] for row in rows if not row["in_hardware"]}
    if inside == n:
        pytest.skip(f"the NIC took all {n} connections although 512 counters were asked for")
    record("connections that a NIC of 512 counters took", inside, "connections")
    assert len(rows) == n
    assert 0 < inside < n
    assert reasons == {"table-full"}
    assert system.bench.call("account") == []
