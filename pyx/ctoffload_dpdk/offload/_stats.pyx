"""Reads what lanes, workers and shards counted. Their threads go on: each figure is right, not all of one instant."""
from libc.math cimport sqrt
from libc.stdint cimport uint32_t, uint64_t

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload._shard import NoticeKind
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.offload.stats import LatencyStats, LayerStats, OpStats, ProviderStats, QueueStats, ShardStats

from ctoffload_dpdk.offload._lane cimport Lane, Latency, N_LANE_CLASSES
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload._provider cimport Provider
from ctoffload_dpdk.offload._shard cimport ShardCount, shard_count, shard_lane, shard_touched
from ctoffload_dpdk.offload._worker cimport WorkerCount
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_N_OP_TYPES, CT_OFFLOAD_N_REASONS
from ctoffload_dpdk.offload.libspsc cimport shared_get

CLASSES = ("delete", "add", "query")
LISTS = ("", "delete", "add", "query", "later", "full", "rate")


cdef void merge_latency(Latency *into, const Latency *other):
    """Two running means and variances as if they had been one."""
    cdef double delta = other.mean_us - into.mean_us
    cdef uint64_t n = into.n + other.n
    if other.n == 0:
        return
    into.squares += other.squares + delta * delta * into.n * other.n / n
    into.mean_us += delta * other.n / n
    into.ewma_us = (into.ewma_us * into.n + other.ewma_us * other.n) / n
    into.last_us = other.last_us
    into.n = n


cdef object latency_stats(const Latency *latency):
    return LatencyStats(latency.n, latency.last_us, latency.mean_us, latency.ewma_us,
                        sqrt(latency.squares / latency.n) if latency.n else 0.0)


cdef void add_lane(object stats, Lane *lane, Latency *latency):
    cdef int i
    stats.connections += lane.connections
    stats.installed += lane.installed
    stats.orphans += lane.orphans
    stats.lost += lane.lost
    stats.is_stalled |= bool(shared_get(&lane.stalled))
    for i in range(CT_OFFLOAD_N_OP_TYPES):
        ops = stats.ops[OpType(i).name]
        ops.enqueued += lane.count[i].enqueued
        ops.completed += lane.count[i].completed
        ops.failed += lane.count[i].failed
    for i in range(N_LANE_CLASSES):
        queue = stats.queues[CLASSES[i]]
        queue.depth += lane.outstanding[i]
        queue.high_water = max(queue.high_water, lane.high_water[i])
        queue.budget = lane.budget[i]
    for i in range(CT_OFFLOAD_N_REASONS):
        if lane.reasons[i]:
            text = Reason(i).text
            stats.reasons[text] = stats.reasons.get(text, 0) + lane.reasons[i]
    merge_latency(latency, &lane.latency)


cdef object provider_stats(OffloadLayer layer, Provider provider):
    cdef Latency latency
    cdef Lane *lane
    cdef uint32_t i
    cdef const WorkerCount *count = &provider.worker.count
    latency.n = 0
    latency.last_us = latency.mean_us = latency.squares = latency.ewma_us = 0
    stats = ProviderStats(provider.name, provider.priority, layer.is_active(provider.name))
    stats.ops = {kind.name: OpStats() for kind in OpType}
    stats.queues = {name: QueueStats() for name in CLASSES}
    for i in range(layer._n_shards):
        lane = shard_lane(layer._shards[i], provider.index)
        if lane != NULL:
            add_lane(stats, lane, &latency)
    stats.latency = latency_stats(&latency)
    stats.rules = 2 * stats.installed
    stats.calls, stats.operations, stats.polls = count.calls, count.operations, count.polls
    stats.events, stats.events_dropped = count.events, count.events_dropped
    stats.nonsense, stats.misplaced, stats.stalls = count.nonsense, count.misplaced, count.stalls
    if provider.worker.querier != NULL:
        count = &provider.worker.querier.count
        stats.calls += count.calls
        stats.operations += count.operations
        stats.nonsense += count.nonsense
        stats.stalls += count.stalls
    stats.raised, stats.last_error = provider.n_raised, provider.last_error
    return stats


cdef object shard_stats(OffloadLayer layer, uint32_t number):
    cdef const ShardCount *count = shard_count(layer._shards[number])
    cdef int i
    stats = ShardStats(number, shard_touched(layer._shards[number]))
    stats.waiting = {LISTS[i]: count.waiting[i] for i in range(1, 7)}
    stats.waiting_high_water = {LISTS[i]: count.waiting_high_water[i] for i in range(1, 7)}
    stats.notices = {kind.name[7:]: count.notices[<int> kind] for kind in NoticeKind}
    stats.refused = {Reason(i).text: count.refused[i] for i in range(CT_OFFLOAD_N_REASONS) if count.refused[i]}
    stats.wanted, stats.stale = count.wanted, count.stale
    stats.nonsense, stats.leaving = count.nonsense, count.leaving
    stats.windows_unread = count.windows_unread
    return stats


def read(OffloadLayer layer not None) -> LayerStats:
    """The figures of a layer as they stand."""
    cdef int i
    stats = LayerStats(layer.enabled(), layer.epoch, layer.walk_left())
    stats.providers = [provider_stats(layer, p) for p in layer.providers()]
    stats.shards = [shard_stats(layer, i) for i in range(layer.n_shards)]
    stats.batches = {OpType(i).name: OpStats(layer.direct.total[i].submitted,
                                             layer.direct.total[i].submitted - layer.direct.total[i].failed,
                                             layer.direct.total[i].failed) for i in range(CT_OFFLOAD_N_OP_TYPES)}
    for name in ("connections", "installed", "rules", "orphans", "lost"):
        setattr(stats, name, sum(getattr(p, name) for p in stats.providers))
    return stats
