"""Timing wheel: five levels of 64 lists, from 64 ms to two years."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._state cimport (
    LIST_DUE, N_LISTS, WHEEL_BUCKETS, WHEEL_LEVELS, Conn, Link, Shard, Wheel,
)

cdef extern from * nogil:
    int lowest_bit "__builtin_ctzll"(unsigned long long word)

cdef enum:
    TICK_BITS = 6            # a tick of level 0 is 64 ms
    LEVEL_BITS = 6
    LIST_MARK = 0x80000000   # a link to a list's own head


cdef inline Link *link_of(Shard *shard, uint32_t where) noexcept nogil:
    if where & LIST_MARK:
        return &shard.wheel.list[where & ~<uint32_t> LIST_MARK]
    # next and prev of a connection lie as a Link does
    return <Link *> &shard.conns[where].wheel_next


cdef void wheel_open(Shard *shard, int64_t now_ms) noexcept nogil:
    cdef uint32_t i
    for i in range(N_LISTS):
        shard.wheel.list[i].next = shard.wheel.list[i].prev = LIST_MARK | i
    for i in range(WHEEL_LEVELS):
        shard.wheel.occupied[i] = 0
        shard.wheel.position[i] = now_ms >> (TICK_BITS + LEVEL_BITS * i)


cdef void list_put(Shard *shard, uint32_t slot, uint32_t list_number) noexcept nogil:
    cdef Link *head = &shard.wheel.list[list_number]
    cdef Link *own = link_of(shard, slot)
    own.next = head.next
    own.prev = LIST_MARK | list_number
    link_of(shard, head.next).prev = slot
    head.next = slot


cdef void list_append(Shard *shard, uint32_t slot, uint32_t list_number) noexcept nogil:
    cdef Link *head = &shard.wheel.list[list_number]
    cdef Link *own = link_of(shard, slot)
    own.prev = head.prev
    own.next = LIST_MARK | list_number
    link_of(shard, head.prev).next = slot
    head.prev = slot


cdef void list_remove(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Link *own = link_of(shard, slot)
    link_of(shard, own.prev).next = own.next
    link_of(shard, own.next).prev = own.prev


cdef uint32_t list_pop(Shard *shard, uint32_t list_number) noexcept nogil:
    cdef uint32_t slot = shard.wheel.list[list_number].next
    if slot & LIST_MARK:
        return 0
    list_remove(shard, slot)
    return slot


# Level 0 rounds up, so that what it gives is due; the others round down and are put back finer.
cdef void wheel_put(Shard *shard, uint32_t slot, int64_t check_ms) noexcept nogil:
    cdef Wheel *wheel = &shard.wheel
    cdef int level = 0
    cdef int shift = TICK_BITS
    cdef int64_t tick = (check_ms + (1 << TICK_BITS) - 1) >> TICK_BITS
    cdef uint32_t bucket
    if tick <= wheel.position[0]:
        tick = wheel.position[0] + 1
    while tick - wheel.position[level] >= WHEEL_BUCKETS:
        if level == WHEEL_LEVELS - 1:
            tick = wheel.position[level] + WHEEL_BUCKETS - 1
            break
        level += 1
        shift += LEVEL_BITS
        tick = check_ms >> shift
        # what level 0 rounded up may lie in the current tick here
        if tick <= wheel.position[level]:
            tick = wheel.position[level] + 1
    bucket = <uint32_t> (tick & (WHEEL_BUCKETS - 1))
    wheel.occupied[level] |= <uint64_t> 1 << bucket
    list_put(shard, slot, level * WHEEL_BUCKETS + bucket)


cdef void splice_due(Shard *shard, uint32_t list_number) noexcept nogil:
    cdef Link *source = &shard.wheel.list[list_number]
    cdef Link *due = &shard.wheel.list[LIST_DUE]
    if source.next & LIST_MARK:
        return
    link_of(shard, source.prev).next = due.next
    link_of(shard, due.next).prev = source.prev
    due.next = source.next
    link_of(shard, source.next).prev = LIST_MARK | LIST_DUE
    source.next = source.prev = LIST_MARK | list_number


cdef void wheel_turn(Shard *shard, int64_t now_ms) noexcept nogil:
    cdef Wheel *wheel = &shard.wheel
    cdef int level, bucket, first
    cdef int64_t tick, passed
    cdef uint64_t due
    for level in range(WHEEL_LEVELS):
        tick = now_ms >> (TICK_BITS + LEVEL_BITS * level)
        passed = tick - wheel.position[level]
        if passed <= 0:
            break
        # a mask of the buckets passed, turned to where they lie
        due = ~<uint64_t> 0 if passed >= WHEEL_BUCKETS else (<uint64_t> 1 << passed) - 1
        first = <int> ((wheel.position[level] + 1) & (WHEEL_BUCKETS - 1))
        due = due << first | (due >> (WHEEL_BUCKETS - first) if first else 0)
        due &= wheel.occupied[level]
        wheel.occupied[level] &= ~due
        wheel.position[level] = tick
        while due:
            bucket = lowest_bit(due)
            due &= due - 1
            splice_due(shard, level * WHEEL_BUCKETS + bucket)
