# A burst of packets through the engine.
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.conntrack._packet cimport Action, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport Shard

cdef void burst(Shard *shard, const Packet *packets, uint32_t n, const Action *action, int64_t now_ms,
                Verdict *verdicts) noexcept nogil
cdef uint32_t expire(Shard *shard, int64_t now_ms, uint32_t budget_us) noexcept nogil
