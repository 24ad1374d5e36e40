# What names a connection, as packets of one direction have it.
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Key

# Addresses as in a packet (IPv4: the first four bytes). ICMP: the ports are the types of both ends.
cdef struct Tuple:
    uint64_t src[2]
    uint64_t dst[2]
    uint16_t src_port
    uint16_t dst_port
    uint16_t icmp_id

# The tuple of the packets that the key's end b sends, if swapped, or else end a.
cdef void tuple_of_key(const Key *key, bint swapped, Tuple *out) noexcept nogil
# The key of a tuple; returns whether end b sends it.
cdef bint key_of_tuple(const Tuple *ends, uint16_t zone, uint8_t proto, uint8_t family, Key *key) noexcept nogil
cdef void tuple_turn(Tuple *ends) noexcept nogil


# Ports as they are told outside the tracker, in host order: of ICMP the identifier, and the sender's type over code 0.
cdef inline void told_ports(const Tuple *ends, bint icmp, uint16_t *source, uint16_t *target) noexcept nogil:
    source[0] = ends.icmp_id if icmp else ends.src_port
    target[0] = <uint16_t> (ends.src_port << 8) if icmp else ends.dst_port
