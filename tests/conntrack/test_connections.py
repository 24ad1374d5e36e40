"""Marks, labels, zones, limits, timeout policies, flush, force, events, dumps: what is kept of connections."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conntrack_packets import (
    CLIENT,
    CLIENT6,
    GRE,
    ICMP,
    SERVER,
    SERVER6,
    TCP,
    UDP,
    Peers,
    Tracker,
    echo,
    ether,
    ip,
    tcp,
    udp,
)

from ctoffload_dpdk.base.errors import ClosedError, CtoffloadError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import TIMEOUT_NAMES, Conntrack, Refusal, Shards, states_text

ASK, ANSWER = udp(CLIENT, 1000, SERVER, 53), udp(SERVER, 53, CLIENT, 1000)


def ask(port: int) -> bytes:
    return udp(CLIENT, port, SERVER, 53)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(events=1000)


# --- marks and labels ---


def test_marks_are_set_under_their_mask(tracker: Tracker) -> None:
    assert tracker.verdict(ASK, mark=0x10, mark_mask=0xF0)["mark"] == 0x10
    assert tracker.verdict(ASK, mark=0x3, mark_mask=0xF)["mark"] == 0x13
    assert tracker.verdict(ANSWER)["mark"] == 0x13


def test_a_value_outside_its_mask_is_set_as_well(tracker: Tracker) -> None:
    tracker.verdict(ASK, mark=0x01, mark_mask=0x01)
    assert tracker.verdict(ASK, mark=0xF0, mark_mask=0x0F)["mark"] == 0xF0


def test_labels_have_128_bits(tracker: Tracker) -> None:
    tracker(ASK, label=0xABCDEF0123456789 << 64 | 5, label_mask=(1 << 128) - 1)
    tracker(ASK, label=1 << 127, label_mask=1 << 127)
    low, high = (int(word) for word in tracker.ct.connections()[0]["label"])
    assert (low, high) == (5, 0xABCDEF0123456789 | 1 << 63)


def test_without_a_connection_nothing_is_marked(tracker: Tracker) -> None:
    verdict = tracker.verdict(ASK, commit=False, mark=5, mark_mask=0xFF)
    assert (verdict["mark"], verdict["conn_id"]) == (0, 0)


def test_an_invalid_packet_of_a_known_connection_is_marked_all_the_same(tracker: Tracker) -> None:
    peers = Peers(tracker)
    peers.handshake()
    far = peers.frame(0, "A", b"x", seq=10**9)
    assert tracker.verdict(far, mark=9, mark_mask=0xFF)["mark"] == 9
    assert int(peers.row()["mark"]) == 9


def test_a_label_does_not_outlive_its_connection(tracker: Tracker) -> None:
    tracker(ASK, label=5, label_mask=5)
    tracker.ct.flush()
    tracker(ASK)
    assert tracker.ct.connections()[0]["label"].tolist() == [0, 0]


# --- counters and ids ---


def test_packets_and_bytes_are_counted_by_direction(tracker: Tracker) -> None:
    tracker(ASK, ANSWER, ANSWER, ASK, ANSWER)
    row = tracker.ct.connections()[0]
    assert row["packets"].tolist() == [2, 3]
    assert row["bytes"].tolist() == [2 * len(ASK), 3 * len(ANSWER)]


def test_a_reused_slot_has_another_id(tracker: Tracker) -> None:
    ids = set()
    for _ in range(50):
        ids.add(tracker.verdict(ASK)["conn_id"])
        tracker.ct.flush()
    assert len(ids) == 50
    assert 0 not in ids


def test_the_shard_is_the_first_byte_of_an_id() -> None:
    assert Tracker(shard=7).verdict(ASK)["conn_id"] >> 56 == 7


def test_the_account_closes_whatever_happens(tracker: Tracker) -> None:
    peers = Peers(tracker)
    peers.handshake()
    peers.send(0, "R")
    peers.tracker(peers.frame(0, "S", seq=1))
    tracker(ASK, ask(2), ask(3), ask(4))
    tracker.ct.flush_tuple(CLIENT, SERVER, UDP, 2, 53)
    tracker.wait(31)
    tracker(ask(5))
    tracker.expire()
    tracker.wait(60)
    tracker(ask(5))
    tracker.expire()
    counters = tracker.ct.counters()
    assert tracker.account_closes()
    assert (counters.created, counters.replaced, counters.flushed) == (8, 1, 1)
    assert counters.live == tracker.ct.count == 1


# --- force ---


def test_force_turns_a_connection_round(tracker: Tracker) -> None:
    tracker(ASK)
    assert tracker(ANSWER, force=True) == "new|trk"
    assert tracker(ASK) == "est|rpl|trk"
    assert tracker.ct.counters().replaced == 1
    assert tracker.ct.count == 1


def test_force_in_the_original_direction_changes_nothing(tracker: Tracker) -> None:
    first = tracker.verdict(ASK)["conn_id"]
    assert tracker.verdict(ASK, force=True)["conn_id"] == first


# --- zones and limits ---


def test_zones_are_apart(tracker: Tracker) -> None:
    tracker(ASK, zone=1)
    assert tracker(ANSWER, zone=2) == "new|trk"
    assert tracker(ANSWER, zone=1) == "est|rpl|trk"
    assert (tracker.ct.zone_count(1), tracker.ct.zone_count(2), tracker.ct.zone_count(3)) == (1, 1, 0)


def test_zones_may_differ_within_a_burst(tracker: Tracker) -> None:
    zones = np.array([1, 2, 1, 2], np.uint16)
    assert tracker.states(ASK, ASK, ANSWER, ASK, zone=zones) == ["new|trk", "new|trk", "est|rpl|trk", "new|trk"]


def test_a_full_zone_refuses_new_connections_only(tracker: Tracker) -> None:
    tracker.ct.set_zone_limit(5, 2)
    said = [tracker.verdict(ask(port), zone=5) for port in (1, 2, 3)]
    assert [states_text(v["state"]) for v in said] == ["new|trk"] * 3
    assert [v["conn_id"] != 0 for v in said] == [True, True, False]
    assert said[2]["reason"] == Refusal.REFUSED_ZONE_LIMIT
    assert tracker(ask(1), zone=5) == "new|trk"
    assert tracker.verdict(ask(3), zone=6)["conn_id"]
    assert tracker.ct.zone_limits() == {5: (2, 2)}


def test_a_limit_of_0_refuses_everything(tracker: Tracker) -> None:
    tracker.ct.set_zone_limit(5, 0)
    assert tracker.verdict(ASK, zone=5)["conn_id"] == 0


def test_a_limit_counts_only_what_came_after_it(tracker: Tracker) -> None:
    tracker(ask(1), ask(2), zone=5)
    tracker.ct.set_zone_limit(5, 1)
    assert tracker.ct.zone_limits() == {5: (1, 0)}
    assert tracker.verdict(ask(3), zone=5)["conn_id"]
    assert tracker.verdict(ask(4), zone=5)["conn_id"] == 0
    tracker.ct.flush_tuple(CLIENT, SERVER, UDP, 1, 53, zone=5)
    assert tracker.ct.zone_limits() == {5: (1, 1)}


def test_a_limit_set_again_starts_at_0(tracker: Tracker) -> None:
    tracker.ct.set_zone_limit(5, 1)
    tracker(ask(1), zone=5)
    tracker.ct.clear_zone_limit(5)
    tracker.ct.set_zone_limit(5, 1)
    assert tracker.ct.zone_limits() == {5: (1, 0)}
    tracker.ct.flush(5)
    assert tracker.ct.zone_limits() == {5: (1, 0)}
    assert tracker.verdict(ask(2), zone=5)["conn_id"]


def test_a_lowered_limit_keeps_what_is_there(tracker: Tracker) -> None:
    tracker.ct.set_zone_limit(5, 3)
    tracker(ask(1), ask(2), ask(3), zone=5)
    tracker.ct.set_zone_limit(5, 1)
    assert tracker.ct.zone_limits() == {5: (1, 3)}
    assert tracker(udp(SERVER, 53, CLIENT, 1), zone=5) == "est|rpl|trk"
    assert tracker.verdict(ask(4), zone=5)["conn_id"] == 0


def test_the_default_limit_holds_for_every_zone_without_one(tracker: Tracker) -> None:
    tracker.ct.zone_default_limit = 1
    for zone in (0, 1, 65535):
        assert tracker.verdict(ask(1), zone=zone)["conn_id"]
        assert tracker.verdict(ask(2), zone=zone)["conn_id"] == 0
    assert tracker.ct.zone_limits() == {}
    assert tracker.ct.zone_limit(1) == (1, 1)
    tracker.ct.set_zone_limit(1, 2)
    assert tracker.verdict(ask(2), zone=1)["conn_id"]
    tracker.ct.clear_zone_limit(1)
    assert tracker.verdict(ask(3), zone=1)["conn_id"] == 0
    tracker.ct.zone_default_limit = 0
    assert tracker.verdict(ask(3), zone=1)["conn_id"]


def test_ended_connections_make_room_in_their_zone(tracker: Tracker) -> None:
    tracker.ct.set_zone_limit(5, 1)
    for port in range(1, 20):
        assert tracker.verdict(ask(port), zone=5)["conn_id"]
        tracker.wait(61)
        tracker.expire()


def test_no_more_than_max_connections(tracker: Tracker) -> None:
    tracker.ct.max_connections = 3
    ids = [tracker.verdict(ask(port))["conn_id"] for port in range(1, 6)]
    assert [i != 0 for i in ids] == [True] * 3 + [False] * 2
    assert tracker.verdict(ask(5))["reason"] == Refusal.REFUSED_LIMIT
    assert tracker.ct.counters().refused["limit"] == 3
    tracker.ct.max_connections = 0
    tracker.ct.flush()
    assert tracker.verdict(ask(1))["conn_id"] == 0


def test_the_zone_limit_is_asked_before_the_global_one(tracker: Tracker) -> None:
    tracker.ct.max_connections = 0
    tracker.ct.set_zone_limit(0, 0)
    assert tracker.verdict(ASK)["reason"] == Refusal.REFUSED_ZONE_LIMIT


def test_more_than_was_reserved_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="1001 is not between 0 and 1000"):
        tracker.ct.max_connections = 1001


# --- timeout policies ---


def test_a_policy_is_fixed_at_creation_and_read_at_each_packet(tracker: Tracker) -> None:
    tracker.ct.set_timeout_policy(3, udp_first=500, udp_single=700)

    def left() -> float:
        return float(tracker.ct.connections()[0]["timeout_ms"]) / 1000

    tracker(ASK, timeout_policy=3)
    assert left() == 500
    tracker(ASK)
    assert left() == 700
    tracker.ct.set_timeout_policy(3, udp_single=20)
    assert left() == 700
    tracker(ASK, timeout_policy=9)
    assert left() == 20
    tracker.ct.clear_timeout_policy(3)
    tracker(ASK)
    assert left() == 60


def test_unset_timeouts_of_a_policy_are_the_defaults(tracker: Tracker) -> None:
    tracker.ct.set_timeout_policy(1, tcp_established=5)
    policy = tracker.ct.timeout_policy(1)
    assert policy == tracker.ct.timeout_policy(0) | {"tcp_established": 5}
    assert list(policy) == list(TIMEOUT_NAMES)
    assert tracker.ct.timeout_policy(77) == tracker.ct.timeout_policy(0)


def test_an_unknown_policy_is_the_default_until_it_is_set(tracker: Tracker) -> None:
    tracker(ASK, timeout_policy=4_000_000_000)
    assert tracker.ct.connections()[0]["timeout_ms"] == 60_000
    tracker.ct.set_timeout_policy(4_000_000_000, udp_single=5)
    tracker(ASK)
    assert tracker.ct.connections()[0]["timeout_ms"] == 5_000


def test_with_all_policies_taken_one_more_is_refused_and_clearing_it_changes_nothing(tracker: Tracker) -> None:
    tracker.ct.set_timeout_policy(0, udp_first=500)
    for policy in range(1, 65536):
        tracker.ct.set_timeout_policy(policy)
    with pytest.raises(CtoffloadError, match="65535 policies are the most") as caught:
        tracker.ct.set_timeout_policy(65536)
    assert caught.value.errno == errno.ENOSPC
    tracker.ct.clear_timeout_policy(65536)
    assert tracker.ct.timeout_policy(0)["udp_first"] == 500
    tracker.ct.clear_timeout_policy(0)
    assert tracker.ct.timeout_policy(0)["udp_first"] == 60


def test_an_unknown_timeout_is_an_error_that_names_those_there_are(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="no timeout is named udp_frist") as caught:
        tracker.ct.set_timeout_policy(1, udp_frist=3)
    assert "udp_first" in caught.value.hint


def test_a_shortened_timeout_ends_in_time(tracker: Tracker) -> None:
    """From a day to 45 seconds: the wheel has to look earlier than it was told at first."""
    peers = Peers(tracker)
    peers.handshake()
    peers.send(0, "FA")
    peers.send(1, "FA")
    tracker.wait(45.1)
    assert tracker.expire() == 0


# --- flush ---


def test_flush_of_a_zone_leaves_the_others(tracker: Tracker) -> None:
    tracker(ask(1), ask(2), zone=1)
    tracker(ask(1), zone=2)
    assert (tracker.ct.flush(1), tracker.ct.flush(3), tracker.ct.count) == (2, 0, 1)
    assert tracker.ct.flush() == 1
    assert tracker(ASK) == "new|trk"


@pytest.mark.parametrize(
    ("frame", "tuple_"),
    [
        (ASK, (CLIENT, SERVER, UDP, 1000, 53)),
        (ASK, (SERVER, CLIENT, UDP, 53, 1000)),
        (udp(CLIENT6, 1, SERVER6, 2), (SERVER6, CLIENT6, UDP, 2, 1)),
        (tcp(CLIENT, 1, SERVER, 2, "S"), (CLIENT, SERVER, TCP, 1, 2)),
        (echo(CLIENT, SERVER, 7), (CLIENT, SERVER, ICMP, 7, 8 << 8)),
        (echo(CLIENT, SERVER, 7), (SERVER, CLIENT, ICMP, 7, 0)),
        (echo(CLIENT6, SERVER6, 7, 128), (CLIENT6, SERVER6, 58, 7, 128 << 8)),
        (ether(ip(CLIENT, SERVER, GRE, b"")), (SERVER, CLIENT, GRE, 0, 0)),
    ],
)
def test_flush_of_a_tuple_in_either_direction(
    tracker: Tracker, frame: bytes, tuple_: tuple[str, str, int, int, int]
) -> None:
    tracker(frame, ask(9))
    assert len(tracker.ct.find(*tuple_)) == 1
    assert tracker.ct.flush_tuple(*tuple_, zone=1) is False
    assert tracker.ct.flush_tuple(*tuple_) is True
    assert tracker.ct.flush_tuple(*tuple_) is False
    assert tracker.ct.count == 1


def test_flush_by_a_filtered_dump(tracker: Tracker) -> None:
    tracker(*(ask(port) for port in range(1, 21)))
    rows = tracker.ct.connections()
    chosen = rows["conn_id"][rows["src_port"] > 15]
    assert tracker.ct.flush_ids(chosen) == 5
    assert tracker.ct.flush_ids(chosen) == 0
    assert sorted(tracker.ct.connections()["src_port"].tolist()) == list(range(1, 16))


def test_flush_finds_no_connection_whose_time_is_up(tracker: Tracker) -> None:
    tracker(ASK)
    tracker.wait(61)
    tracker.ct.expire(tracker.now_ms, budget_us=0)
    assert tracker.ct.flush_tuple(CLIENT, SERVER, UDP, 1000, 53) is False


@pytest.mark.parametrize(("src", "dst"), [("10.0.0.300", "10.0.0.1"), ("host", "10.0.0.1"), ("10.0.0.1", "fc00::1")])
def test_a_tuple_that_is_none_is_an_error(tracker: Tracker, src: str, dst: str) -> None:
    with pytest.raises(UsageError):
        tracker.ct.flush_tuple(src, dst, UDP, 1, 2)


# --- events and dumps ---


def test_events_tell_the_life_of_a_connection(tracker: Tracker) -> None:
    tracker(ASK, ASK, ANSWER, ASK)
    tracker(ASK, mark=1, mark_mask=1)
    tracker(ASK, mark=1, mark_mask=1)
    tracker.ct.flush()
    events = tracker.ct.events()
    assert events["kind"].tolist() == [1, 2, 2, 2, 3]
    assert events["phase"].tolist() == [0, 1, 2, 2, 2]
    assert events["mark"].tolist() == [0, 0, 0, 1, 1]
    assert events["cause"].tolist()[-1] == 2
    assert events["packets"][-1].tolist() == [5, 1]
    assert len(set(events["conn_id"].tolist())) == 1
    assert len(tracker.ct.events()) == 0


def test_events_that_do_not_fit_are_counted() -> None:
    tracker = Tracker(events=4)
    tracker(*(ask(port) for port in range(1, 11)))
    assert tracker.ct.events()["src_port"].tolist() == [1, 2, 3, 4]
    assert tracker.ct.counters().events_lost == 6


def test_a_tracker_that_was_not_asked_keeps_no_events() -> None:
    tracker = Tracker()
    tracker(ASK)
    assert len(tracker.ct.events()) == 0


def test_a_dump_names_both_ends(tracker: Tracker) -> None:
    tracker(udp(SERVER6, 7, CLIENT6, 8), zone=3, port=9)
    row = tracker.ct.connections(zone=3)[0]
    assert row["src"].tobytes() == bytes.fromhex("fc00" + "00" * 13 + "02")
    assert row["dst"].tobytes() == bytes.fromhex("fc00" + "00" * 13 + "01")
    assert (row["src_port"], row["dst_port"], row["family"], row["proto"], row["zone"]) == (7, 8, 6, UDP, 3)
    assert row["port"].tolist() == [9, 0xFFFFFFFF]


def test_ports_are_remembered_by_direction(tracker: Tracker) -> None:
    tracker(ASK, port=3, port_generation=1)
    tracker(ANSWER, port=4, port_generation=9)
    assert tracker.ct.connections()[0]["port"].tolist() == [3, 4]
    tracker(ASK, port=5)
    assert tracker.ct.connections()[0]["port"].tolist() == [5, 4]


def test_more_ports_than_hints(tracker: Tracker) -> None:
    for port in range(600):
        tracker(ask(port + 1), port=port, port_generation=port % 3)
    rows = tracker.ct.connections()
    assert (rows["port"][:, 0] == rows["src_port"] - 1).all()


def test_iteration_goes_in_slices(tracker: Tracker) -> None:
    tracker(*(ask(port) for port in range(1, 101)))
    slices = list(tracker.ct.iterate(chunk=7))
    assert max(len(rows) for rows in slices) == 7
    assert sum(len(rows) for rows in slices) == 100


# --- the object ---


def test_a_closed_tracker_refuses_everything() -> None:
    with Conntrack(10) as conntrack:
        assert not conntrack.is_closed
    assert conntrack.is_closed
    conntrack.close()
    for call in (
        lambda: conntrack.count,
        conntrack.counters,
        conntrack.connections,
        conntrack.flush,
        conntrack.events,
        conntrack.expire,
        lambda: conntrack.process(Packets.of([ASK])),
        lambda: setattr(conntrack, "tcp_liberal", True),
        conntrack.__enter__,
    ):
        with pytest.raises(ClosedError):
            call()


@pytest.mark.parametrize(
    "arguments", [{"max_connections": 0}, {"max_connections": 2**31}, {"shard": 255}, {"shard": -1}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Conntrack(**arguments)


@pytest.mark.skipif(
    os.environ.get("CTOFFLOAD_SANITIZED") == "1", reason="a sanitizer uses terabytes of address space itself"
)
def test_address_space_that_the_kernel_refuses_is_an_error_that_says_so() -> None:
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, hard))
    try:
        with pytest.raises(CtoffloadError, match="no address space for 2000000000 connections") as caught:
            Conntrack(2_000_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert caught.value.errno == errno.ENOMEM
    assert "ulimit" in caught.value.hint


NOT_A_ZONE = "zone {} is not between 0 and 65535"
NOT_32_BITS = "{} is not between 0 and 4294967295"


@pytest.mark.parametrize("make", [lambda: Conntrack(10), lambda: Shards(2, 10)], ids=["Conntrack", "Shards"])
@pytest.mark.parametrize(
    ("call", "given", "said"),
    [
        *((name, (zone, *more), NOT_A_ZONE.format(zone))
          for name, more in (("flush", ()), ("connections", ()), ("zone_count", ()), ("zone_limit", ()),
                             ("clear_zone_limit", ()), ("set_zone_limit", (5,)))
          for zone in (-1, 65536, 2**32, 2**70)),
        ("flush", (1.5,), "zone 1.5 is no whole number"),
        ("flush", (float("nan"),), "zone nan is no whole number"),
        ("flush", ("5",), "zone '5' is no whole number"),
        ("set_zone_limit", (0, -1), NOT_32_BITS.format("limit -1")),
        ("set_zone_limit", (0, 2**63), NOT_32_BITS.format(f"limit {2**63}")),
        ("find", ("10.0.0.1", "10.0.0.2", 256), "proto 256 is not between 0 and 255"),
        ("find", ("10.0.0.1", "10.0.0.2", 6, -1), "src_port -1 is not between 0 and 65535"),
        ("find", ("10.0.0.1", "10.0.0.2", 1, 0, 65536), "dst_port 65536 is not between 0 and 65535"),
        ("find", ("10.0.0.1", "10.0.0.2", 6, 0, 0, 65536), NOT_A_ZONE.format(65536)),
        ("flush_tuple", ("10.0.0.1", "10.0.0.2", 6, 1, 2, -1), NOT_A_ZONE.format(-1)),
        ("flush_ids", ([-1],), "conn_ids -1 is not between 0 and"),
        ("flush_ids", ([2**64],), "conn_ids 18446744073709551616 is not between 0 and"),
        ("flush_ids", ([0.5],), "conn_ids 0.5 is no whole number"),
        ("flush_ids", ([[1, 2]],), "conn_ids has 2 dimensions"),
        ("ask", (np.array([-1]),), "conn_ids -1 is not between 0 and"),
        ("set_timeout_policy", (-1,), NOT_32_BITS.format("timeout policy -1")),
        ("clear_timeout_policy", (2**32,), NOT_32_BITS.format("timeout policy 4294967296")),
        ("timeout_policy", (2**32,), NOT_32_BITS.format("timeout policy 4294967296")),
        ("iterate", (0,), "chunk 0 is not between 1 and"),
        ("iterate", (-1,), "chunk -1 is not between 1 and"),
        ("set_fragments", (5,), "family 5 is neither 4 nor 6"),
        ("max_connections", 2**64, NOT_32_BITS.format(f"max_connections {2**64}")),
        ("zone_default_limit", -1, NOT_32_BITS.format("zone_default_limit -1")),
        ("unconfirmed_rst_ms", -1, "unconfirmed_rst_ms -1 is not between 0 and"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_fit_is_refused_before_anything_happens(
    make: Callable[[], Any], call: str, given: Any, said: str
) -> None:
    with contextlib.closing(make()) as tracker, pytest.raises(UsageError, match=said) as caught:
        if isinstance(given, tuple):
            list(getattr(tracker, call)(*given) or ())
        else:
            setattr(tracker, call, given)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("find_id", (-1,)),
        ("find_id", (2**64,)),
        ("keep_events", (-1,)),
        ("expire", (2**63,)),
        ("expire", (0, -1)),
        ("advance", (-(2**63),)),
        ("hold", (-1,)),
    ],
)
def test_so_it_is_by_one_shard_alone(call: str, given: tuple[int, ...]) -> None:
    with Conntrack(10) as tracker, pytest.raises(UsageError, match="is not between"):
        getattr(tracker, call)(*given)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"zone": np.array([65541])}, "zone 65541 is not between 0 and 65535"),
        ({"zone": -1}, "zone -1 is not between 0 and 65535"),
        ({"zone": np.uint32(65541)}, "zone 65541 is not between 0 and 65535"),
        ({"zone": [1.0]}, "zone 1.0 is no whole number"),
        ({"flags": [2**32]}, "flags 4294967296 is not between"),
        ({"port": np.array([-1])}, "port -1 is not between"),
        ({"port_generation": 2**32}, "port_generation 4294967296 is not between"),
        ({"room": np.array([2**40])}, "room 1099511627776 is not between"),
        ({"room": np.array([2**32 - 1], np.uint32)}, "the room of a packet lies outside its buffer"),
        ({"now_ms": [float("nan")]}, "now_ms nan is no whole number"),
        ({"now_ms": 2**63 - 1}, "now_ms 9223372036854775807 is not between"),
        ({"mark": 2**32 + 5}, "mark 4294967301 is not between"),
        ({"mark_mask": -1}, "mark_mask -1 is not between"),
        ({"label": 1 << 128}, "label 340282366.* is not between"),
        ({"label_mask": -1}, "label_mask -1 is not between"),
        ({"timeout_policy": -1}, "timeout_policy -1 is not between"),
        ({"nat": "src=10.0.0.1"}, "str is no Nat"),
    ],
    ids=str,
)
def test_what_is_said_of_packets_has_to_fit(values: dict[str, Any], said: str) -> None:
    with Conntrack(10) as tracker:
        for call in (tracker.process, tracker.track):
            with pytest.raises(UsageError, match=said) as caught:
                call(Packets.of([ASK]), **values)
            assert caught.value.errno == errno.EINVAL
        assert tracker.counters().packets == 0


def test_packets_have_to_be_packets_and_lie_where_they_did() -> None:
    packets = Packets.of([ASK, ASK])
    with Conntrack(10) as tracker:
        with pytest.raises(UsageError, match="list is no Packets"):
            tracker.process([ASK])  # type: ignore[arg-type]
        packets.length[1] = 2**32 - 1
        with pytest.raises(UsageError, match="lies outside its buffer"):
            tracker.process(packets)
        packets.length[1] = len(ASK)
        packets.offset[0] = 2**64 - 1
        with pytest.raises(UsageError, match="lies outside its buffer"):
            tracker.process(packets)


def test_per_packet_values_have_to_be_as_many_as_packets(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="2 values of zone for 1 packets"):
        tracker(ASK, zone=np.array([1, 2], np.uint16))


def test_time_does_not_run_backwards(tracker: Tracker) -> None:
    now = tracker.now_ms
    times = np.array([now, now + 50_000, now - 10**6, now + 60_000], np.int64)
    verdicts = tracker.ct.process(Packets.of([ASK, ASK, ASK, ASK]), times)
    assert [states_text(int(s)) for s in verdicts["state"]] == ["new|trk"] * 4
    assert tracker.ct.now_ms == now + 60_000
    assert tracker.ct.connections()[0]["timeout_ms"] == 60_000


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (0, "0"),
        (0x21, "new|trk"),
        (0x2A, "est|rpl|trk"),
        (0xFF, "new|est|rel|rpl|inv|trk|snat|dnat"),
        (0x30, "inv|trk"),
    ],
)
def test_states_in_words(state: int, text: str) -> None:
    assert states_text(state) == text
