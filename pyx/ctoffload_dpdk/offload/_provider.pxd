# A registered provider: its class in one of three forms, and its worker.
from libc.stdint cimport int64_t, uint64_t

from ctoffload_dpdk.offload._worker cimport Worker
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_class


cdef class Host:
    cdef Worker *worker
    cdef object provider     # keeps the worker alive
    cdef Worker *open_worker(self) except NULL


cdef class Provider:
    cdef ct_offload_class cls
    cdef Worker *worker
    cdef bytes _name
    cdef object form         # what keeps the class alive: a capsule, its owner, or the Python provider
    cdef object host_ref     # the Python provider's host
    cdef object pending      # an exception of a call that has nobody to raise it to yet
    cdef readonly int index  # bit of handled_by and of ownership
    cdef readonly uint64_t n_raised
    cdef readonly str last_error
    cdef bint is_initialised
    cdef object ops_view     # array over the worker's batch
    cdef object contexts     # array that contexts are copied into for Python
    cdef object threads
    cdef object layer        # keeps the lanes alive while it is registered
    cdef object __weakref__
