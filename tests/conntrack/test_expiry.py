"""Expiry: what is due ends in time, what is not costs nothing, and slices are bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conntrack_packets import CLIENT, SERVER, UDP, Tracker, udp
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, states_text

DAY_S = 86400
TICK_S = 0.064


def ask(port: int) -> bytes:
    return udp(CLIENT, port, SERVER, 53)


def test_an_expired_connection_is_invisible_before_it_is_swept() -> None:
    tracker = Tracker()
    first = tracker.verdict(ask(1))["conn_id"]
    tracker.wait(60)
    assert len(tracker.ct.connections()) == 1
    assert tracker.verdict(udp(SERVER, 53, CLIENT, 1))["state"] == 0x21
    assert tracker.verdict(ask(1))["conn_id"] != first
    counters = tracker.ct.counters()
    assert (counters.created, counters.live, counters.expired) == (2, 1, 1)


def test_a_connection_lives_one_millisecond_less_than_its_timeout() -> None:
    tracker = Tracker()
    tracker(ask(1))
    tracker.wait(59.999)
    assert tracker(udp(SERVER, 53, CLIENT, 1)) == "est|rpl|trk"
    tracker.wait(30)
    assert tracker(ask(1)) == "new|trk"


@given(timeout_s=st.integers(1, 3 * DAY_S), start_ms=st.integers(0, 2**41))
@settings(max_examples=200, deadline=None)
def test_any_timeout_ends_within_a_tick(timeout_s: int, start_ms: int) -> None:
    with Conntrack(10, now_ms=start_ms) as conntrack:
        conntrack.set_timeout_policy(0, udp_first=timeout_s)
        conntrack.process(Packets.of([ask(1)]), start_ms)
        conntrack.expire(start_ms + timeout_s * 1000 - 1)
        assert conntrack.count == 1
        conntrack.expire(start_ms + round((timeout_s + TICK_S) * 1000))
        assert conntrack.count == 0


@given(
    steps_ms=st.lists(st.integers(0, 200_000), min_size=1, max_size=40),
    timeouts_s=st.lists(st.integers(1, 20_000), min_size=1, max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_nothing_ends_early_and_nothing_stays(steps_ms: list[int], timeouts_s: list[int]) -> None:
    with Conntrack(100, now_ms=0) as conntrack:
        ends = {}
        for i, timeout_s in enumerate(timeouts_s, 1):
            conntrack.set_timeout_policy(i, udp_first=timeout_s)
            conntrack.process(Packets.of([ask(i)]), 0, timeout_policy=i)
            ends[i] = timeout_s * 1000
        now_ms = 0
        for step in steps_ms:
            now_ms += step
            conntrack.expire(now_ms)
            live = set(conntrack.connections()["src_port"].tolist())
            assert live == {port for port, end in ends.items() if end > now_ms}
            assert conntrack.count <= sum(end + TICK_S * 1000 > now_ms for end in ends.values())


def test_what_is_not_due_is_not_looked_at() -> None:
    with Conntrack(20_000, now_ms=0) as conntrack:
        conntrack.process(Packets.of([ask(1 + i) for i in range(10_000)]), 0)
        assert [conntrack.expire(second * 1000) for second in range(1, 50)] == [0] * 49
        looked = sum(conntrack.expire(ms) for ms in range(50_000, 70_000, 50))
        assert conntrack.count == 0
        assert looked <= 3 * 10_000


def test_a_busy_connection_is_looked_at_once_per_timeout() -> None:
    tracker = Tracker()
    looked = 0
    for _ in range(6000):
        tracker(ask(1))
        tracker.wait(0.1)
        looked += tracker.ct.expire(tracker.now_ms)
    assert tracker.ct.count == 1
    assert looked <= 600 / 60 * 4


def test_a_slice_ends_when_its_budget_is_spent_and_the_next_goes_on() -> None:
    with Conntrack(20_000, now_ms=0) as conntrack:
        conntrack.process(Packets.of([ask(1 + i) for i in range(10_000)]), 0)
        looked = conntrack.expire(61_000, budget_us=0)
        assert 0 < looked < 200
        while conntrack.count:
            assert conntrack.expire(61_000, budget_us=0) > 0
        assert conntrack.counters().expired == 10_000


def test_a_connection_that_waits_on_the_due_list_may_go_on_or_be_flushed() -> None:
    tracker = Tracker()
    tracker(*(ask(1 + i) for i in range(500)))
    tracker.wait(60.1)
    tracker.ct.expire(tracker.now_ms, budget_us=0)
    left = tracker.ct.count
    assert 0 < left < 500
    assert tracker.ct.flush() == left
    tracker.ct.expire(tracker.now_ms)
    assert tracker.account_closes()


def test_a_jump_of_years_costs_a_turn_of_the_wheel() -> None:
    tracker = Tracker()
    tracker(ask(1))
    tracker.wait(10 * 365 * DAY_S)
    assert tracker.ct.expire(tracker.now_ms) == 1
    assert tracker.ct.count == 0


@pytest.mark.parametrize("n", [1, 7, 8, 100, 5000])
def test_slots_are_reused(n: int) -> None:
    with Conntrack(n, now_ms=0) as conntrack:
        for turn in range(5):
            start_ms = turn * 100_000
            verdicts = conntrack.process(Packets.of([ask(1 + i) for i in range(n)]), start_ms)
            assert (verdicts["conn_id"] != 0).all()
            assert (verdicts["conn_id"] & 0xFFFFFFFF).max() <= n
            conntrack.expire(start_ms + 99_000)
            assert conntrack.count == 0


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_flood_never_takes_more_than_was_configured() -> None:
    limit = 20_000
    with Conntrack(limit, now_ms=0) as conntrack:
        rng = np.random.default_rng(1)
        before = resident_bytes()
        for _ in range(20):
            ports = rng.integers(1, 65536, (5000, 2))
            frames = [udp(f"10.{a % 256}.{b % 256}.9", int(a), SERVER, int(b)) for a, b in ports]
            conntrack.process(Packets.of(frames), 0)
            assert conntrack.count <= limit
        assert conntrack.count == limit
        assert resident_bytes() - before < limit * 192 + (16 << 20)
        assert conntrack.counters().refused["limit"] > 50_000


def test_the_index_finds_everything_while_it_grows_and_shrinks() -> None:
    with Conntrack(40_000, now_ms=0) as conntrack:
        frames = Packets.of([ask(1 + i) for i in range(30_000)])
        first = conntrack.process(frames, 0)["conn_id"]
        assert (conntrack.process(frames, 0)["conn_id"] == first).all()
        odd = first[1::2]
        assert conntrack.flush_ids(odd) == 15_000
        again = conntrack.process(frames, 0)["conn_id"]
        assert (again[::2] == first[::2]).all()
        assert not set(again[1::2].tolist()) & set(odd.tolist())
        assert len(conntrack.find(CLIENT, SERVER, UDP, 30_000, 53)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_index_under_random_beginnings_and_ends(seed: int) -> None:
    """Against a dictionary: buckets split, overflow and empty again in any order."""
    n = 20_000
    frames = Packets.of([ask(1 + i) for i in range(n)])
    rng = np.random.default_rng(seed)
    known = np.zeros(n, np.uint64)
    with Conntrack(n, now_ms=0) as conntrack:
        for _ in range(25):
            some = np.unique(rng.integers(0, n, rng.integers(1, n)))
            verdicts = conntrack.process(Packets(frames.data, frames.offset[some], frames.length[some]), 0)
            had = known[some] != 0
            assert (verdicts["conn_id"][had] == known[some][had]).all()
            known[some] = verdicts["conn_id"]
            gone = np.flatnonzero(known)[rng.random(np.count_nonzero(known)) < rng.random()]
            assert conntrack.flush_ids(known[gone]) == len(gone)
            known[gone] = 0
            assert (conntrack.process(frames, 0, commit=False)["conn_id"] == known).all()
            assert conntrack.count == np.count_nonzero(known)


def test_only_a_successor_takes_the_place_of_a_connection_whose_time_is_up() -> None:
    """An echo reply begins nothing, so the request whose 60 s are over stays counted until expiry or a new request."""
    there = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=8, id=7)
    back = Ether() / IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(type=0, id=7)
    with Conntrack(10, now_ms=0) as tracker:
        tracker.process(Packets.of([bytes(there)]), 0)
        (verdict,) = tracker.process(Packets.of([bytes(back)]), 60_000)
        assert states_text(int(verdict["state"])) == "inv|trk"
        assert (tracker.counters().live, tracker.counters().expired) == (1, 0)
        tracker.process(Packets.of([bytes(there)]), 60_000)
        assert (tracker.counters().live, tracker.counters().expired) == (1, 1)
