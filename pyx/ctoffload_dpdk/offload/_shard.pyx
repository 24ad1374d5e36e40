"""The state of each connection that was ever offered, and the steps by which what is wanted becomes what is reached.

A connection has at most one outstanding operation. Events only change what is wanted; each completion starts the next.
"""
from libc.errno cimport ENOENT, ENOSPC, EOPNOTSUPP, EPERM
from libc.stdint cimport int32_t
from libc.string cimport memcmp, memcpy, memset

from ctoffload_dpdk.offload._eligibility cimport Policy, policy_against_add, policy_against_install
from ctoffload_dpdk.offload._lane cimport (
    EVENT_TYPE, LANE_DEL, Lane, N_LANE_CLASSES, STALL_NONE, STALL_QUARANTINED, STALL_RETURNED, STALL_SEEN, Tag, Told,
    event_counts, lane_cancel, lane_context, lane_has_room, lane_send, lane_settle, lane_settled)
from ctoffload_dpdk.offload._orphans cimport (
    NO_ORPHAN, ORPHAN_ATTEMPTS_MAX, ORPHAN_BUSY, ORPHAN_IDLE, Orphan, Orphans, orphan_add, orphan_has_tuple,
    orphan_remove, orphans_fini)
from ctoffload_dpdk.offload._worker cimport UNCERTAIN
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_EVENT_AGED, CT_OFFLOAD_EVENT_LOST, CT_OFFLOAD_F_NEW, CT_OFFLOAD_ID, CT_OFFLOAD_ID_GENERATION, CT_OFFLOAD_ID_SLOT,
    CT_OFFLOAD_MAX_PROVIDERS, CT_OFFLOAD_N_REASONS, CT_OFFLOAD_NO_PORT, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL,
    CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW, CT_OFFLOAD_R_CONTEXT, CT_OFFLOAD_R_COUNTED,
    CT_OFFLOAD_REASON_DISABLED, CT_OFFLOAD_REASON_INSERT_FAILED,
    CT_OFFLOAD_REASON_NO_LAST_USED, CT_OFFLOAD_REASON_NO_PROVIDER, CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_REASON_NOT_ESTABLISHED,
    CT_OFFLOAD_REASON_PENDING_DELETE, CT_OFFLOAD_REASON_POLICY, CT_OFFLOAD_REASON_PORT_DOWN,
    CT_OFFLOAD_REASON_PROVIDER_REFUSED, CT_OFFLOAD_REASON_PROVIDER_STALLED, CT_OFFLOAD_REASON_RATE_LIMITED,
    CT_OFFLOAD_REASON_TABLE_FULL, ct_offload_ctx, ct_offload_op, ct_offload_port)
from ctoffload_dpdk.offload.libspsc cimport (
    clock_us, pages_free, pages_new, shared_add, shared_get, shared_set, shared_swap_if, shared_time_get, shared_word,
    spsc, spsc_at, spsc_entry, spsc_published, spsc_ready, spsc_release)

cdef extern from "<errno.h>" nogil:
    int ECANCELED

cdef extern from * nogil:
    int lowest_bit "__builtin_ctz"(unsigned int word)
    void prefetch "__builtin_prefetch"(const void *address)

cdef enum:
    NIL = 0xffffffff
    NO_OP = 0xff
    NOBODY = 0xff
    AHEAD = 8                # connections between fetching one and serving it
    SCAN = 64                # entries of a waiting list looked at past the first that cannot go on
    WALK_SLICE = 4096        # slots of a walk per turn
    DEL_ATTEMPTS_MAX = 12
    FULL_RETRY_MS = 1000
    PACKETS_RETRY_MS = 100
    LOST_RETRY_MS = 1000
    LOST_DOUBLINGS_MAX = 10  # 1 s to 17 min
    WINDOW_READS_DEFAULT = 1000

# What a connection is waiting to be asked: bits of Slot.asks.
cdef enum:
    ASKS_SAMPLE = 1
    ASKS_WINDOW = 2          # before its removal

cdef enum:
    LIST_NONE = 0
    LIST_DEL = 1
    LIST_ADD = 2
    LIST_QUERY = 3
    LIST_LATER = 4           # to be tried again at due_ms
    LIST_FULL = 5            # table-full: tried again when a removal completes
    LIST_RATE = 6            # waits for a token
    N_LISTS = 7

