"""Windows of connections whose packets the NIC may have carried."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ctoffload_dpdk.conntrack._segment cimport (
    TCP_ACK, TCP_CLOSING, TCP_FIN, TCP_FIN_WAIT_2, TCP_RST, Segment, peer_state, set_peer_state,
)
from ctoffload_dpdk.conntrack._state cimport (
    HW_CUT, HW_FIN_ORIG, HW_PUSHED, HW_RELEARN, HW_SEEN_ORIG, HW_STANDS_ORIG, HW_STANDS_REPLY, Conn, Hardware, Shard,
)
from ctoffload_dpdk.conntrack._wheel cimport list_remove, wheel_put

cdef enum:
    PLAIN_WINDOW = 65535


cdef inline bint acknowledges(const Conn *conn, const Hardware *hardware, const Segment *segment) noexcept nogil:
    cdef int them = 1 - segment.peer
    cdef uint32_t reach = <uint32_t> conn.max_win[segment.peer] << segment.our_scale
    cdef uint32_t behind = hardware.seen_end[them] - segment.ack
    if not segment.flags & TCP_ACK or not hardware.flags & (HW_SEEN_ORIG << them):
        return False
    return behind <= max(reach, <uint32_t> PLAIN_WINDOW)


cdef void learn_window(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef Conn *conn = &shard.conns[slot]
    cdef int us = segment.peer
    cdef int them = 1 - us
    if not hardware.flags & HW_RELEARN or segment.flags & TCP_RST:
        return
    # the latest and not the highest: one stray packet must not spoil it for good
    hardware.seen_end[us] = segment.real_end
    hardware.flags |= HW_SEEN_ORIG << us
    if not acknowledges(conn, hardware, segment):
        return
    hardware.flags |= HW_STANDS_ORIG << them
    conn.max_win[us] = max(conn.max_win[us], segment.window)
    conn.seq_lo[them] = hardware.seen_end[them]
    conn.seq_hi[them] = segment.ack + max(<uint32_t> segment.window << segment.our_scale, <uint32_t> 1)
    if <int32_t> (conn.seq_lo[them] - conn.seq_hi[them]) > 0:
        conn.seq_hi[them] = conn.seq_lo[them]
    if hardware.flags & HW_STANDS_ORIG and hardware.flags & HW_STANDS_REPLY:
        hardware.flags &= ~<uint32_t> (HW_RELEARN | (HW_STANDS_ORIG | HW_STANDS_REPLY) | (HW_SEEN_ORIG * 3))


cdef void cut_timeout(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef int64_t limit = now_ms + shard.unconfirmed_rst_ms
    shard.counters.unconfirmed_rst += 1
    shard.hardware[slot].flags |= HW_CUT
    if limit < conn.expires_ms:
        conn.expires_ms = limit
        list_remove(shard, slot)
        wheel_put(shard, slot, limit)


cdef bint excuse(Shard *shard, uint32_t slot, const Segment *segment, int64_t now_ms) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    if not hardware.flags & (HW_PUSHED | HW_RELEARN):
        return False
    shard.counters.relaxed += 1
    if segment.flags & TCP_RST:
        cut_timeout(shard, slot, now_ms)
    elif segment.flags & TCP_FIN:
        hardware.fin_end[segment.peer] = segment.real_end
        hardware.flags |= HW_FIN_ORIG << segment.peer
    return True


cdef bint settle_fin(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef Conn *conn = &shard.conns[slot]
    cdef int them = 1 - segment.peer
    if (not hardware.flags & (HW_FIN_ORIG << them) or not segment.flags & TCP_ACK or segment.flags & TCP_RST
            or segment.ack != hardware.fin_end[them]):
        return False
    hardware.flags &= ~<uint32_t> (HW_FIN_ORIG << them)
    conn.seq_lo[them] = hardware.fin_end[them]
    if peer_state(conn, them) <= TCP_CLOSING:
        set_peer_state(conn, them, TCP_FIN_WAIT_2)
    return True
