# cython: annotation_typing=False
# An argument of type int would be cut from a float before it can be checked.
"""The software connection tracker: one shard, and Python's view of it."""

import contextlib
import errno as _errno
import ipaddress
import os
import time
from dataclasses import dataclass

import numpy as np

cimport cython

from ctoffload_dpdk.base.errors import ClosedError, CtoffloadError, UsageError
from ctoffload_dpdk.base.numbers import whole, wholes
from ctoffload_dpdk.base.packets import Packets, reach_outside

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._action cimport Ct
from ctoffload_dpdk.conntrack._burst cimport burst, expire
from ctoffload_dpdk.conntrack._expect cimport expectations_free
from ctoffload_dpdk.conntrack._fragments cimport (
    MAX_HELD, MAX_LINES, MIN_SIZE_LOWEST, Fragments, Line, fragments_expire, fragments_free, fragments_let_go,
    fragments_new, fragments_track, is_fragment,
)
from ctoffload_dpdk.conntrack._gate cimport gate_give, gate_take
from ctoffload_dpdk.conntrack._group cimport Group
from ctoffload_dpdk.conntrack._hardware cimport hardware_ask, hardware_attach, hardware_detach, is_visible
from ctoffload_dpdk.conntrack._key cimport Key, Seed, icmp_answer, is_icmp, key_hash
from ctoffload_dpdk.conntrack._life cimport conn_end, conn_record
from ctoffload_dpdk.conntrack._packet cimport N_REFUSALS
from ctoffload_dpdk.conntrack._shardgroup cimport ShardGroup
from ctoffload_dpdk.conntrack._state cimport (
    BURST, CAUSE_CLOSED, CAUSE_EXPIRED, CAUSE_FLUSHED, CAUSE_REPLACED, CONN_LIVE, MAX_PORTS, N_ZONES, SLOT_MASK, Conn, Port,
    Record, Zone, ZoneLimit,
)
from ctoffload_dpdk.conntrack._table cimport area_close, area_open, index_find, table_close, table_open
from ctoffload_dpdk.conntrack._timeouts cimport (
    N_TIMEOUT_CLASSES, policy_changed, policy_find, policy_index, policy_reset, timeouts_close, timeouts_open,
)
from ctoffload_dpdk.conntrack._wheel cimport wheel_open
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_ID, CT_OFFLOAD_NO_PORT
from ctoffload_dpdk.offload.libspsc cimport shared_get, shared_set

cdef enum:
    MAX_CAPACITY = 0x7ffffffe
    HOLD_LIMIT_US = 5000000
    FIRST_TOKEN = 2
    MANY_LINES = 65536       # lines taken at a time, besides what one packet can bring about
    DEFAULT_UNCONFIRMED_RST_MS = 900000

VERDICT = np.dtype([("conn_id", "u8"), ("mark", "u4"), ("state", "u1"), ("reason", "u1"), ("grown", "i2")], align=True)

CONNECTION = np.dtype([
    ("conn_id", "u8"), ("time_ms", "i8"), ("timeout_ms", "i8"), ("packets", "u8", 2), ("bytes", "u8", 2),
    ("label", "u8", 2), ("src", "u1", 16), ("dst", "u1", 16), ("src_port", "u2"), ("dst_port", "u2"),
    ("reply_src", "u1", 16), ("reply_dst", "u1", 16), ("reply_src_port", "u2"), ("reply_dst_port", "u2"), ("mark", "u4"),
    ("port", "u4", 2), ("timeout_policy", "u4"), ("zone", "u2"), ("reason", "u2"), ("family", "u1"), ("proto", "u1"),
    ("kind", "u1"), ("cause", "u1"), ("flags", "u1"), ("timeout", "u1"), ("tcp_state", "u1", 2), ("wscale", "u1", 2),
    ("phase", "u1"), ("offload", "u1"), ("nat", "u1"), ("helper", "u1"), ("related", "u1"), ("error", "u1"),
    ("reserved", "u1", 2),
], align=True)

LINE = np.dtype([
    ("about", "u8"), ("conn_id", "u8"), ("mark", "u4"), ("state", "u1"), ("reason", "u1"), ("grown", "i2"),
    ("number", "u4"), ("kind", "u1"),
], align=True)

if LINE.itemsize != sizeof(Line):
    raise ImportError(f"conntrack: numpy has {LINE.itemsize} bytes, C has {sizeof(Line)}")
if VERDICT.itemsize != sizeof(Verdict) or CONNECTION.itemsize != sizeof(Record):
    raise ImportError(f"conntrack: numpy has {VERDICT.itemsize} and {CONNECTION.itemsize} bytes, "
                      f"C has {sizeof(Verdict)} and {sizeof(Record)}")

# By timeout class, with OVS's names.
TIMEOUT_NAMES = (
    "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_time_wait", "tcp_close", "udp_first",
    "udp_single", "udp_multiple", "icmp_first", "icmp_reply",
)

# By Refusal.
REFUSAL_NAMES = (
    "none", "not-ip", "l3-header", "l3-checksum", "fragment", "l4-header", "l4-checksum", "port-zero", "icmp-type",
    "icmp-inner", "no-connection", "tcp-flags", "tcp-window", "limit", "zone-limit", "no-memory", "nat",
    "helper", "denied", "hand-over",
)