# What a connection keeps of its tuple while it is held: nothing, its hash, a place in the table of those that leave.
cdef enum:
    HOLDS_NOTHING = 0
    HOLDS_TUPLE = 1
    HOLDS_PLACE = 2

# One cache line per connection; zeroes mean: never offered.
cdef struct Slot:
    uint64_t handle          # of provider `first`; those of others are in the side table
    uint32_t generation
    uint32_t next            # links of the waiting list
    uint32_t prev
    uint32_t tuple_next      # chain of those that leave, by hash
    uint32_t tuple_hash
    uint32_t due_ms          # LIST_LATER: low 32 bits
    int32_t error
    uint16_t reason
    uint8_t wanted
    uint8_t reached
    uint8_t op               # type of the outstanding operation + 1; 0: none
    uint8_t list
    uint8_t owners           # bit per provider that accepted it
    uint8_t todo             # bit per provider the operation was not handed to yet
    uint8_t waiting          # bit per provider that has not answered yet
    uint8_t failed           # bit per provider whose answer was an error
    uint8_t first
    uint8_t flags            # CT_OFFLOAD_R_* of all owners
    uint8_t undo             # notice to give when nothing is left: REFUSED or LOST; 0: none
    uint8_t asks             # ASKS_*
    uint8_t attempts         # of a removal
    uint8_t parked           # refused for a reason that passes; the wish is kept
    uint8_t holds            # HOLDS_*
    uint8_t installed        # bit per owner that has it in the NIC
    uint8_t many             # the outstanding operation went to more than one provider
    uint8_t told             # its owner knows that it is refused
    uint8_t has_token        # may be installed as far as the rate goes
    uint8_t contexts         # bit per owner that can read its window back
    uint8_t losses           # times it was not taken again since its rules were lost, and one; 0: they were not

# The answers to one question, as far as they came.
cdef struct Sample:
    int64_t last_used_ms
    int64_t sampled_ms
    int error
    uint16_t reason

# Touched only for connections that more than one provider holds or may hold.
cdef struct Side:
    uint64_t handle[8]
    Sample sample

cdef struct Chain:
    uint32_t head
    uint32_t tail

cdef struct OffloadShard:
    Slot *slots
    Side *sides
    uint32_t *buckets        # slot + 1 by tuple hash, of those that leave
    uint32_t n_places        # of them
    uint32_t bucket_mask
    uint32_t max_slots
    uint32_t shard
    uint32_t touched
    Chain lists[7]
    Lane *lanes[8]
    Sample sample            # of the question that the one provider asked has answered
    ConnTable table
    Control own_control
    Control *control
    uint32_t walk_epoch
    uint32_t walk_at
    bint walking
    bint walk_flushes
    uint32_t flushes
    int64_t now_ms
    uint32_t now_us
    int64_t full_since_ms    # when one that waits for room was last let go on
    uint32_t given           # notices of this turn
    shared_word turns
    uint64_t (*packets)(void *user, uint64_t conn_id) noexcept nogil
    double tokens
    int64_t tokens_at_ms
    double reads             # windows asked for and not yet forgotten, at the rate of the budget
    int64_t reads_at_ms
    Orphans orphans
    ShardCount count
    uint32_t targets         # bit per provider that takes new connections in this turn
    Lane *alone              # of the one provider that is asked; NULL: of several
    ct_offload_ctx *ctx      # the one last filled: in its request, or
    ct_offload_ctx common    # copied for each of several providers
    ct_offload_port seen_ports[2]    # looked at last, and what was found
    uint32_t seen_epoch
    uint16_t seen_refusal


include "shard_lists.pxi"
include "shard_notices.pxi"
include "shard_offer.pxi"
include "shard_windows.pxi"
include "shard_answers.pxi"
include "shard_stalls.pxi"
include "shard_switch.pxi"


# --- making and attaching --------------------------------------------------------------------------------------------

