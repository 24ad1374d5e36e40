"""Conditions: tested in the table, and over rows of it, they choose what the same words choose in plain Python."""

from __future__ import annotations

import errno
import ipaddress
from typing import Any

import numpy as np
import pytest
from conntrack_lab import OffloadLab
from conntrack_packets import TCP, Peers, echo, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import CONNECTION, Conditions, Conntrack, Nat, NatRange, Walk, numbers

V4 = ("10.0.0.1", "10.0.0.2", "10.1.0.3", "192.0.2.9")
V6 = ("fc00::1", "fc00::2", "2001:db8::7")
PORTS = (53, 80, 4000)
ZONES = (0, 5, 65535)
ICMP = (1, 58)


@pytest.fixture(scope="module")
def lab() -> OffloadLab:
    """Connections of several kinds: translated and not, in hardware, pending, refused, never offered."""
    lab = OffloadLab(enabled=False)
    dice = np.random.default_rng(3)
    nat = Nat(src=NatRange.parse("203.0.113.1"))
    for number in range(300):
        if number == 100:
            lab.layer.force_enable()
        hosts = V6 if number % 3 == 0 else V4
        src, dst = dice.choice(hosts, 2, replace=False)
        sport, dport = 1000 + number, int(dice.choice(PORTS))
        zone, mark = int(dice.choice(ZONES)), int(dice.integers(0, 4))
        action: dict[str, Any] = {"zone": zone, "mark": mark, "mark_mask": 0xFF, "port": 1}
        if number % 6 == 0:
            action |= {"label": 1 << int(dice.choice([0, 100, 127])), "label_mask": (1 << 128) - 1}
        if number % 7 == 0 and hosts is V4:
            action["nat"] = nat
        frames = [udp(src, sport, dst, dport)]
        if number % 5 == 0:
            frames = [echo(src, dst, number, 128 if hosts is V6 else 8)]
        elif number % 4 == 0:
            frames = [tcp(src, sport, dst, dport, "S", 1, 0)]
        elif number % 2 and "nat" not in action:
            frames.append(udp(dst, dport, src, sport))
        lab.ct.process(Packets.of(frames).copy(), lab.now_ms, **action)
        if number % 10 == 0:
            lab.step()
    peers = Peers(lab)
    peers.handshake()
    return lab


def chosen(row: np.void, wanted: dict[str, Any]) -> bool:
    """Whether all conditions hold, said once more without arrays."""
    for name, value in wanted.items():
        if name in {"src", "dst", "reply_src", "reply_dst"}:
            size = 4 if row["family"] == 4 else 16
            holds = ipaddress.ip_address(row[name][:size].tobytes()) in value
        elif name == "mark":
            holds = int(row["mark"]) & value[1] == value[0]
        elif name == "label":
            holds = (int(row["label"][0]) | int(row["label"][1]) << 64) & value[1] == value[0]
        elif name == "tcp_state":
            holds = int(row["proto"]) == TCP and value in row["tcp_state"].tolist()
        elif name in {"src_port", "dst_port"}:
            holds = int(row["proto"]) not in ICMP and int(row[name]) == value
        else:
            holds = int(row[name]) == value
        if not holds:
            return False
    return True


networks = st.one_of(
    st.sampled_from([*V4, *V6, "203.0.113.1", "10.0.0.0/8", "10.0.0.0/15", "0.0.0.0/0", "::/0", "fc00::/64"])
).map(ipaddress.ip_network)
conditions = st.fixed_dictionaries(
    {},
    optional={
        "proto": st.sampled_from([1, 6, 17, 58, 132]),
        "zone": st.sampled_from([*ZONES, 7]),
        "src_port": st.sampled_from([1000, 1001, 1100, 53]),
        "dst_port": st.sampled_from([*PORTS, 2048]),
        "tcp_state": st.integers(0, 10),
        "offload": st.integers(0, 2),
        "reason": st.sampled_from([Reason.NONE, Reason.DISABLED, Reason.NOT_ESTABLISHED, Reason.PROVIDER_REFUSED]),
        "mark": st.sampled_from([(0, 1), (1, 1), (3, 3), (2, 0xFFFFFFFF)]),
        "label": st.sampled_from([(0, 1), (1, 1), (1 << 100, 3 << 100), (0, 1 << 127)]),
        "src": networks,
        "dst": networks,
        "reply_src": networks,
        "reply_dst": networks,
    },
)


