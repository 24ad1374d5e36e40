# From frames to keys, a burst at a time.
from libc.stdint cimport uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed, Seed
from ctoffload_dpdk.conntrack._packet cimport Packet

# Where the headers of a frame lie, for the parser and for the fragment tracker.
cdef struct Layers:
    uint32_t l3              # offset of the IP header, 0 where there is none
    uint32_t l3_size         # from there to the end of the frame, padding included
    int family               # 4, 6, or 0

cdef void find_l3(const Packet *packet, Layers *layers) noexcept nogil
# Walks IPv6 extension headers; at and size are moved behind them. A Refusal, REFUSED_FRAGMENT at a fragment header.
cdef uint8_t skip_extensions(uint8_t *proto, const uint8_t **at, uint32_t *size) noexcept nogil
cdef void parse_burst(const Packet *packets, uint32_t n, const Seed *seed, bint ovs_compat, Parsed *parsed) noexcept nogil
