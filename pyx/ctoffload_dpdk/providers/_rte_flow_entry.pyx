"""Entries: one per accepted connection, named by index and generation."""
from libc.string cimport memset

from ctoffload_dpdk.offload.libspsc cimport pages_free, pages_grow

cdef enum:
    FIRST_CAPACITY = 1024


cdef bint entries_grow(Provider *p) noexcept nogil:
    """Room for twice as many. Pages rather than a heap: an entry lies on cache lines of its own."""
    cdef uint32_t capacity = p.capacity * 2 if p.capacity else <uint32_t> FIRST_CAPACITY
    cdef Entry *entries
    cdef uint32_t *places = <uint32_t *> pages_grow(p.free, p.capacity * sizeof(uint32_t), capacity * sizeof(uint32_t))
    if places == NULL:
        return False
    p.free = places
    entries = <Entry *> pages_grow(p.entries, p.capacity * sizeof(Entry), capacity * sizeof(Entry))
    if entries == NULL:
        return False
    p.entries = entries
    p.capacity = capacity
    return True


cdef void entries_close(Provider *p) noexcept nogil:
    pages_free(p.entries, p.capacity * sizeof(Entry))
    pages_free(p.free, p.capacity * sizeof(uint32_t))


cdef Entry *entry_new(Provider *p, uint64_t conn_id) noexcept nogil:
    cdef Entry *entry
    cdef uint32_t generation
    if p.n_free:
        p.n_free -= 1
        entry = &p.entries[p.free[p.n_free]]
    else:
        if p.n_entries == p.capacity and not entries_grow(p):
            return NULL
        entry = &p.entries[p.n_entries]
        p.n_entries += 1
    generation = entry.generation + 1
    memset(entry, 0, <size_t> <char *> &(<Entry *> NULL).rule)
    entry.generation = generation
    entry.conn_id = conn_id
    entry.in_use = 1
    p.n_accepted += 1
    return entry


cdef void entry_free(Provider *p, Entry *entry) noexcept nogil:
    entry.in_use = 0
    p.free[p.n_free] = index_of(p, entry)
    p.n_free += 1
    p.n_accepted -= 1


cdef void try_again(Provider *p, Entry *entry) noexcept nogil:
    cdef uint32_t number = index_of(p, entry) + 1
    if entry.is_due:
        return
    entry.is_due = 1
    entry.next = 0
    if p.due:
        p.entries[p.last_due - 1].next = number
    else:
        p.due = number
    p.last_due = number


cdef Entry *next_due(Provider *p) noexcept nogil:
    cdef Entry *first
    if p.due == 0:
        return NULL
    first = &p.entries[p.due - 1]
    p.due = first.next
    first.is_due = 0
    return first
