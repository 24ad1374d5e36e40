# TCP as its machine and its windows see it: flags, states of a peer, one segment.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Conn

cdef enum:
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_PSH = 0x08
    TCP_ACK = 0x10
    TCP_URG = 0x20

    WSCALE_ANNOUNCED = 0x80
    WSCALE_UNKNOWN = 0x40
    WSCALE_MASK = 0x0f

cdef enum TcpState:
    TCP_CLOSED = 0
    TCP_LISTEN = 1
    TCP_SYN_SENT = 2
    TCP_SYN_RECV = 3
    TCP_ESTABLISHED = 4
    TCP_CLOSE_WAIT = 5
    TCP_FIN_WAIT_1 = 6
    TCP_CLOSING = 7          # it sent FIN
    TCP_LAST_ACK = 8
    TCP_FIN_WAIT_2 = 9       # its FIN was acknowledged
    TCP_TIME_WAIT = 10
    N_TCP_STATES = 11


cdef inline uint8_t peer_state(const Conn *conn, int peer) noexcept nogil:
    return conn.state >> (4 * peer) & 0x0f


cdef inline void set_peer_state(Conn *conn, int peer, uint8_t state) noexcept nogil:
    conn.state = <uint8_t> ((conn.state & (0xf0 if peer == 0 else 0x0f)) | state << (4 * peer))


cdef inline uint8_t tcp_flags(const Parsed *parsed) noexcept nogil:
    return parsed.l4[13] & 0x3f


# One TCP segment as its checks see it.
cdef struct Segment:
    uint32_t first_seq       # as in the header
    uint32_t seq             # eased
    uint32_t end             # eased: seq, payload, SYN and FIN
    uint32_t real_end        # not eased
    uint32_t ack
    int peer                 # who sent it: 0 the originator
    int our_scale
    int their_scale
    uint16_t window
    uint8_t flags
    bint check_skew
