"""The state of each connection that was ever offered, and the steps by which what is wanted becomes what is reached.

A connection has at most one outstanding operation. Events only change what is wanted; each completion starts the next step.
"""
from libc.errno cimport ENOENT, ENOSPC, EOPNOTSUPP, EPERM
from libc.stdint cimport int32_t
from libc.string cimport memset

from ctoffload_dpdk.offload._eligibility cimport Policy, policy_against_add, policy_against_install
from ctoffload_dpdk.offload._lane cimport (
    EVENT_TYPE, LANE_DEL, Lane, N_LANE_CLASSES, STALL_NONE, STALL_QUARANTINED, STALL_RETURNED, STALL_SEEN, Tag,
    lane_cancel, lane_has_room, lane_send, lane_settle)
from ctoffload_dpdk.offload._orphans cimport (
    NO_ORPHAN, ORPHAN_ATTEMPTS_MAX, ORPHAN_BUSY, ORPHAN_IDLE, Orphan, Orphans, orphan_add, orphan_has_tuple,
    orphan_remove, orphans_fini)
from ctoffload_dpdk.offload._worker cimport UNCERTAIN
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_EVENT_AGED, CT_OFFLOAD_EVENT_LOST, CT_OFFLOAD_ID, CT_OFFLOAD_ID_GENERATION, CT_OFFLOAD_ID_SLOT,
    CT_OFFLOAD_MAX_PROVIDERS, CT_OFFLOAD_N_REASONS, CT_OFFLOAD_NO_PORT, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST,
    CT_OFFLOAD_OP_UPD, CT_OFFLOAD_REASON_DISABLED, CT_OFFLOAD_REASON_INSERT_FAILED, CT_OFFLOAD_REASON_NO_LAST_USED,
    CT_OFFLOAD_REASON_NO_PROVIDER, CT_OFFLOAD_REASON_NONE, CT_OFFLOAD_REASON_PENDING_DELETE,
    CT_OFFLOAD_REASON_POLICY, CT_OFFLOAD_REASON_PORT_DOWN, CT_OFFLOAD_REASON_PROVIDER_REFUSED, CT_OFFLOAD_REASON_PROVIDER_STALLED,
    CT_OFFLOAD_REASON_RATE_LIMITED, CT_OFFLOAD_REASON_TABLE_FULL, ct_offload_ctx, ct_offload_op)
from ctoffload_dpdk.offload.libspsc cimport (
    clock_us, pages_free, pages_new, shared_add, shared_get, shared_set, shared_swap_if, shared_time_get, shared_word,
    spsc_at, spsc_entry, spsc_published, spsc_ready, spsc_release)

cdef extern from "<errno.h>" nogil:
    int ECANCELED

cdef enum:
    NIL = 0xffffffff
    NO_OP = 0xff
    NOBODY = 0xff
    SCAN = 64                # entries of a waiting list looked at past the first that cannot go on
    WALK_SLICE = 4096        # slots of a walk per turn
    DEL_ATTEMPTS_MAX = 12
    FULL_RETRY_MS = 1000
    PACKETS_RETRY_MS = 100

cdef enum:
    LIST_NONE = 0
    LIST_DEL = 1
    LIST_ADD = 2
    LIST_QUERY = 3
    LIST_LATER = 4           # to be tried again at due_ms
    LIST_FULL = 5            # table-full: tried again when a removal completes
    LIST_RATE = 6            # waits for a token
    N_LISTS = 7

# One cache line per connection; zeroes mean: never offered.
cdef struct Slot:
    uint64_t handle          # of provider `first`; those of others are in the side table
    uint32_t generation
    uint32_t next            # links of the waiting list
    uint32_t prev
    uint32_t tuple_next      # chain of held tuples, by hash
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
    uint8_t queried
    uint8_t attempts         # of a removal
    uint8_t parked           # refused for a reason that passes; the wish is kept
    uint8_t is_hashed
    uint8_t installed        # bit per owner that has it in the NIC
    uint8_t many             # the outstanding operation went to more than one provider
    uint8_t told             # its owner knows that it is refused
    uint8_t has_token        # may be installed as far as the rate goes
    uint8_t pad[1]

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
    uint32_t *buckets        # slot + 1 by tuple hash
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
    Orphans orphans
    ShardCount count
    ct_offload_ctx ctx       # filled once, copied per provider


# --- making and attaching -------------------------------------------------------------------------------------------

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
    s.control = &s.own_control
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


cdef void shard_set_packets(OffloadShard *s, uint64_t (*packets)(void *user, uint64_t conn_id) noexcept nogil) noexcept nogil:
    s.packets = packets


cdef void shard_set_control(OffloadShard *s, Control *control) noexcept nogil:
    s.control = control if control != NULL else &s.own_control


cdef void shard_set_lane(OffloadShard *s, int provider, Lane *lane) noexcept nogil:
    s.lanes[provider] = lane


cdef Lane *shard_lane(OffloadShard *s, int provider) noexcept nogil:
    return s.lanes[provider]


# --- the waiting lists ----------------------------------------------------------------------------------------------