STATE_WORDS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")


@dataclass(frozen=True)
class Counters:
    """Totals since the tracker was made. created = live + expired + closed + flushed + replaced at any time.

    unconfirmed_rst: RSTs that cannot be judged; events_lost: events that found no room until `events` was called;
    refused: by reason, packets that are invalid or got no connection; held: ended connections whose slot waits for a
    provider; relaxed: packets outside the window that a rule in the NIC excuses; back_in: connections let in again after
    a back-off; queries and no_samples: questions to the NIC, and those without an answer; expected: connections a helper
    expected; not_expected, no_room: announcements that could not be kept, or not be rewritten; handed_over: packets given
    to other shards, counted in `packets` by the one that judges them; windows_read, _refused,
    _overtaken: windows taken from contexts of the NIC, those the connection cannot have, those a packet spoke against
    (relearnt); confirmed_rst: by such a window; made_liberal: contexts replaced by ones that check no window; hint_hits,
    hint_misses: packets whose mark named the connection they were of, or another; nic_packets,
    nic_bytes: told by providers, by direction, and in the connections' own.
    """

    packets: int
    invalid: int
    created: int
    live: int
    expired: int
    closed: int
    flushed: int
    replaced: int
    held: int
    events_lost: int
    relaxed: int
    unconfirmed_rst: int
    back_in: int
    queries: int
    no_samples: int
    expected: int
    not_expected: int
    no_room: int
    handed_over: int
    windows_read: int
    windows_refused: int
    windows_overtaken: int
    confirmed_rst: int
    made_liberal: int
    hint_hits: int
    hint_misses: int
    nic_packets: tuple[int, int]
    nic_bytes: tuple[int, int]
    refused: dict[str, int]


def states_text(state: int) -> str:
    """ct_state as OVS words it: "est|rpl|trk"; "0" for none."""
    return "|".join(word for bit, word in enumerate(STATE_WORDS) if state >> bit & 1) or "0"


# --- what a loop calls -----------------------------------------------------------------------------------------------

cdef void ct_burst(Shard *shard, const Packet *packets, uint32_t n, const Action *action, int64_t now_ms,
                   Verdict *verdicts) noexcept nogil:
    cdef uint32_t done = 0
    while done < n:
        burst(shard, packets + done, min(n - done, <uint32_t> BURST), action, now_ms, verdicts + done)
        done += BURST


cdef uint32_t ct_expire(Shard *shard, int64_t now_ms, uint32_t budget_us) noexcept nogil:
    return expire(shard, now_ms, budget_us)


cdef void ct_now(Shard *shard, int64_t now_ms) noexcept nogil:
    shard.now_ms = max(shard.now_ms, now_ms)


cdef void ct_attach(Shard *shard, OffloadShard *offload) noexcept nogil:
    hardware_attach(shard, offload)


cdef bint ct_hold_fragments(Shard *shard) noexcept nogil:
    if shard.fragments == NULL:
        shard.fragments = fragments_new(&shard.seed)
    return shard.fragments != NULL


# --- making and freeing a shard --------------------------------------------------------------------------------------

cdef void shard_close(Shard *shard) noexcept nogil:
    if shard == NULL:
        return
    if shard.offload != NULL:
        hardware_detach(shard)
    table_close(shard)
    timeouts_close(shard)
    area_close(&shard.zone_area)
    area_close(&shard.limit_area)
    fragments_free(<Fragments *> shard.fragments)
    if shard.group == NULL:
        expectations_free(shard.expectations)
    elif (<Group *> shard.group).shards[shard.number] == shard:
        (<Group *> shard.group).shards[shard.number] = NULL
    free(shard.ports)
    free(shard.events.ring)
    free(shard)


# What the shard has from its group, or for itself.
cdef int shard_join(Shard *shard, Group *group) noexcept nogil:
    cdef int error = 0
    if group == NULL:
        error = area_open(&shard.limit_area, N_ZONES * sizeof(ZoneLimit))
        shard.zone_limits = <ZoneLimit *> shard.limit_area.base
        return error
    shard.group = group
    shard.zone_limits = group.zone_limits
    shard.expectations = group.expectations
    shard.seed = group.seed
    return 0


cdef int shard_fill(Shard *shard, uint32_t capacity, int64_t now_ms) noexcept nogil:
    cdef int error
    shard.ports = <Port *> calloc(MAX_PORTS, sizeof(Port))
    if shard.ports == NULL:
        return _ENOMEM
    shard.ports[0].id = CT_OFFLOAD_NO_PORT
    error = timeouts_open(shard) or area_open(&shard.zone_area, N_ZONES * sizeof(Zone))
    error = error or table_open(shard, capacity, capacity if shard.group != NULL else 0)
    if error:
        return error
    shard.zones = <Zone *> shard.zone_area.base
    shard.max_connections = capacity
    shard.epoch_ms = shard.now_ms = now_ms
    shard.unconfirmed_rst_ms = DEFAULT_UNCONFIRMED_RST_MS
    wheel_open(shard, now_ms)
    return 0


