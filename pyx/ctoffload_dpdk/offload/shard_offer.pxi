# Of _shard.pyx: operations made from wishes and handed to providers, as far as there is room.


cdef bint send(OffloadShard *s, uint32_t index, Slot *slot, int op_type, const ct_offload_ctx *ctx) noexcept nogil:
    """Hands the operation to those of `todo` that have room; True when all have it."""
    cdef int p
    cdef uint32_t left = slot.todo
    cdef uint64_t conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
    while left:
        p = lowest_bit(left)
        left &= left - 1
        if lane_has_room(s.lanes[p], op_type):
            lane_send(s.lanes[p], op_type, index, conn_id, handle_of(s, index, slot, p) if slot.owners >> p & 1 else 0,
                      ctx, s.now_us, False)
            slot.todo &= ~(1 << p)
            slot.waiting |= 1 << p
    return slot.todo == 0


cdef inline bint place_context(OffloadShard *s, uint32_t targets, int op_type) noexcept nogil:
    """Where the next context is filled in: the request itself where it goes to one provider alone, which is nearly always
    so. False where that one has no room."""
    s.alone = NULL
    s.ctx = &s.common
    if targets == 0 or targets & (targets - 1):
        return True
    s.alone = s.lanes[lowest_bit(targets)]
    if not lane_has_room(s.alone, op_type):
        return False
    s.ctx = lane_context(s.alone)
    return True


cdef inline void send_alone(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """To the one provider for whose request place_context found room."""
    cdef uint64_t handle = handle_of(s, index, slot, lowest_bit(slot.todo)) if slot.owners else 0
    lane_send(s.alone, slot.op - 1, index, CT_OFFLOAD_ID(s.shard, slot.generation, index), handle, s.ctx, s.now_us, False)
    slot.waiting = slot.todo
    slot.todo = 0


cdef uint32_t room(OffloadShard *s, int op_type) noexcept nogil:
    """Bit per provider that has room for such an operation now."""
    cdef uint32_t mask = 0
    cdef int p
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if s.lanes[p] != NULL and lane_has_room(s.lanes[p], op_type):
            mask |= 1 << p
    return mask


cdef inline void begin(Slot *slot, int op_type, uint8_t targets) noexcept nogil:
    slot.op = op_type + 1
    slot.todo = targets
    slot.waiting = 0
    slot.failed = 0
    slot.many = (targets & (targets - 1)) != 0
    if op_type != CT_OFFLOAD_OP_DEL and op_type != CT_OFFLOAD_OP_WINDOW:     # a removal has been told why
        because(slot, CT_OFFLOAD_REASON_NONE)


cdef uint32_t usable(OffloadShard *s) noexcept nogil:
    """Bit per provider that takes new connections."""
    cdef uint32_t mask = shared_get(&s.control.active)
    cdef int p
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if mask >> p & 1 and (s.lanes[p] == NULL or shared_get(&s.lanes[p].stalled)):
            mask &= ~(<uint32_t> 1 << p)
    return mask


cdef inline int start_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """1 begun, 0 settled without an operation, -1 no room."""
    cdef uint32_t targets = s.targets, hash
    cdef uint16_t reason
    if not shared_get(&s.control.enabled):
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_DISABLED)
        return 0
    if targets == 0:
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_PROVIDER_STALLED if shared_get(&s.control.active)
               else CT_OFFLOAD_REASON_NO_PROVIDER)
        return 0
    if not place_context(s, targets, CT_OFFLOAD_OP_ADD):
        return -1
    if not fill(s, index, slot):
        return 0
    reason = port_refusal(s, s.ctx) or policy_against_add(policy_of(s), s.ctx)
    if reason:
        refuse(s, index, slot, 0, reason)
        return 0
    hash = hash_tuple(s.ctx)
    if is_tuple_leaving(s, index, hash):
        because(slot, CT_OFFLOAD_REASON_PENDING_DELETE)
        link_later(s, index, slot, 0)
        return 0
    if orphan_has_tuple(&s.orphans, hash):
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_PROVIDER_STALLED)
        return 0
    hold_tuple(slot, hash)
    begin(slot, CT_OFFLOAD_OP_ADD, targets)
    if slot.wanted == WANT_INSTALLED and s.alone != NULL and s.alone.est_adds and may_install_at_once(s):
        s.ctx.flags |= CT_OFFLOAD_F_NEW
        give(s, index, slot, NOTICE_PUSHED, 0, 0, 0, 0)
    return 1


