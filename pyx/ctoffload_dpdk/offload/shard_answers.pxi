# Of _shard.pyx: what providers answered, and what follows from it.


# --- taking answers --------------------------------------------------------------------------------------------------

cdef void note_failure(Slot *slot, int p, int error, uint16_t reason) noexcept nogil:
    """Keeps the failure of the provider that comes first."""
    if slot.failed & ((1 << p) - 1) == 0:
        slot.error = error
        slot.reason = reason
    slot.failed |= 1 << p


cdef inline uint16_t reason_of(int error, uint16_t otherwise) noexcept nogil:
    return CT_OFFLOAD_REASON_TABLE_FULL if error == ENOSPC else otherwise


cdef inline void answer_add(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
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


cdef inline void own(OffloadShard *s, uint32_t index, Slot *slot, int p, uint64_t handle) noexcept nogil:
    slot.owners |= 1 << p
    s.lanes[p].connections += 1
    keep_handle(s, index, slot, p, handle)


cdef inline void answer_est(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    cdef uint16_t reason = result.reason or reason_of(result.error, CT_OFFLOAD_REASON_INSERT_FAILED)
    if result.error == 0:
        slot.flags |= result.flags
        if result.flags & CT_OFFLOAD_R_CONTEXT:
            slot.contexts |= 1 << p
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
        slot.contexts &= ~(1 << p)


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
    elif op_type == CT_OFFLOAD_OP_WINDOW:
        go_on(s, index, slot)
    else:
        complete_upd(s, index, slot)


cdef inline void go_on(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo and slot.owners == 0:
        finish_out(s, index, slot)
    else:
        link(s, index, slot, next_list(slot))


cdef inline void complete_add(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo:
        go_on(s, index, slot)
    elif slot.failed or slot.owners == 0:
        refuse(s, index, slot, slot.error, slot.reason)
    elif not shared_get(&s.control.enabled) or slot.owners & ~shared_get(&s.control.active):
        # Switched off while the answer was under way; the walk may have passed already.
        refuse(s, index, slot, 0, CT_OFFLOAD_REASON_DISABLED)
    elif slot.installed == slot.owners:
        is_installed(s, index, slot)
        go_on(s, index, slot)
    else:
        slot.reached = WANT_ADDED
        because(slot, CT_OFFLOAD_REASON_NONE)
        go_on(s, index, slot)


cdef inline void is_installed(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    slot.reached = WANT_INSTALLED
    slot.told = 0
    slot.losses = 0
    if slot.wanted == WANT_INSTALLED:
        give(s, index, slot, NOTICE_INSTALLED, 0, 0, 0, 0)


cdef inline void complete_est(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    if slot.undo == 0 and slot.failed:
        refuse(s, index, slot, slot.error, slot.reason)
        return
    if slot.installed == slot.owners and slot.undo == 0:
        is_installed(s, index, slot)
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
    slot.asks &= ~<uint32_t> ASKS_SAMPLE
    if slot.failed:
        give(s, index, slot, NOTICE_NO_SAMPLE, sample.error, sample.reason, 0, 0)
    else:
        give(s, index, slot, NOTICE_SAMPLE, 0, 0, sample.last_used_ms, sample.sampled_ms)
    if slot.op == 0:
        go_on(s, index, slot)


cdef inline const Told *told_of(OffloadShard *s, int p, const ct_offload_op *result) noexcept nogil:
    """What a result says beyond its operation. Its tag is free already, but nothing is sent before all are taken."""
    return &s.lanes[p].told[result.op_id & 0xffff]


cdef void answer(OffloadShard *s, int p, const Tag *tag, const ct_offload_op *result) noexcept nogil:
    cdef uint32_t index = tag.slot
    cdef Slot *slot = &s.slots[index]
    slot.waiting &= ~(1 << p)
    if result.flags & CT_OFFLOAD_R_COUNTED:
        give_told(s, index, slot, NOTICE_COUNTED, told_of(s, p, result))
    if tag.type == CT_OFFLOAD_OP_ADD:
        answer_add(s, index, slot, p, result)
        if result.type == CT_OFFLOAD_OP_EST and result.error == 0:
            answer_est(s, index, slot, p, result)
    elif tag.type == CT_OFFLOAD_OP_EST:
        answer_est(s, index, slot, p, result)
    elif tag.type == CT_OFFLOAD_OP_DEL:
        answer_del(s, slot, p, result)
    elif tag.type == CT_OFFLOAD_OP_WINDOW:
        answer_window(s, index, slot, p, result)
    else:
        answer_upd(s, index, slot, p, result)
    if slot.waiting == 0 and slot.todo == 0:
        complete_stage(s, index, slot)


# --- what providers say by themselves --------------------------------------------------------------------------------

cdef void lose(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *how) noexcept nogil:
    """Its rules at one provider are gone: out of the others as well. In again, where something else than the port went."""
    disown(s, slot, p)
    if how.error or how.reason:
        slot.losses = max(slot.losses, <uint8_t> 1)
        start_undo(s, slot, NOTICE_REFUSED, how.error, how.reason or reason_of(how.error, CT_OFFLOAD_REASON_INSERT_FAILED))
    else:
        start_undo(s, slot, NOTICE_LOST, 0, CT_OFFLOAD_REASON_PORT_DOWN)
    if slot.op == 0:
        go_on(s, index, slot)


cdef void take_event(OffloadShard *s, int p, const ct_offload_op *event) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(event.conn_id)
    cdef int kind = event.type & ~EVENT_TYPE
    cdef Slot *slot = &s.slots[index]
    cdef Told told
    if (index >= s.touched or slot.generation != CT_OFFLOAD_ID_GENERATION(event.conn_id) or not slot.owners >> p & 1):
        s.count.stale += 1
    elif kind == CT_OFFLOAD_EVENT_AGED:
        give(s, index, slot, NOTICE_AGED, 0, 0, 0, 0)
    elif kind == CT_OFFLOAD_EVENT_LOST:
        if event.flags & CT_OFFLOAD_R_COUNTED:
            memcpy(&told, event_counts(event), sizeof(told))
            give_told(s, index, slot, NOTICE_COUNTED, &told)
        lose(s, index, slot, p, event)


cdef void take_results(OffloadShard *s, int p, Lane *lane) noexcept nogil:
    take_ring(s, p, lane, &lane.done[0])
    take_ring(s, p, lane, &lane.done[1])


cdef inline void fetch_answered(OffloadShard *s, uint64_t conn_id) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    if index < s.max_slots:
        prefetch(&s.slots[index])
        if s.table.prefetch != NULL:
            s.table.prefetch(s.table.user, index)


cdef void take_ring(OffloadShard *s, int p, Lane *lane, spsc *ring) noexcept nogil:
    """Results and events in the order in which a thread gave them."""
    cdef uint32_t i, n = spsc_ready(ring)
    cdef const ct_offload_op *result
    cdef Tag tag
    for i in range(n):
        if i + AHEAD < n:
            fetch_answered(s, (<const ct_offload_op *> spsc_at(ring, i + AHEAD)).conn_id)
        result = <const ct_offload_op *> spsc_at(ring, i)
        if result.type & EVENT_TYPE:
            take_event(s, p, result)
        elif not lane_settle(lane, result, s.now_us, &tag):
            s.count.nonsense += 1
        elif tag.is_orphan:
            answer_orphan(s, lane, &tag, result)
        else:
            answer(s, p, &tag, result)
    lane_settled(lane)
    spsc_release(ring, n)
