# Operations to be submitted together: a growing array of them, each with its context.
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_ctx, ct_offload_op


cdef class Batch:
    cdef ct_offload_op *ops
    cdef ct_offload_ctx *contexts   # parallel to ops
    cdef uint32_t n
    cdef uint32_t size

    cdef bint grow(self, uint32_t size) except False
    # Points each operation at its context, and clears the results of an earlier submission.
    cdef void prepare(self) noexcept nogil
