"""The table: slots of connections, and the index that finds them."""

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.conntrack._key cimport Key, key_equal, likely, prefetch
from ctoffload_dpdk.conntrack._state cimport BUCKET_ENTRIES, Area, Bucket, Conn, Hardware, Helper, Index, Label, Nat, Shard, generation_of
from ctoffload_dpdk.conntrack.libmman cimport (
    MADV_DONTNEED, MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, madvise,
    mmap, munmap,
)

cdef enum:
    FIRST_BUCKETS = 64
    HUGE_PAGE = 2097152
    GENERATION_MASK = 0xffffff


# --- memory ----------------------------------------------------------------------------------------------------------

cdef int area_open(Area *area, uint64_t size) noexcept nogil:
    area.size = size
    area.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if area.base == MAP_FAILED:
        area.base = NULL
        return errno
    if size >= 8 * HUGE_PAGE:
        # random reads of 1M connections miss the TLB as well; a refusal costs only that
        madvise(area.base, size, MADV_HUGEPAGE)
    return 0


cdef void area_close(Area *area) noexcept nogil:
    if area.base != NULL:
        munmap(area.base, area.size)
        area.base = NULL


cdef void area_clear(Area *area) noexcept nogil:
    madvise(area.base, area.size, MADV_DONTNEED)


