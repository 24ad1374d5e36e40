"""Items beyond the 5-tuple: ICMP, two tags, fragments' headers, addresses of layer 2, what is in a tunnel."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import V4, V6, eth, pattern, tcp, udp
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, in6_chksum
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk.items import Masked

pytestmark = pytest.mark.eal

DROP = [actions.Count(), actions.Drop()]
ETH = items.Eth()


def hits(host: Any, match: list[Any], *packets: Any) -> list[bool]:
    """Which of the packets a rule of this pattern takes."""
    rule = host.rule(match, DROP)
    found = []
    for packet in packets:
        before = rule.query_count().packets
        host.send(packet)
        taken = rule.query_count().packets - before
        assert len(host.received()) == 1 - taken
        found.append(bool(taken))
    rule.close()
    return found


def echo(kind: int = 8, code: int = 0, ident: int = 7, seq: int = 1) -> Any:
    return eth() / IP(src=V4[0], dst=V4[1]) / ICMP(type=kind, code=code, id=ident, seq=seq) / Raw(b"ping")


@pytest.mark.parametrize(
    ("item", "taken"),
    [
        (items.Icmp(), [True, True, True, True]),
        (items.Icmp(type=8), [True, False, True, True]),
        (items.Icmp(type=Masked(0, 0x0F)), [False, True, False, False]),
        (items.Icmp(ident=7), [True, True, False, True]),
        (items.Icmp(type=8, code=0, ident=7, seq=1), [True, False, False, False]),
        (items.Icmp(seq=Masked(0x0100, 0xFF00)), [False, False, False, True]),
    ],
)
def test_icmp(host: Any, item: Any, taken: list[bool]) -> None:
    packets = [echo(), echo(0), echo(ident=8), echo(seq=0x0101)]
    assert hits(host, [ETH, items.Ipv4(src=V4[0]), item], *packets) == taken


def test_icmp_that_is_broken_or_other(host: Any) -> None:
    broken = echo()
    broken[ICMP].chksum = 1
    assert hits(host, [ETH, items.Ipv4(), items.Icmp()], broken, udp(), tcp()) == [False] * 3


def test_icmp6(host: Any) -> None:
    request, reply = (eth() / IPv6(src=V6[0], dst=V6[1]) / kind(id=7) for kind in (ICMPv6EchoRequest, ICMPv6EchoReply))
    assert hits(host, [ETH, items.Ipv6(), items.Icmp6(type=128)], request, reply, udp(6)) == [True, False, False]
    assert hits(host, [ETH, items.Ipv6(), items.Icmp6()], request, reply, echo()) == [True, True, False]
    request[ICMPv6EchoRequest].cksum = 1
    assert hits(host, [ETH, items.Ipv6(), items.Icmp6()], request) == [False]


def tagged(*tags: Any) -> Any:
    packet = eth()
    for tag in tags:
        packet /= tag
    return packet / IP(src=V4[0], dst=V4[1]) / UDP(sport=1000, dport=80) / Raw(b"x")


def test_two_tags_are_matched_one_by_one(host: Any) -> None:
    both = tagged(Dot1Q(vlan=5), Dot1Q(vlan=7, prio=3))
    packets = [both, tagged(Dot1Q(vlan=5), Dot1Q(vlan=8)), tagged(Dot1Q(vlan=6), Dot1Q(vlan=7)), tagged(Dot1Q(vlan=5))]
    tail = pattern()[1:]
    assert hits(host, [ETH, items.Vlan(5), items.Vlan(7), *tail], *packets) == [True, False, False, False]
    assert hits(host, [ETH, items.Vlan(), items.Vlan(7), *tail], *packets) == [True, False, True, False]
    assert hits(host, [ETH, items.Vlan(5), items.Vlan(pcp=3), *tail], *packets) == [True, False, False, False]
    assert hits(host, [ETH, items.Vlan(5), *tail], *packets) == [False, False, False, True]
    assert hits(host, [ETH, items.Vlan(5)], *packets) == [True, True, False, True]
    assert hits(host, [ETH, items.Vlan(5, has_more_vlan=True), *tail], *packets) == [True, True, False, False]
    assert hits(host, [ETH, items.Vlan(), items.Vlan(inner_type=0x0800)], *packets) == [True, True, True, False]


def test_the_type_of_a_tag(host: Any) -> None:
    packets = [
        tagged(Dot1AD(vlan=5), Dot1Q(vlan=7)),
        tagged(Dot1Q(vlan=5), Dot1Q(vlan=7)),
        tagged(Dot1Q(vlan=5)),
        udp(),
    ]
    assert hits(host, [items.Eth(ether_type=0x88A8), items.Vlan()], *packets) == [True, False, False, False]
    assert hits(host, [items.Eth(ether_type=0x8100)], *packets) == [False, True, True, False]
    assert hits(host, [ETH, items.Vlan(inner_type=0x8100)], *packets) == [True, True, False, False]
    assert hits(host, [ETH, items.Vlan(inner_type=0x0800)], *packets) == [False, False, True, False]
    assert hits(host, [items.Eth(has_vlan=True), items.Ipv4()], *packets) == [True, True, True, False]
    assert hits(host, [items.Eth(has_vlan=False)], *packets) == [False, False, False, True]
    assert hits(host, [items.Eth(ether_type=Masked(0x0800, 0xFF00))], *packets) == [False, False, False, True]


def test_addresses_of_layer_2(host: Any) -> None:
    other = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:02") / IP() / UDP()
    assert hits(host, [items.Eth(src="02:00:00:00:00:01")], udp(), other) == [True, False]
    assert hits(host, [items.Eth(dst="02:00:00:00:00:02"), items.Ipv4()], udp(), other, udp(6)) == [True, True, False]


@pytest.mark.parametrize("version", [4, 6])
def test_class_and_hops(host: Any, version: int) -> None:
    kind, head = (items.Ipv4, IP(tos=0xB8, ttl=3)) if version == 4 else (items.Ipv6, IPv6(tc=0xB8, hlim=3))
    special, plain = eth() / head / UDP(), eth() / type(head)() / UDP()
    by_class = kind(tos=0xB8) if version == 4 else kind(traffic_class=0xB8)
    by_hops = kind(ttl=Masked(2, 0xFE)) if version == 4 else kind(hop_limit=Masked(2, 0xFE))
    assert hits(host, [ETH, by_class], special, plain) == [True, False]
    assert hits(host, [ETH, by_hops], special, plain) == [True, False]


def test_fragments_of_ipv4_by_their_header(host: Any) -> None:
    first, last = (
        eth() / IP(src=V4[0], dst=V4[1], proto=17, flags=f, frag=o) / Raw(b"f" * 64) for f, o in ((1, 0), (0, 8))
    )
    assert hits(host, [ETH, items.Ipv4(fragment_offset=0x2000)], first, last, udp()) == [True, False, False]
    assert hits(host, [ETH, items.Ipv4(fragment_offset=Masked(0, 0x1FFF))], first, last, udp()) == [True, False, True]
    assert hits(host, [ETH, items.Ipv4(fragment_offset=Masked(0x2000, 0x2000))], first, last) == [True, False]
    assert hits(host, [ETH, items.Ipv4(fragment_offset=Masked(0, 0x3FFF))], first, last, udp()) == [False, False, True]


def test_fragments_of_ipv6_by_their_header(host: Any) -> None:
    head = eth() / IPv6(src=V6[0], dst=V6[1])
    first, last, atomic = (head / IPv6ExtHdrFragment(offset=o, m=m, id=9, nh=17) for o, m in ((0, 1), (8, 0), (0, 0)))
    packets = [first / Raw(b"f" * 64), last / Raw(b"f" * 64), atomic / UDP(sport=1000, dport=80), udp(6)]
    ip6 = items.Ipv6()
    assert hits(host, [ETH, ip6, items.Ipv6FragExt()], *packets) == [True, True, True, False]
    assert hits(host, [ETH, items.Ipv6(has_frag_ext=True)], *packets) == [True, True, True, False]
    assert hits(host, [ETH, items.Ipv6(has_frag_ext=False)], *packets) == [False, False, False, True]
    assert hits(host, [ETH, ip6, items.Ipv6FragExt(frag_data=Masked(0, 0xFFF8))], *packets) == [
        True,
        False,
        True,
        False,
    ]
    assert hits(host, [ETH, ip6, items.Ipv6FragExt(id=9, next_header=17)], *packets) == [True, True, True, False]
    assert hits(host, [ETH, ip6, items.Udp(dst_port=80)], *packets) == [False, False, True, True]


def vxlan(vni: int = 5, inner: Any = None, dport: int = 4789) -> Any:
    outer = eth() / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=5555, dport=dport)
    return outer / VXLAN(vni=vni, flags=8) / (inner if inner is not None else tcp())


OUTER = [ETH, items.Ipv4(src="192.0.2.1"), items.Udp(dst_port=4789)]


def test_what_is_outside_and_inside_of_a_tunnel(host: Any) -> None:
    packets = [vxlan(), vxlan(6), vxlan(inner=tcp(6)), vxlan(inner=udp()), udp(), vxlan(dport=4790)]
    tunnel = [*OUTER, items.Vxlan(5)]
    inside = pattern(4, items.Tcp(src_port=1000, dst_port=80))
    assert hits(host, tunnel, *packets) == [True, False, True, True, False, False]
    assert hits(host, [*OUTER, items.Vxlan()], *packets) == [True, True, True, True, False, False]
    assert hits(host, [*tunnel, *inside], *packets) == [True, False, False, False, False, False]
    assert (
        hits(host, [*tunnel, ETH, items.Ipv6(src=V6[0]), items.Tcp()], *packets) == [False, False, True] + [False] * 3
    )
    assert (
        hits(host, [ETH, items.Ipv4(), items.Vxlan(Masked(4, 0xFC)), *inside], *packets) == [True, True] + [False] * 4
    )
    assert hits(host, [*tunnel, items.Eth(src="02:00:00:00:00:01"), items.Ipv4()], *packets) == [
        True, False, False, True, False, False]  # fmt: skip
    assert hits(host, [*tunnel, items.Eth(src="02:00:00:00:00:07")], *packets) == [False] * 6


def test_tags_and_icmp_inside_of_a_tunnel(host: Any) -> None:
    tag = vxlan(inner=eth() / Dot1Q(vlan=9) / IP() / UDP())
    ping = vxlan(inner=echo())
    assert hits(host, [*OUTER, items.Vxlan(), ETH, items.Vlan(9)], tag, ping) == [True, False]
    assert hits(host, [*OUTER, items.Vxlan(), ETH, items.Ipv4()], tag, ping) == [False, True]
    assert hits(host, [*OUTER, items.Vxlan(), ETH, items.Ipv4(), items.Icmp(ident=7)], tag, ping) == [False, True]


@pytest.mark.parametrize("cut", [1, 8, 20, 33])
def test_a_tunnel_that_is_cut_short_matches_nothing_inside(host: Any, cut: int) -> None:
    inner = bytes(eth() / IP(src=V4[0], dst=V4[1]) / TCP(sport=1000, dport=80))
    packet = vxlan(inner=Raw(inner[:-cut]))
    match = [*OUTER, items.Vxlan(), *pattern(4, items.Tcp())]
    assert hits(host, match, packet, vxlan(inner=Raw(inner))) == [False, True]


def test_of_two_masks_of_one_priority_the_one_that_compares_more_comes_first(host: Any) -> None:
    wide = host.rule([*OUTER, items.Vxlan()], DROP)
    narrow = host.rule([*OUTER, items.Vxlan(5)], DROP)
    host.send(vxlan(), vxlan(6))
    assert (wide.query_count().packets, narrow.query_count().packets) == (1, 1)


def test_a_frame_too_long_for_any_nic_is_not_read_beyond_its_end(host: Any) -> None:
    """Behind two tags and extensions its UDP header starts beyond 65535. Read at that place modulo 65536, where the
    source address says 0 bytes, a tunnel would hold IPv6 that goes on behind the frame's end: seen by a sanitizer."""
    host.rule([ETH, items.Ipv6(), items.Udp(), items.Vxlan(vni=5)], DROP)
    sizes = [256] * 31 + [253]  # of the extensions, in units of 8 bytes
    chain = bytearray(b"".join(bytes([0, size - 1]) + bytes(size * 8 - 2) for size in sizes))
    chain[-sizes[-1] * 8] = 17
    chain[4:13] = bytes.fromhex("86dd60000000ffff11")  # the type and the header of IPv6 in the false tunnel
    chain[50:54] = bytes.fromhex("ffff0001")  # the length and the checksum of UDP in it
    tunnel = bytes.fromhex("0800000000000500") + bytes(7)
    network = IPv6(src=V6[0], dst=V6[1], nh=0, plen=len(chain) + 8 + len(tunnel))
    datagram = UDP(sport=1000, dport=4789, len=8 + len(tunnel), chksum=0) / Raw(tunnel)
    datagram.chksum = in6_chksum(17, network, bytes(datagram))
    tags = (
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88A8)
        / Dot1AD(vlan=1, type=0x8100)
        / Dot1Q(vlan=2, type=0x86DD)
    )
    host.send(tags / network / Raw(bytes(chain)) / datagram)
    assert host.nic.counters().nic_dropped["too_long"] == 1
