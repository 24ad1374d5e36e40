"""The rings between one shard and one provider's worker, and the account of what is outstanding in them."""
from libc.errno cimport ENODATA, ENOENT, EOPNOTSUPP
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW)
from ctoffload_dpdk.offload.libspsc cimport pages_free, pages_new, spsc_fini, spsc_init, spsc_publish, spsc_reserve

cdef enum:
    NO_TAG = 0xffffffff
    N_EVENTS = 1024          # room for events beside one result per tag


cdef uint32_t power_of_two(uint32_t n) noexcept nogil:
    cdef uint32_t size = 1
    while size < n:
        size <<= 1
    return size


cdef Lane *lane_new(uint32_t shard, const uint32_t *budget) noexcept nogil:
    """A lane with room for budget[class] operations per class, 65536 in all at most. NULL without memory."""
    cdef Lane *lane
    cdef uint32_t i, n_tags = budget[LANE_ADD] + budget[LANE_DEL] + budget[LANE_QUERY]
    # The rings' indexes lie in cache lines of their own: pages are aligned, calloc's memory is not.
    lane = <Lane *> pages_new(sizeof(Lane))
    if lane == NULL:
        return NULL
    lane.shard = shard
    lane.n_tags = n_tags
    lane.tags = <Tag *> calloc(n_tags, sizeof(Tag))
    lane.in_flight = <InFlight *> calloc(n_tags, sizeof(InFlight))
    lane.told = <Told *> calloc(n_tags, sizeof(Told))
    cdef bint ok = n_tags <= 65536 and lane.tags != NULL and lane.in_flight != NULL and lane.told != NULL
    for i in range(N_LANE_CLASSES):
        lane.budget[i] = budget[i]
        ok = ok and spsc_init(&lane.request[i], power_of_two(budget[i]),
                              sizeof(Request) if i == LANE_ADD else sizeof(ct_offload_op))
    ok = ok and spsc_init(&lane.done[0], power_of_two(n_tags + N_EVENTS), sizeof(ct_offload_op))
    ok = ok and spsc_init(&lane.done[1], power_of_two(budget[LANE_QUERY]), sizeof(ct_offload_op))
    if not ok:
        lane_free(lane)
        return NULL
    for i in range(n_tags):
        lane.tags[i].next_free = i + 1 if i + 1 < n_tags else NO_TAG
    return lane


cdef void lane_free(Lane *lane) noexcept nogil:
    cdef int i
    if lane == NULL:
        return
    for i in range(N_LANE_CLASSES):
        spsc_fini(&lane.request[i])
    spsc_fini(&lane.done[0])
    spsc_fini(&lane.done[1])
    free(lane.tags)
    free(lane.in_flight)
    free(lane.told)
    pages_free(lane, sizeof(Lane))


cdef int lane_class(int op_type) noexcept nogil:
    if op_type == CT_OFFLOAD_OP_DEL:
        return LANE_DEL
    return LANE_QUERY if op_type == CT_OFFLOAD_OP_UPD or op_type == CT_OFFLOAD_OP_WINDOW else LANE_ADD


cdef bint lane_has_room(Lane *lane, int op_type) noexcept nogil:
    cdef int cls = lane_class(op_type)
    # A worker may have answered entries that it has not given back yet, so the ring is asked as well.
    return lane.outstanding[cls] < lane.budget[cls] and spsc_reserve(&lane.request[cls]) != NULL


cdef void lane_send(Lane *lane, int op_type, uint32_t slot, uint64_t conn_id, uint64_t handle,
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
        memcpy(&request.ctx, ctx, sizeof(ct_offload_ctx))
        request.op.ctx = &request.ctx
    lane.outstanding[cls] += 1
    if lane.outstanding[cls] > lane.high_water[cls]:
        lane.high_water[cls] = lane.outstanding[cls]
    lane.count[op_type].enqueued += 1
    spsc_publish(&lane.request[cls])


cdef bint lane_settle(Lane *lane, const ct_offload_op *result, uint32_t now_us, Tag *tag) noexcept nogil:
    cdef uint32_t index = <uint32_t> (result.op_id & 0xffff)
    cdef Tag *held
    if index >= lane.n_tags or lane.tags[index].op_id != result.op_id:
        return False
    held = &lane.tags[index]
    tag[0] = held[0]
    lane_cancel(lane, index)
    if is_success(tag.type, result.error):
        lane.count[tag.type].completed += 1
    else:
        lane.count[tag.type].failed += 1
    latency_add(&lane.latency, <double> (<uint32_t> (now_us - tag.submitted_us)))
    return True


cdef void lane_cancel(Lane *lane, uint32_t index) noexcept nogil:
    cdef Tag *held = &lane.tags[index]
    held.op_id = 0
    held.next_free = lane.free_tag
    lane.free_tag = index
    lane.outstanding[lane_class(held.type)] -= 1


cdef bint is_success(int op_type, int error) noexcept nogil:
    if op_type == CT_OFFLOAD_OP_DEL:
        return error == 0 or error == ENOENT
    if op_type == CT_OFFLOAD_OP_UPD:
        return error == 0 or error == ENODATA
    return error == 0


cdef void latency_add(Latency *latency, double us) noexcept nogil:
    """Welford's running mean and variance, and an average that forgets with 1/16."""
    cdef double delta = us - latency.mean_us
    latency.n += 1
    latency.last_us = us
    latency.mean_us += delta / latency.n
    latency.squares += delta * (us - latency.mean_us)
    latency.ewma_us = us if latency.n == 1 else latency.ewma_us + (us - latency.ewma_us) / 16
