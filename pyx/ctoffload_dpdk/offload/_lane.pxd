# What lies between one shard and one provider's worker: three rings of requests, one of results and events in order.
# The shard owns it; the worker is the consumer of requests and the producer of results.
#
# What a shard does here for each operation is inline: a call into another module goes through a pointer.
from libc.errno cimport ENODATA, ENOENT, EOPNOTSUPP
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_F_NEW, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW, ct_offload_counts,
    ct_offload_ctx, ct_offload_op, ct_offload_tcp_peer)
from ctoffload_dpdk.offload.libspsc cimport shared_word, spsc, spsc_publish, spsc_reserve

cdef enum:
    EVENT_TYPE = 0x8000      # in a result's type: it is an event, of the kind in the low bits


# What was counted of a connection that was lost, in its event: where an operation has its pointer, handle and times.
cdef inline void *event_counts(const ct_offload_op *event) noexcept nogil:
    return <void *> &event.counts


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
    uint32_t run_us          # the run of equal ones that is not in yet
    uint32_t run_n

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
    bint est_adds            # what is established when it is offered is added and installed in one
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
# Shard: the latencies of what was settled in this turn are in the account.
cdef void lane_settled(Lane *lane) noexcept nogil
# n equal latencies, as one after the other would be added.
cdef void latency_add(Latency *latency, double us, uint32_t n) noexcept nogil


cdef inline int lane_class(int op_type) noexcept nogil:
    if op_type == CT_OFFLOAD_OP_DEL:
        return LANE_DEL
    return LANE_QUERY if op_type == CT_OFFLOAD_OP_UPD or op_type == CT_OFFLOAD_OP_WINDOW else LANE_ADD


cdef inline bint lane_has_room(Lane *lane, int op_type) noexcept nogil:
    cdef int cls = lane_class(op_type)
    # A worker may have answered entries that it has not given back yet, so the ring is asked as well.
    return lane.outstanding[cls] < lane.budget[cls] and spsc_reserve(&lane.request[cls]) != NULL


# Where the context of the next ADD or EST goes: filled in there, it need not be copied. lane_has_room was asked first.
cdef inline ct_offload_ctx *lane_context(Lane *lane) noexcept nogil:
    return &(<Request *> spsc_reserve(&lane.request[<int> LANE_ADD])).ctx


# Hands one operation to the worker; lane_has_room was asked first. ctx may be NULL, or what lane_context gave. An ADD whose
# context says NEW goes out as EST, and stays an ADD in this account until it was answered well.
cdef inline void lane_send(Lane *lane, int op_type, uint32_t slot, uint64_t conn_id, uint64_t handle,
                           const ct_offload_ctx *ctx, uint32_t now_us, bint is_orphan) noexcept nogil:
    cdef int cls = lane_class(op_type)
    cdef Request *request = <Request *> spsc_reserve(&lane.request[cls])
    cdef uint32_t index = lane.free_tag
    cdef Tag *tag = &lane.tags[index]
    lane.free_tag = tag.next_free
    lane.seq += 1
    tag.op_id = (<uint64_t> lane.shard << 56) | ((lane.seq & <uint64_t> 0xffffffffff) << 16) | index
    tag.slot = slot
    tag.submitted_us = now_us
    tag.type = op_type
    tag.is_orphan = is_orphan
    memset(&request.op, 0, sizeof(ct_offload_op))
    request.op.op_id = tag.op_id
    request.op.conn_id = conn_id
    request.op.handle = handle
    request.op.type = op_type
    request.op.error = EOPNOTSUPP      # until the provider says otherwise
    if ctx != NULL:
        if ctx != &request.ctx:
            memcpy(&request.ctx, ctx, sizeof(ct_offload_ctx))
        request.op.ctx = &request.ctx
        if request.ctx.flags & CT_OFFLOAD_F_NEW:
            request.op.type = CT_OFFLOAD_OP_EST
    lane.outstanding[cls] += 1
    if lane.outstanding[cls] > lane.high_water[cls]:
        lane.high_water[cls] = lane.outstanding[cls]
    lane.count[op_type].enqueued += 1
    spsc_publish(&lane.request[cls])


# Frees the tag of a request that was never handed over.
cdef inline void lane_cancel(Lane *lane, uint32_t index) noexcept nogil:
    cdef Tag *held = &lane.tags[index]
    held.op_id = 0
    held.next_free = lane.free_tag
    lane.free_tag = index
    lane.outstanding[lane_class(held.type)] -= 1


cdef inline bint is_success(int op_type, int error) noexcept nogil:
    return (error == 0 or (op_type == CT_OFFLOAD_OP_DEL and error == ENOENT)
            or (op_type == CT_OFFLOAD_OP_UPD and error == ENODATA))


# Shard: copies the tag of a result, frees and counts it; False where the result belongs to nothing outstanding.
cdef inline bint lane_settle(Lane *lane, const ct_offload_op *result, uint32_t now_us, Tag *tag) noexcept nogil:
    cdef uint32_t index = <uint32_t> (result.op_id & 0xffff)
    if index >= lane.n_tags or lane.tags[index].op_id != result.op_id:
        return False
    tag[0] = lane.tags[index]
    lane_cancel(lane, index)
    if is_success(tag.type, result.error):
        lane.count[tag.type].completed += 1
        if tag.type != result.type:        # EST has added it
            lane.count[<int> CT_OFFLOAD_OP_EST].enqueued += 1
            lane.count[<int> CT_OFFLOAD_OP_EST].completed += 1
    else:
        lane.count[tag.type].failed += 1
    # What was sent in one turn and answered by another took as long: two divisions a run, not two each.
    if lane.latency.run_us != now_us - tag.submitted_us:
        lane_settled(lane)
        lane.latency.run_us = now_us - tag.submitted_us
    lane.latency.run_n += 1
    return True
