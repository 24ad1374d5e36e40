"""Every item and action that the emulated NIC takes is obeyed, packet by packet."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from nicsim_packets import OPENING_OR_CLOSING, TCP_ITEM, V4, V6, bad_checksum, eth, pattern, tcp, udp
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal

DROP = [actions.Count(), actions.Drop()]
UDP_ANY = items.Udp()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("packet", "item"), [(udp, None), (tcp, TCP_ITEM)], ids=["udp", "tcp"])
def test_a_rule_takes_its_connection_and_nothing_else(host: Any, version: int, packet: Any, item: Any) -> None:
    rule = host.rule(pattern(version, item), DROP)
    other = packet(version)
    other[2].sport = 1001
    host.send(packet(version), other, packet(10 - version))
    assert rule.query_count().packets == 1
    assert host.received() == [bytes(other), bytes(packet(10 - version))]


def test_count_is_packets_and_bytes_on_the_wire_and_can_be_reset(host: Any) -> None:
    rule = host.rule(pattern(), DROP)
    sizes = [len(udp(payload=b"y" * n)) for n in (1, 100, 1000)]
    host.send(*(udp(payload=b"y" * n) for n in (1, 100, 1000)))
    count = rule.query_count(reset=True)
    assert (count.packets, count.bytes) == (3, sum(sizes))
    assert rule.query_count().packets == 0


def test_queue_and_mark_reach_the_host(lab: Any) -> None:
    host = lab.host(queues=4)
    host.rule(pattern(), [actions.Mark(0xABCDEF), actions.Queue(3)])
    host.send(udp())
    burst = host.burst(3)
    assert list(burst.packets) == [bytes(udp())]
    assert burst.mark.tolist() == [0xABCDEF]
    assert burst.has_mark.tolist() == [True]


def test_rss_of_a_rule_uses_its_queues_alone_and_both_directions_meet(lab: Any) -> None:
    host = lab.host(queues=4)
    host.rule([items.Eth(), items.Ipv4(), UDP_ANY], [actions.Rss((1, 3))])
    forth = [eth() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=p, dport=80) for p in range(1000, 1030)]
    back = [eth() / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=80, dport=p) for p in range(1000, 1030)]
    host.send(*forth, *back)
    found = {queue: host.received(queue) for queue in range(4)}
    assert found[0] == found[2] == []
    assert len(found[1]) + len(found[3]) == 60
    assert found[1]
    assert found[3]
    for a, b in zip(forth, back, strict=True):
        assert [bytes(a) in found[q] for q in (1, 3)] == [bytes(b) in found[q] for q in (1, 3)]


def test_without_a_rule_packets_spread_over_all_queues(lab: Any) -> None:
    host = lab.host(queues=4)
    host.send(*(udp(sport=port) for port in range(1000, 1060)))
    counts = [len(host.received(queue)) for queue in range(4)]
    assert sum(counts) == 60
    assert min(counts) > 0


def test_without_rss_all_come_to_the_first_queue(lab: Any) -> None:
    host = lab.host(queues=4, rss=False)
    host.send(*(udp(sport=port) for port in range(1000, 1060)))
    assert len(host.received(0)) == 60


@pytest.mark.parametrize("flags", ["S", "SA", "F", "FA", "R", "RA"])
def test_a_rule_with_a_flags_match_lets_opening_and_closing_packets_pass_to_the_host(host: Any, flags: str) -> None:
    rule = host.rule(pattern(4, items.Tcp(src_port=1000, dst_port=80, flags=OPENING_OR_CLOSING)), DROP)
    host.send(tcp(flags=flags), tcp(flags="A"), tcp(flags="PA"))
    assert host.received() == [bytes(tcp(flags=flags))]
    assert rule.query_count().packets == 2


def test_a_rule_without_a_flags_match_takes_them(host: Any) -> None:
    rule = host.rule(pattern(4, TCP_ITEM), DROP)
    host.send(tcp(flags="S"), tcp(flags="FA"), tcp(flags="R"))
    assert rule.query_count().packets == 3


def fragments(version: int) -> list[Any]:
    payload = Raw(b"z" * 1000)
    if version == 4:
        return fragment(eth() / IP(src=V4[0], dst=V4[1]) / UDP(sport=1000, dport=80) / payload, 400)
    whole = bytes(UDP(sport=1000, dport=80) / payload)
    head = eth() / IPv6(src=V6[0], dst=V6[1])
    return [
        head / IPv6ExtHdrFragment(offset=0, m=1, nh=17) / Raw(whole[:400]),
        head / IPv6ExtHdrFragment(offset=50, m=0, nh=17) / Raw(whole[400:]),
    ]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_never_match_ports_and_go_to_the_host(host: Any, version: int) -> None:
    rule = host.rule(pattern(version), DROP)
    pieces = fragments(version)
    host.send(*pieces)
    assert host.received() == [bytes(p) for p in pieces]
    assert rule.query_count().packets == 0


def test_fragments_match_addresses_alone(host: Any) -> None:
    rule = host.rule(pattern()[:2], DROP)
    host.send(*fragments(4))
    assert rule.query_count().packets == len(fragments(4))


def test_a_rule_for_whole_packets_only_lets_fragments_pass(host: Any) -> None:
    whole = items.Ipv4(src=V4[0], dst=V4[1], fragment_offset=items.Masked(0, 0x3FFF))
    rule = host.rule([items.Eth(), whole], DROP)
    host.send(udp(), *fragments(4))
    assert rule.query_count().packets == 1


@pytest.mark.parametrize(
    "packet",
    [
        bad_checksum(udp(), UDP),
        bad_checksum(udp(), IP),
        bad_checksum(udp(6), UDP),
        bad_checksum(udp(ihl=4), IP),
        Ether(bytes(udp())[:40]),
        udp(len=2000),
    ],
    ids=["udp", "ipv4", "udp over ipv6", "short header", "cut short", "length beyond the packet"],
)
def test_what_is_broken_goes_to_the_host_untouched(host: Any, packet: Any) -> None:
    rules = [host.rule(pattern(version), DROP) for version in (4, 6)]
    host.send(packet)
    assert host.received() == [bytes(packet)]
    assert [rule.query_count().packets for rule in rules] == [0, 0]


@pytest.mark.parametrize("packet", [bad_checksum(tcp(), TCP), bad_checksum(tcp(6), TCP), tcp(payload=b"", len=45)])
def test_so_does_broken_tcp(host: Any, packet: Any) -> None:
    rules = [host.rule(pattern(version, TCP_ITEM), DROP) for version in (4, 6)]
    host.send(packet)
    assert host.received() == [bytes(packet)]
    assert [rule.query_count().packets for rule in rules] == [0, 0]


def test_udp_without_a_checksum_is_whole_over_ipv4_and_broken_over_ipv6(host: Any) -> None:
    rules = [host.rule(pattern(version), DROP) for version in (4, 6)]
    packets = [udp(4), udp(6)]
    for packet in packets:
        packet[UDP].chksum = 0
    host.send(*packets)
    assert [rule.query_count().packets for rule in rules] == [1, 0]


def test_extension_headers_of_ipv6_are_stepped_over(host: Any) -> None:
    rule = host.rule(pattern(6), DROP)
    host.send(eth() / IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrHopByHop() / UDP(sport=1000, dport=80) / Raw(b"x"))
    assert rule.query_count().packets == 1


def test_padding_after_a_short_packet_changes_nothing(host: Any) -> None:
    rule = host.rule(pattern(), DROP)
    host.send(udp(payload=b"odd") / Raw(b"\0" * 15))
    short = bytes(udp(payload=b"odd"))
    host.nic.wire_send(Packets.of([short + b"\x55" * 15]))
    assert rule.query_count().packets == 2


def test_a_rule_without_vlan_is_for_untagged_packets_and_one_with_vlan_for_that_tag(host: Any) -> None:
    eth, network, l4 = pattern()
    untagged = host.rule([eth, network, l4], DROP)
    tagged = host.rule([eth, items.Vlan(vid=7), network, l4], DROP)
    host.send(udp(), udp(vlan=7), udp(vlan=8))
    assert untagged.query_count().packets == 1
    assert tagged.query_count().packets == 1
    assert host.received() == [bytes(udp(vlan=8))]


def test_an_ether_type_is_matched(host: Any) -> None:
    rule = host.rule([items.Eth(ether_type=0x0806)], DROP)
    host.send(eth(type=0x0806) / Raw(b"\0" * 46), udp())
    assert rule.query_count().packets == 1


def test_a_network_is_matched_and_the_narrower_rule_comes_first(host: Any) -> None:
    wide = host.rule([items.Eth(), items.Ipv4(src="10.0.0.0/8")], DROP)
    narrow = host.rule([items.Eth(), items.Ipv4(src="10.0.0.0/24")], DROP)
    host.send(udp(), eth() / IP(src="10.9.9.9", dst="1.1.1.1") / UDP())
    assert (wide.query_count().packets, narrow.query_count().packets) == (1, 1)


def test_the_lower_priority_number_wins_even_over_the_narrower_rule(host: Any) -> None:
    wide = host.rule([items.Eth(), items.Ipv4(src="10.0.0.0/8")], DROP, ingress=True, priority=1)
    narrow = host.rule(pattern(), DROP, ingress=True, priority=2)
    host.send(udp())
    assert (wide.query_count().packets, narrow.query_count().packets) == (1, 0)


def test_a_jump_goes_on_in_its_group_and_every_rule_on_the_way_counts(lab: Any) -> None:
    host = lab.host(queues=2, rss=False)
    first = host.rule([items.Eth()], [actions.Count(), actions.Mark(5), actions.Jump(3)])
    second = host.rule(pattern(), [actions.Count(), actions.Queue(1)], ingress=True, group=3)
    host.send(udp(), tcp())
    assert (first.query_count().packets, second.query_count().packets) == (2, 1)
    burst = host.burst(1)
    assert burst.mark.tolist() == [5]
    assert host.received(0) == [bytes(tcp())]


def test_forwarding_by_the_nic_needs_no_host(lab: Any) -> None:
    left, right = lab.pair()
    match = [items.RepresentedPort(left.port.id), *pattern()]
    forth = left.rule(match, [actions.Count(), actions.RepresentedPort(right.port.id)], transfer=True)
    left.send(udp(), tcp())
    right.send(udp())
    assert right.left() == [bytes(udp())]
    assert left.received() == [bytes(tcp())]
    assert right.received() == [bytes(udp())]
    assert forth.query_count().packets == 1
    assert left.nic.counters().nic_forwarded == 1


@pytest.mark.parametrize("to", [actions.PortId, actions.RepresentedPort])
def test_a_transfer_rule_without_a_port_is_for_every_wire_of_the_switch(lab: Any, to: Any) -> None:
    left, right = lab.pair()
    left.rule(pattern(), [to(left.port.id)], transfer=True)
    left.send(udp())
    right.send(udp())
    assert left.left() == [bytes(udp())] * 2


def test_a_transfer_rule_can_hand_over_to_the_host_of_another_port(lab: Any) -> None:
    left, right = lab.pair()
    left.rule(pattern(), [actions.PortRepresentor(right.port.id)], transfer=True)
    left.send(udp())
    assert right.received() == [bytes(udp())]
    assert left.nic.counters().nic_forwarded == right.nic.counters().nic_received == right.nic.counters().host_rx == 1


def test_transfer_rules_come_before_those_of_the_port(lab: Any) -> None:
    left, right = lab.pair()
    ingress = left.rule(pattern(), DROP)
    left.rule(pattern(), [actions.RepresentedPort(right.port.id)], transfer=True)
    left.send(udp())
    assert len(right.left()) == 1
    assert ingress.query_count().packets == 0


def test_ingress_rules_of_one_port_do_not_reach_another(lab: Any) -> None:
    left, right = lab.pair()
    left.rule(pattern(), DROP)
    right.send(udp())
    assert right.received() == [bytes(udp())]


def test_an_isolated_port_gets_what_rules_ask_for_alone(lab: Any) -> None:
    host = lab.host(start=False)
    host.port.isolate()
    host.port.start()
    host.rule(pattern(), [actions.Queue(0)])
    host.send(udp(), tcp())
    assert host.received() == [bytes(udp())]
    assert host.nic.counters().nic_dropped["isolated"] == 1


def test_a_thousand_connections_each_meet_their_own_rule(host: Any) -> None:
    base = ipaddress.IPv4Address("10.1.0.0")
    made = []
    for n in range(1000):
        match = [items.Eth(), items.Ipv4(src=str(base + n), dst="10.0.0.2"), items.Udp(src_port=n, dst_port=80)]
        made.append(host.rule(match, DROP))
    for rule in made[::3]:
        rule.close()
    host.send(*(eth() / IP(src=str(base + n), dst="10.0.0.2") / UDP(sport=n, dport=80) for n in range(1000)))
    assert all(rule.query_count().packets == 1 for n, rule in enumerate(made) if n % 3)
    assert host.nic.counters().nic_dropped["rule"] == 666
