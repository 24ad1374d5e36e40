# The table: slots of connections, and the index that finds them.
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Key, likely, prefetch
from ctoffload_dpdk.conntrack._state cimport BUCKET_ENTRIES, ENTRY_ALIAS, SLOT_MASK, Area, Bucket, Conn, Index, Shard

# Reserves address space; 0 or an errno. Memory becomes resident as it is touched.
cdef int area_open(Area *area, uint64_t size) noexcept nogil
cdef void area_close(Area *area) noexcept nogil
# Gives the memory back and reads as zero again.
cdef void area_clear(Area *area) noexcept nogil

cdef int table_open(Shard *shard, uint32_t n_connections, uint32_t n_stubs) noexcept nogil
cdef void table_close(Shard *shard) noexcept nogil

# The entry of a key, 0 where there is none: a slot, with ENTRY_ALIAS where the key is that of its replies.
cdef uint32_t index_find(Shard *shard, const Key *key, uint32_t hash) noexcept nogil
cdef void index_put(Shard *shard, uint32_t entry, uint32_t hash) noexcept nogil
cdef void index_remove(Shard *shard, uint32_t entry, uint32_t hash) noexcept nogil

# A slot with a generation of its own, 0 where none is free.
cdef uint32_t slot_take(Shard *shard) noexcept nogil
cdef void slot_give(Shard *shard, uint32_t slot) noexcept nogil


cdef inline Bucket *bucket_of(const Index *index, uint32_t hash) noexcept nogil:
    cdef uint32_t at = hash & (index.mask << 1 | 1)
    if at >= index.n_buckets:
        at &= index.mask
    return &index.buckets[at]


# The first entry whose tag is this hash, 0 for none; the caller compares the key.
cdef inline uint32_t index_candidate(const Index *index, uint32_t hash) noexcept nogil:
    cdef const Bucket *bucket = bucket_of(index, hash)
    cdef int i
    while True:
        for i in range(BUCKET_ENTRIES):
            if bucket.tag[i] == hash and bucket.entry[i]:
                return bucket.entry[i]
        if likely(bucket.next == 0, True):
            return 0
        bucket = &index.overflow[bucket.next]


cdef inline const Key *entry_key(const Shard *shard, uint32_t entry) noexcept nogil:
    if likely(not entry & ENTRY_ALIAS, True):
        return &shard.conns[entry].key
    return &shard.nats[entry & SLOT_MASK].reply


cdef inline void conn_prefetch(const Conn *conn) noexcept nogil:
    prefetch(conn)
    prefetch(&conn.packets[0])
