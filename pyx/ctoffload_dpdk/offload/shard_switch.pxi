# Of _shard.pyx: the walk over all connections that follows each change of the switch.


cdef inline uint16_t port_refusal(OffloadShard *s, const ct_offload_ctx *ctx) noexcept nogil:
    """Why connections on these ports may not be in hardware; ports are not looked at while none is registered."""
    cdef uint32_t epoch = shared_get(&s.control.epoch)
    # Most come by the same two ports as the one before; each change of the ports is a new epoch.
    if epoch != s.seen_epoch or memcmp(s.seen_ports, ctx.port, sizeof(s.seen_ports)) != 0:
        s.seen_refusal = look_at_ports(s, ctx)
        memcpy(s.seen_ports, ctx.port, sizeof(s.seen_ports))
        s.seen_epoch = epoch
    return s.seen_refusal


cdef uint16_t look_at_ports(OffloadShard *s, const ct_offload_ctx *ctx) noexcept nogil:
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
        reason = port_refusal(s, s.ctx)
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
    s.ctx = &s.common
    end = min(s.walk_at + WALK_SLICE, s.touched)
    while s.walk_at < end:
        slot = &s.slots[s.walk_at]
        prefetch(&slot[AHEAD])
        if slot.owners:
            walk_owned(s, s.walk_at, slot, enabled, active)
        elif slot.parked and slot.list == LIST_NONE and enabled and active:
            slot.parked = 0
            link(s, s.walk_at, slot, next_list(slot))
        s.walk_at += 1
    s.walking = s.walk_at < s.touched


cdef bint shard_is_draining(OffloadShard *s) noexcept nogil:
    cdef int p
    if shard_walk_left(s) or s.count.leaving or s.count.reading or s.count.waiting[LIST_DEL]:
        return True
    for p in range(CT_OFFLOAD_MAX_PROVIDERS):
        if s.lanes[p] != NULL and s.lanes[p].outstanding[LANE_DEL]:
            return True
    return False
