"""VLAN tags that rules take off, put on and write."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import V4, eth, pattern, tcp, udp
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q
from scapy.packet import Raw

from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk.actions import OfPopVlan, OfPushVlan, OfSetVlanPcp, OfSetVlanVid

pytestmark = pytest.mark.eal


def packet(*tags: Any, payload: bytes = b"v" * 30) -> Any:
    head = eth()
    for tag in tags:
        head /= tag
    return head / IP(src=V4[0], dst=V4[1]) / UDP(sport=1000, dport=80) / Raw(payload)


def tags(n: int, *values: Any) -> list[Any]:
    """The pattern of the connection behind n tags."""
    eth_item, *rest = pattern()
    return [eth_item, *[items.Vlan()] * n, *rest]


CASES = [
    ("pop", 1, [OfPopVlan()], packet(Dot1Q(vlan=7)), packet()),
    ("pop one of two", 2, [OfPopVlan()], packet(Dot1Q(vlan=7), Dot1Q(vlan=8)), packet(Dot1Q(vlan=8))),
    ("push", 0, [OfPushVlan()], packet(), packet(Dot1Q(vlan=0))),
    ("push and set", 0, [OfPushVlan(), OfSetVlanVid(99), OfSetVlanPcp(5)], packet(), packet(Dot1Q(vlan=99, prio=5))),
    ("push a second", 1, [OfPushVlan(0x88A8), OfSetVlanVid(3)], packet(Dot1Q(vlan=7, prio=2)),
     packet(Dot1AD(vlan=3, prio=2), Dot1Q(vlan=7, prio=2))),
    ("set", 1, [OfSetVlanVid(4095)], packet(Dot1Q(vlan=7, prio=2)), packet(Dot1Q(vlan=4095, prio=2))),
    ("set the priority", 1, [OfSetVlanPcp(1)], packet(Dot1Q(vlan=7, prio=2)), packet(Dot1Q(vlan=7, prio=1))),
    ("pop and push", 1, [OfPopVlan(), OfPushVlan(), OfSetVlanVid(8)], packet(Dot1Q(vlan=7, prio=4)),
     packet(Dot1Q(vlan=8))),
]  # fmt: skip


@pytest.mark.parametrize(("n", "acts", "before", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_tags(host: Any, n: int, acts: list[Any], before: Any, after: Any) -> None:
    host.rule(tags(n), [*acts, actions.Queue(0)])
    host.send(before)
    assert host.received() == [bytes(after)]


def test_with_a_rewrite_the_checksums_behind_the_tag_are_right(host: Any) -> None:
    change = [
        OfPushVlan(),
        OfSetVlanVid(5),
        actions.SetIpv4Src("203.0.113.9"),
        actions.SetTpDst(8080),
        actions.DecTtl(),
    ]
    host.rule(tags(0), [*change, actions.Queue(0)])
    host.send(packet())
    new = packet(Dot1Q(vlan=5))
    new[IP].src, new[IP].ttl, new[UDP].dport = "203.0.113.9", 63, 8080
    assert host.received() == [bytes(new)]


def test_a_later_group_sees_the_tags_as_they_are_then(host: Any) -> None:
    host.rule(tags(0), [OfPushVlan(), OfSetVlanVid(5), actions.Jump(1)])
    old = host.rule(tags(0), [actions.Count(), actions.Drop()], ingress=True, group=1)
    new = [items.Eth(), items.Vlan(vid=5), *pattern()[1:]]
    back = host.rule(new, [actions.Count(), OfPopVlan(), actions.Queue(0)], ingress=True, group=1)
    host.send(packet(), tcp())
    assert (old.query_count().packets, back.query_count().packets) == (0, 1)
    assert host.received() == [bytes(packet()), bytes(tcp())]


def test_a_mark_outlives_a_new_tag(host: Any) -> None:
    host.rule(tags(0), [actions.Mark(6), OfPushVlan(), actions.Queue(0)])
    host.send(udp())
    assert host.burst().mark.tolist() == [6]


def test_what_has_no_room_for_a_tag_is_dropped(lab: Any) -> None:
    left, right = lab.pair()
    left.rule([items.Eth()], [OfPushVlan(), actions.RepresentedPort(right.port.id)], transfer=True)
    left.send(packet(payload=b"l" * (9728 - 42)), packet(payload=b"l" * (9728 - 46)))
    assert [len(p) for p in right.left()] == [9728]
    assert left.nic.counters().nic_dropped["too_long"] == 1