cdef int _ENOMEM = _errno.ENOMEM


include "conntrack_arguments.pxi"


cdef uint32_t live_slot(const Shard *shard, uint64_t conn_id) noexcept nogil:
    """The slot of a connection that still is, by its id; 0 where it ended."""
    cdef uint32_t slot = <uint32_t> conn_id
    if (0 < slot < shard.slot_top and shard.conns[slot].flags & CONN_LIVE
            and CT_OFFLOAD_ID(shard.number, shard.conns[slot].generation, slot) == conn_id):
        return slot
    return 0


@cython.no_gc_clear
cdef class Conntrack:
    """One shard of connection tracking. Belongs to one thread: every method is called on the thread that runs it.

    max_connections: most connections at once; memory for them is reserved, and used as they come. ovs_compat: where OVS's
    verdict is a defect, give it all the same. layer: the offload layer it becomes a shard of; without one nothing is
    offloaded. establish_at_reply: TCP is handed over at the SYN-ACK in place of the end of the handshake. events: see
    `keep_events`.
    Times are milliseconds of any clock that does not run backwards; left out, the monotonic one.
    Raises CtoffloadError ENOMEM where the kernel refuses the address space, UsageError EINVAL for a number of
    connections or of the shard that cannot be. Closed, its methods raise ClosedError.
    """

    def __cinit__(self, max_connections: int = 3_000_000, *, shard: int = 0, ovs_compat: bool = False,
                  establish_at_reply: bool = False, OffloadLayer layer=None, now_ms: int | None = None,
                  events: int = 0, ShardGroup group=None):
        cdef Group *members = (<ShardGroup> group).group if group is not None else NULL
        cdef bytes seed = os.urandom(sizeof(Seed))
        cdef int64_t start_ms = _time(_monotonic_ms() if now_ms is None else now_ms, "Conntrack: now_ms")
        self.is_closed = True
        cdef uint32_t capacity = whole(max_connections, 1, MAX_CAPACITY, "Conntrack: max_connections")
        shard = whole(shard, 0, 254, "Conntrack: shard")
        self.shard = <Shard *> calloc(1, sizeof(Shard))
        if self.shard == NULL:
            raise MemoryError
        memcpy(&self.shard.seed, <const uint8_t *> seed, sizeof(Seed))
        cdef int error = shard_join(self.shard, members) or shard_fill(self.shard, capacity, start_ms)
        if error:
            raise CtoffloadError(
                f"Conntrack: no address space for {max_connections} connections: {os.strerror(error)}", errno=error,
                hint="lower max-connections, or allow more with ulimit -v or vm.overcommit_memory")
        self.shard.number = shard
        self.shard.ovs_compat = ovs_compat
        self.shard.establish_at_reply = establish_at_reply
        self.is_closed = False
        self.borrowed = []
        if events:
            self.keep_events(events)
        if layer is not None:
            self._join(layer)
        if group is not None:
            (<ShardGroup> group).add(self.shard)
            self.group = group

    def __dealloc__(self):
        shard_close(self.shard)

    cdef Shard *opened(self) except NULL:
        if self.is_closed:
            raise ClosedError("Conntrack: it is closed")
        return self.shard

    def keep_events(self, size: int) -> None:
        """Keeps events of so many connections between two calls of `events` from now on; 0: none."""
        cdef Shard *shard = self.opened()
        cdef uint64_t n = whole(size, 0, MOST_32, "keep_events: size")
        cdef Record *ring = <Record *> calloc(n, sizeof(Record)) if n else NULL
        cdef Record *old
        if n and ring == NULL:
            raise MemoryError
        with self.held():
            old = shard.events.ring
            shard.events.ring = ring
            shard.events.size = n
            shard.events.head = shard.events.tail = 0
        free(old)

    def _join(self, OffloadLayer layer not None):
        self.shard.number = layer.add_shard(self.shard.capacity + 1)
        self.layer = layer
        ct_attach(self.shard, layer.shard(self.shard.number))

    def close(self) -> None:
        """Ends all connections and frees them; what is in hardware is wanted out. Other methods raise ClosedError then."""
        if not self.is_closed:
            self.is_closed = True
            shard_close(self.shard)
            self.shard = NULL
            self.borrowed = []

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, *exception):
        self.close()

    # --- a visitor, while a thread runs it ---

    def hold(self, limit_ms: int = 5000) -> None:
        """Waits for the end of the turn that its thread is in, and keeps it there until `release`; may be repeated.

        For one visiting thread at a time. Needs nothing where no thread runs it. Raises CtoffloadError ETIMEDOUT.
        """
        cdef Shard *shard = self.opened()
        cdef uint32_t limit_us = min(whole(limit_ms, 0, MOST_32, "hold: limit_ms"), 3_600_000) * 1000
        cdef bint is_held = self.n_holds > 0
        if not is_held:
            with nogil:
                is_held = gate_take(&shard.gate, limit_us)
        if not is_held:
            raise CtoffloadError(f"the loop of shard {shard.number} did not end its turn within {limit_ms} ms",
                                 errno=_errno.ETIMEDOUT, hint="a driver may not come back from a call; see its log")
        self.n_holds += 1

    def release(self) -> None:
        """Lets its thread go on, once for each `hold`. Raises UsageError EINVAL where it is not held."""
        cdef Shard *shard = self.opened()
        if not self.n_holds:
            raise UsageError("release: it is not held", errno=_errno.EINVAL)
        self.n_holds -= 1
        if not self.n_holds:
            gate_give(&shard.gate)

    @contextlib.contextmanager
    def held(self):
        """`with tracker.held():` what is done inside happens between two turns of its thread. Keep it short.

        Raises CtoffloadError ETIMEDOUT as `hold` does, after 5 s.
        """
        self.hold()
        try:
            yield self
        finally:
            self.release()

    # --- packets ---

    def process(self, packets: Packets, now_ms: object = None, *, zone: object = 0, flags: object = 0,
                port: object = CT_OFFLOAD_NO_PORT, port_generation: object = 0, room: object = 0, **action):
        """Tracks packets in order under one ct() action; returns VERDICT[n].

        now_ms: one time, or one per packet (int64[n]); a time before the last one counts as the last one. zone, flags
        (PacketFlags), port, port_generation, room: one for all or one per packet. action: commit, force, timeout_policy;
        mark, label: set under their masks; nat: new connections are translated so, and packets of translated ones are
        rewritten in place; helper: "ftp" or "tftp", for new connections. room: bytes from a packet's start that may be
        written, where a helper makes it longer (`grown` of its verdict says by how much).
        VERDICT: conn_id, 0 without a connection; mark; state: bits of CtState; reason: a Refusal; grown: bytes.
        Raises UsageError for arrays of another size, numbers that do not fit their type, room outside the buffer, and nat
        with packets that are read-only.
        """
        cdef Shard *shard = self.opened()
        cdef Ct ct = Ct(**action)
        ct.may_write(packets)
        cdef Burst burst_ = Burst(packets, now_ms, zone, flags, port, port_generation, room)
        verdicts = np.zeros(burst_.n, VERDICT)
        if burst_.n == 0:
            return verdicts
        cdef uint8_t[::1] out = verdicts.view(np.uint8)
        cdef Verdict *verdict = <Verdict *> &out[0]
        cdef Packet[BURST] some
        cdef uint32_t start = 0
        cdef uint32_t n
        with nogil:
            while start < burst_.n:
                n = burst_.take(start, some)
                burst(shard, some, n, &ct.action, burst_.now[start], verdict + start)
                start += n
        return verdicts

    def track(self, packets: Packets, now_ms: object = None, *, zone: object = 0, flags: object = 0,
              port: object = CT_OFFLOAD_NO_PORT, port_generation: object = 0, room: object = 0, **action):
        """As `process`, with fragments put together first; returns LINE[], in order.

        number: index of the packet that brought the line about; about: the packet the line is about, counted from 0 over
        all calls; kind 0: a verdict, and a fragment that was held is let go with its datagram's; 1: held; 2: dropped, its
        datagram never became whole; 3: dropped, more are held than may be. With nat, fragments are rewritten where they
        came in: packets are kept, and have to stay as they are, until theirs are let go.
        Raises UsageError as `process` does, and EBUSY where a loop of the engine runs this tracker.
        """
        cdef Shard *shard = self.opened()
        cdef Fragments *fragments = self._fragments()
        cdef Ct ct = Ct(**action)
        ct.may_write(packets)
        if fragments.in_loop:
            raise UsageError("track: a loop of the engine holds fragments in this tracker", errno=_errno.EBUSY,
                             hint="send packets to the engine's ports, or give them to process()")
        fragments.borrows = ct.action.nat != NULL
        cdef Burst burst_ = Burst(packets, now_ms, zone, flags, port, port_generation, room)
        cdef uint32_t start = 0
        cdef uint32_t filled = 0
        parts = []
        part = np.zeros(MAX_LINES + MANY_LINES, LINE)
        cdef uint8_t[::1] out = part.view(np.uint8)
        cdef Line *lines = <Line *> &out[0]
        if fragments.borrows:
            self.borrowed.append((self.n_tracked, packets))
        while start < burst_.n:
            with nogil:
                while start < burst_.n and filled < MANY_LINES - BURST:
                    filled += track_some(shard, fragments, burst_, &start, &ct.action, self.n_tracked, lines + filled)
            parts.append(part[:filled].copy())
            filled = 0
        self.n_tracked += burst_.n
        if self.borrowed:
            self._give_back(fragments)
        return np.concatenate(parts) if parts else np.zeros(0, LINE)

    def expire(self, now_ms: int | None = None, budget_us: int = 1_000_000) -> int:
        """One slice of expiry; returns how many connections were looked at. Ends early after budget_us microseconds."""
        cdef Shard *shard = self.opened()
        cdef int64_t now = _monotonic_ms() if now_ms is None else _time(now_ms, "expire: now_ms")
        cdef uint32_t budget = whole(budget_us, 0, MOST_32, "expire: budget_us")
        cdef uint32_t looked
        with nogil:
            looked = expire(shard, now, budget)
        return looked

    def advance(self, now_ms: int) -> None:
        """Tells the time, where neither packets nor expiry do: before the offload layer's turn."""
        ct_now(self.opened(), _time(now_ms, "advance: now_ms"))

    # --- connections ---

    @property
    def count(self) -> int:
        """Live connections, those included whose time is up and that no slice of expiry has met yet."""
        return self.opened().n_live

    @property
    def now_ms(self) -> int:
        """The latest time this tracker was told, in its own clock."""
        return self.opened().now_ms

    def iterate(self, chunk: int = 65536):
        """Yields CONNECTION[] arrays of the live connections, a slice of the table at a time. chunk: slots of a slice.

        A thread that runs it goes on between the slices: what comes and goes meanwhile is in or not. Raises
        CtoffloadError ETIMEDOUT as `held` does.
        """
        start = 1
        chunk = whole(chunk, 1, MOST_32, "iterate: chunk")
        while start:
            rows, start = self._rows(start, chunk)
            if len(rows):
                yield rows

    def connections(self, zone: int | None = None):
        """All live connections, or those of a zone, as CONNECTION[]; timeout_ms is what is left at now_ms.

        Pairs are by direction: packets, bytes, port (the layer's ids, 0xffffffff for none), tcp_state (an index in
        TCP_STATES) and wscale of the sender; label: its low word, then its high one. Addresses are as in packets, IPv4
        in the first 4 bytes; src_port and the like are numbers, of ICMP as `find` takes them. offload: 0 no, 1 pending,
        2 yes; reason: the Reason against it, with the provider's errno in error.
        """
        only = None if zone is None else _zone(zone)
        parts = list(self.iterate())
        rows = np.concatenate(parts) if parts else np.zeros(0, CONNECTION)
        return rows if only is None else rows[rows["zone"] == only]

    def _rows(self, first, chunk):
        cdef Shard *shard = self.opened()
        cdef uint32_t slot = first
        cdef uint32_t end = min(<uint64_t> first + chunk, shard.capacity + 1)
        cdef uint32_t top = 0
        cdef uint32_t n = 0
        cdef bint is_held = self.n_holds > 0
        # How far the table goes is known once it is held. What is not written of this takes no memory.
        rows = np.empty(max(end - slot, 1), CONNECTION)
        cdef uint8_t[::1] raw = rows.view(np.uint8)
        cdef Record *record = <Record *> &raw[0]
        cdef uint32_t room = len(rows)
        with nogil:
            if is_held or gate_take(&shard.gate, HOLD_LIMIT_US):
                top = shard.slot_top
                end = min(end, top, slot + room)
                while slot < end:
                    if shard.conns[slot].flags & CONN_LIVE and is_visible(shard, slot, shard.now_ms):
                        conn_record(shard, slot, shard.now_ms, record + n)
                        n += 1
                    slot += 1
                if not is_held:
                    gate_give(&shard.gate)
        if not top:
            self.hold(0)     # says what is wrong
            self.release()
        return rows[:n], (slot if slot < top else 0)

    def find(self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0):
        """The connection of a tuple of either direction as CONNECTION[1], or CONNECTION[0].

        ICMP: src_port is the identifier, dst_port is type << 8 | code. Raises UsageError EINVAL for what is no address,
        addresses of two families, and numbers that do not fit.
        """
        cdef Shard *shard = self.opened()
        cdef uint32_t slot = self._slot_of(src, dst, proto, src_port, dst_port, zone)
        rows = np.zeros(1 if slot else 0, CONNECTION)
        cdef uint8_t[::1] raw
        if slot:
            raw = rows.view(np.uint8)
            conn_record(shard, slot, shard.now_ms, <Record *> &raw[0])
        return rows

    def find_id(self, conn_id: int):
        """The connection of an id, as a dump gives it, as CONNECTION[1], or CONNECTION[0] where it is no more."""
        cdef Shard *shard = self.opened()
        cdef uint64_t wanted = whole(conn_id, 0, 0xffffffffffffffff, "conn_id")
        cdef uint32_t slot = <uint32_t> wanted
        rows = np.zeros(1, CONNECTION)
        cdef uint8_t[::1] raw = rows.view(np.uint8)
        cdef bint is_there
        with self.held():
            is_there = (0 < slot < shard.slot_top and shard.conns[slot].flags & CONN_LIVE
                        and CT_OFFLOAD_ID(shard.number, shard.conns[slot].generation, slot) == wanted
                        and is_visible(shard, slot, shard.now_ms))
            if is_there:
                conn_record(shard, slot, shard.now_ms, <Record *> &raw[0])
        return rows[:1 if is_there else 0]

    def _slot_of(self, src, dst, proto, src_port, dst_port, zone):
        cdef Shard *shard = self.opened()
        cdef Key key = make_key(src, dst, proto, src_port, dst_port, zone)
        cdef uint32_t slot = index_find(shard, &key, key_hash(&key, &shard.seed)) & SLOT_MASK
        return slot if slot and is_visible(shard, slot, shard.now_ms) else 0

    # --- flush ---

    def ask(self, conn_ids=None) -> int:
        """Asks the NIC of these connections (ids, uint64[n]), or of all: when they were used, and what it carried.

        Returns how many are asked.
        The answers come with later turns of the layer: then packets and bytes of a connection include what its rules
        forwarded. A NIC's own count may be a second old.
        """
        cdef Shard *shard = self.opened()
        cdef const uint64_t[::1] ids = _ids([] if conn_ids is None else conn_ids)
        cdef bint all_of_them = conn_ids is None
        cdef uint32_t slot
        cdef uint32_t asked = 0
        cdef Py_ssize_t i
        with nogil:
            if all_of_them:
                for slot in range(1, shard.slot_top):
                    if shard.conns[slot].flags & CONN_LIVE:
                        asked += hardware_ask(shard, slot)
            for i in range(ids.shape[0]):
                slot = live_slot(shard, ids[i])
                if slot:
                    asked += hardware_ask(shard, slot)
        return asked

    def flush(self, zone: int | None = None) -> int:
        """Ends all connections, or those of a zone, at once; returns how many. Raises UsageError EINVAL for no zone."""
        cdef Shard *shard = self.opened()
        cdef uint32_t slot = 1
        cdef uint32_t ended = 0
        cdef int only = -1 if zone is None else _zone(zone)
        if only >= 0 and not shard.zones[only].live:
            return 0
        with nogil:
            while slot < shard.slot_top:
                if shard.conns[slot].flags & CONN_LIVE and (only < 0 or shard.conns[slot].key.zone == only):
                    conn_end(shard, slot, CAUSE_FLUSHED, shard.now_ms)
                    ended += 1
                slot += 1
        return ended

    def flush_tuple(self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0) -> bool:
        """Ends the connection of a tuple of either direction, as `find` takes it; False where there is none."""
        cdef uint32_t slot = self._slot_of(src, dst, proto, src_port, dst_port, zone)
        if slot:
            conn_end(self.shard, slot, CAUSE_FLUSHED, self.shard.now_ms)
        return slot != 0

    def flush_ids(self, conn_ids) -> int:
        """Ends the connections of these ids (uint64[n]), as a dump gives them; returns how many were still there."""
        cdef Shard *shard = self.opened()
        cdef const uint64_t[::1] ids = _ids(conn_ids)
        cdef uint32_t slot
        cdef uint32_t ended = 0
        cdef Py_ssize_t i
        with nogil:
            for i in range(ids.shape[0]):
                slot = live_slot(shard, ids[i])
                if slot:
                    conn_end(shard, slot, CAUSE_FLUSHED, shard.now_ms)
                    ended += 1
        return ended

    # --- counters and events ---

    def counters(self) -> Counters:
        """Totals since the tracker was made."""
        cdef Shard *shard = self.opened()
        return Counters(
            packets=shard.counters.packets, invalid=shard.counters.invalid, created=shard.counters.created,
            live=shard.n_live, expired=shard.counters.ended[CAUSE_EXPIRED], closed=shard.counters.ended[CAUSE_CLOSED],
            flushed=shard.counters.ended[CAUSE_FLUSHED], replaced=shard.counters.ended[CAUSE_REPLACED],
            held=shard.n_held, events_lost=shard.events.lost, relaxed=shard.counters.relaxed,
            unconfirmed_rst=shard.counters.unconfirmed_rst, back_in=shard.counters.back_in,
            queries=shard.counters.queries, no_samples=shard.counters.no_samples,
            expected=shard.counters.expected, not_expected=shard.counters.not_expected, no_room=shard.counters.no_room,
            handed_over=shard.counters.handed_over,
            windows_read=shard.counters.windows_read, windows_refused=shard.counters.windows_refused,
            windows_overtaken=shard.counters.windows_overtaken, confirmed_rst=shard.counters.confirmed_rst,
            made_liberal=shard.counters.made_liberal,
            hint_hits=shard.counters.hints[1],
            hint_misses=shard.counters.hints[0],
            nic_packets=(shard.counters.nic_packets[0], shard.counters.nic_packets[1]),
            nic_bytes=(shard.counters.nic_bytes[0], shard.counters.nic_bytes[1]),
            refused={REFUSAL_NAMES[i]: shard.counters.refused[i] for i in range(1, N_REFUSALS)})

    def events(self):
        """What happened since the last call as CONNECTION[]: kind 1 new, 2 update, 3 destroy (with cause), 4 into the NIC,
        5 out of it again while the connection goes on in software (with reason).

        Kept for `events` connections (an argument of the constructor); what did not fit is counted as events_lost.
        """
        cdef Shard *shard = self.opened()
        cdef uint64_t n, i
        cdef uint8_t[::1] raw
        with self.held():
            n = shard.events.head - shard.events.tail
            rows = np.zeros(n, CONNECTION)
            raw = rows.view(np.uint8) if n else np.zeros(1, np.uint8)
            for i in range(n):
                memcpy(&raw[<size_t> i * sizeof(Record)], &shard.events.ring[(shard.events.tail + i) % shard.events.size],
                       sizeof(Record))
            shard.events.tail += n
        return rows

    # --- fragments ---

    @property
    def n_borrowed(self) -> int:
        """Calls of `track` with nat whose packets are still needed: fragments of theirs are held."""
        return len(self.borrowed)

    cdef object _give_back(self, Fragments *fragments):
        """Forgets the packets of earlier calls of which no fragment is held any more."""
        held = [fragments.held[i].token for i in range(MAX_HELD)
                if fragments.held[i].frame != NULL and not fragments.held[i].is_copy]
        self.borrowed = [(first, packets) for first, packets in self.borrowed
                         if any(first <= token < first + len(packets) for token in held)]

    cdef Fragments *_fragments(self) except NULL:
        cdef Shard *shard = self.opened()
        if not ct_hold_fragments(shard):
            raise MemoryError
        return <Fragments *> shard.fragments

    def set_fragments(self, family: int, *, enabled: bool | None = None, min_size: int | None = None,
                      max_held: int | None = None, timeout_ms: int | None = None) -> None:
        """Putting together of one family (4 or 6) on or off, and the size in bytes below which only a last fragment is
        taken. For both families: max_held, how many are held at most, and timeout_ms, how long a datagram may take to
        become whole. Raises UsageError EPERM for values outside OVS's bounds, EINVAL for another family."""
        cdef Fragments *fragments = self._fragments()
        if family not in (4, 6):
            raise UsageError(f"set_fragments: family {family} is neither 4 nor 6", errno=_errno.EINVAL)
        if min_size is not None:
            min_size = whole(min_size, MIN_SIZE_LOWEST, 0xffff, "set_fragments: min_size", errno=_errno.EPERM)
        if max_held is not None:
            max_held = whole(max_held, 0, MAX_HELD, "set_fragments: max_held", errno=_errno.EPERM)
        if timeout_ms is not None:
            timeout_ms = whole(timeout_ms, 1, MOST_32, "set_fragments: timeout_ms", errno=_errno.EPERM)
        cdef int which = 0 if family == 4 else 1
        if enabled is not None:
            fragments.enabled[which] = enabled
        if min_size is not None:
            fragments.min_size[which] = min_size
        if max_held is not None:
            fragments.max_held = max_held
        if timeout_ms is not None:
            fragments.lifetime_ms = timeout_ms

    def fragments(self) -> dict[str, int]:
        """Settings and counters of fragments, by name: held, max_held, timeout_ms, and v4_ and v6_ enabled, min_size,
        accepted, completed, expired, too_small, overlapped, refused (as many are held as may be), evicted (made room)."""
        cdef Fragments *fragments = self._fragments()
        status = {"held": fragments.n_held, "max_held": fragments.max_held, "timeout_ms": fragments.lifetime_ms}
        cdef int i
        for i in range(2):
            family = f"v{4 + 2 * i}"
            status[f"{family}_enabled"] = int(fragments.enabled[i])
            status[f"{family}_min_size"] = fragments.min_size[i]
            status[f"{family}_accepted"] = fragments.counters[i].accepted
            status[f"{family}_completed"] = fragments.counters[i].completed
            status[f"{family}_expired"] = fragments.counters[i].expired
            status[f"{family}_too_small"] = fragments.counters[i].too_small
            status[f"{family}_overlapped"] = fragments.counters[i].overlapped
            status[f"{family}_refused"] = fragments.counters[i].refused
            status[f"{family}_evicted"] = fragments.counters[i].evicted
        return status

    # --- limits, timeouts, settings ---

    @property
    def establish_at_reply(self) -> bool:
        """TCP is handed over at the SYN-ACK in place of the end of the handshake."""
        return self.opened().establish_at_reply

    @establish_at_reply.setter
    def establish_at_reply(self, value: bool) -> None:
        self.opened().establish_at_reply = value

    @property
    def capacity(self) -> int:
        """Connections that memory was reserved for: the most that max_connections can be."""
        return self.opened().capacity

    @property
    def max_connections(self) -> int:
        """Most connections at once. Setting it raises UsageError EINVAL above `capacity`."""
        return self.opened().max_connections

    @max_connections.setter
    def max_connections(self, value: int) -> None:
        cdef Shard *shard = self.opened()
        value = whole(value, 0, MOST_32, "max_connections")
        if value > shard.capacity:
            raise UsageError(f"max_connections {value} is not between 0 and {shard.capacity}", errno=_errno.EINVAL,
                             hint="memory was reserved for that many; more need a new tracker")
        shard.max_connections = value

    @property
    def zone_default_limit(self) -> int:
        """Limit of zones that have none of their own; 0 is unlimited."""
        return self.opened().zone_default

    @zone_default_limit.setter
    def zone_default_limit(self, value: int) -> None:
        cdef Shard *shard = self.opened()
        cdef uint32_t i
        shard.zone_default = whole(value, 0, MOST_32, "zone_default_limit")
        if value == 0:
            for i in range(N_ZONES):
                if shared_get(&shard.zone_limits[i].epoch) and shard.zone_limits[i].follows:
                    shared_set(&shard.zone_limits[i].epoch, 0)
                    shared_set(&shard.zone_limits[i].counted, 0)

    def set_zone_limit(self, zone: int, limit: int) -> None:
        """Most connections in a zone; 0 refuses every new one. Connections from before it are not counted.

        Raises UsageError EINVAL for a limit outside 0 to 4294967295, and for a zone above 65535.
        """
        cdef ZoneLimit *entry = &self.opened().zone_limits[_zone(zone)]
        limit = whole(limit, 0, MOST_32, "set_zone_limit: limit")
        if not shared_get(&entry.epoch):
            entry.last_epoch = (entry.last_epoch + 1) & 0xff or 1
            shared_set(&entry.epoch, entry.last_epoch)
            shared_set(&entry.counted, 0)
        entry.follows = False
        entry.limit = limit

    def clear_zone_limit(self, zone: int) -> None:
        """The zone has no limit of its own any more: it follows the default, where there is one."""
        cdef Shard *shard = self.opened()
        cdef ZoneLimit *entry = &shard.zone_limits[_zone(zone)]
        if shared_get(&entry.epoch) and shard.zone_default > 0:
            entry.follows = True
        else:
            shared_set(&entry.epoch, 0)
            shared_set(&entry.counted, 0)

    def zone_limits(self) -> dict[int, tuple[int, int]]:
        """{zone: (limit, connections counted)} of the zones with a limit of their own."""
        cdef const ZoneLimit *limits = self.opened().zone_limits
        return {i: (limits[i].limit, shared_get(&limits[i].counted)) for i in range(N_ZONES)
                if shared_get(&limits[i].epoch) and not limits[i].follows}

    def zone_limit(self, zone: int) -> tuple[int, int]:
        """(limit, connections counted) of one zone, the default's where it has none of its own; 0 is unlimited there."""
        cdef Shard *shard = self.opened()
        cdef ZoneLimit *entry = &shard.zone_limits[_zone(zone)]
        if shared_get(&entry.epoch) and not entry.follows:
            return entry.limit, shared_get(&entry.counted)
        return shard.zone_default, shared_get(&entry.counted) if shared_get(&entry.epoch) else 0

    def zone_count(self, zone: int) -> int:
        """Live connections in a zone."""
        return self.opened().zones[_zone(zone)].live

    def set_timeout_policy(self, policy: int, **timeouts_s: int) -> None:
        """Sets timeouts in seconds, named as in OVS (tcp_established=...); those left out are the defaults.

        Policy 0 is used where an action names none. Connections take new values with their next packet.
        Raises UsageError EINVAL for an unknown name or a time or policy outside 0 to 4294967295, CtoffloadError ENOSPC for
        more than 65535 policies.
        """
        cdef Shard *shard = self.opened()
        policy = _policy(policy)
        for name, value in timeouts_s.items():
            if name not in TIMEOUT_NAMES:
                raise UsageError(f"set_timeout_policy: no timeout is named {name}", errno=_errno.EINVAL,
                                 hint=f"names: {', '.join(TIMEOUT_NAMES)}")
            whole(value, 0, MOST_32, f"set_timeout_policy: {name}")
        cdef uint32_t index = policy_index(shard, policy)
        if policy and not index:
            raise CtoffloadError("set_timeout_policy: 65535 policies are the most", errno=_errno.ENOSPC)
        policy_reset(shard, index)
        for name, value in timeouts_s.items():
            shard.policies[index].ms[TIMEOUT_NAMES.index(name)] = <int64_t> value * 1000
        policy_changed(shard, index)

    def clear_timeout_policy(self, policy: int) -> None:
        """Connections of this policy get the defaults with their next packet. Does nothing for one that was never set."""
        cdef Shard *shard = self.opened()
        cdef uint32_t index = policy_find(shard, _policy(policy))
        if index < shard.n_policies:
            policy_reset(shard, index)

    def timeout_policy(self, policy: int = 0) -> dict[str, int]:
        """{name: seconds} of a policy; the defaults for one that was never set."""
        cdef Shard *shard = self.opened()
        cdef uint32_t index = policy_find(shard, _policy(policy))
        cdef uint32_t i
        if index == shard.n_policies:
            index = 0
        return {TIMEOUT_NAMES[i]: shard.policies[index].ms[i] // 1000 for i in range(N_TIMEOUT_CLASSES)}

    @property
    def tcp_liberal(self) -> bool:
        """True: TCP packets outside the window are accepted as if they were inside."""
        return self.opened().tcp_liberal

    @tcp_liberal.setter
    def tcp_liberal(self, value: bool) -> None:
        self.opened().tcp_liberal = value

    @property
    def strict_windows(self) -> bool:
        """True: contexts in the NIC check windows, of connections installed from now on whose handshake was seen here.

        The first packet that such a context refuses has it replaced by one that does not check.
        """
        return self.opened().strict_windows

    @strict_windows.setter
    def strict_windows(self, value: bool) -> None:
        self.opened().strict_windows = value

    @property
    def ovs_compat(self) -> bool:
        """True: OVS's verdict also where it is a defect."""
        return self.opened().ovs_compat

    @property
    def shard_number(self) -> int:
        """Number of this shard: the first byte of its connection ids."""
        return self.opened().number

    @property
    def unconfirmed_rst_ms(self) -> int:
        """What is left to a connection, in ms, after an RST that cannot be judged, until its next packet."""
        return self.opened().unconfirmed_rst_ms

    @unconfirmed_rst_ms.setter
    def unconfirmed_rst_ms(self, value: int) -> None:
        self.opened().unconfirmed_rst_ms = whole(value, 0, 0xffffffff * 1000, "unconfirmed_rst_ms")
