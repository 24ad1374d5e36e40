"""State machines of everything but TCP: UDP, ICMP, SCTP and all the rest."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Conn, Shard
from ctoffload_dpdk.conntrack._timeouts cimport (
    TIMEOUT_ICMP_FIRST, TIMEOUT_ICMP_REPLY, TIMEOUT_UDP_FIRST, TIMEOUT_UDP_MULTIPLE, TIMEOUT_UDP_SINGLE, refresh,
    timeout_ms,
)

cdef enum:
    PROTO_ICMP = 1
    PROTO_ICMPV6 = 58

# next phase by (machine, phase, is reply); machine 0 is UDP and all others, 1 is ICMP
cdef uint8_t[2][3][2] NEXT = [
    [
        [PHASE_MULTIPLE, PHASE_BOTH],    # FIRST
        [PHASE_MULTIPLE, PHASE_BOTH],    # MULTIPLE
        [PHASE_BOTH, PHASE_BOTH],        # BOTH
    ],
    [
        [PHASE_FIRST, PHASE_BOTH],       # FIRST
        [PHASE_FIRST, PHASE_BOTH],       # never reached
        [PHASE_BOTH, PHASE_BOTH],        # BOTH
    ],
]

# timeout class by (machine, phase)
cdef uint8_t[2][3] TIMEOUT = [
    [TIMEOUT_UDP_FIRST, TIMEOUT_UDP_SINGLE, TIMEOUT_UDP_MULTIPLE],
    [TIMEOUT_ICMP_FIRST, TIMEOUT_ICMP_FIRST, TIMEOUT_ICMP_REPLY],
]


# By protocol number alone: 1 over IPv6 and 58 over IPv4 get the ICMP machine too.
cdef inline int machine(uint8_t proto) noexcept nogil:
    return 1 if proto == PROTO_ICMP or proto == PROTO_ICMPV6 else 0


cdef bint others_may_begin(const Parsed *parsed) noexcept nogil:
    cdef uint8_t kind
    if not machine(parsed.proto):
        return True
    if parsed.l4_size == 0:
        return False
    kind = parsed.l4[0]
    return (kind == 8 or kind == 13 or kind == 15) if parsed.proto == PROTO_ICMP else kind == 128


cdef void others_begin(Shard *shard, uint32_t slot, uint8_t proto, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    conn.state = PHASE_FIRST
    conn.timeout = TIMEOUT[machine(proto)][conn.state]
    conn.expires_ms = now_ms + timeout_ms(shard, conn)


cdef uint8_t others_update(Shard *shard, uint32_t slot, uint8_t proto, bint reply, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef int which = machine(proto)
    conn.state = NEXT[which][conn.state][reply]
    refresh(shard, slot, TIMEOUT[which][conn.state], now_ms)
    return UPDATE_VALID if conn.state == PHASE_BOTH else UPDATE_VALID_NEW
