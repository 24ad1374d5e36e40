# What lies between one shard and one provider's worker: three rings of requests, one of results and events in order.
# The shard owns it; the worker is the consumer of requests and the producer of results.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_counts, ct_offload_ctx, ct_offload_op, ct_offload_tcp_peer
from ctoffload_dpdk.offload.libspsc cimport shared_word, spsc

cdef enum:
    EVENT_TYPE = 0x8000      # in a result's type: it is an event, of the kind in the low bits

# Separate budgets, so that none starves another.
cdef enum:
    LANE_DEL = 0
    LANE_ADD = 1
    LANE_QUERY = 2
    N_LANE_CLASSES = 3

# One request; ctx is filled for ADD and EST only, and requests of the other classes end before it.
cdef struct Request:
    ct_offload_op op
    ct_offload_ctx ctx

# An outstanding operation as the shard remembers it; its index is the low 16 bits of op_id.
cdef struct Tag:
    uint64_t op_id           # 0: free
    uint32_t slot            # a slot, or the orphan's index where is_orphan
    uint32_t submitted_us
    uint32_t next_free
    uint8_t type
    bint is_orphan

# What an answer says beyond its operation: the windows of both peers, or what was counted.
cdef union Told:
    ct_offload_tcp_peer peer[2]
    ct_offload_counts counts

# The same operation as the worker remembers it, so that an answer can be told from nonsense.
cdef struct InFlight:
    uint64_t op_id           # 0: answered
    uint64_t conn_id
    uint16_t type

cdef struct LaneEvent:
    uint64_t conn_id
    uint32_t kind            # enum ct_offload_event

# Written by the shard's thread alone; others may read.
cdef struct OpCount:
    uint64_t enqueued
    uint64_t completed
    uint64_t failed

cdef struct Latency:
    uint64_t n
    double last_us
    double mean_us
    double squares           # sum of squared differences from the mean
    double ewma_us

cdef struct Lane:
    spsc request[3]
    spsc done[2]             # from the worker, and from its thread for queries
    Tag *tags
    InFlight *in_flight      # written by the worker
    Told *told               # by tag; the worker's until the answer is published
    uint32_t n_tags
    uint32_t free_tag
    uint64_t seq
    uint32_t shard
    uint32_t budget[3]
    uint32_t outstanding[3]
    uint32_t high_water[3]
    OpCount count[7]
    Latency latency
    uint64_t connections     # held by this provider for this shard
    uint64_t installed
    uint64_t orphans
    uint64_t reasons[32]
    uint64_t lost            # orphans that were given up
    shared_word taken[3]     # requests handed to the provider, ever; the worker's
    shared_word dead[3]      # requests up to here are cancelled; the worker passes them over
    shared_word stalled      # STALL_*

# A provider that does not come back from a call, step by step; who takes it is in brackets.
cdef enum:
    STALL_NONE = 0           # (shard) it serves
    STALL_SEEN = 1           # (watch) a call is over its limit
    STALL_QUARANTINED = 2    # (shard) what was not handed over is cancelled, the rest orphaned
    STALL_RETURNED = 3       # (worker) it is back; its orphans are being deleted

cdef Lane *lane_new(uint32_t shard, const uint32_t *budget) noexcept nogil
cdef void lane_free(Lane *lane) noexcept nogil
cdef int lane_class(int op_type) noexcept nogil
cdef bint lane_has_room(Lane *lane, int op_type) noexcept nogil
# Hands one operation to the worker; lane_has_room was asked first. ctx may be NULL.
cdef void lane_send(Lane *lane, int op_type, uint32_t slot, uint64_t conn_id, uint64_t handle,
                    const ct_offload_ctx *ctx, uint32_t now_us, bint is_orphan) noexcept nogil
# Shard: copies the tag of a result, frees and counts it; False where the result belongs to nothing outstanding.
cdef bint lane_settle(Lane *lane, const ct_offload_op *result, uint32_t now_us, Tag *tag) noexcept nogil
# Frees the tag of a request that was never handed over.
cdef void lane_cancel(Lane *lane, uint32_t tag) noexcept nogil
cdef void latency_add(Latency *latency, double us) noexcept nogil
