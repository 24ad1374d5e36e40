# The NIC's CONNTRACK object of one connection: made from what software knows, read back as what software wants.
from libc.stdint cimport uint16_t

from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow_action_conntrack,
    rte_flow_action_handle,
    rte_flow_error,
    rte_flow_modify_conntrack,
)
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_ctx, ct_offload_tcp_peer

# As rte_flow wants it, for the original direction. Both ends' scales are known, or the context is liberal.
cdef void context_fill(rte_flow_action_conntrack *state, const ct_offload_ctx *ctx, uint16_t peer_port,
                       bint strict) noexcept nogil
# NULL: see error, and rte_errno.
cdef rte_flow_action_handle *context_create(uint16_t ethdev, bint transfer, const rte_flow_action_conntrack *state,
                                            rte_flow_error *error) noexcept nogil
# Rules that are made from now on are for this direction. 0 or a positive errno.
cdef int context_turn(uint16_t ethdev, rte_flow_action_handle *handle, bint is_original,
                      rte_flow_error *error) noexcept nogil
cdef int context_destroy(uint16_t ethdev, rte_flow_action_handle *handle, rte_flow_error *error) noexcept nogil
# What the NIC knows of both ends. Slow on real NICs: a round trip.
cdef int context_read(uint16_t ethdev, const rte_flow_action_handle *handle, ct_offload_tcp_peer *peers,
                      rte_flow_error *error) noexcept nogil
