"""The rings between one shard and one provider's worker, and the account of what is outstanding in them."""
from libc.math cimport pow
from libc.stdlib cimport calloc, free

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_op
from ctoffload_dpdk.offload.libspsc cimport pages_free, pages_new, spsc_fini, spsc_init

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


cdef void lane_settled(Lane *lane) noexcept nogil:
    if lane.latency.run_n:
        latency_add(&lane.latency, lane.latency.run_us, lane.latency.run_n)
    lane.latency.run_n = 0


cdef void latency_add(Latency *latency, double us, uint32_t n) noexcept nogil:
    """Welford's running mean and variance, and an average that forgets with 1/16."""
    cdef double delta = us - latency.mean_us
    cdef bint is_first = latency.n == 0
    latency.n += n
    latency.last_us = us
    latency.mean_us += delta * n / latency.n
    latency.squares += delta * n * (us - latency.mean_us)
    latency.ewma_us = us if is_first else us + (latency.ewma_us - us) * pow(15.0 / 16, n)
