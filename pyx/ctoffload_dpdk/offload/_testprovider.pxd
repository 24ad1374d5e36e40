# The compiled provider of tests and benchmarks.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_class

cdef struct Place:
    uint64_t conn_id
    int64_t since_ms
    uint8_t is_held

cdef struct State:
    Place *places
    uint64_t calls
    uint64_t operations
    int64_t now_ms
    bint is_initialised


cdef class CompiledProvider:
    cdef ct_offload_class cls
    cdef State state
    cdef bytes name
