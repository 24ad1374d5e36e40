# Which connections may go to hardware: what the settings say, as a shard reads it. Never changed once published.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_ctx

cdef struct Policy:
    uint8_t proto_denied[32]     # bit per protocol
    uint8_t zone_denied[8192]    # bit per zone
    uint32_t pair[64]            # zone << 8 | protocol
    uint32_t n_pairs
    uint32_t min_packets
    double tokens_per_ms         # of all shards; 0: no limit
    double burst
    bint needs_handshake

# Why it may not be added; 0 where it may.
cdef uint16_t policy_against_add(const Policy *policy, const ct_offload_ctx *ctx) noexcept nogil
# Why it may not be installed yet; 0 where it may.
cdef uint16_t policy_against_install(const Policy *policy, const ct_offload_ctx *ctx) noexcept nogil
# A policy of an Eligibility; NULL without memory. Freed with free().
cdef Policy *policy_new(object eligibility) except? NULL
