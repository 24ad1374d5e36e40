# Entries and their handles.
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.providers._rte_flow_state cimport Entry, Provider

cdef uint64_t handle_of(Provider *p, Entry *entry) noexcept nogil
# NULL where it is no longer, or never was, one of ours.
cdef Entry *entry_of(Provider *p, uint64_t handle) noexcept nogil
# NULL without memory. Moves the array: pointers to entries do not outlive it.
cdef Entry *entry_new(Provider *p, uint64_t conn_id) noexcept nogil
cdef void entry_free(Provider *p, Entry *entry) noexcept nogil
cdef uint32_t index_of(Provider *p, Entry *entry) noexcept nogil
# To be tried again by poll, not before due_ms. Nothing happens where it is on the list.
cdef void try_again(Provider *p, Entry *entry) noexcept nogil
# Takes the first off the list; NULL: none.
cdef Entry *next_due(Provider *p) noexcept nogil
