# Entries and their handles.
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.providers._rte_flow_last_used cimport last_used_fetch
from ctoffload_dpdk.providers._rte_flow_state cimport Entry, Provider


cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void *address)


cdef inline uint32_t index_of(Provider *p, const Entry *entry) noexcept nogil:
    return <uint32_t> (entry - p.entries)


cdef inline uint64_t handle_of(Provider *p, const Entry *entry) noexcept nogil:
    return (<uint64_t> entry.generation << 32) | (index_of(p, entry) + 1)


# NULL where it is no longer, or never was, one of ours.
cdef inline Entry *entry_of(Provider *p, uint64_t handle) noexcept nogil:
    cdef uint32_t index = <uint32_t> handle
    if index == 0 or index > p.n_entries:
        return NULL
    cdef Entry *entry = &p.entries[index - 1]
    return entry if entry.in_use and entry.generation == <uint32_t> (handle >> 32) else NULL


# An operation on it comes soon, that of its rules.
cdef inline void entry_fetch(Provider *p, uint64_t handle) noexcept nogil:
    cdef uint32_t index = <uint32_t> handle
    if 0 < index <= p.n_entries:
        prefetch(&p.entries[index - 1])
        prefetch(&p.entries[index - 1].rule)
        prefetch(&p.entries[index - 1].tuple[1].dst)
        last_used_fetch(&p.watch, index - 1)


# The n-th new one from now on.
cdef inline void entry_fetch_new(Provider *p, uint32_t n) noexcept nogil:
    cdef uint32_t index = p.free[p.n_free - 1 - n] if n < p.n_free else p.n_entries + n - p.n_free
    cdef Entry *entry
    if index >= p.capacity:
        return
    last_used_fetch(&p.watch, index)
    entry = &p.entries[index]
    prefetch(entry)
    prefetch(&entry.rule)
    prefetch(&entry.tuple[1].dst)


# NULL without memory. Moves the array: pointers to entries do not outlive it.
cdef Entry *entry_new(Provider *p, uint64_t conn_id) noexcept nogil
cdef void entry_free(Provider *p, Entry *entry) noexcept nogil
cdef void entries_close(Provider *p) noexcept nogil
# To be tried again by poll, not before due_ms. Nothing happens where it is on the list.
cdef void try_again(Provider *p, Entry *entry) noexcept nogil
# Takes the first off the list; NULL: none.
cdef Entry *next_due(Provider *p) noexcept nogil
