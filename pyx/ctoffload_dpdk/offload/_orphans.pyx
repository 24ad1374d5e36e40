"""Handles that a provider which does not answer may still hold; capped, found by tuple."""
from libc.stdlib cimport calloc, free

cdef enum:
    CAP = 65536
    N_BUCKETS = 16384


cdef void orphans_fini(Orphans *o) noexcept nogil:
    free(o.entries)
    free(o.buckets)
    o.entries = NULL
    o.buckets = NULL


cdef uint32_t orphan_add(Orphans *o, int provider, uint64_t conn_id, uint64_t handle, uint32_t tuple_hash,
                         uint8_t state) noexcept nogil:
    cdef uint32_t index
    cdef Orphan *made
    cdef uint32_t *bucket
    if o.entries == NULL:
        o.entries = <Orphan *> calloc(CAP, sizeof(Orphan))
        o.buckets = <uint32_t *> calloc(N_BUCKETS, sizeof(uint32_t))
        o.size = CAP
    if o.entries == NULL or o.buckets == NULL or o.n == o.size:
        return NO_ORPHAN
    if o.free_at:
        index = o.free_at - 1
        o.free_at = o.entries[index].next
    else:
        index = o.used
        o.used += 1
    made = &o.entries[index]
    bucket = &o.buckets[tuple_hash % N_BUCKETS]
    made.conn_id = conn_id
    made.handle = handle
    made.tuple_hash = tuple_hash
    made.provider = provider
    made.state = state
    made.attempts = 0
    made.next = bucket[0]
    bucket[0] = index + 1
    o.n += 1
    return index


cdef void orphan_remove(Orphans *o, uint32_t index) noexcept nogil:
    cdef uint32_t *at = &o.buckets[o.entries[index].tuple_hash % N_BUCKETS]
    while at[0] != index + 1:
        at = &o.entries[at[0] - 1].next
    at[0] = o.entries[index].next
    o.entries[index].state = ORPHAN_FREE
    o.entries[index].next = o.free_at
    o.free_at = index + 1
    o.n -= 1


cdef bint orphan_has_tuple(const Orphans *o, uint32_t tuple_hash) noexcept nogil:
    cdef uint32_t at
    if o.n == 0:
        return False
    at = o.buckets[tuple_hash % N_BUCKETS]
    while at:
        if o.entries[at - 1].tuple_hash == tuple_hash:
            return True
        at = o.entries[at - 1].next
    return False
