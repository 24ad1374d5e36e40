"""Which connections may go to hardware, as a shard asks it: without Python, per connection."""
from libc.stdlib cimport calloc

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_F_ALG, CT_OFFLOAD_ORIG, CT_OFFLOAD_REASON_ALG, CT_OFFLOAD_REASON_CLOSING, CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_REASON_NOT_ESTABLISHED, CT_OFFLOAD_REASON_POLICY, CT_OFFLOAD_REASON_PROTO, CT_OFFLOAD_REPLY,
    CT_OFFLOAD_TCP_ESTABLISHED, CT_OFFLOAD_TCP_FIN_WAIT_2)

cdef enum:
    PROTO_TCP = 6


# A half-closed connection may go in again: one peer's FIN was acknowledged, the other goes on sending.
cdef inline bint still_sends(uint8_t state) noexcept nogil:
    return state <= CT_OFFLOAD_TCP_ESTABLISHED


cdef inline bint has_closed(uint8_t state) noexcept nogil:
    return state == CT_OFFLOAD_TCP_FIN_WAIT_2


cdef uint16_t policy_against_add(const Policy *policy, const ct_offload_ctx *ctx) noexcept nogil:
    cdef uint32_t i, pair = <uint32_t> ctx.zone << 8 | ctx.proto
    if ctx.flags & CT_OFFLOAD_F_ALG:
        return CT_OFFLOAD_REASON_ALG
    if policy == NULL:
        return CT_OFFLOAD_REASON_NONE
    if policy.proto_denied[ctx.proto >> 3] >> (ctx.proto & 7) & 1:
        return CT_OFFLOAD_REASON_PROTO
    if policy.zone_denied[ctx.zone >> 3] >> (ctx.zone & 7) & 1:
        return CT_OFFLOAD_REASON_POLICY
    for i in range(policy.n_pairs):
        if policy.pair[i] == pair:
            return CT_OFFLOAD_REASON_POLICY
    return CT_OFFLOAD_REASON_NONE


cdef uint16_t policy_against_install(const Policy *policy, const ct_offload_ctx *ctx) noexcept nogil:
    cdef uint8_t orig = ctx.peer[CT_OFFLOAD_ORIG].state, reply = ctx.peer[CT_OFFLOAD_REPLY].state
    if ctx.proto != PROTO_TCP:
        return CT_OFFLOAD_REASON_NONE
    if not (still_sends(orig) or has_closed(orig)) or not (still_sends(reply) or has_closed(reply)):
        return CT_OFFLOAD_REASON_CLOSING
    if has_closed(orig) and has_closed(reply):
        return CT_OFFLOAD_REASON_CLOSING
    if (policy == NULL or policy.needs_handshake) and (
            orig < CT_OFFLOAD_TCP_ESTABLISHED or reply < CT_OFFLOAD_TCP_ESTABLISHED):
        return CT_OFFLOAD_REASON_NOT_ESTABLISHED
    return CT_OFFLOAD_REASON_NONE


cdef Policy *policy_new(object eligibility) except? NULL:
    cdef Policy *policy = <Policy *> calloc(1, sizeof(Policy))
    cdef uint32_t i
    if policy == NULL:
        raise MemoryError
    if eligibility.protocols is not None:
        for i in range(256):
            policy.proto_denied[i >> 3] |= (i not in eligibility.protocols) << (i & 7)
    if eligibility.zones is not None:
        for i in range(65536):
            policy.zone_denied[i >> 3] |= (i not in eligibility.zones) << (i & 7)
    for zone, proto in sorted(eligibility.denied):
        policy.pair[policy.n_pairs] = zone << 8 | proto
        policy.n_pairs += 1
    policy.min_packets = eligibility.min_packets
    policy.tokens_per_ms = eligibility.rate_per_s / 1000.0
    policy.burst = eligibility.burst
    policy.needs_handshake = eligibility.needs_handshake
    return policy