cdef OffloadShard *shard_new(uint32_t shard, uint32_t max_slots) noexcept nogil:
    cdef OffloadShard *s = <OffloadShard *> pages_new(sizeof(OffloadShard))
    cdef uint32_t n_buckets = 1024
    cdef int i
    if s == NULL:
        return NULL
    while n_buckets < max_slots and n_buckets < 0x80000000u:
        n_buckets <<= 1
    s.shard = shard
    s.max_slots = max_slots
    s.bucket_mask = n_buckets - 1
    s.slots = <Slot *> pages_new(<size_t> max_slots * sizeof(Slot))
    s.sides = <Side *> pages_new(<size_t> max_slots * sizeof(Side))
    s.buckets = <uint32_t *> pages_new(<size_t> n_buckets * sizeof(uint32_t))
    for i in range(N_LISTS):
        s.lists[i].head = NIL
        s.lists[i].tail = NIL
    shared_set(&s.own_control.enabled, 1)
    shared_set(&s.own_control.window_reads, WINDOW_READS_DEFAULT)
    s.ctx = &s.common
    shard_set_control(s, NULL)
    if s.slots == NULL or s.sides == NULL or s.buckets == NULL:
        shard_free(s)
        return NULL
    return s


cdef void shard_free(OffloadShard *s) noexcept nogil:
    if s == NULL:
        return
    pages_free(s.slots, <size_t> s.max_slots * sizeof(Slot))
    pages_free(s.sides, <size_t> s.max_slots * sizeof(Side))
    orphans_fini(&s.orphans)
    pages_free(s.buckets, <size_t> (s.bucket_mask + 1) * sizeof(uint32_t))
    pages_free(s, sizeof(OffloadShard))


cdef void shard_attach(OffloadShard *s, ConnTable table) noexcept nogil:
    s.table = table


cdef void shard_set_packets(OffloadShard *s,
                            uint64_t (*packets)(void *user, uint64_t conn_id) noexcept nogil) noexcept nogil:
    s.packets = packets


cdef void shard_set_control(OffloadShard *s, Control *control) noexcept nogil:
    s.control = control if control != NULL else &s.own_control
    s.seen_epoch = shared_get(&s.control.epoch) - 1


cdef void shard_set_lane(OffloadShard *s, int provider, Lane *lane) noexcept nogil:
    s.lanes[provider] = lane


cdef Lane *shard_lane(OffloadShard *s, int provider) noexcept nogil:
    return s.lanes[provider]


# --- what the packet path calls --------------------------------------------------------------------------------------

cdef inline bint is_held(const Slot *slot) noexcept nogil:
    return slot.op != 0 or slot.owners != 0 or slot.undo != 0


cdef bint adopt(OffloadShard *s, uint32_t index, Slot *slot, uint32_t generation) noexcept nogil:
    """Takes the slot for a new connection; False while the old one is still held."""
    if is_held(slot):
        return False
    unlink(s, slot)
    memset(slot, 0, sizeof(Slot))
    slot.generation = generation
    slot.first = NOBODY
    if index >= s.touched:
        s.touched = index + 1
    return True


cdef void shard_want(OffloadShard *s, uint64_t conn_id, int want, uint16_t reason) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef uint32_t generation = CT_OFFLOAD_ID_GENERATION(conn_id)
    cdef Slot *slot
    s.count.wanted += 1
    if index >= s.max_slots:
        s.count.stale += 1
        return
    slot = &s.slots[index]
    # first is never 0 in a slot that was adopted with nothing held, so a zeroed slot of generation 0 is told apart.
    if slot.generation != generation or index >= s.touched:
        if want == WANT_OUT or not adopt(s, index, slot, generation):
            s.count.stale += 1
            return
    slot.wanted = want
    slot.parked = 0
    slot.told = 0
    slot.asks &= ~<uint32_t> ASKS_WINDOW
    if want == WANT_OUT:
        slot.losses = 0
        because(slot, reason)
        now_leaving(s, slot)
    if slot.op == 0:
        link(s, index, slot, next_list(slot))


cdef void shard_query(OffloadShard *s, uint64_t conn_id) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef Slot *slot
    if index >= s.touched or s.slots[index].generation != CT_OFFLOAD_ID_GENERATION(conn_id):
        s.count.stale += 1
        return
    slot = &s.slots[index]
    if slot.asks & ASKS_SAMPLE:
        return
    slot.asks |= ASKS_SAMPLE
    if slot.op == 0 and slot.list == LIST_NONE:
        link(s, index, slot, LIST_QUERY)


cdef bint shard_holds(OffloadShard *s, uint32_t slot) noexcept nogil:
    return slot < s.touched and is_held(&s.slots[slot])