cdef inline void unlink(OffloadShard *s, Slot *slot) noexcept nogil:
    cdef Chain *chain = &s.lists[slot.list]
    if slot.list == LIST_NONE:
        return
    if slot.prev != NIL:
        s.slots[slot.prev].next = slot.next
    else:
        chain.head = slot.next
    if slot.next != NIL:
        s.slots[slot.next].prev = slot.prev
    else:
        chain.tail = slot.prev
    s.count.waiting[slot.list] -= 1
    slot.list = LIST_NONE


cdef inline void link(OffloadShard *s, uint32_t index, Slot *slot, uint8_t which) noexcept nogil:
    """Puts the slot at the end of a list, taking it off the one it is on."""
    cdef Chain *chain
    if slot.list == which:
        return
    if slot.list != LIST_NONE:
        unlink(s, slot)
    if which == LIST_NONE:
        return
    chain = &s.lists[which]
    slot.list = which
    slot.next = NIL
    slot.prev = chain.tail
    if chain.tail != NIL:
        s.slots[chain.tail].next = index
    else:
        chain.head = index
    chain.tail = index
    s.count.waiting[which] += 1
    if s.count.waiting[which] > s.count.waiting_high_water[which]:
        s.count.waiting_high_water[which] = s.count.waiting[which]


cdef inline uint8_t next_list(Slot *slot) noexcept nogil:
    """Where a slot without outstanding operation belongs: removals first, a question last."""
    if slot.undo or slot.wanted < slot.reached:
        return LIST_DEL
    if slot.wanted > slot.reached:
        return LIST_NONE if slot.parked else LIST_ADD
    return LIST_QUERY if slot.queried else LIST_NONE


cdef void link_later(OffloadShard *s, uint32_t index, Slot *slot, uint32_t delay_ms) noexcept nogil:
    slot.due_ms = <uint32_t> s.now_ms + delay_ms
    link(s, index, slot, LIST_LATER)


# --- what the packet path calls -------------------------------------------------------------------------------------

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
    if want == WANT_OUT:
        slot.reason = reason
    if slot.op == 0:
        link(s, index, slot, next_list(slot))


cdef void shard_query(OffloadShard *s, uint64_t conn_id) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef Slot *slot
    if index >= s.touched or s.slots[index].generation != CT_OFFLOAD_ID_GENERATION(conn_id):
        s.count.stale += 1
        return
    slot = &s.slots[index]
    if slot.queried:
        return
    slot.queried = 1
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


# --- handles and tuples ---------------------------------------------------------------------------------------------

cdef inline uint64_t handle_of(OffloadShard *s, uint32_t index, const Slot *slot, int provider) noexcept nogil:
    return slot.handle if slot.first == provider else s.sides[index].handle[provider]


cdef void keep_handle(OffloadShard *s, uint32_t index, Slot *slot, int provider, uint64_t handle) noexcept nogil:
    if slot.first == NOBODY or slot.first == provider:
        slot.first = provider
        slot.handle = handle
    else:
        s.sides[index].handle[provider] = handle


