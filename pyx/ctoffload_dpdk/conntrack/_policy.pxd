# Which new connections may be, and how they are translated: the first rule that fits decides.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._packet cimport NatAction, Packet, PolicyRule, PolicyRules

cdef class Policy:
    cdef PolicyRules rules
    cdef PolicyRule *_rules

# False where a rule denies it. `translation` becomes that of the first rule that translates it, and stays without one.
cdef bint policy_allows(const PolicyRules *policy, const Packet *packet, const Parsed *parsed,
                        const NatAction **translation) noexcept nogil
