"""Entries: one per accepted connection, named by index and generation."""
from libc.stdlib cimport realloc
from libc.string cimport memset


cdef uint32_t index_of(Provider *p, Entry *entry) noexcept nogil:
    return <uint32_t> (entry - p.entries)


cdef uint64_t handle_of(Provider *p, Entry *entry) noexcept nogil:
    return (<uint64_t> entry.generation << 32) | (index_of(p, entry) + 1)


cdef Entry *entry_of(Provider *p, uint64_t handle) noexcept nogil:
    cdef uint32_t index = <uint32_t> handle
    if index == 0 or index > p.n_entries:
        return NULL
    cdef Entry *entry = &p.entries[index - 1]
    return entry if entry.in_use and entry.generation == <uint32_t> (handle >> 32) else NULL


cdef Entry *entry_new(Provider *p, uint64_t conn_id) noexcept nogil:
    cdef Entry *entries
    cdef Entry *entry
    cdef uint32_t capacity, generation
    if p.free:
        entry = &p.entries[p.free - 1]
        p.free = entry.next
    else:
        if p.n_entries == p.capacity:
            capacity = p.capacity * 2 if p.capacity else 1024
            entries = <Entry *> realloc(p.entries, capacity * sizeof(Entry))
            if entries == NULL:
                return NULL
            memset(entries + p.capacity, 0, (capacity - p.capacity) * sizeof(Entry))
            p.entries = entries
            p.capacity = capacity
        entry = &p.entries[p.n_entries]
        p.n_entries += 1
    generation = entry.generation + 1
    memset(entry, 0, sizeof(Entry))
    entry.generation = generation
    entry.conn_id = conn_id
    entry.in_use = 1
    p.n_accepted += 1
    return entry


cdef void entry_free(Provider *p, Entry *entry) noexcept nogil:
    entry.in_use = 0
    entry.next = p.free
    p.free = index_of(p, entry) + 1
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
