"""One loop of the engine. `run_once` is all it does; a thread is only a loop around it."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from collections.abc import Sequence
from dataclasses import dataclass, field

from ctoffload_dpdk.base.errors import ClosedError, UsageError
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.settings import HelperRule

from ctoffload_dpdk.conntrack._action cimport make_helper, make_nat
from ctoffload_dpdk.conntrack._conntrack cimport (
    CS_INVALID,
    PKT_L3_BAD,
    PKT_L3_GOOD,
    PKT_L4_BAD,
    PKT_L4_GOOD,
    Action,
    Conntrack,
    Packet,
    Verdict,
    ct_burst,
    ct_expire,
    ct_hold_fragments,
    ct_now,
)
from ctoffload_dpdk.conntrack._fragments cimport (
    LINE_EVICTED,
    LINE_HELD,
    LINE_VERDICT,
    MAX_LINES,
    fragments_drop,
    fragments_expire,
    fragments_track,
    is_fragment,
)
from ctoffload_dpdk.conntrack._group cimport (
    Group,
    hand_over_fragment,
    hand_over_with_others,
    has_room_for_fragments,
    home_of_addresses,
    take_handed_over,
)
from ctoffload_dpdk.conntrack._packet cimport REFUSED_DENIED
from ctoffload_dpdk.conntrack._parse cimport Layers, find_l3
from ctoffload_dpdk.conntrack._policy cimport Policy
from ctoffload_dpdk.conntrack._gate cimport Gate, gate_enter, gate_leave, gate_pass
from ctoffload_dpdk.dpdk.librte_ethdev cimport rte_eth_rx_burst, rte_eth_tx_burst
from ctoffload_dpdk.dpdk.librte_mbuf cimport (
    RTE_MBUF_F_RX_FDIR_ID,
    RTE_MBUF_F_RX_IP_CKSUM_BAD,
    RTE_MBUF_F_RX_IP_CKSUM_GOOD,
    RTE_MBUF_F_RX_IP_CKSUM_MASK,
    RTE_MBUF_F_RX_L4_CKSUM_BAD,
    RTE_MBUF_F_RX_L4_CKSUM_GOOD,
    RTE_MBUF_F_RX_L4_CKSUM_MASK,
    rte_mbuf,
    rte_pktmbuf_free,
    rte_pktmbuf_linearize,
    rte_pktmbuf_mtod,
)
from ctoffload_dpdk.engine._classify cimport TRACKED, UNTRACKED_FRAGMENT, classify
from ctoffload_dpdk.engine._tap cimport PacketTap, tap_burst
from ctoffload_dpdk.engine._zones cimport MAX_TAGS, N_VLANS, NO_ZONE, PairZone, zone_of
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload._shard cimport shard_turn
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_NO_PORT
from ctoffload_dpdk.offload.libspsc cimport (
    clock_ms,
    pause_us,
    shared_get,
    shared_set,
    spin_give,
    spin_take,
    spsc,
    spsc_at,
    spsc_depth,
    spsc_ready,
    spsc_release,
)

cdef enum:
    IDLE_TURNS = 200         # turns in which nothing came, before the first nap
    NAP_US = 4
    NAP_LONGEST_US = 1000
    NAP_LONGEST_OF_MANY_US = 100         # a ring from another loop is full after a millisecond of a million a second


DROP_NAMES = (
    "invalid", "tx-full", "no-peer", "not-linear", "fragment", "fragment-incomplete", "fragment-evicted",
    "denied", "hand-over",
)
UNTRACKED_NAMES = ("", "non-ip", "link-local-multicast", "neighbour-discovery", "fragment")


@dataclass(frozen=True)
class LoopStats:
    """Packets since the loop was made, or of several loops. host_rx = host_tx + sum(sw_dropped) + held.

    held: packets that are here now: handed of them wait for another loop, the rest are fragments that wait for the rest of
    their datagram. sw_dropped by reason: invalid, tx-full, no-peer, not-linear, fragment (by the settings), fragment-incomplete (its datagram never
    became whole), fragment-evicted (made room for others), denied (by the policy), hand-over (for another loop, and the
    ring to that is full); untracked by reason: packets that passed untracked, a part of host_rx.
    """

    host_rx: int = 0
    host_tx: int = 0
    held: int = 0
    handed: int = 0
    tracked: int = 0
    sw_dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROP_NAMES, 0))
    untracked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(UNTRACKED_NAMES[1:], 0))

    def __add__(self, other: LoopStats) -> LoopStats:
        return LoopStats(
            self.host_rx + other.host_rx, self.host_tx + other.host_tx, self.held + other.held, self.handed + other.handed,
            self.tracked + other.tracked,
            {name: n + other.sw_dropped[name] for name, n in self.sw_dropped.items()},
            {name: n + other.untracked[name] for name, n in self.untracked.items()})


cdef inline uint32_t checksum_flags(uint64_t ol_flags) noexcept nogil:
    """What the NIC says of the checksums, as the tracker wants it; unknown stays unknown."""
    cdef uint32_t flags = 0
    cdef uint64_t l3 = ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK
    cdef uint64_t l4 = ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK
    if l3 == RTE_MBUF_F_RX_IP_CKSUM_GOOD:
        flags |= PKT_L3_GOOD
    elif l3 == RTE_MBUF_F_RX_IP_CKSUM_BAD:
        flags |= PKT_L3_BAD
    if l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD:
        flags |= PKT_L4_GOOD
    elif l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD:
        flags |= PKT_L4_BAD
    return flags


cdef inline void fill(const End *end, rte_mbuf *mbuf, const uint16_t *tags, int n_tags, Packet *packet) noexcept nogil:
    """A received packet as the tracker wants it."""
    cdef int32_t zone = zone_of(&end.zones, tags, n_tags)
    packet.data = rte_pktmbuf_mtod(mbuf)
    packet.length = mbuf.data_len
    packet.flags = checksum_flags(mbuf.ol_flags)
    # Tags without a zone are no way of the NIC's: their connections stay where their packets are.
    packet.port_id = end.port_id if zone != NO_ZONE else CT_OFFLOAD_NO_PORT
    packet.port_generation = end.port_generation
    packet.room = mbuf.buf_len - mbuf.data_off
    packet.zone = <uint16_t> zone if zone != NO_ZONE else 0
    packet.hint = mbuf.hash.fdir.hi if mbuf.ol_flags & RTE_MBUF_F_RX_FDIR_ID else 0
    packet.origin = end.index
    packet.token = <uint64_t> mbuf
    packet.tried = packet.stub = packet.stub_home = packet.directive = 0
    packet.sender = packet.turns = packet.ends_datagram = 0


# Takes those away that another loop has.
cdef uint16_t what_stays(rte_mbuf **mbufs, uint16_t n, Work *work) noexcept nogil:
    cdef uint16_t i, stays = 0
    cdef uint32_t at = 0
    cdef uint32_t tracked = 0
    for i in range(n):
        if work.drop[i] == GONE:
            at += 1
            continue
        if at < work.n_tracked and work.tracked_at[at] == i:
            work.verdicts[tracked] = work.verdicts[at]
            work.tracked_at[tracked] = <uint8_t> stays
            tracked += 1
            at += 1
        mbufs[stays] = mbufs[i]
        work.drop[stays] = work.drop[i]
        stays += 1
    work.n_tracked = tracked
    return stays


cdef bint every(uint64_t token, const void *which) noexcept nogil:
    return True


cdef bint came_by(uint64_t token, const void *ethdev) noexcept nogil:
    return (<rte_mbuf *> token).port == (<const uint16_t *> ethdev)[0]


cdef int set_zone(End *end, tuple tags, int zone) except -1:
    cdef PairZone *pairs
    if len(tags) == 0:
        end.zones.untagged = zone
    elif len(tags) == 1:
        if end.zones.single == NULL:
            end.zones.single = <int32_t *> malloc(N_VLANS * sizeof(int32_t))
            if end.zones.single == NULL:
                raise MemoryError
            memset(end.zones.single, 0xff, N_VLANS * sizeof(int32_t))
        end.zones.single[<int> tags[0]] = zone
    else:
        pairs = <PairZone *> realloc(end.zones.pairs, (end.zones.n_pairs + 1) * sizeof(PairZone))
        if pairs == NULL:
            raise MemoryError
        end.zones.pairs = pairs
        pairs[end.zones.n_pairs].tags[0], pairs[end.zones.n_pairs].tags[1] = tags
        pairs[end.zones.n_pairs].zone = zone
        end.zones.n_pairs += 1
    return 0


cdef class Loop:
    """Receives on its ports, tracks, drops what the policy says, transmits by the peer port.

    Owned by an Engine. The tracker and the layer outlive it. `run_once` is for one thread; where that runs, every other
    call needs the tracker held. Raises UsageError for an index that no port has.
    """

    def __cinit__(self, conntrack: Conntrack, layer: OffloadLayer | None):
        self.conntrack = conntrack
        self.layer = layer
        self.shard = (<Conntrack> conntrack).shard
        self.group = <Group *> self.shard.group
        self.offload = (<OffloadLayer> layer).shard(conntrack.shard_number) if layer is not None else NULL
        self.configure(drop_invalid=True, expire_budget_us=200)
        self.action.commit = True
        self.lines = <Line *> malloc(MAX_LINES * sizeof(Line))
        if self.lines == NULL or not ct_hold_fragments(self.shard):
            raise MemoryError
        self.fragments = <Fragments *> self.shard.fragments
        self.fragments.borrows = self.fragments.in_loop = True

    def configure(
        self, *, drop_invalid: bool, expire_budget_us: int, fragments: FragmentPolicy = FRAGMENTS_TRACK
    ) -> None:
        """What becomes of invalid packets and fragments, how many us a slice of expiry may take; from the next turn on.

        Fragments that are held stay so until their datagram is whole or their time is up.
        """
        self.drop_invalid = drop_invalid
        self.fragment_policy = fragments
        self.expire_budget_us = expire_budget_us

    def add_port(self, ethdev: int, port_id: int, generation: int, queues: int = 1) -> int:
        """Takes a started port in; returns its index in the loop. Packets that arrive before `join` are dropped.

        queues: of software, each way. The loop's own is that of its shard's number; where there is none the loop does not
        receive, and sends by the first.
        """
        cdef End *end
        cdef int index = 0
        self.require_open("add_port")
        while index < self.n_ends and self.ends[index].up:
            index += 1
        if index == MAX_ENDS:
            raise UsageError(f"a loop serves at most {MAX_ENDS} ports", op="add_port")
        end = &self.ends[index]
        free(end.zones.single)
        free(end.zones.pairs)
        memset(end, 0, sizeof(End))
        end.ethdev = ethdev
        end.receives = self.shard.number < <uint32_t> queues
        end.queue = <uint16_t> self.shard.number if end.receives else 0
        end.index = <uint16_t> self.n_ends
        end.shares_queue = self.group != NULL and <uint32_t> queues < self.group.n
        end.peer = -1
        end.port_id = port_id
        end.port_generation = generation
        end.up = True
        self.n_ends = max(self.n_ends, index + 1)
        return index

    def join(self, first: int, second: int) -> None:
        """What arrives at one leaves by the other; the same index twice is a hairpin."""
        if not (0 <= first < self.n_ends and 0 <= second < self.n_ends):
            raise UsageError(f"no such ports in this loop: {first}, {second}", op="join")
        self.ends[first].peer = second
        self.ends[second].peer = first

    def __dealloc__(self):
        for i in range(self.n_ends):
            free(self.ends[i].zones.single)
            free(self.ends[i].zones.pairs)
        free(self.lines)

    def close(self) -> None:
        """Drops what it holds, while the pools of those packets are there and the tracker is open. Idempotent."""
        if self.conntrack.is_closed:
            self.fragments = NULL       # went with it
            return
        if self.fragments != NULL:
            self.let_go(fragments_drop(self.fragments, every, NULL, self.lines), self.shard.now_ms)
            self.fragments = NULL
        self.drop_handed()

    def drop_handed(self) -> None:
        """Drops what other loops handed over and what nobody will take any more."""
        cdef spsc *ring
        cdef uint32_t n
        cdef int i
        if self.group == NULL:
            return
        for i in range(self.group.n):
            if <uint32_t> i == self.shard.number:
                continue
            ring = &self.group.rings[i][self.shard.number]
            n = spsc_ready(ring)
            for k in range(n):
                rte_pktmbuf_free(<rte_mbuf *> (<Packet *> spsc_at(ring, k)).token)
            spsc_release(ring, n)
            self.counts.dropped[<int> DROP_HAND_OVER] += n

    def handed(self) -> int:
        """Packets that other loops handed over and that wait for this one's next turn."""
        cdef int i
        if self.group == NULL or self.conntrack.is_closed:
            return 0
        return sum(spsc_depth(&self.group.rings[i][self.shard.number]) for i in range(self.group.n)
                   if <uint32_t> i != self.shard.number)

    def set_zone(self, index: int, tags: tuple[int, ...], zone: int) -> None:
        """Packets of a port with these VLAN ids, outer first, are in a zone; without tags, zone 0 where nothing is said.

        Tags that are in no zone are tracked in zone 0 and never go to hardware.
        """
        if not 0 <= index < self.n_ends:
            raise UsageError(f"no such port in this loop: {index}", op="set_zone")
        if len(tags) > MAX_TAGS or not all(0 <= tag < N_VLANS for tag in tags) or not 0 <= zone < 65536:
            raise UsageError(f"at most two VLAN ids of 0 to 4095 and a zone of 0 to 65535, not {tags}, {zone}",
                             op="set_zone")
        set_zone(&self.ends[index], tags, zone)

    def set_nat(self, index: int, nat: Nat) -> None:
        """Connections that begin at this port are translated so from now on; Nat() ends that. Others stay as they are."""
        if not 0 <= index < self.n_ends:
            raise UsageError(f"no such port in this loop: {index}", op="set_nat")
        self.ends[index].nat = make_nat(nat)
        self.translates = True

    def set_helpers(self, rules: Sequence[HelperRule]) -> None:
        """Who reads along on connections that begin from now on: of these rules, 16 at most, the first that fits."""
        if len(rules) > MAX_HELPERS:
            raise UsageError(f"{len(rules)} helpers, of {MAX_HELPERS} at most", op="set_helpers")
        for i, chosen in enumerate(rules):
            self.helpers[<int> i] = make_helper(chosen)
        self.action.helpers = self.helpers
        self.action.n_helpers = len(rules)

    def set_tap(self, tap: PacketTap | None) -> None:
        """Copies of what is sent on and dropped go there from now on; None: nowhere. One tap at a time.

        Where a thread runs the loop, between two of its turns only. Raises UsageError where there is a tap already.
        """
        if tap is not None and self.tap != NULL:
            raise UsageError("a capture is running already", op="set_tap", hint="end that one first")
        self.tap = &(<PacketTap> tap).tap if tap is not None else NULL
        self.tapped = tap

    @property
    def is_tapped(self) -> bool:
        """Whether copies go to a tap."""
        return self.tap != NULL

    def set_policy(self, policy: Policy) -> None:
        """What holds for connections that begin from now on. Once a rule translates, packets of all are translated."""
        self.policy = policy
        self.action.policy = &(<Policy> policy).rules if len(policy) else NULL
        self.translates = self.translates or policy.translates

    def remove_port(self, index: int) -> None:
        """Serves this port no more; what was joined with it drops. Fragments from it are dropped."""
        cdef int i
        self.require_open("remove_port")
        if not 0 <= index < self.n_ends:
            raise UsageError(f"no such port in this loop: {index}", op="remove_port")
        for i in range(self.n_ends):
            if self.ends[i].peer == index:
                self.ends[i].peer = -1
        self.ends[index].up = False
        if self.fragments != NULL:
            self.let_go(
                fragments_drop(self.fragments, came_by, &self.ends[index].ethdev, self.lines), self.shard.now_ms
            )

    def run_once(self, now_ms: int) -> int:
        """One turn: a burst from each port, a turn of the layer, a slice of expiry.

        Returns how much was done: packets received, and notices the layer gave. Raises ClosedError after `close`.
        """
        self.require_open("run_once")
        cdef int64_t now = now_ms
        cdef uint32_t done = 0
        with nogil:
            done = self.turn(now)
        return done

    cdef int require_open(self, str op) except -1:
        if self.fragments == NULL or self.conntrack.is_closed:
            raise ClosedError("the loop was closed", op=op)
        return 0

    def serve(self) -> None:
        """Turn after turn by the monotonic clock, on the calling thread, until another calls `stop`.

        Raises ClosedError after `close`.
        """
        self.require_open("serve")
        with nogil:
            self.turns()

    def stop(self) -> None:
        """Ends `serve` after the turn it is in; it can be called again after that."""
        shared_set(&self.stopping, 1)

    def set_eager(self, eager: bool) -> None:
        """True: `serve` turns also while nothing comes, at a whole CPU; else it takes naps of up to 1 ms then."""
        shared_set(&self.is_eager, eager)

    cdef void turns(self) noexcept nogil:
        """Between two turns a visitor may come in; while nothing comes, the naps get longer."""
        cdef uint32_t idle = 0
        cdef uint32_t longest = NAP_LONGEST_US if self.group == NULL else NAP_LONGEST_OF_MANY_US
        cdef Gate *gate = &self.shard.gate
        gate_enter(gate)
        while not shared_get(&self.stopping):
            idle = 0 if self.turn(clock_ms()) else idle + 1
            if idle > IDLE_TURNS and not shared_get(&self.is_eager):
                gate_leave(gate)
                pause_us(min(NAP_US << min((idle - IDLE_TURNS) >> 4, <uint32_t> 8), longest))
                gate_enter(gate)
            else:
                gate_pass(gate)
        gate_leave(gate)
        shared_set(&self.stopping, 0)

    cdef uint32_t turn(self, int64_t now_ms) noexcept nogil:
        cdef rte_mbuf *mbufs[BURST]
        cdef uint32_t done = 0
        cdef uint32_t n_lines
        cdef uint16_t n
        cdef int i
        ct_now(self.shard, now_ms)       # notices of the layer are judged by this turn's time
        for i in range(self.n_ends):
            if not self.ends[i].up or not self.ends[i].receives:
                continue
            n = rte_eth_rx_burst(self.ends[i].ethdev, self.ends[i].queue, mbufs, BURST)
            if n:
                done += n
                self.burst(&self.ends[i], mbufs, n, now_ms)
        if self.group != NULL:
            done += self.take_over(now_ms)
        if self.offload != NULL:
            done += shard_turn(self.offload, now_ms)
        n_lines = fragments_expire(self.fragments, now_ms, DATAGRAMS, 0, self.lines)
        self.let_go(n_lines, now_ms)
        done += n_lines
        ct_expire(self.shard, now_ms, self.expire_budget_us)
        return done

    cdef uint32_t take_over(self, int64_t now_ms) noexcept nogil:
        """A burst of packets from each other loop, which found that they are for this one."""
        cdef Packet packets[BURST]
        cdef uint32_t done = 0, i, n
        for i in range(self.group.n):
            if i == self.shard.number:
                continue
            n = take_handed_over(self.shard, i, BURST, packets)
            if n:
                self.take_from(packets, n, now_ms)
                done += n
        return done

    cdef void take_from(self, const Packet *packets, uint32_t n, int64_t now_ms) noexcept nogil:
        cdef rte_mbuf *mbufs[BURST]
        cdef Work work
        cdef End *end = &self.ends[0]
        cdef uint32_t i
        work.n_tracked = 0
        for i in range(n):
            if work.n_tracked and packets[i].origin != end.index:
                self.judge(end, mbufs, <uint16_t> work.n_tracked, &work, now_ms)
            end = &self.ends[packets[i].origin]
            if is_fragment(&packets[i]):
                if work.n_tracked:
                    self.judge(end, mbufs, <uint16_t> work.n_tracked, &work, now_ms)
                self.fragment(end, <rte_mbuf *> packets[i].token, &packets[i], now_ms)
                continue
            mbufs[work.n_tracked] = <rte_mbuf *> packets[i].token
            work.packets[work.n_tracked] = packets[i]
            work.tracked_at[work.n_tracked] = <uint8_t> work.n_tracked
            work.drop[work.n_tracked] = 0
            work.n_tracked += 1
        if work.n_tracked:
            self.judge(end, mbufs, <uint16_t> work.n_tracked, &work, now_ms)

    cdef void burst(self, End *end, rte_mbuf **mbufs, uint16_t n, int64_t now_ms) noexcept nogil:
        """Judges a burst and sends it on in the order it came: what lies between fragments together, each of them alone."""
        cdef Work work
        cdef Packet packet
        cdef uint16_t tags[MAX_TAGS]
        cdef uint16_t i
        cdef uint16_t first = 0          # of those that were not judged yet
        cdef int kind, n_tags = 0
        self.counts.host_rx += n
        work.n_tracked = 0
        for i in range(n):
            work.drop[i - first] = 0
            if mbufs[i].nb_segs > 1 and rte_pktmbuf_linearize(mbufs[i]) != 0:
                work.drop[i - first] = DROP_NOT_LINEAR + 1
                continue
            kind = classify(rte_pktmbuf_mtod(mbufs[i]), mbufs[i].data_len, tags, &n_tags)
            if kind == UNTRACKED_FRAGMENT:
                fill(end, mbufs[i], tags, n_tags, &packet)
                if not is_fragment(&packet):
                    kind = TRACKED
                elif self.fragment_policy == FRAGMENTS_DROP:
                    work.drop[i - first] = DROP_FRAGMENT + 1
                    continue
                elif self.fragment_policy == FRAGMENTS_TRACK:
                    self.judge(end, mbufs + first, i - first, &work, now_ms)
                    self.counts.tracked += 1
                    if not self.fragment_goes(end, mbufs[i], &packet):
                        self.fragment(end, mbufs[i], &packet, now_ms)
                    first = i + 1
                    continue
            if kind != TRACKED:
                self.counts.untracked[kind] += 1
                continue
            fill(end, mbufs[i], tags, n_tags, &work.packets[work.n_tracked])
            work.tracked_at[work.n_tracked] = <uint8_t> (i - first)
            work.n_tracked += 1
            self.counts.tracked += 1
        self.judge(end, mbufs + first, n - first, &work, now_ms)

    cdef void judge(self, End *end, rte_mbuf **mbufs, uint16_t n, Work *work, int64_t now_ms) noexcept nogil:
        """Tracks what is to be tracked of these packets, and sends all of them on."""
        cdef Action action = self.action
        cdef uint32_t i
        cdef rte_mbuf *mbuf              # no more than an address where another loop has it
        if work.n_tracked:
            action.nat = &end.nat if self.translates else NULL
            ct_burst(self.shard, work.packets, work.n_tracked, &action, now_ms, work.verdicts)
            for i in range(work.n_tracked):
                mbuf = mbufs[work.tracked_at[i]]
                if work.verdicts[i].grown:
                    mbuf.data_len += work.verdicts[i].grown
                    mbuf.pkt_len += work.verdicts[i].grown
                work.drop[work.tracked_at[i]] = self.verdict_drop(&work.verdicts[i])
        if self.group != NULL:
            n = what_stays(mbufs, n, work)
        self.finish(end, mbufs, n, work, now_ms)

    cdef void finish(self, End *end, rte_mbuf **mbufs, uint16_t n, Work *work, int64_t now_ms) noexcept nogil:
        """Shows to the tap what was judged, and sends it on."""
        if self.tap != NULL:
            tap_burst(self.tap, self.shard, <uint8_t> (end - self.ends), mbufs, n, work.tracked_at, work.n_tracked,
                      work.verdicts, work.drop, now_ms)
        self.send(end, mbufs, n, work.drop)
        work.n_tracked = 0

    cdef void fragment(self, End *end, rte_mbuf *mbuf, const Packet *packet, int64_t now_ms) noexcept nogil:
        """Holds a fragment, or sends on all of its datagram."""
        cdef Action action = self.action
        action.nat = &end.nat if self.translates else NULL
        mbuf.port = end.ethdev           # says where it goes once it is let go; not every driver does
        self.let_go(fragments_track(self.shard, packet, <uint64_t> mbuf, 0, &action, now_ms, self.lines), now_ms)

    cdef bint fragment_goes(self, End *end, rte_mbuf *mbuf, const Packet *packet) noexcept nogil:
        """Gives a fragment to the loop that puts together what these two hosts send; False: this one does."""
        cdef Layers layers
        cdef uint32_t home
        if self.group == NULL:
            return False
        find_l3(packet, &layers)
        if layers.l3_size < (20 if layers.family == 4 else 40):
            return False
        if layers.family == 4:
            home = home_of_addresses(self.group, packet.data + layers.l3 + 12, 8)
        else:
            home = home_of_addresses(self.group, packet.data + layers.l3 + 8, 32)
        if home == self.shard.number:
            return False
        if not hand_over_fragment(self.shard, packet, home):
            self.counts.dropped[<int> DROP_HAND_OVER] += 1
            rte_pktmbuf_free(mbuf)
        return True

    cdef uint32_t datagram_goes(self, uint32_t first, uint32_t n) noexcept nogil:
        """Gives all fragments of a datagram to the loop that has its connection; returns how many they are."""
        cdef const Verdict *verdict = &self.lines[first].verdict
        cdef uint16_t tags[MAX_TAGS]
        cdef Packet packet
        cdef rte_mbuf *mbuf
        cdef uint32_t size = 1, i
        cdef int n_tags = 0
        cdef bint fits
        while (first + size < n and self.lines[first + size].kind == LINE_VERDICT
               and not self.lines[first + size].verdict.state and self.lines[first + size].verdict.conn_id == verdict.conn_id):
            size += 1
        fits = has_room_for_fragments(self.shard, size, verdict)
        for i in range(first, first + size):
            mbuf = <rte_mbuf *> self.lines[i].token
            if fits:
                classify(rte_pktmbuf_mtod(mbuf), mbuf.data_len, tags, &n_tags)
                fill(self.end_of(mbuf.port), mbuf, tags, n_tags, &packet)
                hand_over_with_others(self.shard, &packet, i == first + size - 1, verdict)
            else:
                self.counts.dropped[<int> DROP_HAND_OVER] += 1
                rte_pktmbuf_free(mbuf)
        return size

    cdef void let_go(self, uint32_t n, int64_t now_ms) noexcept nogil:
        """Sends on or drops what the fragment tracker says, each by the other side of the port it came by."""
        cdef rte_mbuf *mbufs[BURST]
        cdef Work work
        cdef uint32_t i = 0
        work.n_tracked = 0
        while i < n:
            if self.lines[i].kind == LINE_HELD or self.is_gone(&self.lines[i]):
                i += 1
                continue
            if self.lines[i].kind == LINE_VERDICT and not self.lines[i].verdict.state and self.lines[i].verdict.conn_id:
                i += self.datagram_goes(i, n)
                continue
            if work.n_tracked == BURST or (work.n_tracked and mbufs[0].port != (<rte_mbuf *> self.lines[i].token).port):
                self.finish(self.end_of(mbufs[0].port), mbufs, work.n_tracked, &work, now_ms)
            mbufs[work.n_tracked] = <rte_mbuf *> self.lines[i].token
            work.tracked_at[work.n_tracked] = <uint8_t> work.n_tracked
            work.verdicts[work.n_tracked] = self.lines[i].verdict
            work.drop[work.n_tracked] = self.drop_of(&self.lines[i])
            work.n_tracked += 1
            i += 1
        if work.n_tracked:
            self.finish(self.end_of(mbufs[0].port), mbufs, work.n_tracked, &work, now_ms)

    cdef bint is_gone(self, const Line *line) noexcept nogil:
        """A packet that was no fragment after all, and is for another loop."""
        return line.kind == LINE_VERDICT and not (line.verdict.state or line.verdict.conn_id or line.verdict.reason)

    cdef uint8_t drop_of(self, const Line *line) noexcept nogil:
        """Drop + 1 of what the fragment tracker says, 0 where it is sent on."""
        if line.kind == LINE_EVICTED:
            return DROP_EVICTED + 1
        if line.kind != LINE_VERDICT:
            return DROP_INCOMPLETE + 1
        return self.verdict_drop(&line.verdict)

    cdef uint8_t verdict_drop(self, const Verdict *verdict) noexcept nogil:
        """Drop + 1 of what the tracker says, 0 where it is sent on, GONE where another loop has it."""
        if not verdict.state:
            return DROP_HAND_OVER + 1 if verdict.reason else GONE
        if verdict.reason == REFUSED_DENIED:
            return DROP_DENIED + 1
        return DROP_INVALID + 1 if self.drop_invalid and verdict.state & CS_INVALID else 0

    cdef End *end_of(self, uint16_t ethdev) noexcept nogil:
        """The port of that number; the first one where it is gone."""
        cdef int i
        for i in range(self.n_ends - 1, 0, -1):
            if self.ends[i].ethdev == ethdev and self.ends[i].up:
                return &self.ends[i]
        return &self.ends[0]

    cdef void send(self, End *end, rte_mbuf **mbufs, uint16_t n, const uint8_t *drop) noexcept nogil:
        cdef rte_mbuf *out[BURST]
        cdef uint16_t n_out = 0, sent = 0, i
        cdef End *peer = &self.ends[end.peer] if end.peer >= 0 and self.ends[end.peer].up else NULL
        for i in range(n):
            if drop[i]:
                self.counts.dropped[drop[i] - 1] += 1
                rte_pktmbuf_free(mbufs[i])
            elif peer == NULL:
                self.counts.dropped[<int> DROP_NO_PEER] += 1
                rte_pktmbuf_free(mbufs[i])
            else:
                out[n_out] = mbufs[i]
                n_out += 1
        if n_out:
            if peer.shares_queue:
                spin_take(&self.group.tx_lock[peer.index])
            sent = rte_eth_tx_burst(peer.ethdev, peer.queue, out, n_out)
            if peer.shares_queue:
                spin_give(&self.group.tx_lock[peer.index])
            self.counts.host_tx += sent
            self.counts.dropped[<int> DROP_TX_FULL] += n_out - sent
            for i in range(sent, n_out):
                rte_pktmbuf_free(out[i])

    def stats(self) -> LoopStats:
        """Packets since the loop was made."""
        handed = self.handed()
        return LoopStats(
            host_rx=self.counts.host_rx,
            host_tx=self.counts.host_tx,
            held=(self.fragments.n_held if self.fragments != NULL else 0) + handed,
            handed=handed,
            tracked=self.counts.tracked,
            sw_dropped={name: self.counts.dropped[i] for i, name in enumerate(DROP_NAMES)},
            untracked={name: self.counts.untracked[i] for i, name in enumerate(UNTRACKED_NAMES) if name},
        )
