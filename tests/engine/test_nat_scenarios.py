"""Translation in a running engine beyond one connection: errors, identifiers, addresses for hosts, limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conntrack_nat import ends, right
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from story import MACS, A, B

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

CLIENT, OTHER, SERVER, PUBLIC, ROUTER = "10.0.0.1", "10.0.0.2", "10.9.9.2", "198.51.100.9", "203.0.113.7"
V6 = {CLIENT: "fc00::1", OTHER: "fc00::9", SERVER: "fc00::2", PUBLIC: "2001:db8::9", ROUTER: "2001:db8:7::7"}
FAMILIES = pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])


class Wire:
    """Frames of either family; `through` gives what leaves, right in every checksum, or None."""

    def __init__(self, lab: Any, ipv6: bool) -> None:
        self.lab, self.ipv6, self.ip = lab, ipv6, IPv6 if ipv6 else IP

    def at(self, address: str) -> str:
        return V6[address] if self.ipv6 else address

    def nat(self, port: int, text: str, address: str, ports: str = "") -> None:
        shown = f"[{self.at(address)}]" if self.ipv6 else address
        self.lab.engine.set_nat(PORTS[port], Nat.parse(f"{text}={shown}{ports}"))

    def packet(self, src: str, dst: str, l4: Any) -> Any:
        return self.ip(src=self.at(src), dst=self.at(dst)) / l4

    def through(self, side: int, packet: Any) -> Any:
        for nic in self.lab.nics:
            nic.wire_receive()
        frame = Ether(src=MACS[side], dst=MACS[1 - side]) / packet
        self.lab.nics[side].wire_send(Packets.of([bytes(frame)]))
        self.lab.engine.settle(self.lab.now_ms)
        found = [Ether(bytes(packet)) for packet in self.lab.nics[1 - side].wire_receive()]
        assert all(bytes(out) == right(out) for out in found)
        return found[0] if found else None

    def echo(self, ident: int, reply: bool = False) -> Any:
        if self.ipv6:
            return (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=ident) / Raw(b"ping")
        return ICMP(type=0 if reply else 8, id=ident) / Raw(b"ping")

    def unreachable(self, about: Any) -> Any:
        carried = Raw(bytes(about[self.ip]))
        return (ICMPv6DestUnreach(code=4) if self.ipv6 else ICMP(type=3, code=3)) / carried


@FAMILIES
def test_an_error_about_a_connection_with_a_single_port_reaches_its_client(lab: Any, ipv6: bool) -> None:
    """Of the server and of a router on the way, while the connection is in the NIC."""
    wire = Wire(lab, ipv6)
    wire.nat(A, "src", PUBLIC, ":40000")
    out = wire.through(A, wire.packet(CLIENT, SERVER, UDP(sport=1000, dport=53) / b"asked"))
    assert ends(out)[0] == (wire.at(PUBLIC), 40000)
    assert wire.through(B, wire.packet(SERVER, PUBLIC, UDP(sport=53, dport=40000) / b"answered")) is not None
    (row,) = lab.engine.conntrack.connections()
    assert int(row["offload"]) == 2
    for source in (SERVER, ROUTER):
        back = wire.through(B, wire.packet(source, PUBLIC, wire.unreachable(out)))
        assert (back[wire.ip].src, back[wire.ip].dst) == (wire.at(source), wire.at(CLIENT))
        inner = wire.ip(bytes(back[wire.ip].payload)[8:])
        assert (inner.src, inner[UDP].sport, inner[UDP].dport) == (wire.at(CLIENT), 1000, 53)
        assert bytes(Ether() / inner) == right(Ether() / inner)
    assert lab.engine.conntrack.count == 1


@FAMILIES
def test_equal_identifiers_of_two_hosts_are_told_apart(lab: Any, ipv6: bool) -> None:
    """No action of a NIC rewrites an identifier: rules may mark a translated ping, software translates each."""
    wire = Wire(lab, ipv6)
    wire.nat(A, "src", PUBLIC)
    seen = [wire.through(A, wire.packet(host, SERVER, wire.echo(7))) for host in (CLIENT, OTHER)]
    assert [ends(out)[0] for out in seen] == [(wire.at(PUBLIC), 7), (wire.at(PUBLIC), 8)]
    for ident, host in ((8, OTHER), (7, CLIENT)):
        back = wire.through(B, wire.packet(SERVER, PUBLIC, wire.echo(ident, reply=True)))
        assert ends(back)[1] == (wire.at(host), 7)
    seen_by_software = lab.host_rx
    again = [wire.through(A, wire.packet(host, SERVER, wire.echo(7))) for host in (CLIENT, OTHER)]
    assert [ends(out)[0] for out in again] == [(wire.at(PUBLIC), 7), (wire.at(PUBLIC), 8)]
    assert lab.host_rx == seen_by_software + 2
    error = wire.through(B, wire.packet(ROUTER, PUBLIC, wire.unreachable(seen[1])))
    assert error[wire.ip].dst == wire.at(OTHER)
    inner = wire.ip(bytes(error[wire.ip].payload)[8:])
    assert ends(Ether() / inner)[0] == (wire.at(OTHER), 7)


@FAMILIES
def test_a_host_with_an_address_of_its_own_in_both_directions(lab: Any, ipv6: bool) -> None:
    wire = Wire(lab, ipv6)
    wire.nat(A, "src", PUBLIC)
    wire.nat(B, "dst", CLIENT)
    out = wire.through(A, wire.packet(CLIENT, SERVER, UDP(sport=1000, dport=53) / b"q"))
    assert ends(out)[0] == (wire.at(PUBLIC), 1000)
    assert ends(wire.through(B, wire.packet(SERVER, PUBLIC, UDP(sport=53, dport=1000) / b"a")))[1][0] == wire.at(CLIENT)
    came = wire.through(B, wire.packet(ROUTER, PUBLIC, UDP(sport=777, dport=22) / b"q"))
    assert ends(came)[1] == (wire.at(CLIENT), 22)
    back = wire.through(A, wire.packet(CLIENT, ROUTER, UDP(sport=22, dport=777) / b"a"))
    assert ends(back)[0] == (wire.at(PUBLIC), 22)
    assert {int(row["offload"]) for row in lab.engine.conntrack.connections()} == {2}
    lab.assert_audit_matches()


@FAMILIES
def test_when_ports_are_used_up_new_connections_are_dropped_until_one_ends(lab: Any, ipv6: bool) -> None:
    wire = Wire(lab, ipv6)
    wire.nat(A, "src", PUBLIC, ":5000-5001")

    def asks(sport: int) -> Any:
        return wire.through(A, wire.packet(CLIENT, SERVER, UDP(sport=sport, dport=53) / b"q"))

    assert {ends(asks(sport))[0][1] for sport in (1, 2)} == {5000, 5001}
    assert asks(3) is None
    assert lab.packets().sw_dropped["invalid"] == 1
    assert lab.engine.conntrack.counters().refused["nat"] == 1
    assert lab.engine.conntrack.flush_tuple(wire.at(CLIENT), wire.at(SERVER), 17, 1, 53)
    assert asks(3) is not None


def test_the_limit_of_a_zone_holds_for_what_is_translated(make_lab: Any) -> None:
    lab = make_lab(replace(Settings(), ct_offload_zone_limit=2))
    wire = Wire(lab, False)
    wire.nat(A, "src", PUBLIC)
    seen = [wire.through(A, wire.packet(CLIENT, SERVER, UDP(sport=n, dport=53) / b"q")) for n in (1, 2, 3)]
    assert lab.engine.conntrack.count == 2
    assert [ends(out)[0][0] for out in seen[:2]] == [PUBLIC, PUBLIC]
    assert lab.engine.conntrack.counters().refused["zone-limit"] == 1
