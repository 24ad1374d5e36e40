"""From frames to keys: Ethernet, VLANs, IPv4, IPv6 with extension headers, TCP, UDP, SCTP, ICMP, ICMPv6, any other."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._checksum cimport (
    crc32c, load16, load32, sum_bytes, sum_is_good, sum_pseudo,
)
from ctoffload_dpdk.conntrack._key cimport (
    Parsed, Seed, hash_v4, hash_v6, icmp_answer, key_tail, likely, prefetch,
)
from ctoffload_dpdk.conntrack._packet cimport (
    PKT_L3_BAD, PKT_L3_GOOD, PKT_L4_BAD, PKT_L4_GOOD, REFUSED_FRAGMENT, REFUSED_ICMP_INNER, REFUSED_ICMP_TYPE,
    REFUSED_L3_CHECKSUM, REFUSED_L3_HEADER, REFUSED_L4_CHECKSUM, REFUSED_L4_HEADER, REFUSED_NOT, REFUSED_NOT_IP,
    REFUSED_PORT_ZERO, Packet,
)

cdef enum:
    ETH_HEADER = 14
    ETH_TYPE_MIN = 1536
    ETH_IPV4 = 0x0800
    ETH_IPV6 = 0x86dd
    ETH_VLAN = 0x8100
    ETH_QINQ = 0x88a8
    MAX_VLAN_TAGS = 2

    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_ICMPV6 = 58
    PROTO_SCTP = 132

    EXT_HOP_BY_HOP = 0
    EXT_ROUTING = 43
    EXT_FRAGMENT = 44
    EXT_AUTH = 51
    EXT_DESTINATION = 60

    IPV4_HEADER = 20
    IPV6_HEADER = 40
    TCP_HEADER = 20
    UDP_HEADER = 8
    SCTP_HEADER = 12
    ICMP_HEADER = 8
    # How much of the transport header an ICMP error over IPv4 has to carry.
    ICMP_INNER = 8

# One packet on its way through the parser.
cdef struct Walk:
    const uint8_t *l3
    const uint8_t *l4
    uint32_t l4_size
    uint32_t flags
    uint8_t proto
    uint8_t family
    bint ovs_compat
    # the two ends as the packet has them; the ports of ICMP are the types of both ends
    uint64_t src[2]
    uint64_t dst[2]
    uint16_t src_port
    uint16_t dst_port
    uint16_t icmp_id


cdef inline bint speaks_icmp(uint8_t family, uint8_t proto) noexcept nogil:
    return (family == 4 and proto == PROTO_ICMP) or (family == 6 and proto == PROTO_ICMPV6)


# --- layer 2 ---------------------------------------------------------------------------------------------------------

cdef inline void locate_l3(const uint8_t *data, uint32_t length, Layers *layers) noexcept nogil:
    cdef uint32_t at = ETH_HEADER
    cdef uint32_t tags = 0
    cdef uint16_t eth_type
    layers.l3 = 0
    layers.l3_size = 0
    layers.family = 0
    if length < ETH_HEADER:
        return
    eth_type = load16(data + 12)
    while (eth_type == ETH_VLAN or eth_type == ETH_QINQ) and tags < MAX_VLAN_TAGS and length >= at + 4:
        eth_type = load16(data + at + 2)
        at += 4
        tags += 1
    if eth_type < ETH_TYPE_MIN:
        # a length: only SNAP with an Ethernet type inside can still be IP
        if length < at + 8 or load32(data + at) != 0xaaaa0300U or load16(data + at + 4) != 0:
            return
        eth_type = load16(data + at + 6)
        at += 8
    if eth_type == ETH_IPV4 or eth_type == ETH_IPV6:
        layers.l3 = at
        layers.l3_size = length - at
        layers.family = 4 if eth_type == ETH_IPV4 else 6


cdef void find_l3(const Packet *packet, Layers *layers) noexcept nogil:
    locate_l3(packet.data, packet.length, layers)


# --- layer 3 ---------------------------------------------------------------------------------------------------------

# The outer header of a packet: its length fields have to fit the frame.
cdef inline uint8_t outer_ipv4(Walk *walk, uint32_t size) noexcept nogil:
    cdef const uint8_t *ip = walk.l3
    cdef uint32_t header, total
    cdef uint16_t fragment
    if size < IPV4_HEADER:
        return REFUSED_L3_HEADER
    header = (ip[0] & 0x0f) * 4
    total = load16(ip + 2)
    if header < IPV4_HEADER or total < header or total > size:
        return REFUSED_L3_HEADER
    fragment = load16(ip + 6)
    if fragment & 0x1fff:
        return REFUSED_FRAGMENT
    # OVS reads a first fragment that its reassembly did not take as a whole packet
    if fragment & 0x2000 and not walk.ovs_compat:
        return REFUSED_FRAGMENT
    if walk.flags & PKT_L3_BAD and not walk.flags & PKT_L3_GOOD:
        return REFUSED_L3_CHECKSUM
    if not walk.flags & PKT_L3_GOOD and not sum_is_good(sum_bytes(0, ip, header)):
        return REFUSED_L3_CHECKSUM
    walk.l4 = ip + header
    walk.l4_size = total - header
    return REFUSED_NOT


# The header inside an ICMP error: cut short as a rule, so its length fields mean nothing.
cdef uint8_t inner_ipv4(Walk *walk, uint32_t size) noexcept nogil:
    cdef const uint8_t *ip = walk.l3
    cdef uint32_t header
    if size < IPV4_HEADER:
        return REFUSED_ICMP_INNER
    header = (ip[0] & 0x0f) * 4
    if header < IPV4_HEADER or size < header or load16(ip + 6) & 0x1fff:
        return REFUSED_ICMP_INNER
    walk.l4 = ip + header
    walk.l4_size = size - header
    return REFUSED_NOT


cdef inline void take_ipv4(Walk *walk) noexcept nogil:
    cdef uint32_t word = 0
    memcpy(&word, walk.l3 + 12, 4)
    walk.src[0] = word
    memcpy(&word, walk.l3 + 16, 4)
    walk.dst[0] = word
    walk.proto = walk.l3[9]


# Walks the extension headers; at and size are moved behind them.
cdef uint8_t skip_extensions(uint8_t *proto, const uint8_t **at, uint32_t *size) noexcept nogil:
    cdef uint32_t length
    cdef uint8_t kind
    while True:
        kind = proto[0]
        if (kind != EXT_HOP_BY_HOP and kind != EXT_ROUTING and kind != EXT_DESTINATION and kind != EXT_AUTH
                and kind != EXT_FRAGMENT):
            return REFUSED_NOT
        if size[0] < 8:
            return REFUSED_L3_HEADER
        if kind == EXT_FRAGMENT:
            if load16(at[0] + 2) != 0:
                return REFUSED_FRAGMENT
            length = 8
        elif kind == EXT_AUTH:
            length = (at[0][1] + 2) * 4
        else:
            length = (at[0][1] + 1) * 8
        if size[0] < length:
            return REFUSED_L3_HEADER
        proto[0] = at[0][0]
        at[0] += length
        size[0] -= length


cdef inline uint8_t outer_ipv6(Walk *walk, uint32_t size) noexcept nogil:
    cdef uint32_t payload
    if size < IPV6_HEADER:
        return REFUSED_L3_HEADER
    payload = load16(walk.l3 + 4)
    if payload + IPV6_HEADER > size:
        return REFUSED_L3_HEADER
    walk.proto = walk.l3[6]
    walk.l4 = walk.l3 + IPV6_HEADER
    walk.l4_size = payload
    return skip_extensions(&walk.proto, &walk.l4, &walk.l4_size)


cdef uint8_t inner_ipv6(Walk *walk, uint32_t size) noexcept nogil:
    if size < IPV6_HEADER:
        return REFUSED_ICMP_INNER
    walk.proto = walk.l3[6]
    walk.l4 = walk.l3 + IPV6_HEADER
    walk.l4_size = size - IPV6_HEADER
    return REFUSED_NOT if skip_extensions(&walk.proto, &walk.l4, &walk.l4_size) == REFUSED_NOT else REFUSED_ICMP_INNER


cdef inline void take_ipv6(Walk *walk) noexcept nogil:
    memcpy(walk.src, walk.l3 + 8, 16)
    memcpy(walk.dst, walk.l3 + 24, 16)


# --- layer 4 ---------------------------------------------------------------------------------------------------------

cdef inline bint l4_sum_is_good(const Walk *walk) noexcept nogil:
    cdef uint64_t total = sum_pseudo(walk.proto, walk.l4_size)
    total = sum_bytes(total, walk.l3 + (12 if walk.family == 4 else 8), 8 if walk.family == 4 else 32)
    return sum_is_good(sum_bytes(total, walk.l4, walk.l4_size))


cdef uint8_t check_tcp(const Walk *walk) noexcept nogil:
    cdef uint32_t header
    if walk.l4_size < TCP_HEADER:
        return REFUSED_L4_HEADER
    header = (walk.l4[12] >> 4) * 4
    if header < TCP_HEADER or header > walk.l4_size:
        return REFUSED_L4_HEADER
    if not walk.flags & PKT_L4_GOOD and not l4_sum_is_good(walk):
        return REFUSED_L4_CHECKSUM
    return REFUSED_NOT


# A length field shorter than the packet is accepted, and the sum is still taken over all of it, as OVS does.
cdef inline uint8_t check_udp(const Walk *walk) noexcept nogil:
    cdef uint32_t length
    if walk.l4_size < UDP_HEADER:
        return REFUSED_L4_HEADER
    length = load16(walk.l4 + 4)
    if length < UDP_HEADER or length > walk.l4_size:
        return REFUSED_L4_HEADER
    if walk.flags & PKT_L4_GOOD or (walk.family == 4 and load16(walk.l4 + 6) == 0):
        return REFUSED_NOT
    # over IPv6 a checksum of zero is wrong whatever the sum says
    if load16(walk.l4 + 6) == 0 or not l4_sum_is_good(walk):
        return REFUSED_L4_CHECKSUM
    return REFUSED_NOT


cdef uint8_t check_sctp(const Walk *walk) noexcept nogil:
    cdef uint32_t at = SCTP_HEADER
    cdef uint32_t length, carried
    if walk.l4_size < SCTP_HEADER:
        return REFUSED_L4_HEADER
    while at < walk.l4_size:
        if walk.l4_size - at < 4:
            return REFUSED_L4_HEADER
        length = load16(walk.l4 + at + 2)
        if length < 4 or (length + 3 & ~3) > walk.l4_size - at:
            return REFUSED_L4_HEADER
        at += length + 3 & ~3
    if not walk.flags & PKT_L4_GOOD:
        carried = (walk.l4[8] | <uint32_t> walk.l4[9] << 8 | <uint32_t> walk.l4[10] << 16 | <uint32_t> walk.l4[11] << 24)
        if crc32c(walk.l4, walk.l4_size, 8) != carried:
            return REFUSED_L4_CHECKSUM
    return REFUSED_NOT


# The receiver's flags say nothing of ICMP, so its checksum is always verified.
cdef uint8_t check_icmp(const Walk *walk) noexcept nogil:
    cdef bint good
    if walk.l4_size < ICMP_HEADER:
        return REFUSED_L4_HEADER
    good = sum_is_good(sum_bytes(0, walk.l4, walk.l4_size)) if walk.family == 4 else l4_sum_is_good(walk)
    return REFUSED_NOT if good else REFUSED_L4_CHECKSUM


cdef uint8_t check_l4(const Walk *walk) noexcept nogil:
    if walk.proto == PROTO_UDP:
        return check_udp(walk)
    if walk.proto == PROTO_TCP:
        return check_tcp(walk)
    if speaks_icmp(walk.family, walk.proto):
        return check_icmp(walk)
    if walk.proto == PROTO_SCTP:
        return check_sctp(walk)
    return REFUSED_NOT


cdef inline uint8_t take_ports(Walk *walk) noexcept nogil:
    walk.src_port = load16(walk.l4)
    walk.dst_port = load16(walk.l4 + 2)
    return REFUSED_NOT if walk.src_port and walk.dst_port else REFUSED_PORT_ZERO


# Types that ask, and those that answer them.
cdef inline bint is_echo(uint8_t family, uint8_t kind) noexcept nogil:
    if family == 6:
        return kind == 128 or kind == 129
    return kind == 8 or kind == 0 or 13 <= kind <= 16


cdef inline bint is_icmp_error(uint8_t family, uint8_t kind) noexcept nogil:
    if family == 6:
        return 1 <= kind <= 4
    return kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12


cdef uint8_t take_echo(Walk *walk) noexcept nogil:
    if not is_echo(walk.family, walk.l4[0]) or walk.l4[1] != 0:
        return REFUSED_ICMP_TYPE
    walk.icmp_id = load16(walk.l4 + 4)
    walk.src_port = walk.l4[0]
    walk.dst_port = icmp_answer(walk.family, walk.l4[0])
    return REFUSED_NOT


# --- ICMP errors -----------------------------------------------------------------------------------------------------

# How much of an embedded transport header has to be there: over IPv6 all of it.
cdef inline uint32_t inner_needs(uint8_t family, uint8_t proto) noexcept nogil:
    if proto == PROTO_TCP:
        return ICMP_INNER if family == 4 else TCP_HEADER
    if proto == PROTO_UDP:
        return UDP_HEADER
    if proto == PROTO_SCTP:
        return ICMP_INNER if family == 4 else SCTP_HEADER
    return ICMP_HEADER if speaks_icmp(family, proto) else 0


cdef uint8_t take_inner(Walk *walk) noexcept nogil:
    if walk.l4_size < inner_needs(walk.family, walk.proto):
        return REFUSED_ICMP_INNER
    if walk.proto == PROTO_TCP or walk.proto == PROTO_UDP or walk.proto == PROTO_SCTP:
        return take_ports(walk)
    if speaks_icmp(walk.family, walk.proto):
        return REFUSED_NOT if take_echo(walk) == REFUSED_NOT else REFUSED_ICMP_INNER
    walk.src_port = walk.dst_port = 0
    return REFUSED_NOT


# The tuple of the packet an ICMP error is about, turned round: the error travels towards that packet's sender.
cdef uint8_t take_embedded(Walk *walk) noexcept nogil:
    cdef Walk inner
    cdef uint8_t refusal
    memset(&inner, 0, sizeof(inner))
    inner.family = walk.family
    inner.l3 = walk.l4 + ICMP_HEADER
    if walk.family == 4:
        refusal = inner_ipv4(&inner, walk.l4_size - ICMP_HEADER)
    else:
        refusal = inner_ipv6(&inner, walk.l4_size - ICMP_HEADER)
    if refusal:
        return refusal
    if inner.family == 4:
        take_ipv4(&inner)
    else:
        take_ipv6(&inner)
    if inner.src[0] != walk.dst[0] or (walk.family == 6 and inner.src[1] != walk.dst[1]):
        return REFUSED_ICMP_INNER
    refusal = take_inner(&inner)
    if refusal:
        return refusal
    walk.proto = inner.proto
    walk.src[0] = inner.dst[0]
    walk.src[1] = inner.dst[1]
    walk.dst[0] = inner.src[0]
    walk.dst[1] = inner.src[1]
    walk.src_port = inner.dst_port
    walk.dst_port = inner.src_port
    walk.icmp_id = inner.icmp_id
    return REFUSED_NOT


# --- the whole packet ------------------------------------------------------------------------------------------------

cdef inline bint end_is_greater_v6(const Walk *walk) noexcept nogil:
    if walk.src[0] != walk.dst[0]:
        return walk.src[0] > walk.dst[0]
    if walk.src[1] != walk.dst[1]:
        return walk.src[1] > walk.dst[1]
    return walk.src_port > walk.dst_port


cdef inline uint64_t tail_of(const Walk *walk, bint swapped, uint16_t zone) noexcept nogil:
    cdef uint16_t a_port = walk.dst_port if swapped else walk.src_port
    cdef uint16_t b_port = walk.src_port if swapped else walk.dst_port
    if speaks_icmp(walk.family, walk.proto):
        b_port = a_port << 8
        a_port = walk.icmp_id
    return key_tail(a_port, b_port, zone, walk.proto, walk.family)


cdef inline void put_key_v4(const Walk *walk, uint16_t zone, const Seed *seed, Parsed *parsed) noexcept nogil:
    cdef uint64_t *word = <uint64_t *> &parsed.key
    cdef uint64_t src = walk.src[0]
    cdef uint64_t dst = walk.dst[0]
    cdef bint swapped = (src << 16 | walk.src_port) > (dst << 16 | walk.dst_port)
    cdef uint64_t a = dst if swapped else src
    cdef uint64_t b = src if swapped else dst
    cdef uint64_t tail = tail_of(walk, swapped, zone)
    parsed.swapped = swapped
    word[0] = a
    word[1] = 0
    word[2] = b
    word[3] = 0
    word[4] = tail
    parsed.hash = hash_v4(a, b, tail, seed)


cdef void put_key_v6(const Walk *walk, uint16_t zone, const Seed *seed, Parsed *parsed) noexcept nogil:
    cdef uint64_t *word = <uint64_t *> &parsed.key
    cdef bint swapped = end_is_greater_v6(walk)
    parsed.swapped = swapped
    word[0] = walk.dst[0] if swapped else walk.src[0]
    word[1] = walk.dst[1] if swapped else walk.src[1]
    word[2] = walk.src[0] if swapped else walk.dst[0]
    word[3] = walk.src[1] if swapped else walk.dst[1]
    word[4] = tail_of(walk, swapped, zone)
    parsed.hash = hash_v6(word[0], word[1], word[2], word[3], word[4], seed)


cdef inline uint8_t parse_l4(Walk *walk, Parsed *parsed) noexcept nogil:
    cdef uint8_t refusal
    if walk.flags & PKT_L4_BAD and not walk.flags & PKT_L4_GOOD:
        return REFUSED_L4_CHECKSUM
    parsed.proto = walk.proto
    parsed.l4 = walk.l4
    parsed.l4_size = walk.l4_size
    refusal = check_udp(walk) if likely(walk.proto == PROTO_UDP, True) else check_l4(walk)
    if refusal:
        return refusal
    if walk.proto == PROTO_UDP or walk.proto == PROTO_TCP or walk.proto == PROTO_SCTP:
        return take_ports(walk)
    if speaks_icmp(walk.family, walk.proto):
        if not is_icmp_error(walk.family, walk.l4[0]):
            return take_echo(walk)
        parsed.related = True
        return take_embedded(walk)
    walk.src_port = walk.dst_port = 0
    return REFUSED_NOT


cdef inline void parse_one(const Packet *packet, const Seed *seed, bint ovs_compat, Parsed *parsed) noexcept nogil:
    cdef Layers layers
    cdef Walk walk
    parsed.related = False
    locate_l3(packet.data, packet.length, &layers)
    if not layers.family:
        parsed.refusal = REFUSED_NOT_IP
        return
    walk.l3 = packet.data + layers.l3
    walk.flags = packet.flags
    walk.family = <uint8_t> layers.family
    walk.ovs_compat = ovs_compat
    walk.icmp_id = 0
    if likely(layers.family == 4, True):
        parsed.refusal = outer_ipv4(&walk, layers.l3_size)
        if parsed.refusal:
            return
        take_ipv4(&walk)
    else:
        parsed.refusal = outer_ipv6(&walk, layers.l3_size)
        if parsed.refusal:
            return
        take_ipv6(&walk)
    parsed.refusal = parse_l4(&walk, parsed)
    if parsed.refusal:
        return
    if likely(layers.family == 4, True):
        put_key_v4(&walk, packet.zone, seed, parsed)
    else:
        put_key_v6(&walk, packet.zone, seed, parsed)


cdef void parse_burst(const Packet *packets, uint32_t n, const Seed *seed, bint ovs_compat, Parsed *parsed) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        prefetch(packets[i].data)
    for i in range(n):
        parse_one(&packets[i], seed, ovs_compat, &parsed[i])
