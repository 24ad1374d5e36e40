"""The window of a connection that comes out of the NIC, as the NIC's context has it."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._life cimport EVENT_UPDATE, count_state, tell
from ctoffload_dpdk.conntrack._segment cimport (
    TCP_CLOSING, TCP_TIME_WAIT, WSCALE_ANNOUNCED, WSCALE_MASK, WSCALE_UNKNOWN, peer_state, set_peer_state,
)
from ctoffload_dpdk.conntrack._state cimport (
    HW_CUT, HW_FIN_ORIG, HW_PUSHED, HW_RELEARN, WIN_READ, WIN_RST_ORIG, WIN_RST_REPLY, Conn, Hardware, Shard,
)
from ctoffload_dpdk.conntrack._tcp cimport tcp_refresh
from ctoffload_dpdk.conntrack._window cimport restore_timeout

cdef enum:
    PROTO_TCP = 6
    MAX_WSCALE = 14
    MAX_WINDOW = 65535


cdef int scale_of(const Conn *conn, int peer) noexcept nogil:
    if conn.wscale[0] & conn.wscale[1] & WSCALE_ANNOUNCED:
        return conn.wscale[peer] & WSCALE_MASK
    return MAX_WSCALE if conn.wscale[0] & conn.wscale[1] & WSCALE_UNKNOWN else 0


# Nobody may send further ahead than the other side's largest window.
cdef bint can_be_of(const Conn *conn, const ct_offload_tcp_peer *peer) noexcept nogil:
    cdef int i
    for i in range(2):
        if peer[i].seq_hi - peer[i].seq_lo > <uint32_t> MAX_WINDOW << scale_of(conn, 1 - i):
            return False
    return True


cdef bint hits_rst(const Conn *conn, const Hardware *hardware) noexcept nogil:
    """As an RST that software judges at once: its sequence is the end, give or take one."""
    cdef int i
    for i in range(2):
        if hardware.window & (WIN_RST_ORIG << i) and hardware.seen_end[i] - conn.seq_lo[i] + 1 <= 2:
            return True
    return False


cdef void judge_rst(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    if not hardware.window & (WIN_RST_ORIG | WIN_RST_REPLY):
        return
    if hits_rst(conn, hardware):
        shard.counters.confirmed_rst += 1
        hardware.flags &= ~<uint32_t> HW_CUT
        conn.state = TCP_TIME_WAIT | TCP_TIME_WAIT << 4
        tcp_refresh(shard, slot, now_ms)
    elif hardware.flags & HW_CUT:
        restore_timeout(shard, slot, now_ms)
    hardware.window &= ~<uint32_t> (WIN_RST_ORIG | WIN_RST_REPLY)


cdef void judge_fin(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    """A FIN that was outside the window that software knew counts where it is inside the one that was read."""
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef int i
    for i in range(2):
        if not hardware.flags & (HW_FIN_ORIG << i):
            continue
        if <int32_t> (hardware.fin_end[i] - conn.seq_lo[i]) <= 0 or <int32_t> (conn.seq_hi[i] - hardware.fin_end[i]) < 0:
            continue
        hardware.flags &= ~<uint32_t> (HW_FIN_ORIG << i)
        conn.seq_lo[i] = hardware.fin_end[i]
        if peer_state(conn, i) < TCP_CLOSING:
            set_peer_state(conn, i, TCP_CLOSING)
        tcp_refresh(shard, slot, now_ms)


cdef void window_read(Shard *shard, uint32_t slot, const ct_offload_tcp_peer *peer, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef uint8_t before = conn.state
    cdef int i
    if conn.key.proto != PROTO_TCP or not hardware.flags & HW_PUSHED:
        return
    if not can_be_of(conn, peer):
        shard.counters.windows_refused += 1
        return
    shard.counters.windows_read += 1
    for i in range(2):
        conn.seq_lo[i] = peer[i].seq_lo
        conn.seq_hi[i] = peer[i].seq_hi
        conn.max_win[i] = max(conn.max_win[i], peer[i].max_win)
    hardware.window |= WIN_READ
    hardware.flags &= ~<uint32_t> HW_RELEARN
    judge_rst(shard, slot, now_ms)
    judge_fin(shard, slot, now_ms)
    if conn.state != before:
        count_state(shard, conn, before)
        if shard.events.ring != NULL:
            tell(shard, slot, EVENT_UPDATE, 0, now_ms)
