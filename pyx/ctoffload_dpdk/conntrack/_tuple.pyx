"""Between keys, which have no direction, and tuples, which have one."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Key, icmp_answer, is_icmp, key_tail


cdef void tuple_of_key(const Key *key, bint swapped, Tuple *out) noexcept nogil:
    cdef uint8_t kind
    out.src[0] = key.b[0] if swapped else key.a[0]
    out.src[1] = key.b[1] if swapped else key.a[1]
    out.dst[0] = key.a[0] if swapped else key.b[0]
    out.dst[1] = key.a[1] if swapped else key.b[1]
    if is_icmp(key):
        kind = <uint8_t> (key.b_port >> 8)
        if swapped:
            kind = icmp_answer(key.family, kind)
        out.src_port = kind
        out.dst_port = icmp_answer(key.family, kind)
        out.icmp_id = key.a_port
        return
    out.src_port = key.b_port if swapped else key.a_port
    out.dst_port = key.a_port if swapped else key.b_port
    out.icmp_id = 0


# The order of the two ends is the parser's.
cdef inline bint is_swapped(const Tuple *ends, uint8_t family) noexcept nogil:
    if family == 4:
        return (ends.src[0] << 16 | ends.src_port) > (ends.dst[0] << 16 | ends.dst_port)
    if ends.src[0] != ends.dst[0]:
        return ends.src[0] > ends.dst[0]
    if ends.src[1] != ends.dst[1]:
        return ends.src[1] > ends.dst[1]
    return ends.src_port > ends.dst_port


cdef bint key_of_tuple(const Tuple *ends, uint16_t zone, uint8_t proto, uint8_t family, Key *key) noexcept nogil:
    cdef bint swapped = is_swapped(ends, family)
    cdef uint16_t a_port = ends.dst_port if swapped else ends.src_port
    cdef uint16_t b_port = ends.src_port if swapped else ends.dst_port
    cdef int i
    for i in range(2):
        key.a[i] = ends.dst[i] if swapped else ends.src[i]
        key.b[i] = ends.src[i] if swapped else ends.dst[i]
    key.zone = zone
    key.proto = proto
    key.family = family
    if is_icmp(key):
        b_port = <uint16_t> (a_port << 8)
        a_port = ends.icmp_id
    (<uint64_t *> key)[4] = key_tail(a_port, b_port, zone, proto, family)
    return swapped


cdef void tuple_turn(Tuple *ends) noexcept nogil:
    cdef uint64_t word
    cdef uint16_t port = ends.src_port
    cdef int i
    for i in range(2):
        word = ends.src[i]
        ends.src[i] = ends.dst[i]
        ends.dst[i] = word
    ends.src_port = ends.dst_port
    ends.dst_port = port
