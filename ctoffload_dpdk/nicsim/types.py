"""What the emulated NIC tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ctoffload_dpdk.base.errors import CtoffloadError

# Why the NIC dropped a packet, in the order of enum nicsim_drop.
DROPS = (
    "rule",
    "rx_full",
    "no_mbuf",
    "link_down",
    "not_started",
    "too_long",
    "not_ours",
    "isolated",
    "out_port_down",
    "loop",
    "hairpin",
)

# What a rule does in the end, by the number in `fate`.
FATES = ("none", "queue", "rss", "drop", "wire", "host", "jump", "gone", "passthru")

# struct nicsim_rule_info: one live rule. Host byte order, addresses as in a packet (IPv4: the first 4 bytes).
RULE_DTYPE = np.dtype(
    [
        ("handle", np.uint64),
        ("context", np.uint64),
        ("packets", np.uint64),
        ("bytes", np.uint64),
        ("last_hit_ms", np.int64),
        ("src", np.uint8, 16),
        ("dst", np.uint8, 16),
        ("fields", np.uint32),
        ("group", np.uint32),
        ("priority", np.uint32),
        ("timeout_s", np.uint32),
        ("mark", np.uint32),
        ("fate_arg", np.uint32),
        ("src_port", np.uint16),
        ("dst_port", np.uint16),
        ("eth_type", np.uint16),
        ("vlan_tci", np.uint16),
        ("in_port", np.uint16),
        ("proto", np.uint8),
        ("fate", np.uint8),
        ("transfer", np.bool_),
        ("has_count", np.bool_),
        ("has_age", np.bool_),
        ("is_aged", np.bool_),
        ("has_mark", np.bool_),
        ("reserved", np.uint8, 3),
        ("table", np.uint32),
        ("reserved_too", np.uint8, 8),
    ]
)


class NicsimError(CtoffloadError):
    """The emulated NIC could not be loaded, or refused."""


class Call(StrEnum):
    """Calls that can be made to fail, in the order of enum nicsim_call.

    rx, tx: a burst that moves nothing. configure: of the port; flow_configure: of its sizes for rules. completion: an
    operation on a flow queue has no effect, and its result says that it failed; the errno is not told.
    """

    VALIDATE = "validate"
    CREATE = "create"
    DESTROY = "destroy"
    QUERY = "query"
    FLUSH = "flush"
    AGED = "aged"
    ISOLATE = "isolate"
    INDIRECT_CREATE = "indirect_create"
    INDIRECT_DESTROY = "indirect_destroy"
    INDIRECT_UPDATE = "indirect_update"
    INDIRECT_QUERY = "indirect_query"
    CONFIGURE = "configure"
    START = "start"
    STOP = "stop"
    RX = "rx"
    TX = "tx"
    INFO = "info"
    FLOW_CONFIGURE = "flow_configure"
    PATTERN_TEMPLATE = "pattern_template"
    ACTIONS_TEMPLATE = "actions_template"
    TEMPLATE_TABLE = "template_table"
    TEMPLATE_DESTROY = "template_destroy"
    ASYNC_CREATE = "async_create"
    ASYNC_DESTROY = "async_destroy"
    PUSH = "push"
    PULL = "pull"
    ASYNC_INDIRECT_CREATE = "async_indirect_create"
    ASYNC_INDIRECT_DESTROY = "async_indirect_destroy"
    ASYNC_INDIRECT_UPDATE = "async_indirect_update"
    ASYNC_INDIRECT_QUERY = "async_indirect_query"
    COMPLETION = "completion"


class Answer(StrEnum):
    """Queries that can be answered wrongly, of rules and indirect actions alike, in the order of enum nicsim_answer."""

    COUNT = "count"
    AGE = "age"
    CONNTRACK = "conntrack"


@dataclass(frozen=True)
class Counters:
    """Packets of one port since it was made.

    At every moment `wire_in + host_switched + nic_received == nic_forwarded + sum(nic_dropped.values()) + host_rx`, and
    over the ports of a switch the sums of `host_tx - host_switched + nic_forwarded` and of
    `wire_out + wire_out_dropped + nic_received` are equal.

    nic_forwarded: sent to a wire or to the host of another port by a rule; nic_received: came to this port's host by a
    rule of another port; nic_dropped: by reason; host_rx: handed to a queue; host_pending: of these, unread;
    host_switched: of host_tx, taken by a transfer rule; hairpinned: of nic_forwarded, through a hairpin queue.
    """

    wire_in: int
    nic_forwarded: int
    nic_received: int
    nic_dropped: dict[str, int]
    host_rx: int
    host_pending: int
    host_tx: int
    wire_out: int
    wire_out_dropped: int
    host_switched: int
    hairpinned: int


@dataclass(frozen=True)
class Books:
    """How many rules, or indirect objects, of a port: created = live + destroyed + lost.

    most: high-water mark of live; lost: gone with a stop or removal; capacity: the most that can live.
    """

    live: int
    created: int
    destroyed: int
    lost: int
    most: int
    capacity: int


@dataclass(frozen=True)
class Audit:
    """Rules and indirect objects of a port; aged: length of the aged list."""

    rules: Books
    objects: Books
    bytes_per_rule: int
    aged: int


@dataclass(frozen=True)
class Room:
    """Counters, ages or contexts: how many are in use of how many that were set aside."""

    used: int
    room: int


@dataclass(frozen=True)
class TableAudit:
    """A template table. number: as in a rule's `table`; rules: with those whose creation or removal is under way."""

    number: int
    domain: str
    group: int
    priority: int
    room: int
    rules: int
    pattern_templates: int
    actions_templates: int


@dataclass(frozen=True)
class QueueAudit:
    """A flow queue, in operations: enqueued = waiting + executed + cancelled, and executed = results + told + dropped.

    failed: of executed; results: to be pulled; told: pulled; dropped: nobody gets the result, as it was told to be lost
    or the port stopped or was flushed before; cancelled: the port stopped while the queue was stalled, or was lost.
    """

    size: int
    is_stalled: bool
    enqueued: int
    waiting: int
    executed: int
    failed: int
    results: int
    told: int
    dropped: int
    cancelled: int


@dataclass(frozen=True)
class FlowAudit:
    """What rules go through; contexts: indirect CONNTRACK. is_configured: rte_flow_configure() was called."""

    is_configured: bool
    is_strict: bool
    counters: Room
    ages: Room
    contexts: Room
    pattern_templates: int
    actions_templates: int
    tables: tuple[TableAudit, ...]
    queues: tuple[QueueAudit, ...]


@dataclass(frozen=True)
class RemotePort:
    """An emulated port of another process. switch: None where it has one of its own; now_ms: the NIC's clock."""

    port_id: int
    name: str
    switch: int | None
    is_started: bool
    is_link_up: bool
    now_ms: int
    audit: Audit
    counters: Counters
