"""Expectations: chained by a hash of what is known of the connection, and linked from the one that announced them."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ctoffload_dpdk.conntrack._key cimport Parsed, fold
from ctoffload_dpdk.conntrack._state cimport Expectation, Expectations, Shard
from ctoffload_dpdk.conntrack._tuple cimport Tuple, tuple_of_key
from ctoffload_dpdk.offload.libspsc cimport shared_add, shared_peek, spin_give, spin_take

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


cdef Expectations *expectations_new() noexcept nogil:
    cdef Expectations *all = <Expectations *> calloc(1, sizeof(Expectations))
    if all == NULL:
        return NULL
    all.chain = <uint32_t *> calloc(N_CHAINS, sizeof(uint32_t))
    all.pool = <Expectation *> calloc(MAX_EXPECTED + 1, sizeof(Expectation))
    if all.chain == NULL or all.pool == NULL:
        expectations_free(all)
        return NULL
    all.top = 1
    return all


# One that is free, 0 for none.
cdef uint32_t take_free(Expectations *all) noexcept nogil:
    cdef uint32_t at = all.free
    if at:
        all.free = all.pool[at].next
    elif all.top <= MAX_EXPECTED:
        at = all.top
        all.top += 1
    return at


cdef bint add(Shard *shard, uint32_t parent, const Expectation *wanted) noexcept nogil:
    cdef Expectations *all = shard.expectations
    cdef uint32_t at, chain
    if find(shard, wanted):
        return True
    at = take_free(all)
    if not at:
        return False
    chain = chain_of(shard, wanted)
    all.pool[at] = wanted[0]
    all.pool[at].next = all.chain[chain]
    all.pool[at].sibling = shard.helpers[parent].first_expected
    all.chain[chain] = at
    shared_add(&all.n, 1)
    shard.helpers[parent].first_expected = at
    shard.helpers[parent].n_expected += 1
    return True


cdef bint expect(Shard *shard, uint32_t parent, const Expectation *wanted) noexcept nogil:
    cdef bint is_there
    if shard.expectations == NULL:
        shard.expectations = expectations_new()
    if shard.expectations == NULL or shard.helpers[parent].n_expected == MAX_OF_PARENT and not is_expected(shard, wanted):
        return False
    spin_take(&shard.expectations.lock)
    is_there = add(shard, parent, wanted)
    spin_give(&shard.expectations.lock)
    return is_there


cdef bint is_expected(Shard *shard, const Expectation *wanted) noexcept nogil:
    cdef bint is_there
    spin_take(&shard.expectations.lock)
    is_there = find(shard, wanted) != 0
    spin_give(&shard.expectations.lock)
    return is_there


cdef bint expected(const Shard *shard, const Parsed *parsed, Expectation *found) noexcept nogil:
    cdef Expectations *all = shard.expectations
    cdef Tuple ends
    cdef Expectation wanted
    cdef uint32_t at
    if all == NULL or not shared_peek(&all.n):
        return False
    tuple_of_key(&parsed.key, parsed.swapped, &ends)
    memcpy(wanted.src, ends.src, 16)
    memcpy(wanted.dst, ends.dst, 16)
    wanted.dst_port = ends.dst_port
    wanted.zone = parsed.key.zone
    wanted.proto = parsed.key.proto
    wanted.family = parsed.key.family
    spin_take(&all.lock)
    at = find(shard, &wanted)
    if at:
        found[0] = all.pool[at]
    spin_give(&all.lock)
    return at != 0


cdef void unchain(Expectations *all, uint32_t chain, uint32_t at) noexcept nogil:
    cdef uint32_t *link = &all.chain[chain]
    while link[0] != at:
        link = &all.pool[link[0]].next
    link[0] = all.pool[at].next


cdef void expect_no_more(Shard *shard, uint32_t parent) noexcept nogil:
    cdef Expectations *all = shard.expectations
    cdef uint32_t at = shard.helpers[parent].first_expected
    cdef uint32_t following
    if not at:
        return
    spin_take(&all.lock)
    while at:
        following = all.pool[at].sibling
        unchain(all, chain_of(shard, &all.pool[at]), at)
        all.pool[at].next = all.free
        all.free = at
        shared_add(&all.n, <uint32_t> -1)
        at = following
    spin_give(&all.lock)
    shard.helpers[parent].first_expected = 0
    shard.helpers[parent].n_expected = 0


cdef void expectations_free(Expectations *all) noexcept nogil:
    if all != NULL:
        free(all.chain)
        free(all.pool)
        free(all)
