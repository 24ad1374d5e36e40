# What a provider that does not answer may still hold: handles without a connection, to be deleted if it returns.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    NO_ORPHAN = 0xffffffff
    ORPHAN_ATTEMPTS_MAX = 8

cdef enum:
    ORPHAN_FREE = 0
    ORPHAN_IDLE = 1          # held, nothing outstanding
    ORPHAN_BUSY = 2          # an operation is outstanding

cdef struct Orphan:
    uint64_t conn_id
    uint64_t handle
    uint32_t tuple_hash
    uint32_t next            # in its bucket, or of the free ones; index + 1
    uint8_t state
    uint8_t provider
    uint8_t attempts

# Of one shard, all providers. Made when the first is needed.
cdef struct Orphans:
    Orphan *entries
    uint32_t *buckets
    uint32_t size
    uint32_t n
    uint32_t free_at
    uint32_t used            # entries ever used

cdef void orphans_fini(Orphans *orphans) noexcept nogil
# Its index; NO_ORPHAN where the cap is reached or there is no memory.
cdef uint32_t orphan_add(Orphans *orphans, int provider, uint64_t conn_id, uint64_t handle, uint32_t tuple_hash,
                         uint8_t state) noexcept nogil
cdef void orphan_remove(Orphans *orphans, uint32_t index) noexcept nogil
cdef bint orphan_has_tuple(const Orphans *orphans, uint32_t tuple_hash) noexcept nogil