cdef inline bint may_install_at_once(OffloadShard *s) noexcept nogil:
    """Whether nothing but the answer to ADD would hold EST up."""
    cdef const Policy *policy = policy_of(s)
    if policy_against_install(policy, s.ctx):
        return False
    return policy == NULL or (policy.min_packets == 0 and policy.tokens_per_ms == 0)


cdef inline int start_est(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """1 begun, 0 settled or to be tried later, -1 no room."""
    cdef const Policy *policy = policy_of(s)
    cdef uint16_t reason
    if not place_context(s, slot.owners, CT_OFFLOAD_OP_EST):
        return -1
    if not fill(s, index, slot):
        return 0
    reason = port_refusal(s, s.ctx)
    if reason:
        refuse(s, index, slot, 0, reason)
        return 0
    reason = policy_against_install(policy, s.ctx)
    if reason:
        # It stays added; its owner wishes again when the connection is established.
        because(slot, reason)
        slot.wanted = WANT_ADDED
        s.count.refused[reason] += 1
        link(s, index, slot, next_list(slot))
        return 0
    if policy != NULL and policy.min_packets and s.packets != NULL and (
            s.packets(s.table.user, s.ctx.conn_id) < policy.min_packets):
        because(slot, CT_OFFLOAD_REASON_POLICY)
        link_later(s, index, slot, PACKETS_RETRY_MS)
        return 0
    if not slot.has_token and not take_token(s, policy):
        because(slot, CT_OFFLOAD_REASON_RATE_LIMITED)
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


cdef inline bint fill(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """The connection as software knows it now, in s.ctx; where it is gone, so is the wish."""
    if s.table.fill != NULL and s.table.fill(s.table.user, CT_OFFLOAD_ID(s.shard, slot.generation, index), s.ctx):
        return True
    slot.wanted = WANT_OUT
    now_leaving(s, slot)
    link(s, index, slot, next_list(slot))
    return False


cdef bint serve_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """One step towards the NIC; True when the connection left the head of the list."""
    cdef int begun
    if slot.op == 0:
        begun = start_add(s, index, slot) if slot.reached == WANT_OUT else start_est(s, index, slot)
        if begun <= 0:
            return begun == 0
    else:
        # Some providers had no room. Those not asked yet are not asked if the rest failed or it is to go out.
        s.alone = NULL
        s.ctx = &s.common
        if slot.failed or slot.wanted == WANT_OUT:
            return abandon(s, index, slot)
        if not fill(s, index, slot):
            return abandon(s, index, slot)
    if s.alone != NULL:
        send_alone(s, index, slot)
    elif not send(s, index, slot, slot.op - 1, s.ctx):
        return False
    unlink(s, slot)
    return True


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
        if start_window(s, index, slot):
            unlink(s, slot)
            return True
        begin(slot, CT_OFFLOAD_OP_DEL, slot.owners)
    if send(s, index, slot, CT_OFFLOAD_OP_DEL, NULL):
        unlink(s, slot)
        return True
    return False


cdef bint serve_query(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.op == 0:
        if slot.owners == 0:
            slot.asks = 0
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


cdef inline uint32_t look_ahead(OffloadShard *s, uint32_t ahead, uint8_t which) noexcept nogil:
    """Fetches what will be served in a while; which one comes then. That it may have left the list does no harm."""
    if ahead == NIL:
        return NIL
    prefetch(&s.slots[s.slots[ahead].next])
    if which == LIST_ADD and s.table.prefetch != NULL:
        s.table.prefetch(s.table.user, ahead)
    return s.slots[ahead].next


cdef inline uint32_t first_ahead(OffloadShard *s, uint32_t index) noexcept nogil:
    cdef int i
    for i in range(AHEAD):
        if index != NIL:
            index = s.slots[index].next
    return index


cdef void serve(OffloadShard *s, uint8_t which, int op_type) noexcept nogil:
    """Works a waiting list off as far as there is room. One without room goes to the end, so that a full ring of one
    provider does not hold up connections of another."""
    cdef uint32_t index, ahead, blocked = 0, left = s.count.waiting[which]
    cdef Slot *slot
    s.targets = usable(s)
    ahead = first_ahead(s, s.lists[which].head)
    while left and blocked < SCAN:
        left -= 1
        index = s.lists[which].head
        if index == NIL or (blocked and room(s, op_type) == 0):
            return
        ahead = look_ahead(s, ahead, which)
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
