# Of _shard.pyx: a provider that does not come back from a call, and one that did.


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
        start_undo(s, &s.slots[tag.slot], NOTICE_REFUSED, ECANCELED, CT_OFFLOAD_REASON_PROVIDER_STALLED)
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
    if result.error == 0 and result.handle and (tag.type == CT_OFFLOAD_OP_ADD or tag.type == CT_OFFLOAD_OP_EST):
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
