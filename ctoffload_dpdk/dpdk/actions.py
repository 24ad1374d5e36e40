"""What a rule does: one class per rte_flow action, with DPDK's names. Numbers are ordinary integers, times seconds.

A value that does not fit raises UsageError where the rule is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctoffload_dpdk.dpdk._flow import IndirectAction


class Action:
    """Base of all actions."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Void(Action):
    """Does nothing; a place holder."""


@dataclass(frozen=True, slots=True)
class Passthru(Action):
    """Goes on to the next rule that matches."""


@dataclass(frozen=True, slots=True)
class Jump(Action):
    """Goes on in another group."""

    group: int


@dataclass(frozen=True, slots=True)
class Mark(Action):
    """A number that reaches the host with the packet. 24 bits on mlx5, 0 to 0xFFFFEF."""

    id: int


@dataclass(frozen=True, slots=True)
class Flag(Action):
    """A mark without a number."""


@dataclass(frozen=True, slots=True)
class Queue(Action):
    """To this receive queue of the host."""

    index: int


@dataclass(frozen=True, slots=True)
class Rss(Action):
    """Spread over these receive queues. types: RTE_ETH_RSS_* bits, level: 1 outer, 2 inner; 0 the driver's choice."""

    queues: tuple[int, ...]
    types: int = 0
    key: bytes = b""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Drop(Action):
    """Ends here."""


@dataclass(frozen=True, slots=True)
class Count(Action):
    """Packets and bytes are counted. id: 0 where the rule has one counter."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class Age(Action):
    """Aged after timeout_s seconds without a packet. context: what aged() answers, 0 for the rule's handle."""

    timeout_s: int
    context: int = 0


@dataclass(frozen=True, slots=True)
class PortId(Action):
    """To the port with this id (before 21.11's representor actions)."""

    id: int


@dataclass(frozen=True, slots=True)
class PortRepresentor(Action):
    """To this port of DPDK's: the host receives it there."""

    port_id: int


@dataclass(frozen=True, slots=True)
class RepresentedPort(Action):
    """To what this port of DPDK's stands for: the wire, a VF."""

    port_id: int


@dataclass(frozen=True, slots=True)
class SetIpv4Src(Action):
    """Replaces the source address."""

    address: str | IPv4Address


@dataclass(frozen=True, slots=True)
class SetIpv4Dst(Action):
    """Replaces the destination address."""

    address: str | IPv4Address


@dataclass(frozen=True, slots=True)
class SetIpv6Src(Action):
    """Replaces the source address."""

    address: str | IPv6Address


@dataclass(frozen=True, slots=True)
class SetIpv6Dst(Action):
    """Replaces the destination address."""

    address: str | IPv6Address


@dataclass(frozen=True, slots=True)
class SetTpSrc(Action):
    """Replaces the TCP or UDP source port."""

    port: int


@dataclass(frozen=True, slots=True)
class SetTpDst(Action):
    """Replaces the TCP or UDP destination port."""

    port: int


@dataclass(frozen=True, slots=True)
class SetTtl(Action):
    """Replaces TTL or hop limit."""

    ttl: int


@dataclass(frozen=True, slots=True)
class DecTtl(Action):
    """TTL or hop limit less one."""


@dataclass(frozen=True, slots=True)
class SetMacSrc(Action):
    """Replaces the source MAC address."""

    mac: str


@dataclass(frozen=True, slots=True)
class SetMacDst(Action):
    """Replaces the destination MAC address."""

    mac: str


@dataclass(frozen=True, slots=True)
class SetTag(Action):
    """Writes a register that later rules match with items.Tag."""

    index: int
    data: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SetMeta(Action):
    """Writes META, which later rules match and the host receives where it is enabled."""

    data: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class OfPopVlan(Action):
    """Takes the outer VLAN tag off."""


@dataclass(frozen=True, slots=True)
class OfPushVlan(Action):
    """Puts a VLAN tag on; its number comes from OfSetVlanVid."""

    ethertype: int = 0x8100


@dataclass(frozen=True, slots=True)
class OfSetVlanVid(Action):
    """Replaces the VLAN number, 0-4095."""

    vid: int


