# The window of a connection that comes out of the NIC, as the NIC's context has it.
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.conntrack._state cimport Shard
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_tcp_peer

# Takes both peers for this connection's, and judges by them what could not be judged: RST, FIN. Rules forward on.
cdef void window_read(Shard *shard, uint32_t slot, const ct_offload_tcp_peer *peer, int64_t now_ms) noexcept nogil
