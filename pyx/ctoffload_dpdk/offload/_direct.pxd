# Connections that are submitted in batches rather than by a shard: who holds them, and the way through the providers.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ctoffload_dpdk.offload._lane cimport Told
from ctoffload_dpdk.offload._worker cimport Worker
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_op

cdef struct Holding:
    uint64_t conn_id
    uint64_t handle[8]
    uint32_t stamp           # of the last segment it appeared in
    uint8_t is_used
    uint8_t owners
    uint8_t is_established

# The providers in the order they are asked.
cdef struct Route:
    Worker *worker[8]
    int index[8]
    int n
    uint32_t active          # bit per provider that takes new connections
    bint is_enabled
    int64_t now_ms
    uint32_t limit_ms

cdef struct OpTotal:
    uint64_t submitted
    uint64_t failed

cdef struct Direct:
    Holding *table           # open addressing
    uint32_t size
    uint32_t n
    uint32_t stamp
    ct_offload_op *part      # what one provider gets
    Told *told               # what it says of each beyond the operation
    uint32_t *place          # where each came from
    uint32_t room
    OpTotal total[7]

cdef void direct_init(Direct *direct) noexcept nogil
cdef void direct_fini(Direct *direct) noexcept nogil
cdef Holding *direct_find(Direct *direct, uint64_t conn_id) noexcept nogil
# Hands a batch through; each operation has its result then. 0, ENOMEM, or EDEADLK from within a provider's call.
cdef int direct_submit(Direct *direct, const Route *route, ct_offload_op *ops, uint32_t n) noexcept nogil
# Takes out of every provider what this one holds; returns how many connections are left in it.
cdef uint32_t direct_drain(Direct *direct, const Route *route, int provider) noexcept nogil
# A provider said that the rules of a connection are gone.
cdef void direct_lost(Direct *direct, const Route *route, uint64_t conn_id, int provider) noexcept nogil
cdef uint32_t direct_held_by(Direct *direct, int provider) noexcept nogil
