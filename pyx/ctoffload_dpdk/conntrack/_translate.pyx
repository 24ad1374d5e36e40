"""Address translation of one packet: addresses, ports, identifiers, and every checksum that covers them.

Checksums are changed by the difference, so a packet's own errors stay errors; SCTP's and an ICMP error's are made anew.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._checksum cimport adjust, crc32c, folded, load16, replace, sum_bytes, sum_pseudo
from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._nat cimport conn_tuple
from ctoffload_dpdk.conntrack._packet cimport CS_DST_NAT, CS_SRC_NAT, NAT_DST, NAT_SRC, PKT_TRANSLATED, Packet
from ctoffload_dpdk.conntrack._parse cimport Layers, find_l3, skip_extensions
from ctoffload_dpdk.conntrack._state cimport Nat, Shard
from ctoffload_dpdk.conntrack._tuple cimport Tuple, tuple_turn

cdef enum:
    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_ICMPV6 = 58
    PROTO_SCTP = 132
    ICMP_HEADER = 8
    IPV6_HEADER = 40

# An IP packet that is rewritten: the frame's own, or the one an ICMP error carries.
cdef struct Target:
    uint8_t *ip
    uint8_t *l4
    uint32_t l4_size         # bytes that are there
    uint8_t family
    uint8_t proto


# --- checksums -------------------------------------------------------------------------------------------------------

cdef inline uint64_t replace_port(uint8_t *at, uint16_t port) noexcept nogil:
    cdef uint8_t bytes[2]
    bytes[0] = <uint8_t> (port >> 8)
    bytes[1] = <uint8_t> (port & 0xff)
    return replace(at, bytes, 2)


# The place of the checksum in a transport header, 0 where it has none that a difference mends.
cdef inline uint32_t checksum_at(const Target *target) noexcept nogil:
    if target.proto == PROTO_TCP:
        return 16
    if target.proto == PROTO_UDP:
        return 6
    if (target.family == 4 and target.proto == PROTO_ICMP) or (target.family == 6 and target.proto == PROTO_ICMPV6):
        return 2
    return 0


cdef void mend_l4(Target *target, uint64_t addresses, uint64_t ports) noexcept nogil:
    cdef uint32_t at = checksum_at(target)
    if not at or target.l4_size < at + 2:
        return
    if target.proto == PROTO_UDP and load16(target.l4 + at) == 0:
        return                           # sent without one
    if target.family == 4 and target.proto == PROTO_ICMP:
        addresses = 0                    # no pseudo-header
    adjust(target.l4 + at, addresses + ports)
    if target.proto == PROTO_UDP and load16(target.l4 + at) == 0:
        target.l4[at] = target.l4[at + 1] = 0xff


# --- headers ---------------------------------------------------------------------------------------------------------

cdef uint64_t put_addresses(Target *target, const uint64_t *src, const uint64_t *dst) noexcept nogil:
    cdef uint32_t at = 12 if target.family == 4 else 8
    cdef uint32_t size = 4 if target.family == 4 else 16
    cdef uint64_t difference = replace(target.ip + at, src, size) + replace(target.ip + at + size, dst, size)
    if target.family == 4:
        adjust(target.ip + 10, difference)
    return difference


cdef uint64_t put_ports(Target *target, const Tuple *to) noexcept nogil:
    if target.proto == PROTO_TCP or target.proto == PROTO_UDP or target.proto == PROTO_SCTP:
        return replace_port(target.l4, to.src_port) + replace_port(target.l4 + 2, to.dst_port)
    if checksum_at(target) == 2:
        return replace_port(target.l4 + 4, to.icmp_id)
    return 0


cdef void put_tuple(Target *target, const Tuple *to) noexcept nogil:
    cdef uint64_t addresses = put_addresses(target, to.src, to.dst)
    mend_l4(target, addresses, put_ports(target, to))


cdef void mend_sctp(Target *target) noexcept nogil:
    cdef uint32_t crc = crc32c(target.l4, target.l4_size, 8)
    cdef int i
    for i in range(4):
        target.l4[8 + i] = <uint8_t> (crc >> (8 * i) & 0xff)


# --- ICMP errors -----------------------------------------------------------------------------------------------------

# The header an ICMP error carries; its lengths were checked by the parser.
cdef void find_inner(const Target *outer, Target *inner) noexcept nogil:
    cdef uint32_t size = outer.l4_size - ICMP_HEADER
    cdef const uint8_t *l4
    inner.family = outer.family
    inner.ip = outer.l4 + ICMP_HEADER
    if outer.family == 4:
        inner.proto = inner.ip[9]
        inner.l4 = inner.ip + (inner.ip[0] & 0x0f) * 4
        inner.l4_size = size - (inner.ip[0] & 0x0f) * 4
        return
    inner.proto = inner.ip[6]
    l4 = inner.ip + IPV6_HEADER
    inner.l4_size = size - IPV6_HEADER
    skip_extensions(&inner.proto, &l4, &inner.l4_size)
    inner.l4 = <uint8_t *> l4


# The checksum of the whole error, anew: what it carries may be cut short anywhere.
cdef void mend_icmp(Target *outer) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint16_t value
    memset(outer.l4 + 2, 0, 2)
    if outer.family == 6:
        total = sum_bytes(sum_pseudo(PROTO_ICMPV6, outer.l4_size), outer.ip + 8, 32)
    value = <uint16_t> (0xffff ^ folded(sum_bytes(total, outer.l4, outer.l4_size)))
    memcpy(outer.l4 + 2, &value, 2)


# An error travels in one direction and carries a packet of the other, which was translated before it got there.
cdef void translate_error(const Nat *nat, Target *outer, const Tuple *there, const Tuple *carried, bint reply) noexcept nogil:
    cdef Target inner
    cdef uint32_t at = 12 if outer.family == 4 else 8
    cdef uint32_t size = 4 if outer.family == 4 else 16
    cdef uint64_t src[2]
    cdef uint64_t dst[2]
    memset(src, 0, sizeof(src))
    memset(dst, 0, sizeof(dst))
    memcpy(src, outer.ip + at, size)
    memcpy(dst, outer.ip + at + size, size)
    # the side that is not translated keeps its address: a router's, as a rule
    if nat.what & (NAT_DST if reply else NAT_SRC):
        memcpy(src, there.src, 16)
    if nat.what & (NAT_SRC if reply else NAT_DST):
        memcpy(dst, there.dst, 16)
    find_inner(outer, &inner)
    put_tuple(&inner, carried)
    put_addresses(outer, src, dst)
    mend_icmp(outer)


# --- one packet ------------------------------------------------------------------------------------------------------

cdef inline uint8_t bits_of(const Nat *nat, bint reply) noexcept nogil:
    cdef uint8_t bits = 0
    if nat.what & NAT_SRC:
        bits |= CS_DST_NAT if reply else CS_SRC_NAT
    if nat.what & NAT_DST:
        bits |= CS_SRC_NAT if reply else CS_DST_NAT
    return bits


cdef uint8_t translate(const Shard *shard, uint32_t slot, const Packet *packet, const Parsed *parsed, bint reply) noexcept nogil:
    cdef const Nat *nat = &shard.nats[slot]
    cdef Layers layers
    cdef Target target
    cdef Tuple to, carried
    if packet.flags & PKT_TRANSLATED:
        return bits_of(nat, reply)
    find_l3(packet, &layers)
    target.ip = <uint8_t *> packet.data + layers.l3
    target.l4 = <uint8_t *> parsed.l4
    target.l4_size = parsed.l4_size
    target.family = <uint8_t> layers.family
    target.proto = parsed.proto
    # a packet leaves with the other direction's tuple, turned round
    conn_tuple(shard, slot, not reply, &to)
    carried = to
    tuple_turn(&to)
    if parsed.related:
        translate_error(nat, &target, &to, &carried, reply)
        return bits_of(nat, reply)
    put_tuple(&target, &to)
    if target.proto == PROTO_SCTP:
        mend_sctp(&target)
    return bits_of(nat, reply)
