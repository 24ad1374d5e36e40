"""Packets of one connection, 10.0.0.1:1000 to 10.0.0.2:80 or the same over IPv6, and the patterns that match them."""

from __future__ import annotations

import logging
from typing import Any

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.layers.inet import IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from ctoffload_dpdk.dpdk import items  # noqa: E402

V4 = ("10.0.0.1", "10.0.0.2")
V6 = ("2001:db8::1", "2001:db8::2")
OPENING_OR_CLOSING = items.Masked(0, 7)


def eth(**fields: Any) -> Any:
    """With addresses: scapy would ask the network for them."""
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", **fields)


def ip(version: int, **fields: Any) -> Any:
    src, dst = V4 if version == 4 else V6
    return (IP if version == 4 else IPv6)(src=src, dst=dst, **fields)


def udp(version: int = 4, payload: bytes = b"x" * 20, sport: int = 1000, vlan: int | None = None, **fields: Any) -> Any:
    tag = eth() if vlan is None else eth() / Dot1Q(vlan=vlan)
    return tag / ip(version, **fields) / UDP(sport=sport, dport=80) / Raw(payload)


def tcp(version: int = 4, flags: str = "A", payload: bytes = b"x" * 20, **fields: Any) -> Any:
    return eth() / ip(version, **fields) / TCP(sport=1000, dport=80, flags=flags, seq=1, ack=1) / Raw(payload)


def bad_checksum(packet: Any, layer: Any) -> Any:
    packet[layer].chksum = 0x1234
    return packet


def pattern(version: int = 4, l4: Any = None) -> list[Any]:
    src, dst = V4 if version == 4 else V6
    network = items.Ipv4(src=src, dst=dst) if version == 4 else items.Ipv6(src=src, dst=dst)
    return [items.Eth(), network, l4 or items.Udp(src_port=1000, dst_port=80)]


TCP_ITEM = items.Tcp(src_port=1000, dst_port=80)
