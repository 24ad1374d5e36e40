"""Timeouts: one class per state, one policy per id."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._state cimport MAX_POLICIES, Conn, Shard, Timeouts
from ctoffload_dpdk.conntrack._table cimport area_close, area_open
from ctoffload_dpdk.conntrack._wheel cimport list_remove, wheel_put

# Seconds, by TimeoutClass.
cdef int64_t[N_TIMEOUT_CLASSES] DEFAULT_S = [30, 30, 86400, 900, 45, 30, 60, 60, 30, 60, 30]


cdef int timeouts_open(Shard *shard) noexcept nogil:
    cdef int error = area_open(&shard.policy_area, MAX_POLICIES * (sizeof(Timeouts) + sizeof(uint32_t)))
    if error:
        return error
    shard.policies = <Timeouts *> shard.policy_area.base
    shard.policy_ids = <uint32_t *> (shard.policies + MAX_POLICIES)
    shard.n_policies = 1
    policy_reset(shard, 0)
    return 0


cdef void timeouts_close(Shard *shard) noexcept nogil:
    area_close(&shard.policy_area)


cdef void policy_reset(Shard *shard, uint32_t index) noexcept nogil:
    cdef int i
    for i in range(N_TIMEOUT_CLASSES):
        shard.policies[index].ms[i] = DEFAULT_S[i] * 1000
    policy_changed(shard, index)


cdef void policy_changed(Shard *shard, uint32_t index) noexcept nogil:
    cdef int64_t *ms = shard.policies[index].ms
    cdef int i
    ms[<int> LONGEST_TCP] = ms[<int> LONGEST_UDP] = ms[<int> LONGEST_ICMP] = 0
    for i in range(TIMEOUT_UDP_FIRST):
        ms[<int> LONGEST_TCP] = max(ms[<int> LONGEST_TCP], ms[i])
    for i in range(TIMEOUT_UDP_FIRST, TIMEOUT_ICMP_FIRST):
        ms[<int> LONGEST_UDP] = max(ms[<int> LONGEST_UDP], ms[i])
    for i in range(TIMEOUT_ICMP_FIRST, N_TIMEOUT_CLASSES):
        ms[<int> LONGEST_ICMP] = max(ms[<int> LONGEST_ICMP], ms[i])


cdef uint32_t policy_find(const Shard *shard, uint32_t policy_id) noexcept nogil:
    cdef uint32_t i = 0
    while i < shard.n_policies and shard.policy_ids[i] != policy_id:
        i += 1
    return i


cdef uint32_t policy_index(Shard *shard, uint32_t policy_id) noexcept nogil:
    cdef uint32_t i = policy_find(shard, policy_id)
    if i < shard.n_policies:
        return i
    if shard.n_policies == MAX_POLICIES:
        return 0
    shard.n_policies += 1
    shard.policy_ids[i] = policy_id
    policy_reset(shard, i)
    return i


cdef void refresh_class(Shard *shard, uint32_t slot, uint8_t timeout, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef int64_t before = conn.expires_ms
    conn.timeout = timeout
    conn.expires_ms = now_ms + timeout_ms(shard, conn)
    if conn.expires_ms < before:
        list_remove(shard, slot)
        wheel_put(shard, slot, conn.expires_ms)
