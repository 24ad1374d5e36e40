"""What the binding answers with: plain typed values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag


@dataclass(frozen=True, slots=True)
class PortAddress:
    """One port as EAL lists it. devargs: the driver's arguments it was probed with."""

    id: int
    name: str
    driver: str
    bus: str
    devargs: str


@dataclass(frozen=True, slots=True)
class Descriptors:
    """How many descriptors a queue may have."""

    min: int
    max: int
    align: int


@dataclass(frozen=True, slots=True)
class PortInfo:
    """What a port is and can do. Offloads, rss_types and speed_capa are DPDK's bit masks; MTUs are bytes of layer 3.

    socket_id: of NUMA, -1 where it is not known; if_index: of the kernel's interface, 0 without one.
    rules_survive_stop, objects_survive_stop: rules, indirect actions outlive the port's stop.
    flow_is_thread_safe: the driver needs no lock around rte_flow. switch_domain: None where it has no E-Switch.
    tells_removal: the driver can be asked to tell when the device is pulled out (Event.REMOVED).
    """

    id: int
    name: str
    driver: str
    bus: str
    devargs: str
    mac: str
    if_index: int
    socket_id: int
    min_mtu: int
    max_mtu: int
    max_rx_queues: int
    max_tx_queues: int
    rx_offloads: int
    tx_offloads: int
    rx_descriptors: Descriptors
    tx_descriptors: Descriptors
    reta_size: int
    hash_key_bytes: int
    rss_types: int
    speed_capa: int
    switch_domain: int | None
    switch_port: int
    is_representor: bool
    rules_survive_stop: bool
    objects_survive_stop: bool
    flow_is_thread_safe: bool
    tells_removal: bool


class RxMetadata(IntFlag):
    """What the driver is asked to deliver with received packets."""

    NONE = 0
    USER_FLAG = 1
    USER_MARK = 2
    TUNNEL_ID = 4


@dataclass(frozen=True, slots=True)
class Link:
    """State of a port's link. speed_mbps: Mbit/s, None where the driver does not know it."""

    is_up: bool
    speed_mbps: int | None
    is_full_duplex: bool


@dataclass(frozen=True, slots=True)
class PortStats:
    """Counted by the NIC since start or reset. rx_missed: no descriptor was free; rx_no_mbuf: no buffer was."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_missed: int
    rx_errors: int
    tx_errors: int
    rx_no_mbuf: int


@dataclass(frozen=True, slots=True)
class Rss:
    """How received packets are spread over queues. types: DPDK's RTE_ETH_RSS_* bits."""

    types: int
    key: bytes


@dataclass(frozen=True, slots=True)
class HairpinCapability:
    """Queue pairs that the NIC joins by itself: how many queues, and descriptors of one, there may be.

    max_rx_to_tx: receive queues that lead to one transmit queue; max_tx_to_rx: transmit queues of one receive queue.
    """

    max_queues: int
    max_rx_to_tx: int
    max_tx_to_rx: int
    max_descriptors: int


class Event(IntEnum):
    """What a driver reports by itself. FLOW_AGED is edge-triggered: ask for the aged rules to arm it again."""

    LINK_CHANGE = 1
    QUEUE_STATE = 2
    RESET = 3
    VF_MAILBOX = 4
    MACSEC = 5
    REMOVED = 6
    NEW = 7
    DESTROY = 8
    IPSEC = 9
    FLOW_AGED = 10
    RX_AVAIL_THRESHOLD = 11
    ERROR_RECOVERING = 12
    RECOVERY_SUCCESS = 13
    RECOVERY_FAILED = 14


@dataclass(frozen=True, slots=True)
class Count:
    """Of a rule or an indirect COUNT since its creation or reset; None where the driver does not keep it."""

    packets: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class AgeState:
    """Of a rule or an indirect AGE. idle_s: seconds since the last packet, None where the driver does not know."""

    is_aged: bool
    idle_s: int | None


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """What the driver says of its sizes. 0 means unknown as often as none: mlx5 tracks connections and says 0."""

    max_queues: int
    max_queue_size: int
    max_counters: int
    max_ages: int
    max_meters: int
    max_conntracks: int
    strict_queue: bool


@dataclass(frozen=True, slots=True)
class FlowSizes:
    """What a port sets aside for rules; fixed between configure and start. Counters to conntracks: how many of each.

    queues: for asynchronous operations; queue_size: operations that may be under way in one.
    strict_queue: aged rules are asked for per queue, no event is raised.
    """

    queues: int = 1
    queue_size: int = 256
    counters: int = 0
    ages: int = 0
    meters: int = 0
    conntracks: int = 0
    strict_queue: bool = False
