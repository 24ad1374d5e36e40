"""A tracker whose packets are translated, for tests of translation and of helpers."""

from __future__ import annotations

import sharded
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPerror6, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat, Refusal, ovs_lines, states_text


def right(packet):
    """The packet with every length and checksum made anew by scapy: equal where they were right."""
    again = Ether(bytes(packet))
    layer = again
    while layer:
        for field in ("chksum", "cksum"):
            if field in layer.fields and not (isinstance(layer, (UDP, UDPerror)) and layer.fields[field] == 0):
                del layer.fields[field]
        if isinstance(layer, (TCPerror, UDPerror, IPerror, IPerror6)):
            break
        layer = layer.payload if layer.payload else None
    return bytes(again)


class Translated:
    """A tracker whose packets are translated; `send` gives the verdict's words and the packet as it goes on."""

    def __init__(self, nat: str = "", **options):
        self.ct = sharded.tracker(1000, now_ms=1000, **options)
        self.nat = Nat.parse(nat)
        self.now_ms = 1000
        self.reason = Refusal.REFUSED_NOT

    def send(self, frame, nat: str | None = None, flags: int = 0, **options):
        packets = Packets.of([bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / frame)]).copy()
        translation = self.nat if nat is None else Nat.parse(nat)
        verdict = self.ct.process(packets, self.now_ms, nat=translation, flags=flags, **options)[0]
        self.reason = Refusal(verdict["reason"])
        return states_text(int(verdict["state"])), Ether(packets[0])

    def line(self) -> str:
        (line,) = ovs_lines(self.ct.connections())
        return line


def ends(packet):
    """(source, destination) as a packet has them, ports or identifier with them."""
    ip = packet[IPv6] if IPv6 in packet else packet[IP]
    l4 = next((packet[kind] for kind in (TCP, UDP, SCTP) if kind in packet), None)
    if l4 is not None:
        return (ip.src, l4.sport), (ip.dst, l4.dport)
    for kind in (ICMP, ICMPv6EchoRequest, ICMPv6EchoReply):
        if kind in packet:
            return (ip.src, packet[kind].id), (ip.dst, packet[kind].id)
    return (ip.src, 0), (ip.dst, 0)