cdef uint32_t hash_tuple(const ct_offload_ctx *ctx) noexcept nogil:
    """32 bits over what tells one connection from another: original tuple, zone, protocol."""
    cdef const uint32_t *words = <const uint32_t *> &ctx.tuple[0]
    cdef uint64_t h = (<uint64_t> ctx.zone << 32) ^ (<uint64_t> ctx.eth_type << 8) ^ ctx.proto
    cdef int i
    for i in range(<int> (sizeof(ctx.tuple[0]) // 4)):
        h = (h ^ words[i]) * <uint64_t> 0x9E3779B97F4A7C15u
        h ^= h >> 29
    return <uint32_t> (h >> 32) ^ <uint32_t> h


cdef void hold_tuple(OffloadShard *s, uint32_t index, Slot *slot, uint32_t hash) noexcept nogil:
    cdef uint32_t *bucket = &s.buckets[hash & s.bucket_mask]
    slot.tuple_hash = hash
    slot.tuple_next = bucket[0]
    slot.is_hashed = 1
    bucket[0] = index + 1


cdef void forget_tuple(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    cdef uint32_t *link_ = &s.buckets[slot.tuple_hash & s.bucket_mask]
    if not slot.is_hashed:
        return
    while link_[0] != index + 1:
        link_ = &s.slots[link_[0] - 1].tuple_next
    link_[0] = slot.tuple_next
    slot.is_hashed = 0


cdef bint is_tuple_leaving(OffloadShard *s, uint32_t index, uint32_t hash) noexcept nogil:
    """True while the rules of an older connection with this tuple are not gone yet."""
    cdef uint32_t at = s.buckets[hash & s.bucket_mask]
    cdef Slot *other
    while at:
        other = &s.slots[at - 1]
        if other.tuple_hash == hash and at - 1 != index and (other.wanted == WANT_OUT or other.undo):
            return True
        at = other.tuple_next
    return False


# --- notices --------------------------------------------------------------------------------------------------------

cdef void give(OffloadShard *s, uint32_t index, const Slot *slot, uint32_t kind, int error, uint16_t reason,
               int64_t last_used_ms, int64_t sampled_ms) noexcept nogil:
    cdef Notice notice
    notice.conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
    notice.kind = kind
    notice.error = error
    notice.reason = reason
    notice.flags = slot.flags
    notice.last_used_ms = last_used_ms
    notice.sampled_ms = sampled_ms
    s.given += 1
    s.count.notices[kind] += 1
    if s.table.notice != NULL:
        s.table.notice(s.table.user, &notice)


cdef inline bint passes(uint16_t reason) noexcept nogil:
    """Reasons that go away by themselves: the wish is kept."""
    return (reason == CT_OFFLOAD_REASON_DISABLED or reason == CT_OFFLOAD_REASON_NO_PROVIDER
            or reason == CT_OFFLOAD_REASON_TABLE_FULL or reason == CT_OFFLOAD_REASON_PROVIDER_STALLED
            or reason == CT_OFFLOAD_REASON_PORT_DOWN)


cdef void finish_out(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """Nothing is left of it anywhere: says so, and lets those go on that waited for the room."""
    cdef uint8_t undo = slot.undo, was_reached = slot.reached
    forget_tuple(s, index, slot)
    slot.op = 0
    slot.reached = WANT_OUT
    s.count.leaving -= slot.undo != 0
    slot.undo = 0
    slot.queried = 0
    slot.attempts = 0
    slot.has_token = 0
    slot.first = NOBODY
    slot.flags = 0
    unlink(s, slot)
    if undo and slot.wanted != WANT_OUT:
        give_up(s, index, slot, undo, was_reached != WANT_OUT)
    else:
        link(s, index, slot, next_list(slot))
        give(s, index, slot, NOTICE_OUT, 0, slot.reason, 0, 0)
    # One that found the table full itself has made no room.
    if was_reached != WANT_OUT and not (undo and slot.reason == CT_OFFLOAD_REASON_TABLE_FULL):
        wake_full(s)


cdef void give_up(OffloadShard *s, uint32_t index, Slot *slot, uint8_t undo, bint was_reached) noexcept nogil:
    """It is out against its owner's wish: the wish is kept where the reason passes, and dropped otherwise."""
    s.count.refused[slot.reason % CT_OFFLOAD_N_REASONS] += 1
    if undo != NOTICE_REFUSED or not passes(slot.reason):
        slot.wanted = WANT_OUT
    elif slot.reason == CT_OFFLOAD_REASON_TABLE_FULL:
        slot.parked = 1
        if s.lists[LIST_FULL].head == NIL:
            s.full_since_ms = s.now_ms
        link(s, index, slot, LIST_FULL)
    elif was_reached:
        link(s, index, slot, LIST_ADD)    # the reason may have passed while it came out
    else:
        slot.parked = 1
    if undo != NOTICE_REFUSED or not slot.told:
        slot.told = undo == NOTICE_REFUSED
        give(s, index, slot, undo, slot.error, slot.reason, 0, 0)


cdef void wake_full(OffloadShard *s) noexcept nogil:
    cdef uint32_t index = s.lists[LIST_FULL].head
    cdef Slot *slot
    if index == NIL:
        return
    slot = &s.slots[index]
    slot.parked = 0
    link(s, index, slot, next_list(slot))
    s.full_since_ms = s.now_ms


cdef void start_undo(OffloadShard *s, Slot *slot, uint8_t kind, int error, uint16_t reason) noexcept nogil:
    """From now on there is no way but out; the first cause stands."""
    if slot.undo:
        return
    slot.undo = kind
    slot.error = error
    slot.reason = reason
    s.count.leaving += 1


cdef void refuse(OffloadShard *s, uint32_t index, Slot *slot, int error, uint16_t reason) noexcept nogil:
    """Undoes what was reached, then says why."""
    slot.op = 0
    start_undo(s, slot, NOTICE_REFUSED, error, reason)
    if slot.owners:
        link(s, index, slot, LIST_DEL)
    else:
        finish_out(s, index, slot)


# --- handing operations to providers --------------------------------------------------------------------------------

cdef bint send(OffloadShard *s, uint32_t index, Slot *slot, int op_type, const ct_offload_ctx *ctx) noexcept nogil:
    """Hands the operation to those of `todo` that have room; True when all have it."""
    cdef int p
    cdef uint8_t todo = slot.todo
    cdef uint64_t conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if todo >> p & 1 and lane_has_room(s.lanes[p], op_type):
            lane_send(s.lanes[p], op_type, index, conn_id, handle_of(s, index, slot, p) if slot.owners >> p & 1 else 0,
                      ctx, s.now_us, False)
            slot.todo &= ~(1 << p)
            slot.waiting |= 1 << p
    return slot.todo == 0


cdef uint32_t room(OffloadShard *s, int op_type) noexcept nogil:
    """Bit per provider that has room for such an operation now."""
    cdef uint32_t mask = 0
    cdef int p
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if s.lanes[p] != NULL and lane_has_room(s.lanes[p], op_type):
            mask |= 1 << p
    return mask


cdef void begin(Slot *slot, int op_type, uint8_t targets) noexcept nogil:
    slot.op = op_type + 1
    slot.todo = targets
    slot.waiting = 0
    slot.failed = 0
    slot.many = (targets & (targets - 1)) != 0
    if op_type != CT_OFFLOAD_OP_DEL:     # a removal has been told why
        slot.error = 0
        slot.reason = CT_OFFLOAD_REASON_NONE


cdef uint32_t usable(OffloadShard *s) noexcept nogil:
    """Bit per provider that takes new connections."""
    cdef uint32_t mask = shared_get(&s.control.active)
    cdef int p
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if mask >> p & 1 and (s.lanes[p] == NULL or shared_get(&s.lanes[p].stalled)):
            mask &= ~(<uint32_t> 1 << p)
    return mask


cdef int start_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """1 begun, 0 settled without an operation."""
    cdef uint32_t targets = usable(s), hash
    cdef uint16_t reason
    if not shared_get(&s.control.enabled):
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_DISABLED)
        return 0
    if targets == 0:
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_PROVIDER_STALLED if shared_get(&s.control.active)
               else CT_OFFLOAD_REASON_NO_PROVIDER)
        return 0
    if not fill(s, index, slot):
        return 0
    reason = port_refusal(s, &s.ctx) or policy_against_add(policy_of(s), &s.ctx)
    if reason:
        refuse(s, index, slot, 0, reason)
        return 0
    hash = hash_tuple(&s.ctx)
    if is_tuple_leaving(s, index, hash):
        slot.reason = CT_OFFLOAD_REASON_PENDING_DELETE
        link_later(s, index, slot, 0)
        return 0
    if orphan_has_tuple(&s.orphans, hash):
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_PROVIDER_STALLED)
        return 0
    hold_tuple(s, index, slot, hash)
    begin(slot, CT_OFFLOAD_OP_ADD, targets)
    return 1


cdef int start_est(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """1 begun, 0 settled or to be tried later."""
    cdef const Policy *policy = policy_of(s)
    cdef uint16_t reason
    if not fill(s, index, slot):
        return 0
    reason = port_refusal(s, &s.ctx)
    if reason:
        refuse(s, index, slot, 0, reason)
        return 0
    reason = policy_against_install(policy, &s.ctx)
    if reason:
        # It stays added; its owner wishes again when the connection is established.
        slot.reason = reason
        slot.wanted = WANT_ADDED
        s.count.refused[reason] += 1
        link(s, index, slot, next_list(slot))
        return 0
    if policy != NULL and policy.min_packets and s.packets != NULL and (
            s.packets(s.table.user, s.ctx.conn_id) < policy.min_packets):
        slot.reason = CT_OFFLOAD_REASON_POLICY
        link_later(s, index, slot, PACKETS_RETRY_MS)
        return 0
    if not slot.has_token and not take_token(s, policy):
        slot.reason = CT_OFFLOAD_REASON_RATE_LIMITED
        link(s, index, slot, LIST_RATE)
        return 0
    slot.has_token = 0
    begin(slot, CT_OFFLOAD_OP_EST, slot.owners)
    give(s, index, slot, NOTICE_PUSHED, 0, 0, 0, 0)
    return 1


cdef inline const Policy *policy_of(OffloadShard *s) noexcept nogil:
    return <const Policy *> <size_t> shared_time_get(&s.control.policy)


cdef bint take_token(OffloadShard *s, const Policy *policy) noexcept nogil:
    """True where the rate of installations allows one more. Those that wait come first."""
    cdef double share
    if policy == NULL or policy.tokens_per_ms == 0:
        return True
    share = 1.0 / max(shared_get(&s.control.n_shards), <uint32_t> 1)
    if s.now_ms > s.tokens_at_ms:
        s.tokens += (s.now_ms - s.tokens_at_ms) * policy.tokens_per_ms * share
        s.tokens_at_ms = s.now_ms
    s.tokens = min(s.tokens, max(policy.burst * share, 1.0))
    if s.tokens < 1:
        return False
    s.tokens -= 1
    return True


cdef void serve_rate(OffloadShard *s) noexcept nogil:
    """As many as there are tokens go on, in order."""
    cdef uint32_t index
    cdef Slot *slot
    while s.lists[LIST_RATE].head != NIL and take_token(s, policy_of(s)):
        index = s.lists[LIST_RATE].head
        slot = &s.slots[index]
        slot.has_token = 1
        link(s, index, slot, next_list(slot))


cdef bint fill(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """The connection as software knows it now; where it is gone, so is the wish."""
    memset(&s.ctx, 0, sizeof(ct_offload_ctx))
    if s.table.fill != NULL and s.table.fill(s.table.user, CT_OFFLOAD_ID(s.shard, slot.generation, index), &s.ctx):
        s.ctx.conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
        return True
    slot.wanted = WANT_OUT
    link(s, index, slot, next_list(slot))
    return False


cdef bint serve_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """One step towards the NIC; True when the connection left the head of the list."""
    if slot.op == 0 and slot.reached == WANT_OUT:
        if not start_add(s, index, slot):
            return True
    elif slot.op == 0:
        if not start_est(s, index, slot):
            return True
    else:
        # Some providers had no room. Those not asked yet are not asked if the rest failed or it is to go out.
        if slot.failed or slot.wanted == WANT_OUT:
            return abandon(s, index, slot)
        if not fill(s, index, slot):
            return abandon(s, index, slot)
    if send(s, index, slot, slot.op - 1, &s.ctx):
        unlink(s, slot)
        return True
    return False


cdef bint abandon(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """Hands the operation to nobody else."""
    slot.todo = 0
    unlink(s, slot)
    if slot.waiting == 0:
        complete_stage(s, index, slot)
    return True


cdef bint serve_del(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.op == 0:
        if slot.owners == 0:
            finish_out(s, index, slot)
            return True
        begin(slot, CT_OFFLOAD_OP_DEL, slot.owners)
    if send(s, index, slot, CT_OFFLOAD_OP_DEL, NULL):
        unlink(s, slot)
        return True
    return False


cdef bint serve_query(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.op == 0:
        if slot.owners == 0:
            slot.queried = 0
            unlink(s, slot)
            give(s, index, slot, NOTICE_NO_SAMPLE, ENOENT, CT_OFFLOAD_REASON_NO_LAST_USED, 0, 0)
            return True
        begin(slot, CT_OFFLOAD_OP_UPD, slot.owners)
        if slot.many:
            s.sides[index].sample.last_used_ms = 0
            s.sides[index].sample.sampled_ms = 0x7fffffffffffffff
    if send(s, index, slot, CT_OFFLOAD_OP_UPD, NULL):
        unlink(s, slot)
        return True
    return False


cdef bint serve_one(OffloadShard *s, uint32_t index, Slot *slot, uint8_t which) noexcept nogil:
    if which == LIST_DEL:
        return serve_del(s, index, slot)
    if which == LIST_ADD:
        return serve_add(s, index, slot)
    return serve_query(s, index, slot)


cdef void serve(OffloadShard *s, uint8_t which, int op_type) noexcept nogil:
    """Works a waiting list off as far as there is room. One without room goes to the end, so that a full ring of one
    provider does not hold up connections of another."""
    cdef uint32_t index, blocked = 0, left = s.count.waiting[which]
    cdef Slot *slot
    while left and blocked < SCAN:
        left -= 1
        index = s.lists[which].head
        if index == NIL or (blocked and room(s, op_type) == 0):
            return
        slot = &s.slots[index]
        if not serve_one(s, index, slot, which):
            blocked += 1
            unlink(s, slot)
            link(s, index, slot, which)


cdef void serve_full(OffloadShard *s) noexcept nogil:
    """One per second goes on without a removal here: other shards make room as well."""
    if s.lists[LIST_FULL].head != NIL and s.now_ms - s.full_since_ms >= FULL_RETRY_MS:
        wake_full(s)


cdef void serve_later(OffloadShard *s) noexcept nogil:
    cdef uint32_t index, left = s.count.waiting[LIST_LATER]
    cdef Slot *slot
    if left > SCAN:
        left = SCAN
    while left:
        left -= 1
        index = s.lists[LIST_LATER].head
        slot = &s.slots[index]
        unlink(s, slot)
        if <int32_t> (slot.due_ms - <uint32_t> s.now_ms) <= 0:
            link(s, index, slot, next_list(slot))
        else:
            link(s, index, slot, LIST_LATER)


# --- taking answers -------------------------------------------------------------------------------------------------

cdef void note_failure(Slot *slot, int p, int error, uint16_t reason) noexcept nogil:
    """Keeps the failure of the provider that comes first."""
    if slot.failed & ((1 << p) - 1) == 0:
        slot.error = error
        slot.reason = reason
    slot.failed |= 1 << p


cdef inline uint16_t reason_of(int error, uint16_t otherwise) noexcept nogil:
    return CT_OFFLOAD_REASON_TABLE_FULL if error == ENOSPC else otherwise


cdef void answer_add(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    cdef uint16_t reason = result.reason or reason_of(result.error, CT_OFFLOAD_REASON_PROVIDER_REFUSED)
    if result.error == 0:
        own(s, index, slot, p, result.handle)
        return
    if result.reserved[0] == UNCERTAIN:
        own(s, index, slot, p, result.handle)
    s.lanes[p].reasons[reason % CT_OFFLOAD_N_REASONS] += 1
    if result.error != EPERM and result.error != EOPNOTSUPP:
        note_failure(slot, p, result.error, reason)
    elif slot.error == 0:
        # Not for this provider; others may have it. Remembered in case nobody takes it.
        slot.error = result.error
        slot.reason = reason


cdef void own(OffloadShard *s, uint32_t index, Slot *slot, int p, uint64_t handle) noexcept nogil:
    slot.owners |= 1 << p
    s.lanes[p].connections += 1
    keep_handle(s, index, slot, p, handle)


cdef void answer_est(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    cdef uint16_t reason = result.reason or reason_of(result.error, CT_OFFLOAD_REASON_INSERT_FAILED)
    if result.error == 0:
        slot.flags |= result.flags
        if slot.owners >> p & 1:
            slot.installed |= 1 << p
            s.lanes[p].installed += 1
        if result.handle:
            keep_handle(s, index, slot, p, result.handle)
    else:
        s.lanes[p].reasons[reason % CT_OFFLOAD_N_REASONS] += 1
        note_failure(slot, p, result.error, reason)


cdef void answer_del(OffloadShard *s, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    if result.error == 0 or result.error == ENOENT:
        disown(s, slot, p)
    else:
        slot.failed |= 1 << p
        if slot.undo == 0:
            slot.error = result.error


cdef void disown(OffloadShard *s, Slot *slot, int p) noexcept nogil:
    if slot.owners >> p & 1:
        s.lanes[p].connections -= 1
        s.lanes[p].installed -= slot.installed >> p & 1
        slot.owners &= ~(1 << p)
        slot.installed &= ~(1 << p)


cdef void answer_upd(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    """The latest use over all owners, known up to the earliest collection time. One without data: no data."""
    cdef Sample *sample = &s.sides[index].sample if slot.many else &s.sample
    if result.error:
        if slot.failed == 0:
            sample.error = result.error
            sample.reason = result.reason or <uint16_t> CT_OFFLOAD_REASON_NO_LAST_USED
        slot.failed |= 1 << p
    elif slot.many:
        sample.last_used_ms = max(sample.last_used_ms, result.last_used_ms)
        sample.sampled_ms = min(sample.sampled_ms, result.sampled_ms)
    else:
        sample.last_used_ms = result.last_used_ms
        sample.sampled_ms = result.sampled_ms


cdef void complete_stage(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """All that were asked have answered: what follows."""
    cdef int op_type = slot.op - 1
    slot.op = 0
    if op_type == CT_OFFLOAD_OP_ADD:
        complete_add(s, index, slot)
    elif op_type == CT_OFFLOAD_OP_EST:
        complete_est(s, index, slot)
    elif op_type == CT_OFFLOAD_OP_DEL:
        complete_del(s, index, slot)
    else:
        complete_upd(s, index, slot)


cdef void go_on(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo and slot.owners == 0:
        finish_out(s, index, slot)
    else:
        link(s, index, slot, next_list(slot))


cdef void complete_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo:
        go_on(s, index, slot)
    elif slot.failed or slot.owners == 0:
        refuse(s, index, slot, slot.error, slot.reason)
    elif not shared_get(&s.control.enabled) or slot.owners & ~shared_get(&s.control.active):
        # Switched off while the answer was under way; the walk may have passed already.
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_DISABLED)
    else:
        slot.reached = WANT_ADDED
        slot.error = 0
        slot.reason = CT_OFFLOAD_REASON_NONE
        go_on(s, index, slot)


cdef void complete_est(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo == 0 and slot.failed:
        refuse(s, index, slot, slot.error, slot.reason)
        return
    if slot.installed == slot.owners and slot.undo == 0:
        slot.reached = WANT_INSTALLED
        slot.told = 0
        if slot.wanted == WANT_INSTALLED:
            give(s, index, slot, NOTICE_INSTALLED, 0, 0, 0, 0)
    go_on(s, index, slot)


cdef void complete_del(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.owners == 0:
        finish_out(s, index, slot)
        return
    # Half of it may be gone: there is no way back from here but out.
    start_undo(s, slot, NOTICE_REFUSED, slot.error, slot.reason or <uint16_t> CT_OFFLOAD_REASON_PENDING_DELETE)
    if slot.attempts < DEL_ATTEMPTS_MAX:
        slot.attempts += 1
    link_later(s, index, slot, <uint32_t> 1 << slot.attempts)


cdef void complete_upd(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    cdef const Sample *sample = &s.sides[index].sample if slot.many else &s.sample
    slot.queried = 0
    if slot.failed:
        give(s, index, slot, NOTICE_NO_SAMPLE, sample.error, sample.reason, 0, 0)
    else:
        give(s, index, slot, NOTICE_SAMPLE, 0, 0, sample.last_used_ms, sample.sampled_ms)
    if slot.op == 0:
        go_on(s, index, slot)


cdef void answer(OffloadShard *s, int p, const Tag *tag, const ct_offload_op *result) noexcept nogil:
    cdef uint32_t index = tag.slot
    cdef Slot *slot = &s.slots[index]
    slot.waiting &= ~(1 << p)
    if tag.type == CT_OFFLOAD_OP_ADD:
        answer_add(s, index, slot, p, result)
    elif tag.type == CT_OFFLOAD_OP_EST:
        answer_est(s, index, slot, p, result)
    elif tag.type == CT_OFFLOAD_OP_DEL:
        answer_del(s, slot, p, result)
    else:
        answer_upd(s, index, slot, p, result)
    if slot.waiting == 0 and slot.todo == 0:
        complete_stage(s, index, slot)


# --- what providers say by themselves -------------------------------------------------------------------------------

cdef void lose(OffloadShard *s, uint32_t index, Slot *slot, int p) noexcept nogil:
    """Its rules at one provider are gone: out of the others as well."""
    disown(s, slot, p)
    start_undo(s, slot, NOTICE_LOST, 0, CT_OFFLOAD_REASON_PORT_DOWN)
    if slot.op == 0:
        go_on(s, index, slot)


cdef void take_event(OffloadShard *s, int p, uint64_t conn_id, int kind) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef Slot *slot = &s.slots[index]
    if (index >= s.touched or slot.generation != CT_OFFLOAD_ID_GENERATION(conn_id) or not slot.owners >> p & 1):
        s.count.stale += 1
    elif kind == CT_OFFLOAD_EVENT_AGED:
        give(s, index, slot, NOTICE_AGED, 0, 0, 0, 0)
    elif kind == CT_OFFLOAD_EVENT_LOST:
        lose(s, index, slot, p)


# --- a provider that does not come back -----------------------------------------------------------------------------

cdef void cancel_waiting(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    """What the provider was never handed is answered in its place."""
    cdef ct_offload_op answered
    cdef const ct_offload_op *request
    cdef Tag tag
    cdef uint32_t number, end
    cdef int cls
    for cls in range(N_LANE_CLASSES):
        end = spsc_published(&lane.request[cls])
        number = shared_get(&lane.taken[cls])
        shared_set(&lane.dead[cls], end)
        while number != end:
            request = <const ct_offload_op *> spsc_entry(&lane.request[cls], number)
            tag = lane.tags[request.op_id & 0xffff]
            lane_cancel(lane, request.op_id & 0xffff)
            lane.count[tag.type].failed += 1
            stalled_answer(&answered)
            if tag.is_orphan:
                s.orphans.entries[tag.slot].state = ORPHAN_IDLE
            else:
                answer(s, p, &tag, &answered)
            number += 1


cdef void stalled_answer(ct_offload_op *answered) noexcept nogil:
    memset(answered, 0, sizeof(ct_offload_op))
    answered.error = ECANCELED
    answered.reason = CT_OFFLOAD_REASON_PROVIDER_STALLED


cdef bint orphan(OffloadShard *s, uint32_t index, Slot *slot, int p, uint8_t state, uint32_t *made) noexcept nogil:
    """The provider's handle of a connection gets a life of its own; False where there are too many."""
    made[0] = orphan_add(&s.orphans, p, CT_OFFLOAD_ID(s.shard, slot.generation, index),
                         handle_of(s, index, slot, p) if slot.owners >> p & 1 else 0, slot.tuple_hash, state)
    if made[0] == NO_ORPHAN:
        return False
    s.lanes[p].orphans += 1
    disown(s, slot, p)
    return True


cdef void orphan_outstanding(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    """Operations the provider was handed and has not answered: their connections go on without them."""
    cdef ct_offload_op answered
    cdef Tag tag
    cdef uint32_t i, made
    for i in range(lane.n_tags):
        if lane.tags[i].op_id == 0 or lane.tags[i].is_orphan:
            continue
        tag = lane.tags[i]
        if orphan(s, tag.slot, &s.slots[tag.slot], p, ORPHAN_BUSY, &made):
            lane.tags[i].is_orphan = True
            lane.tags[i].slot = made
            stalled_answer(&answered)
            answer(s, p, &tag, &answered)


cdef void orphan_held(OffloadShard *s, int p) noexcept nogil:
    """All else it holds. Too many orphans: the rest keep their slots until it is back."""
    cdef uint32_t index, made
    cdef Slot *slot
    for index in range(s.touched):
        slot = &s.slots[index]
        if not slot.owners >> p & 1:
            continue
        start_undo(s, slot, NOTICE_REFUSED, ECANCELED, CT_OFFLOAD_REASON_PROVIDER_STALLED)
        if slot.waiting >> p & 1:
            continue
        if orphan(s, index, slot, p, ORPHAN_IDLE, &made):
            slot.todo &= ~(1 << p)
        if slot.op == 0:
            go_on(s, index, slot)
        elif slot.waiting == 0 and slot.todo == 0:
            unlink(s, slot)
            complete_stage(s, index, slot)


cdef void quarantine(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    cancel_waiting(s, p, lane)
    orphan_outstanding(s, p, lane)
    orphan_held(s, p)
    shared_set(&lane.stalled, STALL_QUARANTINED)


cdef void answer_orphan(OffloadShard *s, Lane *lane, const Tag *tag, const ct_offload_op *result) noexcept nogil:
    """What came of it after all. A removal that fails too often is given up and counted as lost."""
    cdef Orphan *held = &s.orphans.entries[tag.slot]
    cdef bint is_gone = result.error == ENOENT
    if tag.type == CT_OFFLOAD_OP_DEL:
        is_gone = is_gone or result.error == 0
        held.attempts += not is_gone
        if held.attempts == ORPHAN_ATTEMPTS_MAX:
            lane.lost += 1
            is_gone = True
    elif tag.type == CT_OFFLOAD_OP_ADD:
        is_gone = result.error != 0 and result.reserved[0] != UNCERTAIN
    if result.error == 0 and result.handle and tag.type != CT_OFFLOAD_OP_DEL:
        held.handle = result.handle
    held.state = ORPHAN_IDLE
    if is_gone:
        orphan_remove(&s.orphans, tag.slot)
        lane.orphans -= 1


cdef void recover(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    """It is back: its orphans are deleted; when none is left, it serves again and what waits is offered."""
    cdef uint32_t i
    cdef Orphan *held
    for i in range(s.orphans.used if lane.orphans else 0):
        held = &s.orphans.entries[i]
        if held.state == ORPHAN_IDLE and held.provider == p:
            if not lane_has_room(lane, CT_OFFLOAD_OP_DEL):
                return
            held.state = ORPHAN_BUSY
            lane_send(lane, CT_OFFLOAD_OP_DEL, i, held.conn_id, held.handle, NULL, s.now_us, True)
    if lane.orphans == 0:
        shared_swap_if(&lane.stalled, STALL_RETURNED, STALL_NONE)
        s.walking = True
        s.walk_at = 0


cdef void watch_lane(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    cdef uint32_t stalled = shared_get(&lane.stalled)
    if stalled == STALL_SEEN:
        quarantine(s, p, lane)
    elif stalled == STALL_RETURNED:
        recover(s, p, lane)


cdef void take_results(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    """Results and events in the order in which the worker gave them."""
    cdef uint32_t i, n = spsc_ready(&lane.done)
    cdef const ct_offload_op *result
    cdef Tag tag
    for i in range(n):
        result = <const ct_offload_op *> spsc_at(&lane.done, i)
        if result.type & EVENT_TYPE:
            take_event(s, p, result.conn_id, result.type & ~EVENT_TYPE)
        elif not lane_settle(lane, result, s.now_us, &tag):
            s.count.nonsense += 1
        elif tag.is_orphan:
            answer_orphan(s, lane, &tag, result)
        else:
            answer(s, p, &tag, result)
    spsc_release(&lane.done, n)


# --- the switch -----------------------------------------------------------------------------------------------------

cdef uint16_t port_refusal(OffloadShard *s, const ct_offload_ctx *ctx) noexcept nogil:
    """Why connections on these ports may not be in hardware; ports are not looked at while none is registered."""
    cdef uint32_t i, d, n = shared_get(&s.control.n_ports)
    cdef int64_t entry
    cdef bint is_known
    if n == 0:
        return CT_OFFLOAD_REASON_NONE
    for d in range(2):
        if ctx.port[d].id == CT_OFFLOAD_NO_PORT:
            continue
        is_known = False
        for i in range(n):
            entry = shared_time_get(&s.control.ports[i])
            if <uint32_t> (<uint64_t> entry >> 32) == ctx.port[d].id:
                if <uint32_t> (entry >> 8 & 0xffffff) == ctx.port[d].generation & 0xffffff and not entry & PORT_LEAVING:
                    is_known = True
                    if entry & PORT_DISABLED:
                        return CT_OFFLOAD_REASON_DISABLED
        if not is_known:
            return CT_OFFLOAD_REASON_PORT_DOWN
    return CT_OFFLOAD_REASON_NONE


cdef void walk_owned(OffloadShard *s, uint32_t index, Slot *slot, bint enabled, uint32_t active) noexcept nogil:
    """Drains what may not be in hardware any more."""
    cdef uint16_t reason
    if s.walk_flushes:
        start_undo(s, slot, NOTICE_LOST, 0, CT_OFFLOAD_REASON_NONE)
    elif not enabled or slot.owners & ~active:
        start_undo(s, slot, NOTICE_REFUSED, 0, CT_OFFLOAD_REASON_DISABLED)
    elif shared_get(&s.control.n_ports) and slot.wanted != WANT_OUT and fill(s, index, slot):
        reason = port_refusal(s, &s.ctx)
        if reason:
            start_undo(s, slot, NOTICE_REFUSED, 0, reason)
    if slot.op == 0:
        link(s, index, slot, next_list(slot))


cdef void walk(OffloadShard *s) noexcept nogil:
    """A slice of the walk over all slots that follows each change of the switch."""
    cdef uint32_t epoch = shared_get(&s.control.epoch), flushes = shared_get(&s.control.flushes), end
    cdef uint32_t active = usable(s)
    cdef bint enabled = shared_get(&s.control.enabled) != 0
    cdef Slot *slot
    if s.walk_epoch != epoch:
        s.walk_epoch = epoch
        s.walk_at = 0
        s.walking = True
        s.walk_flushes = s.flushes != flushes
        s.flushes = flushes
    if not s.walking:
        return
    end = min(s.walk_at + WALK_SLICE, s.touched)
    while s.walk_at < end:
        slot = &s.slots[s.walk_at]
        if slot.owners:
            walk_owned(s, s.walk_at, slot, enabled, active)
        elif slot.parked and slot.list == LIST_NONE and enabled and active:
            slot.parked = 0
            link(s, s.walk_at, slot, next_list(slot))
        s.walk_at += 1
    s.walking = s.walk_at < s.touched


cdef bint shard_is_draining(OffloadShard *s) noexcept nogil:
    cdef int p
    if shard_walk_left(s) or s.count.leaving or s.count.waiting[LIST_DEL]:
        return True
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if s.lanes[p] != NULL and s.lanes[p].outstanding[LANE_DEL]:
            return True
    return False


# --- one turn -------------------------------------------------------------------------------------------------------

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