@dataclass(frozen=True, slots=True)
class OfSetVlanPcp(Action):
    """Replaces the VLAN priority, 0-7."""

    pcp: int


class Field(IntEnum):
    """rte_flow_field_id of 22.11; later releases only add to it."""

    MAC_DST = 1
    MAC_SRC = 2
    VLAN_TYPE = 3
    VLAN_ID = 4
    MAC_TYPE = 5
    IPV4_DSCP = 6
    IPV4_TTL = 7
    IPV4_SRC = 8
    IPV4_DST = 9
    IPV6_DSCP = 10
    IPV6_HOPLIMIT = 11
    IPV6_SRC = 12
    IPV6_DST = 13
    TCP_PORT_SRC = 14
    TCP_PORT_DST = 15
    TCP_SEQ_NUM = 16
    TCP_ACK_NUM = 17
    TCP_FLAGS = 18
    UDP_PORT_SRC = 19
    UDP_PORT_DST = 20
    VXLAN_VNI = 21
    GENEVE_VNI = 22
    GTP_TEID = 23
    TAG = 24
    MARK = 25
    META = 26
    IPV4_ECN = 29
    IPV6_ECN = 30


class ModifyOp(IntEnum):
    """What MODIFY_FIELD does with the source."""

    SET = 0
    ADD = 1
    SUB = 2


@dataclass(frozen=True, slots=True)
class FieldAt:
    """Where in a packet, or in its registers. level: 0 the driver's choice, 1 outermost; offset_bits from the right."""

    field: Field
    offset_bits: int = 0
    level: int = 0
    tag_index: int = 0


@dataclass(frozen=True, slots=True)
class ModifyField(Action):
    """Changes width_bits bits of `to`, from another field or from at most 16 bytes in network byte order."""

    to: FieldAt
    source: FieldAt | bytes
    width_bits: int
    op: ModifyOp = ModifyOp.SET


@dataclass(frozen=True, slots=True)
class Indirect(Action):
    """An action made before and shared. In a template handle may be None; kind then says what it stands for."""

    handle: IndirectAction | None
    kind: type[Action] | None = None


class ConntrackState(IntEnum):
    """The states of the NIC's CONNTRACK object."""

    SYN_RECV = 0
    ESTABLISHED = 1
    FIN_WAIT = 2
    CLOSE_WAIT = 3
    LAST_ACK = 4
    TIME_WAIT = 5


class ConntrackIndex(IntFlag):
    """The kind of the last packet a CONNTRACK object saw."""

    NONE = 0
    SYN = 1
    SYNACK = 2
    FIN = 4
    ACK = 8
    RST = 16


@dataclass(frozen=True, slots=True)
class TcpDirection:
    """One direction's window. scale: shift 0-14, 15 for no scaling; sequence numbers and windows in host byte order."""

    scale: int = 0
    close_initiated: bool = False
    last_ack_seen: bool = False
    data_unacked: bool = False
    sent_end: int = 0
    reply_end: int = 0
    max_win: int = 0
    max_ack: int = 0


@dataclass(frozen=True, slots=True)
class Conntrack(Action):
    """A TCP connection's context, only as an indirect action. Values as in struct rte_flow_action_conntrack."""

    original: TcpDirection = field(default_factory=TcpDirection)
    reply: TcpDirection = field(default_factory=TcpDirection)
    state: ConntrackState = ConntrackState.ESTABLISHED
    is_original_dir: bool = True
    enable: bool = True
    live_connection: bool = True
    selective_ack: bool = False
    challenge_ack_passed: bool = False
    last_direction_is_original: bool = True
    liberal_mode: bool = False
    max_ack_window: int = 0
    retransmission_limit: int = 5
    last_window: int = 0
    last_index: ConntrackIndex = ConntrackIndex.ACK
    last_seq: int = 0
    last_ack: int = 0
    last_end: int = 0
    peer_port: int = 0


@dataclass(frozen=True, slots=True)
class Attr:
    """Where a rule stands: lower priority numbers win; group 0 is where packets enter; transfer is the NIC's switch."""

    group: int = 0
    priority: int = 0
    ingress: bool = False
    egress: bool = False
    transfer: bool = False
