"""What a rule matches: one class per rte_flow item, with DPDK's names.

A field that is None is not matched. A value is matched whole; `Masked(value, mask)` matches the bits of the mask. An IP
address may be a network ("10.0.0.0/8"). Ports and numbers are ordinary integers; byte order is the binding's business.
A value that does not fit raises UsageError where the rule is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class Masked:
    """A value of which only the bits of the mask are matched."""

    value: int
    mask: int


Number = int | Masked
Ipv4Match = str | IPv4Address | IPv4Network
Ipv6Match = str | IPv6Address | IPv6Network


class Item:
    """Base of all items."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Void(Item):
    """Matches anything; a place holder."""


@dataclass(frozen=True, slots=True)
class Any(Item):
    """Any layers, at least `layers`."""

    layers: Number | None = None


@dataclass(frozen=True, slots=True)
class Eth(Item):
    """Ethernet: MAC addresses as "02:00:00:00:00:01"."""

    src: str | None = None
    dst: str | None = None
    ether_type: Number | None = None
    has_vlan: bool | None = None


@dataclass(frozen=True, slots=True)
class Vlan(Item):
    """One VLAN tag. vid 0-4095, pcp 0-7."""

    vid: Number | None = None
    pcp: Number | None = None
    inner_type: Number | None = None
    has_more_vlan: bool | None = None


@dataclass(frozen=True, slots=True)
class Ipv4(Item):
    """IPv4. fragment_offset: the header's 16 bits, flags included; Masked(0, 0x3FFF) matches what is no fragment."""

    src: Ipv4Match | None = None
    dst: Ipv4Match | None = None
    proto: Number | None = None
    tos: Number | None = None
    ttl: Number | None = None
    fragment_offset: Number | None = None


@dataclass(frozen=True, slots=True)
class Ipv6(Item):
    """IPv6. has_frag_ext: whether a fragment header follows."""

    src: Ipv6Match | None = None
    dst: Ipv6Match | None = None
    proto: Number | None = None
    traffic_class: Number | None = None
    hop_limit: Number | None = None
    has_frag_ext: bool | None = None


@dataclass(frozen=True, slots=True)
class Ipv6FragExt(Item):
    """IPv6's fragment header. frag_data: 13 bits of offset, 2 reserved, 1 "more"."""

    next_header: Number | None = None
    frag_data: Number | None = None
    id: Number | None = None


@dataclass(frozen=True, slots=True)
class Tcp(Item):
    """TCP. flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32; Masked(0, 7) matches what opens and closes nothing."""

    src_port: Number | None = None
    dst_port: Number | None = None
    flags: Number | None = None


@dataclass(frozen=True, slots=True)
class Udp(Item):
    """UDP."""

    src_port: Number | None = None
    dst_port: Number | None = None


@dataclass(frozen=True, slots=True)
class Icmp(Item):
    """ICMP."""

    type: Number | None = None
    code: Number | None = None
    ident: Number | None = None
    seq: Number | None = None


@dataclass(frozen=True, slots=True)
class Icmp6(Item):
    """ICMPv6."""

    type: Number | None = None
    code: Number | None = None


@dataclass(frozen=True, slots=True)
class Vxlan(Item):
    """VXLAN; what follows are the inner headers. vni 0-0xFFFFFF."""

    vni: Number | None = None
    flags: Number | None = None


@dataclass(frozen=True, slots=True)
class Mark(Item):
    """The mark an earlier rule left."""

    id: Number


@dataclass(frozen=True, slots=True)
class Meta(Item):
    """The META an earlier rule or the host left."""

    data: Number


@dataclass(frozen=True, slots=True)
class Tag(Item):
    """A register an earlier rule left."""

    index: int
    data: Number


@dataclass(frozen=True, slots=True)
class Conntrack(Item):
    """What the CONNTRACK action said of the packet: valid 1, state changed 2, invalid 4, disabled 8, bad 16."""

    flags: Number


@dataclass(frozen=True, slots=True)
class PortId(Item):
    """From or to the port with this id (before 21.11's representor items)."""

    id: int


@dataclass(frozen=True, slots=True)
class PortRepresentor(Item):
    """Entered the switch from this port of DPDK's."""

    port_id: int | None = None


@dataclass(frozen=True, slots=True)
class RepresentedPort(Item):
    """Entered the switch from what this port of DPDK's stands for: the wire, a VF."""

    port_id: int | None = None
