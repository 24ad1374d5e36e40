# Address translation of one packet, in place, with its checksums.
from libc.stdint cimport uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._packet cimport Packet
from ctoffload_dpdk.conntrack._state cimport Shard

# Gives a packet of a translated connection the addresses of its other side; returns the ct_state bits that say so.
cdef uint8_t translate(const Shard *shard, uint32_t slot, const Packet *packet, const Parsed *parsed, bint reply) noexcept nogil
