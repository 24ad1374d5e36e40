"""Headers that the NIC rewrites: the packet that leaves is the one scapy would have built with the new values."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, bad_checksum, eth, pattern, tcp, udp
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk.actions import Field, FieldAt, ModifyField, ModifyOp

pytestmark = pytest.mark.eal

NEW = {4: ("203.0.113.9", "198.51.100.7"), 6: ("2001:db8:9::9", "2001:db8:7::7")}


def legacy(version: int) -> list[Any]:
    src, dst = NEW[version]
    addresses = (
        [actions.SetIpv4Src(src), actions.SetIpv4Dst(dst)]
        if version == 4
        else [actions.SetIpv6Src(src), actions.SetIpv6Dst(dst)]
    )
    return [*addresses, actions.SetTpSrc(40000), actions.SetTpDst(8080), actions.DecTtl()]


def modern(version: int, proto: str) -> list[Any]:
    src, dst = (ipaddress.ip_address(a).packed for a in NEW[version])
    ip, hops = f"IPV{version}", "TTL" if version == 4 else "HOPLIMIT"

    def change(name: str, value: bytes, op: ModifyOp = ModifyOp.SET) -> ModifyField:
        return ModifyField(FieldAt(Field[name]), value, len(value) * 8, op)

    return [
        change(f"{ip}_SRC", src),
        change(f"{ip}_DST", dst),
        change(f"{proto}_PORT_SRC", (40000).to_bytes(2)),
        change(f"{proto}_PORT_DST", (8080).to_bytes(2)),
        change(f"{ip}_{hops}", b"\1", ModifyOp.SUB),
    ]


def rewritten(packet: Any) -> bytes:
    """What scapy builds with the new values, checksums computed afresh."""
    new = packet.copy()
    version = 4 if IP in new else 6
    new[1].src, new[1].dst = NEW[version]
    new[2].sport, new[2].dport = 40000, 8080
    if version == 4:
        new[1].ttl -= 1
        del new[1].chksum
    else:
        new[1].hlim -= 1
    del new[2].chksum
    return bytes(new)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("l4", [(udp, None, "UDP"), (tcp, TCP_ITEM, "TCP")], ids=["udp", "tcp"])
@pytest.mark.parametrize("form", ["set", "modify_field"])
def test_addresses_ports_and_ttl(lab: Any, version: int, l4: tuple[Any, Any, str], form: str) -> None:
    build, item, proto = l4
    left, right = lab.pair()
    change = legacy(version) if form == "set" else modern(version, proto)
    left.rule(pattern(version, item), [*change, actions.RepresentedPort(right.port.id)], transfer=True)
    packets = [build(version, payload=bytes(range(n))) for n in (0, 1, 7, 64, 255)]
    left.send(*packets)
    assert right.left() == [rewritten(type(p)(bytes(p))) for p in packets]


def test_mac_addresses_and_the_hosts_copy(host: Any) -> None:
    change = [actions.SetMacSrc("02:00:00:00:00:aa"), actions.SetMacDst("02:00:00:00:00:bb"), actions.SetTtl(9)]
    host.rule(pattern(), [*change, actions.Queue(0)])
    host.send(udp())
    (got,) = host.received()
    new = udp(ttl=9)
    new.src, new.dst = "02:00:00:00:00:aa", "02:00:00:00:00:bb"
    assert got == bytes(new)


def test_a_later_group_sees_the_new_header(host: Any) -> None:
    host.rule(pattern(), [actions.SetIpv4Src(NEW[4][0]), actions.SetTpDst(8080), actions.Jump(1)])
    after = [items.Eth(), items.Ipv4(src=NEW[4][0]), items.Udp(dst_port=8080)]
    rule = host.rule(after, [actions.Count(), actions.Drop()], ingress=True, group=1)
    before = host.rule(pattern(), [actions.Count(), actions.Drop()], ingress=True, group=1)
    host.send(udp())
    assert (rule.query_count().packets, before.query_count().packets) == (1, 0)


def test_udp_without_a_checksum_stays_without_one(host: Any) -> None:
    host.rule(pattern(), [actions.SetIpv4Src(NEW[4][0]), actions.Queue(0)])
    packet = udp()
    packet[UDP].chksum = 0
    host.send(packet)
    (got,) = host.received()
    assert type(packet)(got)[UDP].chksum == 0


def test_a_broken_checksum_stays_broken(host: Any) -> None:
    host.rule(pattern()[:2], [actions.SetIpv4Src(NEW[4][0]), actions.Queue(0)])
    good, bad = udp(), bad_checksum(udp(), UDP)
    host.send(good, bad)
    for got, is_right in zip(host.received(), (True, False), strict=True):
        again = type(good)(got)
        found = again[UDP].chksum
        del again[UDP].chksum
        assert (type(good)(bytes(again))[UDP].chksum == found) is is_right


def test_fragments_get_new_addresses_and_fit_together_again(host: Any) -> None:
    host.rule(pattern()[:2], [actions.SetIpv4Src(NEW[4][0]), actions.SetIpv4Dst(NEW[4][1]), actions.Queue(0)])
    whole = eth() / IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1000, dport=80) / Raw(b"q" * 1000)
    host.send(*fragment(whole, 400))
    pieces = [type(whole)(got) for got in host.received()]
    assert {(p[IP].src, p[IP].dst) for p in pieces} == {NEW[4]}
    payload = b"".join(bytes(p[IP].payload) for p in pieces)
    joined = eth() / IP(src=NEW[4][0], dst=NEW[4][1]) / UDP(payload)
    found = joined[UDP].chksum
    del joined[UDP].chksum
    assert type(whole)(bytes(joined))[UDP].chksum == found


def test_the_packet_of_the_sender_is_not_touched(lab: Any) -> None:
    left, right = lab.pair()
    left.rule(pattern(), [actions.SetIpv4Src(NEW[4][0]), actions.RepresentedPort(right.port.id)], transfer=True)
    left.send(udp(), tcp(), udp())
    assert left.received() == [bytes(tcp())]
    assert len(right.left()) == 2


REFUSED = [
    ([actions.SetIpv6Src("::1"), actions.Drop()], "does not name the header"),
    ([actions.Drop(), actions.SetIpv4Src("1.2.3.4")], "a field is set before the fate"),
    ([ModifyField(FieldAt(Field.TCP_PORT_SRC), b"\0\1", 16), actions.Drop()], "does not name the header"),
    ([ModifyField(FieldAt(Field.IPV4_SRC), b"\1\2", 16), actions.Drop()], "a field is written whole"),
    ([ModifyField(FieldAt(Field.IPV4_TTL), b"\2", 8, ModifyOp.ADD), actions.Drop()], "fields can be set"),
    ([ModifyField(FieldAt(Field.VLAN_ID), b"\0\2", 12), actions.Drop()], "that field cannot be written"),
    ([ModifyField(FieldAt(Field.IPV4_SRC), FieldAt(Field.IPV4_DST), 32), actions.Drop()], "only a given value"),
]


@pytest.mark.parametrize(("acts", "words"), REFUSED, ids=[r[1] for r in REFUSED])
def test_refused(host: Any, acts: list[Any], words: str) -> None:
    with pytest.raises(FlowError, match=words):
        host.rule(pattern(), acts)


def test_ports_alone_need_a_pattern_with_ports(host: Any) -> None:
    with pytest.raises(FlowError, match="does not name the header"):
        host.rule(pattern()[:2], [actions.SetTpSrc(1), actions.Drop()])
    host.rule(pattern(4, TCP_ITEM), [actions.SetTpSrc(1), actions.Queue(0)])
    host.send(tcp())
    (got,) = host.received()
    assert type(tcp())(got)[TCP].sport == 1
