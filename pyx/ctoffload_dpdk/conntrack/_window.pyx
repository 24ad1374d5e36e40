"""Windows of connections whose packets the NIC may have carried."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ctoffload_dpdk.conntrack._segment cimport (
    TCP_ACK, TCP_CLOSING, TCP_FIN, TCP_FIN_WAIT_2, TCP_RST, Segment, peer_state, set_peer_state,
)
from ctoffload_dpdk.conntrack._state cimport (
    HW_CUT, HW_FIN_ORIG, HW_PUSHED, HW_RELEARN, HW_SEEN_ORIG, HW_STANDS_ORIG, HW_STANDS_REPLY, WIN_READ, WIN_RST_ORIG, Conn,
    Hardware, Shard,
)
from ctoffload_dpdk.conntrack._timeouts cimport timeout_ms
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


cdef void confirm_window(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    if not hardware.window & WIN_READ or hardware.flags & HW_PUSHED:
        return
    # one without data is inside whatever its sequence, but may tell of data that the NIC forwarded
    if <int32_t> (segment.first_seq - shard.conns[slot].seq_hi[segment.peer]) > 0:
        return
    hardware.flags |= HW_SEEN_ORIG << segment.peer
    if hardware.flags & (HW_SEEN_ORIG * 3) == HW_SEEN_ORIG * 3:
        hardware.flags &= ~<uint32_t> (HW_SEEN_ORIG * 3)
        hardware.window &= ~<uint32_t> WIN_READ


# The rules forwarded on after the read, and a liberal context follows strangers: until a packet of a side fits, one that
# does not speaks against what was read.
cdef inline bint is_contradicted(const Hardware *hardware, const Segment *segment) noexcept nogil:
    return not hardware.flags & (HW_SEEN_ORIG << segment.peer) and not segment.flags & TCP_RST


# What was read is not, or no more, the connection's window: learnt anew, from this segment on.
cdef void overtake(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    hardware.window &= ~<uint32_t> WIN_READ
    shard.counters.windows_overtaken += 1
    if not hardware.flags & HW_PUSHED:
        hardware.flags &= ~<uint32_t> (HW_SEEN_ORIG * 3)
        hardware.flags |= HW_RELEARN
        learn_window(shard, slot, segment)


cdef void restore_timeout(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    shard.hardware[slot].flags &= ~<uint32_t> HW_CUT
    conn.expires_ms = now_ms + timeout_ms(shard, conn)


# A window that is being read back may judge it.
cdef void remember_rst(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    if hardware.flags & HW_PUSHED and not hardware.flags & HW_RELEARN:
        hardware.seen_end[segment.peer] = segment.first_seq
        hardware.window |= WIN_RST_ORIG << segment.peer


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
        if not hardware.window & WIN_READ or not is_contradicted(hardware, segment):
            return False
        overtake(shard, slot, segment)
    elif hardware.window & WIN_READ and not segment.flags & TCP_RST:
        overtake(shard, slot, segment)
    shard.counters.relaxed += 1
    if segment.flags & TCP_RST:
        remember_rst(shard, slot, segment)
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