cdef uint16_t shard_reason(OffloadShard *s, uint32_t slot) noexcept nogil:
    return s.slots[slot].reason if slot < s.touched else 0


cdef int shard_reached(OffloadShard *s, uint32_t slot) noexcept nogil:
    return s.slots[slot].reached if slot < s.touched else <int> WANT_OUT


cdef int shard_wanted(OffloadShard *s, uint32_t slot) noexcept nogil:
    return s.slots[slot].wanted if slot < s.touched else <int> WANT_OUT


cdef bint shard_pending(OffloadShard *s, uint32_t slot) noexcept nogil:
    return slot < s.touched and s.slots[slot].op != 0


cdef int shard_errno(OffloadShard *s, uint32_t slot) noexcept nogil:
    return s.slots[slot].error if slot < s.touched else 0


cdef Standing standing_unasked(OffloadShard *s, uint16_t *reason) noexcept nogil:
    """Of a connection that was never offered: the gate was shut when it began. Once it is open, the table offers it."""
    if not shared_get(&s.control.enabled):
        reason[0] = CT_OFFLOAD_REASON_DISABLED
        return STANDS_OUT
    if not shared_get(&s.control.active):
        reason[0] = CT_OFFLOAD_REASON_NO_PROVIDER
        return STANDS_OUT
    return STANDS_PENDING


cdef Standing shard_standing(OffloadShard *s, uint64_t conn_id, uint16_t *reason, int *error) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef const Slot *slot
    reason[0] = CT_OFFLOAD_REASON_NONE
    error[0] = 0
    if index >= s.touched or s.slots[index].generation != CT_OFFLOAD_ID_GENERATION(conn_id):
        return standing_unasked(s, reason)
    slot = &s.slots[index]
    reason[0] = slot.reason
    error[0] = slot.error
    if slot.reached == WANT_INSTALLED:
        return STANDS_IN                 # a reason is why it is about to come out
    # What is wanted added alone is not established: nothing else keeps it out.
    if slot.wanted == WANT_ADDED and not slot.reason:
        reason[0] = CT_OFFLOAD_REASON_NOT_ESTABLISHED
    if slot.op or (slot.wanted == WANT_INSTALLED and not slot.reason):
        return STANDS_PENDING
    return STANDS_OUT


cdef uint8_t shard_owners(OffloadShard *s, uint32_t slot) noexcept nogil:
    return s.slots[slot].owners if slot < s.touched else 0


cdef uint64_t shard_handle(OffloadShard *s, uint32_t slot, int provider) noexcept nogil:
    return handle_of(s, slot, &s.slots[slot], provider) if slot < s.touched else 0


cdef const ShardCount *shard_count(OffloadShard *s) noexcept nogil:
    return &s.count


cdef uint32_t shard_touched(OffloadShard *s) noexcept nogil:
    return s.touched


cdef bint shard_enabled(OffloadShard *s) noexcept nogil:
    return shared_get(&s.control.enabled) != 0 and shared_get(&s.control.active) != 0


cdef uint32_t shard_epoch(OffloadShard *s) noexcept nogil:
    return shared_get(&s.control.epoch)


cdef uint32_t shard_walk_left(OffloadShard *s) noexcept nogil:
    if s.walk_epoch != shared_get(&s.control.epoch):
        return s.touched
    return s.touched - s.walk_at if s.walking and s.walk_at < s.touched else 0


cdef uint32_t shard_turns(OffloadShard *s) noexcept nogil:
    return shared_get(&s.turns)


# --- one turn --------------------------------------------------------------------------------------------------------

cdef uint32_t shard_turn(OffloadShard *s, int64_t now_ms) noexcept nogil:
    cdef int p
    s.now_ms = now_ms
    s.now_us = clock_us()
    s.given = 0
    shared_add(&s.turns, 1)
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if s.lanes[p] != NULL:
            take_results(s, p, s.lanes[p])
            watch_lane(s, p, s.lanes[p])
    walk(s)
    serve_later(s)
    serve_full(s)
    serve_rate(s)
    serve(s, LIST_DEL, CT_OFFLOAD_OP_DEL)
    serve(s, LIST_ADD, CT_OFFLOAD_OP_ADD)
    serve(s, LIST_QUERY, CT_OFFLOAD_OP_UPD)
    return s.given
