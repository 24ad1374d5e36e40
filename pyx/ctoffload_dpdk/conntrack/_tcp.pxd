# TCP: states of both peers, sequence and window checks.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Shard

# Whether a packet may begin a connection; a Refusal, 0 for yes.
cdef uint8_t tcp_may_begin(const Parsed *parsed) noexcept nogil
cdef void tcp_begin(Shard *shard, uint32_t slot, const Parsed *parsed, int64_t now_ms) noexcept nogil
# Counts the idle time from now in the class of the states.
cdef void tcp_refresh(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil
# An Update. `refusal` is written where it is UPDATE_INVALID.
cdef uint8_t tcp_update(Shard *shard, uint32_t slot, const Parsed *parsed, bint reply, int64_t now_ms,
                        uint8_t *refusal) noexcept nogil
