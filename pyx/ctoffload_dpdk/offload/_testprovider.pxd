# The compiled provider of tests and benchmarks.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ctoffload_dpdk.offload.libct_offload cimport (
    ct_offload_class, ct_offload_port, ct_offload_tcp_peer, dpif_offload_class)

cdef struct Place:
    uint64_t conn_id
    int64_t since_ms
    uint8_t is_held
    uint8_t has_window
    ct_offload_tcp_peer peer[2]

cdef struct State:
    Place *places
    uint64_t calls
    uint64_t operations
    int64_t now_ms
    bint is_initialised


cdef struct DpifState:
    int n_ports
    int n_offered
    int n_settings
    ct_offload_port last


cdef class CompiledDpifClass:
    cdef dpif_offload_class cls
    cdef DpifState state
    cdef bytes name


cdef class CompiledProvider:
    cdef ct_offload_class cls
    cdef State state
    cdef bytes name
