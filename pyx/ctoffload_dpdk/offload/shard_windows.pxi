# Of _shard.pyx: the window of a connection that leaves the NIC and goes on in software, read back before its removal.


cdef void shard_bring_back(OffloadShard *s, uint64_t conn_id, uint16_t reason) noexcept nogil:
    cdef uint32_t index = CT_OFFLOAD_ID_SLOT(conn_id)
    shard_want(s, conn_id, WANT_OUT, reason)
    if index < s.touched and s.slots[index].generation == CT_OFFLOAD_ID_GENERATION(conn_id):
        s.slots[index].asks |= ASKS_WINDOW


cdef bint take_read(OffloadShard *s) noexcept nogil:
    """True where the budget allows one more: as many at once as in a second."""
    cdef double share = <double> shared_get(&s.control.window_reads) / max(shared_get(&s.control.n_shards), <uint32_t> 1)
    if share == 0:
        return False
    if s.now_ms > s.reads_at_ms:
        s.reads = max(s.reads - (s.now_ms - s.reads_at_ms) * share / 1000, 0.0)
        s.reads_at_ms = s.now_ms
    if s.reads + 1 > max(share, 1.0):
        return False
    s.reads += 1
    return True


cdef bint start_window(OffloadShard *s, uint32_t index, Slot *slot) noexcept nogil:
    """True where the window is being read; the removal follows the answer. It waits for nothing to be asked."""
    cdef uint8_t holders = slot.contexts & slot.installed & slot.owners
    cdef bint is_wanted = slot.asks & ASKS_WINDOW
    cdef int p = 0
    slot.asks &= ~<uint32_t> ASKS_WINDOW
    if not is_wanted or slot.undo or not holders or not shared_get(&s.control.enabled):
        return False
    while not holders >> p & 1:
        p += 1
    if not lane_has_room(s.lanes[p], CT_OFFLOAD_OP_WINDOW) or shared_get(&s.lanes[p].stalled) or not take_read(s):
        s.count.windows_unread += 1
        return False
    begin(slot, CT_OFFLOAD_OP_WINDOW, 1 << p)
    s.count.reading += 1
    send(s, index, slot, CT_OFFLOAD_OP_WINDOW, NULL)
    return True


cdef void answer_window(OffloadShard *s, uint32_t index, Slot *slot, int p, const ct_offload_op *result) noexcept nogil:
    s.count.reading -= 1
    if result.error == 0:
        give_told(s, index, slot, NOTICE_WINDOW, told_of(s, p, result))