@settings(max_examples=400, deadline=None)
@given(wanted=conditions)
def test_table_and_rows_are_chosen_as_the_words_say(lab: OffloadLab, wanted: dict[str, Any]) -> None:
    rows = lab.ct.connections()
    said = [int(row["conn_id"]) for row in rows if chosen(row, wanted)]
    filter_ = Conditions(**wanted)
    assert rows["conn_id"][filter_.fits(rows)].tolist() == said
    assert Walk(lab.ct, filter_).rows()["conn_id"].tolist() == said
    assert Walk(lab.ct, filter_).count() == len(said)
    numbers = np.zeros((3, 32), np.int64)
    Walk(lab.ct, filter_).tally(numbers)
    assert numbers.sum() == len(said)


def test_the_lab_has_connections_of_each_kind(lab: OffloadLab) -> None:
    rows = lab.ct.connections()
    assert set(rows["offload"]) == {0, 1, 2} or set(rows["offload"]) == {0, 2}
    assert {1, 6, 17, 58} <= set(rows["proto"])
    assert (rows["nat"] != 0).sum() > 10


def test_a_walk_stops_after_so_many_and_goes_on(lab: OffloadLab) -> None:
    walk = Walk(lab.ct, Conditions(proto=17))
    found = []
    while walk.next:
        found += walk.rows(7)["conn_id"].tolist()
        assert len(found) <= walk.end
    rows = lab.ct.connections()
    assert found == rows["conn_id"][rows["proto"] == 17].tolist()


def test_only_those_with_more_packets(lab: OffloadLab) -> None:
    rows = lab.ct.connections()
    busy = rows["packets"].sum(axis=1) > 1
    assert 0 < busy.sum() < len(rows)
    assert Walk(lab.ct).rows(more_than=1)["conn_id"].tolist() == rows["conn_id"][busy].tolist()


def test_a_zone_without_a_connection_is_not_walked_through(lab: OffloadLab) -> None:
    walk = Walk(lab.ct, Conditions(zone=7))
    assert (len(walk.rows(1)), walk.next) == (0, 0)
    walk = Walk(lab.ct, Conditions(zone=5))
    assert (len(walk.rows(1)), walk.next > 1) == (1, True)


def test_a_walk_ends_what_fits_and_nothing_else() -> None:
    lab = OffloadLab()
    for port in range(20):
        lab.ct.process(Packets.of([udp("10.0.0.1", 1000 + port, "10.0.0.2", 53)]), lab.now_ms, zone=port % 2)
    walk = Walk(lab.ct, Conditions(zone=1))
    assert [walk.flush(4), walk.flush(4), walk.flush(4), walk.next] == [4, 4, 2, 0]
    assert set(lab.ct.connections()["zone"]) == {0}
    assert lab.ct.counters().flushed == 10


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"proto": 256}, "proto 256 is not between 0 and 255"),
        ({"zone": -1}, "zone -1 is not between 0 and 65535"),
        ({"dst_port": 65536}, "dst_port 65536 is not between 0 and 65535"),
        ({"tcp_state": 1.5}, "tcp_state 1.5 is no whole number"),
        ({"reason": None}, "reason None is no whole number"),
        ({"mark": (2**32, 0)}, "mark 4294967296 is not between"),
        ({"mark": 5}, r"mark is no \(value, mask\)"),
        ({"label": (0, -1)}, "label -1 is not between"),
        ({"src": "10.0.0.1"}, "src is no ipaddress network"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(condition: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Conditions(**condition)
    assert caught.value.errno == errno.EINVAL


def test_a_walk_from_nowhere_and_the_numbers_of_no_zone_are_refused() -> None:
    with Conntrack(10) as tracker:
        for wrong in (
            lambda: Walk(tracker, first=-1),
            lambda: Walk(tracker).rows(-1),
            lambda: Walk(tracker).rows(1, -2),
            lambda: Walk(tracker).flush(2**32),
            lambda: numbers(tracker, 65536),
        ):
            with pytest.raises(UsageError, match="is not between"):
                wrong()
        assert len(Walk(tracker, first=2**32 - 1).rows()) == 0


def test_what_is_no_condition_or_no_row_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no condition colour"):
        Conditions(colour=1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="no connections of a dump"):
        Conditions().fits(np.zeros(3))
    assert Conditions(proto=6).fits(np.zeros(0, CONNECTION)).tolist() == []
