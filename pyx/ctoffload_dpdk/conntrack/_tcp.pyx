"""TCP: the states of both peers as tables, sequence and window checks beside them."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.conntrack._checksum cimport load16, load32
from ctoffload_dpdk.conntrack._key cimport Parsed, likely
from ctoffload_dpdk.conntrack._others cimport (
    UPDATE_EXCUSED, UPDATE_INVALID, UPDATE_NEW, UPDATE_VALID, UPDATE_VALID_NEW,
)
from ctoffload_dpdk.conntrack._packet cimport REFUSED_NOT, REFUSED_NO_CONNECTION, REFUSED_TCP_FLAGS, REFUSED_TCP_WINDOW
from ctoffload_dpdk.conntrack._segment cimport (
    N_TCP_STATES, TCP_ACK, TCP_CLOSE_WAIT, TCP_CLOSED, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN, TCP_FIN_WAIT_1,
    TCP_FIN_WAIT_2, TCP_LAST_ACK, TCP_LISTEN, TCP_PSH, TCP_RST, TCP_SYN, TCP_SYN_RECV, TCP_SYN_SENT, TCP_TIME_WAIT, TCP_URG,
    WSCALE_ANNOUNCED, WSCALE_MASK, WSCALE_UNKNOWN, Segment, peer_state, set_peer_state, tcp_flags,
)
from ctoffload_dpdk.conntrack._state cimport CONN_HARDWARE, CONN_MIDSTREAM, Conn, Shard
from ctoffload_dpdk.conntrack._timeouts cimport (
    TIMEOUT_TCP_CLOSE, TIMEOUT_TCP_ESTABLISHED, TIMEOUT_TCP_FIN_WAIT, TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_SYN_SENT,
    TIMEOUT_TCP_TIME_WAIT, refresh, timeout_ms,
)
from ctoffload_dpdk.conntrack._window cimport confirm_window, excuse, learn_window, settle_fin

cdef enum:
    MAX_WSCALE = 14
    # how far an acknowledgement may lie behind: a window without scaling, and one packet
    ACK_SLACK = 65535 + 1500
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_WSCALE = 3

# What a peer sent, and what was sent to it.
cdef enum Event:
    SENT_NOTHING = 0
    SENT_SYN = 1
    SENT_FIN = 2
    SENT_RST = 3
    GOT_NOTHING = 0
    GOT_ACK = 1
    GOT_RST = 2

# next state of the sender by (its state, what it sent)
cdef uint8_t[N_TCP_STATES][4] SENDER = [
    # NOTHING         SYN              FIN              RST
    [TCP_CLOSED,      TCP_SYN_SENT,    TCP_CLOSING,     TCP_TIME_WAIT],   # CLOSED
    [TCP_LISTEN,      TCP_SYN_SENT,    TCP_CLOSING,     TCP_TIME_WAIT],   # LISTEN
    [TCP_SYN_SENT,    TCP_SYN_SENT,    TCP_CLOSING,     TCP_TIME_WAIT],   # SYN_SENT
    [TCP_SYN_RECV,    TCP_SYN_RECV,    TCP_CLOSING,     TCP_TIME_WAIT],   # SYN_RECV
    [TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_CLOSING,     TCP_TIME_WAIT],   # ESTABLISHED
    [TCP_CLOSE_WAIT,  TCP_CLOSE_WAIT,  TCP_CLOSING,     TCP_TIME_WAIT],   # CLOSE_WAIT
    [TCP_FIN_WAIT_1,  TCP_FIN_WAIT_1,  TCP_CLOSING,     TCP_TIME_WAIT],   # FIN_WAIT_1
    [TCP_CLOSING,     TCP_CLOSING,     TCP_CLOSING,     TCP_TIME_WAIT],   # CLOSING
    [TCP_LAST_ACK,    TCP_LAST_ACK,    TCP_LAST_ACK,    TCP_TIME_WAIT],   # LAST_ACK
    [TCP_FIN_WAIT_2,  TCP_FIN_WAIT_2,  TCP_FIN_WAIT_2,  TCP_TIME_WAIT],   # FIN_WAIT_2
    [TCP_TIME_WAIT,   TCP_TIME_WAIT,   TCP_TIME_WAIT,   TCP_TIME_WAIT],   # TIME_WAIT
]

# next state of the receiver by (its state, what it got)
cdef uint8_t[N_TCP_STATES][3] RECEIVER = [
    # NOTHING         ACK              RST
    [TCP_CLOSED,      TCP_CLOSED,      TCP_TIME_WAIT],   # CLOSED
    [TCP_LISTEN,      TCP_LISTEN,      TCP_TIME_WAIT],   # LISTEN
    [TCP_SYN_SENT,    TCP_ESTABLISHED, TCP_TIME_WAIT],   # SYN_SENT
    [TCP_SYN_RECV,    TCP_SYN_RECV,    TCP_TIME_WAIT],   # SYN_RECV
    [TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_TIME_WAIT],   # ESTABLISHED
    [TCP_CLOSE_WAIT,  TCP_CLOSE_WAIT,  TCP_TIME_WAIT],   # CLOSE_WAIT
    [TCP_FIN_WAIT_1,  TCP_FIN_WAIT_1,  TCP_TIME_WAIT],   # FIN_WAIT_1
    [TCP_CLOSING,     TCP_FIN_WAIT_2,  TCP_TIME_WAIT],   # CLOSING
    [TCP_LAST_ACK,    TCP_LAST_ACK,    TCP_TIME_WAIT],   # LAST_ACK
    [TCP_FIN_WAIT_2,  TCP_FIN_WAIT_2,  TCP_TIME_WAIT],   # FIN_WAIT_2
    [TCP_TIME_WAIT,   TCP_TIME_WAIT,   TCP_TIME_WAIT],   # TIME_WAIT
]

# how far a peer is, for the timeout: 0 opening, 1 established, 2 sent FIN, 3 its FIN was acknowledged
cdef uint8_t[N_TCP_STATES] STAGE = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3]

# timeout class by the stages of both peers
cdef uint8_t[4][4] TIMEOUT = [
    [TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_SYN_RECV],
    [TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_ESTABLISHED, TIMEOUT_TCP_FIN_WAIT, TIMEOUT_TCP_FIN_WAIT],
    [TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_FIN_WAIT, TIMEOUT_TCP_TIME_WAIT, TIMEOUT_TCP_TIME_WAIT],
    [TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_FIN_WAIT, TIMEOUT_TCP_TIME_WAIT, TIMEOUT_TCP_CLOSE],
]


# --- header fields ---------------------------------------------------------------------------------------------------

cdef inline bint at_least(uint32_t left, uint32_t right) noexcept nogil:
    return <int32_t> (left - right) >= 0


cdef inline uint32_t payload_size(const Parsed *parsed) noexcept nogil:
    return parsed.l4_size - (parsed.l4[12] >> 4) * 4


# Combinations that no TCP sends.
cdef inline bint flags_are_illegal(uint8_t flags) noexcept nogil:
    if flags & TCP_SYN:
        if flags & (TCP_RST | TCP_FIN):
            return True
    elif not flags & (TCP_ACK | TCP_RST):
        return True
    return not flags & TCP_ACK and flags & (TCP_FIN | TCP_PSH | TCP_URG)


# The scale a SYN announces, with WSCALE_ANNOUNCED; 0 where it announces none. The last one counts, whatever its length says.
cdef uint8_t announced_wscale(const Parsed *parsed) noexcept nogil:
    cdef const uint8_t *option = parsed.l4 + 20
    cdef int left = (parsed.l4[12] >> 4) * 4 - 20
    cdef uint8_t found = 0
    cdef int length
    while left >= 3:
        if option[0] == OPTION_END:
            break
        if option[0] == OPTION_NOP:
            length = 1
        else:
            if option[0] == OPTION_WSCALE:
                found = min(option[2], <uint8_t> MAX_WSCALE) | WSCALE_ANNOUNCED
            length = max(option[1], 2)
        option += length
        left -= length
    return found


cdef inline uint16_t scale_down(uint16_t window, int scale) noexcept nogil:
    return <uint16_t> ((<uint32_t> window + (1 << scale) - 1) >> scale)


# --- beginning -------------------------------------------------------------------------------------------------------

cdef uint8_t tcp_may_begin(const Parsed *parsed) noexcept nogil:
    cdef uint8_t flags = tcp_flags(parsed)
    if flags_are_illegal(flags):
        return REFUSED_TCP_FLAGS
    # a SYN-ACK answers something; everything else may be a connection picked up mid-stream
    return REFUSED_NO_CONNECTION if flags & TCP_SYN and flags & TCP_ACK else REFUSED_NOT


cdef void tcp_begin(Shard *shard, uint32_t slot, const Parsed *parsed, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef uint8_t flags = tcp_flags(parsed)
    cdef uint32_t seq = load32(parsed.l4 + 4)
    cdef uint16_t window = load16(parsed.l4 + 14)
    conn.state = TCP_SYN_SENT | TCP_CLOSED << 4
    conn.seq_lo[0] = seq
    conn.seq_hi[0] = seq + payload_size(parsed) + 1
    conn.seq_lo[1] = 0
    conn.seq_hi[1] = 1
    conn.max_win[1] = 1
    if flags & TCP_SYN:
        conn.seq_hi[0] += 1
        conn.wscale[0] = announced_wscale(parsed)
        conn.wscale[1] = 0
    else:
        conn.wscale[0] = conn.wscale[1] = WSCALE_UNKNOWN
        conn.flags |= CONN_MIDSTREAM
    if flags & TCP_FIN:
        conn.seq_hi[0] += 1
    conn.max_win[0] = scale_down(max(window, <uint16_t> 1), conn.wscale[0] & WSCALE_MASK)
    conn.timeout = TIMEOUT_TCP_SYN_SENT
    conn.expires_ms = now_ms + timeout_ms(shard, conn)


# --- windows ---------------------------------------------------------------------------------------------------------

# Scales count once both sides announced one, and never in a SYN; unknown ones are taken as the largest.
cdef inline void find_scales(const Conn *conn, Segment *segment) noexcept nogil:
    cdef uint8_t ours = conn.wscale[segment.peer]
    cdef uint8_t theirs = conn.wscale[1 - segment.peer]
    segment.our_scale = segment.their_scale = 0
    if segment.flags & TCP_SYN:
        return
    if ours & theirs & WSCALE_ANNOUNCED:
        segment.our_scale = ours & WSCALE_MASK
        segment.their_scale = theirs & WSCALE_MASK
    elif ours & theirs & WSCALE_UNKNOWN:
        segment.our_scale = segment.their_scale = MAX_WSCALE


# A SYN that answers one with a scale: with a scale of its own both count, without one neither does.
cdef void agree_on_scales(Shard *shard, Conn *conn, const Parsed *parsed, Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef int them = 1 - us
    cdef uint32_t unscaled
    conn.wscale[us] = announced_wscale(parsed)
    if conn.wscale[us] & WSCALE_ANNOUNCED:
        segment.our_scale = conn.wscale[us] & WSCALE_MASK
        segment.window = scale_down(segment.window, segment.our_scale)
        segment.their_scale = conn.wscale[them] & WSCALE_MASK
        return
    unscaled = <uint32_t> conn.max_win[them] << (conn.wscale[them] & WSCALE_MASK)
    # OVS keeps 16 bits of this: 65535 announced under a scale comes back as 0
    conn.max_win[them] = <uint16_t> unscaled if shard.ovs_compat else <uint16_t> min(unscaled, <uint32_t> 65535)
    conn.wscale[them] = 0


# The first packet of a peer sets its window. These writes stay even if the packet is refused afterwards.
cdef void adopt_peer(Shard *shard, Conn *conn, const Parsed *parsed, Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef uint32_t limit
    if segment.flags & TCP_SYN and conn.wscale[1 - us] & WSCALE_ANNOUNCED:
        agree_on_scales(shard, conn, parsed, segment)
    conn.seq_lo[us] = segment.seq
    set_peer_state(conn, us, TCP_SYN_SENT)
    limit = segment.end + max(<uint32_t> 1, <uint32_t> conn.max_win[1 - us] << segment.their_scale)
    if conn.seq_hi[us] == 1 or at_least(limit, conn.seq_hi[us]):
        conn.seq_hi[us] = limit
        segment.check_skew = False
    conn.max_win[us] = max(conn.max_win[us], segment.window)


cdef inline void read_segment(const Parsed *parsed, bint reply, Segment *segment) noexcept nogil:
    segment.peer = 1 if reply else 0
    segment.flags = tcp_flags(parsed)
    segment.seq = load32(parsed.l4 + 4)
    segment.first_seq = segment.seq
    segment.ack = load32(parsed.l4 + 8)
    segment.window = load16(parsed.l4 + 14)
    segment.end = segment.seq + payload_size(parsed)
    if segment.flags & TCP_SYN:
        segment.end += 1
    if segment.flags & TCP_FIN:
        segment.end += 1
    segment.real_end = segment.end
    segment.check_skew = True


# What a segment without news is taken to say, so that it passes the checks below.
cdef inline void ease(const Conn *conn, Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef int them = 1 - us
    if not segment.flags & TCP_ACK or (segment.ack == 0 and segment.flags & TCP_RST):
        segment.ack = conn.seq_lo[them]
    if segment.seq == segment.end:
        segment.seq = segment.end = conn.seq_lo[us]


cdef inline bint is_in_window(const Conn *conn, const Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef int them = 1 - us
    cdef int32_t skew = <int32_t> (conn.seq_lo[them] - segment.ack) if segment.check_skew else 0
    cdef uint32_t behind = <uint32_t> conn.max_win[them] << segment.their_scale
    if not at_least(conn.seq_hi[us], segment.end) or not at_least(segment.seq, conn.seq_lo[us] - behind):
        return False
    if skew < -ACK_SLACK or skew > ACK_SLACK << segment.our_scale:
        return False
    # a reset has to hit, give or take one
    return not segment.flags & TCP_RST or segment.first_seq - conn.seq_lo[us] + 1 <= 2


# Right after an end was lost or closed, anything near is good enough.
cdef inline bint is_near(const Conn *conn, const Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef uint8_t ours = peer_state(conn, us)
    cdef uint8_t theirs = peer_state(conn, 1 - us)
    if theirs >= TCP_SYN_SENT and theirs < TCP_FIN_WAIT_2 and ours < TCP_FIN_WAIT_2:
        return False
    return (at_least(conn.seq_hi[us] + ACK_SLACK, segment.end)
            and at_least(segment.seq, conn.seq_lo[us] - <uint32_t> ACK_SLACK))


cdef inline void move_window(Conn *conn, const Segment *segment) noexcept nogil:
    cdef int us = segment.peer
    cdef int them = 1 - us
    cdef uint32_t window = <uint32_t> segment.window << segment.our_scale
    conn.max_win[us] = max(conn.max_win[us], segment.window)
    if at_least(segment.end, conn.seq_lo[us]):
        conn.seq_lo[us] = segment.end
    if at_least(segment.ack + window, conn.seq_hi[them]):
        conn.seq_hi[them] = segment.ack + max(window, <uint32_t> 1)


# --- states ----------------------------------------------------------------------------------------------------------

cdef inline int event_sent(uint8_t flags) noexcept nogil:
    return SENT_RST if flags & TCP_RST else SENT_FIN if flags & TCP_FIN else SENT_SYN if flags & TCP_SYN else SENT_NOTHING


cdef inline int event_got(uint8_t flags) noexcept nogil:
    return GOT_RST if flags & TCP_RST else GOT_ACK if flags & TCP_ACK else GOT_NOTHING


cdef inline void step(Conn *conn, int us, int sent, int got) noexcept nogil:
    cdef uint8_t ours = SENDER[peer_state(conn, us)][sent]
    cdef uint8_t theirs = RECEIVER[peer_state(conn, 1 - us)][got]
    conn.state = <uint8_t> (ours | theirs << 4) if us == 0 else <uint8_t> (theirs | ours << 4)


cdef void tcp_refresh(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    refresh(shard, slot, TIMEOUT[STAGE[peer_state(conn, 0)]][STAGE[peer_state(conn, 1)]], now_ms)


# A bare SYN: the end of a closed connection, or the opening again. -1: goes on like any other packet.
cdef int update_syn(Shard *shard, uint32_t slot, int us, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    if peer_state(conn, 0) >= TCP_FIN_WAIT_2 and peer_state(conn, 1) >= TCP_FIN_WAIT_2:
        conn.state = TCP_CLOSED | TCP_CLOSED << 4
        return UPDATE_NEW
    if peer_state(conn, us) <= TCP_SYN_SENT:
        set_peer_state(conn, us, TCP_SYN_SENT)
        refresh(shard, slot, TIMEOUT_TCP_SYN_SENT, now_ms)
        return UPDATE_VALID_NEW
    return -1


cdef uint8_t tcp_update(Shard *shard, uint32_t slot, const Parsed *parsed, bint reply, int64_t now_ms,
                        uint8_t *refusal) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Segment segment
    cdef int answer
    read_segment(parsed, reply, &segment)
    if flags_are_illegal(segment.flags):
        refusal[0] = REFUSED_TCP_FLAGS
        return UPDATE_INVALID
    if segment.flags & (TCP_SYN | TCP_ACK) == TCP_SYN:
        answer = update_syn(shard, slot, segment.peer, now_ms)
        if answer >= 0:
            return <uint8_t> answer
    find_scales(conn, &segment)
    if peer_state(conn, segment.peer) < TCP_SYN_SENT:
        adopt_peer(shard, conn, parsed, &segment)
    ease(conn, &segment)
    if conn.flags & CONN_HARDWARE:
        learn_window(shard, slot, &segment)
    if likely(is_in_window(conn, &segment), True) or shard.tcp_liberal:
        move_window(conn, &segment)
        step(conn, segment.peer, event_sent(segment.flags), event_got(segment.flags))
        if conn.flags & CONN_HARDWARE:
            settle_fin(shard, slot, &segment)
            confirm_window(shard, slot, &segment)
        tcp_refresh(shard, slot, now_ms)
        return UPDATE_VALID
    if conn.flags & CONN_HARDWARE and excuse(shard, slot, &segment, now_ms):
        if settle_fin(shard, slot, &segment):
            tcp_refresh(shard, slot, now_ms)
        return UPDATE_EXCUSED
    if is_near(conn, &segment):
        move_window(conn, &segment)
        step(conn, segment.peer, event_sent(segment.flags & (TCP_FIN | TCP_RST)),
             event_got(segment.flags & TCP_RST))
        return UPDATE_VALID
    refusal[0] = REFUSED_TCP_WINDOW
    return UPDATE_INVALID
