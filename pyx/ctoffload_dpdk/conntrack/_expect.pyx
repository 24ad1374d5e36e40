"""Expectations: chained by a hash of what is known of the connection, and linked from the one that announced them."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ctoffload_dpdk.conntrack._key cimport Parsed, fold
from ctoffload_dpdk.conntrack._state cimport Expectation, Expectations, Shard
from ctoffload_dpdk.conntrack._tuple cimport Tuple, tuple_of_key

cdef enum:
    N_CHAINS = 4096
    MAX_EXPECTED = 65535
    MAX_OF_PARENT = 64       # a client that announces ports without end fills no table


cdef uint32_t chain_of(const Shard *shard, const Expectation *one) noexcept nogil:
    cdef uint64_t mixed = fold(one.src[0] ^ one.src[1] ^ shard.seed.word[0], one.dst[0] ^ one.dst[1] ^ shard.seed.word[1])
    mixed = fold(mixed ^ one.dst_port ^ <uint64_t> one.zone << 16 ^ <uint64_t> one.proto << 32, shard.seed.word[2] | 1)
    return <uint32_t> (mixed % N_CHAINS)


cdef bint is_same(const Expectation *one, const Expectation *other) noexcept nogil:
    return (one.src[0] == other.src[0] and one.src[1] == other.src[1] and one.dst[0] == other.dst[0]
            and one.dst[1] == other.dst[1] and one.dst_port == other.dst_port and one.zone == other.zone
            and one.proto == other.proto and one.family == other.family)


cdef uint32_t find(const Shard *shard, const Expectation *wanted) noexcept nogil:
    cdef const Expectations *all = shard.expectations
    cdef uint32_t at = all.chain[chain_of(shard, wanted)]
    while at and not is_same(&all.pool[at], wanted):
        at = all.pool[at].next
    return at


cdef bint make_room(Shard *shard) noexcept nogil:
    cdef Expectations *all = shard.expectations
    cdef uint32_t i
    if all != NULL:
        return all.free != 0
    all = <Expectations *> calloc(1, sizeof(Expectations))
    if all == NULL:
        return False
    all.chain = <uint32_t *> calloc(N_CHAINS, sizeof(uint32_t))
    all.pool = <Expectation *> calloc(MAX_EXPECTED + 1, sizeof(Expectation))
    shard.expectations = all
    if all.chain == NULL or all.pool == NULL:
        expectations_free(shard)
        return False
    for i in range(1, MAX_EXPECTED):
        all.pool[i].next = i + 1
    all.free = 1
    return True


cdef bint expect(Shard *shard, uint32_t parent, const Expectation *wanted) noexcept nogil:
    cdef Expectations *all
    cdef Expectation *made
    cdef uint32_t at, chain
    if shard.expectations != NULL and find(shard, wanted):
        return True
    if shard.helpers[parent].n_expected == MAX_OF_PARENT or not make_room(shard):
        return False
    all = shard.expectations
    at = all.free
    made = &all.pool[at]
    all.free = made.next
    chain = chain_of(shard, wanted)
    made[0] = wanted[0]
    made.next = all.chain[chain]
    made.sibling = shard.helpers[parent].first_expected
    all.chain[chain] = at
    all.n += 1
    shard.helpers[parent].first_expected = at
    shard.helpers[parent].n_expected += 1
    return True


cdef const Expectation *expected(const Shard *shard, const Parsed *parsed) noexcept nogil:
    cdef Tuple ends
    cdef Expectation wanted
    cdef uint32_t at
    if shard.expectations == NULL or shard.expectations.n == 0:
        return NULL
    tuple_of_key(&parsed.key, parsed.swapped, &ends)
    memcpy(wanted.src, ends.src, 16)
    memcpy(wanted.dst, ends.dst, 16)
    wanted.dst_port = ends.dst_port
    wanted.zone = parsed.key.zone
    wanted.proto = parsed.key.proto
    wanted.family = parsed.key.family
    at = find(shard, &wanted)
    return &shard.expectations.pool[at] if at else NULL


cdef void unchain(Expectations *all, uint32_t chain, uint32_t at) noexcept nogil:
    cdef uint32_t *link = &all.chain[chain]
    while link[0] != at:
        link = &all.pool[link[0]].next
    link[0] = all.pool[at].next


cdef void expect_no_more(Shard *shard, uint32_t parent) noexcept nogil:
    cdef Expectations *all = shard.expectations
    cdef uint32_t at = shard.helpers[parent].first_expected
    cdef uint32_t following
    while at:
        following = all.pool[at].sibling
        unchain(all, chain_of(shard, &all.pool[at]), at)
        all.pool[at].next = all.free
        all.free = at
        all.n -= 1
        at = following
    shard.helpers[parent].first_expected = 0
    shard.helpers[parent].n_expected = 0


cdef void expectations_free(Shard *shard) noexcept nogil:
    if shard.expectations != NULL:
        free(shard.expectations.chain)
        free(shard.expectations.pool)
        free(shard.expectations)
        shard.expectations = NULL