cdef int table_open(Shard *shard, uint32_t n_connections, uint32_t n_stubs) noexcept nogil:
    cdef Index *index = &shard.index
    cdef uint32_t capacity = n_connections + n_stubs
    cdef int error
    shard.capacity = n_connections
    shard.slot_top = 1
    shard.stub_top = n_connections + 1
    shard.n_stubs_most = n_stubs
    index.n_buckets = FIRST_BUCKETS
    index.mask = FIRST_BUCKETS - 1
    # a translated connection has two entries
    index.max_buckets = <uint32_t> (<uint64_t> capacity * 4 // BUCKET_ENTRIES + FIRST_BUCKETS + 1)
    # an overflow bucket is never empty, so this is enough even if every tuple met in one bucket
    index.overflow_max = <uint32_t> min(<uint64_t> capacity * 2 + 2, <uint64_t> 0xffffffffU)
    index.overflow_top = 1
    error = area_open(&shard.conn_area, <uint64_t> (capacity + 1) * sizeof(Conn))
    error = error or area_open(&shard.hardware_area, <uint64_t> (capacity + 1) * sizeof(Hardware))
    error = error or area_open(&shard.label_area, <uint64_t> (capacity + 1) * sizeof(Label))
    error = error or area_open(&shard.nat_area, <uint64_t> (capacity + 1) * sizeof(Nat))
    error = error or area_open(&shard.helper_area, <uint64_t> (capacity + 1) * sizeof(Helper))
    error = error or area_open(&shard.bucket_area, <uint64_t> index.max_buckets * sizeof(Bucket))
    error = error or area_open(&shard.overflow_area, <uint64_t> index.overflow_max * sizeof(Bucket))
    if error:
        table_close(shard)
        return error
    shard.conns = <Conn *> shard.conn_area.base
    shard.hardware = <Hardware *> shard.hardware_area.base
    shard.labels = <Label *> shard.label_area.base
    shard.nats = <Nat *> shard.nat_area.base
    shard.helpers = <Helper *> shard.helper_area.base
    index.buckets = <Bucket *> shard.bucket_area.base
    index.overflow = <Bucket *> shard.overflow_area.base
    return 0


cdef void table_close(Shard *shard) noexcept nogil:
    area_close(&shard.conn_area)
    area_close(&shard.hardware_area)
    area_close(&shard.label_area)
    area_close(&shard.nat_area)
    area_close(&shard.helper_area)
    area_close(&shard.bucket_area)
    area_close(&shard.overflow_area)


# --- slots -----------------------------------------------------------------------------------------------------------

cdef uint32_t slot_take(Shard *shard) noexcept nogil:
    cdef uint32_t slot = shard.slot_free
    cdef Conn *conn
    if slot:
        shard.slot_free = shard.conns[slot].wheel_next
    elif shard.slot_top <= shard.capacity:
        slot = shard.slot_top
        shard.slot_top += 1
    else:
        return 0
    conn = &shard.conns[slot]
    conn.generation = (generation_of(conn) + 1) & GENERATION_MASK or 1
    return slot


cdef void slot_give(Shard *shard, uint32_t slot) noexcept nogil:
    shard.conns[slot].wheel_next = shard.slot_free
    shard.slot_free = slot


# --- index -----------------------------------------------------------------------------------------------------------

cdef uint32_t index_find(Shard *shard, const Key *key, uint32_t hash) noexcept nogil:
    cdef const Bucket *bucket = bucket_of(&shard.index, hash)
    cdef int i
    while True:
        for i in range(BUCKET_ENTRIES):
            if bucket.tag[i] == hash and bucket.entry[i] and key_equal(entry_key(shard, bucket.entry[i]), key):
                return bucket.entry[i]
        if not bucket.next:
            return 0
        bucket = &shard.index.overflow[bucket.next]


cdef uint32_t overflow_take(Index *index) noexcept nogil:
    cdef uint32_t at = index.overflow_free
    if at:
        index.overflow_free = index.overflow[at].next
    else:
        at = index.overflow_top
        index.overflow_top += 1
    memset(&index.overflow[at], 0, sizeof(Bucket))
    return at


cdef void chain_put(Index *index, Bucket *bucket, uint32_t entry, uint32_t hash) noexcept nogil:
    cdef int i
    while True:
        for i in range(BUCKET_ENTRIES):
            if not bucket.entry[i]:
                bucket.entry[i] = entry
                bucket.tag[i] = hash
                return
        if not bucket.next:
            bucket.next = overflow_take(index)
        bucket = &index.overflow[bucket.next]


# Spreads one bucket over itself and a new one at the end: the tags say where each entry belongs.
cdef void split_one(Index *index) noexcept nogil:
    cdef uint32_t source = index.n_buckets - (index.mask + 1)
    cdef Bucket *low = &index.buckets[source]
    cdef Bucket old = low[0]
    cdef uint32_t link
    cdef int i
    index.n_buckets += 1
    memset(low, 0, sizeof(Bucket))
    while True:
        for i in range(BUCKET_ENTRIES):
            if old.entry[i]:
                chain_put(index, bucket_of(index, old.tag[i]), old.entry[i], old.tag[i])
        link = old.next
        if not link:
            break
        old = index.overflow[link]
        index.overflow[link].next = index.overflow_free
        index.overflow_free = link
    if index.n_buckets == (index.mask + 1) * 2:
        index.mask = index.mask << 1 | 1
    # the next split comes a few insertions from now
    source = index.n_buckets - (index.mask + 1)
    prefetch(&index.buckets[source])
    if index.n_buckets < index.max_buckets:
        prefetch(&index.buckets[index.n_buckets])


cdef void index_put(Shard *shard, uint32_t entry, uint32_t hash) noexcept nogil:
    cdef Index *index = &shard.index
    index.n_entries += 1
    # 3.5 entries a bucket: 18 bytes a connection, and one bucket in ten overflows at worst
    if index.n_entries * 2 > <uint64_t> index.n_buckets * BUCKET_ENTRIES and index.n_buckets < index.max_buckets:
        split_one(index)
    chain_put(index, bucket_of(index, hash), entry, hash)
    shard.inserted += 1


# Fills the hole from the first overflow bucket, and gives that back once it is empty.
cdef void pull_in(Index *index, Bucket *bucket, int hole) noexcept nogil:
    cdef uint32_t link = bucket.next
    cdef Bucket *over = &index.overflow[link]
    cdef bint empty = True
    cdef bint moved = False
    cdef int i
    for i in range(BUCKET_ENTRIES):
        if not over.entry[i]:
            continue
        if not moved:
            bucket.entry[hole] = over.entry[i]
            bucket.tag[hole] = over.tag[i]
            over.entry[i] = 0
            moved = True
        else:
            empty = False
    if empty:
        bucket.next = over.next
        over.next = index.overflow_free
        index.overflow_free = link


cdef bint is_empty(const Bucket *bucket) noexcept nogil:
    cdef int i
    for i in range(BUCKET_ENTRIES):
        if bucket.entry[i]:
            return False
    return True


cdef void index_remove(Shard *shard, uint32_t entry, uint32_t hash) noexcept nogil:
    cdef Index *index = &shard.index
    cdef Bucket *before = NULL
    cdef Bucket *bucket = bucket_of(index, hash)
    cdef int i
    while True:
        for i in range(BUCKET_ENTRIES):
            if bucket.entry[i] == entry:
                bucket.entry[i] = 0
                index.n_entries -= 1
                if bucket.next:
                    pull_in(index, bucket, i)
                elif before != NULL and is_empty(bucket):
                    bucket.next = index.overflow_free
                    index.overflow_free = before.next
                    before.next = 0
                return
        if not bucket.next:
            return
        before = bucket
        bucket = &index.overflow[bucket.next]
