# Of _shard.pyx: what the owner of the connections is told, and how a connection comes to its end in hardware.


cdef inline void give(OffloadShard *s, uint32_t index, const Slot *slot, uint32_t kind, int error, uint16_t reason,
                      int64_t last_used_ms, int64_t sampled_ms) noexcept nogil:
    cdef Notice notice
    memset(&notice, 0, sizeof(Notice))
    notice.conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
    notice.kind = kind
    notice.error = error
    notice.reason = reason
    notice.flags = slot.flags
    notice.last_used_ms = last_used_ms
    notice.sampled_ms = sampled_ms
    notify(s, &notice)


cdef void give_told(OffloadShard *s, uint32_t index, const Slot *slot, uint32_t kind, const Told *told) noexcept nogil:
    cdef Notice notice
    memset(&notice, 0, sizeof(Notice))
    notice.conn_id = CT_OFFLOAD_ID(s.shard, slot.generation, index)
    notice.kind = kind
    notice.flags = slot.flags
    if kind == NOTICE_WINDOW:
        notice.peer = &told.peer[0]
    else:
        notice.counts = &told.counts
    notify(s, &notice)


cdef inline void notify(OffloadShard *s, const Notice *notice) noexcept nogil:
    s.given += 1
    s.count.notices[notice.kind] += 1
    if s.table.notice != NULL:
        s.table.notice(s.table.user, notice)


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
    slot.asks = 0
    slot.attempts = 0
    slot.has_token = 0
    slot.first = NOBODY
    slot.flags = 0
    slot.contexts = 0
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
    if undo != NOTICE_REFUSED or not (passes(slot.reason) or slot.losses):
        slot.wanted = WANT_OUT
    elif not passes(slot.reason):
        # it was in, and nothing else tells when its rules would be taken again
        link_later(s, index, slot, <uint32_t> LOST_RETRY_MS << (slot.losses - 1))
        slot.losses += slot.losses <= LOST_DOUBLINGS_MAX
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
    now_leaving(s, slot)


cdef void refuse(OffloadShard *s, uint32_t index, Slot *slot, int error, uint16_t reason) noexcept nogil:
    """Undoes what was reached, then says why."""
    slot.op = 0
    start_undo(s, slot, NOTICE_REFUSED, error, reason)
    if slot.owners:
        link(s, index, slot, LIST_DEL)
    else:
        finish_out(s, index, slot)
