# Timeouts: one class per state, one policy per id, with OVS's names and defaults.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._state cimport Conn, Shard

cpdef enum TimeoutClass:
    TIMEOUT_TCP_SYN_SENT = 0
    TIMEOUT_TCP_SYN_RECV = 1
    TIMEOUT_TCP_ESTABLISHED = 2
    TIMEOUT_TCP_FIN_WAIT = 3
    TIMEOUT_TCP_TIME_WAIT = 4
    TIMEOUT_TCP_CLOSE = 5
    TIMEOUT_UDP_FIRST = 6
    TIMEOUT_UDP_SINGLE = 7
    TIMEOUT_UDP_MULTIPLE = 8
    TIMEOUT_ICMP_FIRST = 9
    TIMEOUT_ICMP_REPLY = 10
    N_TIMEOUT_CLASSES = 11

# Behind the classes: the longest of each protocol's.
cdef enum:
    LONGEST_TCP = 13
    LONGEST_UDP = 14
    LONGEST_ICMP = 15

cdef int timeouts_open(Shard *shard) noexcept nogil
cdef void timeouts_close(Shard *shard) noexcept nogil
# The index of a policy id; n_policies where it was never set.
cdef uint32_t policy_find(const Shard *shard, uint32_t policy_id) noexcept nogil
# The same, made where there is none; 0, the defaults, when no more fit.
cdef uint32_t policy_index(Shard *shard, uint32_t policy_id) noexcept nogil
cdef void policy_reset(Shard *shard, uint32_t index) noexcept nogil
# A policy was changed.
cdef void policy_changed(Shard *shard, uint32_t index) noexcept nogil


cdef inline int64_t timeout_ms(const Shard *shard, const Conn *conn) noexcept nogil:
    return shard.policies[conn.policy].ms[conn.timeout]


# The longest of any state of this connection.
cdef inline int64_t longest_timeout_ms(const Shard *shard, const Conn *conn) noexcept nogil:
    cdef int of_proto = LONGEST_TCP + (conn.timeout >= TIMEOUT_UDP_FIRST) + (conn.timeout >= TIMEOUT_ICMP_FIRST)
    return shard.policies[conn.policy].ms[of_proto]


# Counts the idle time from now in a class. A shorter timeout than before needs an earlier look.
cdef void refresh_class(Shard *shard, uint32_t slot, uint8_t timeout, int64_t now_ms) noexcept nogil


cdef inline void refresh(Shard *shard, uint32_t slot, uint8_t timeout, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    if conn.timeout == timeout:
        conn.expires_ms = now_ms + shard.policies[conn.policy].ms[timeout]
    else:
        refresh_class(shard, slot, timeout, now_ms)
