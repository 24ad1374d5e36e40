"""A small owner of connections for tests of the layer: what a connection tracker does with a shard, stepped by hand."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.math cimport sqrt
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from ctoffload_dpdk.offload._shard import NoticeKind
from ctoffload_dpdk.offload.contract import CTX, make_id

from ctoffload_dpdk.offload._lane cimport Latency, STALL_NONE, STALL_SEEN, latency_add
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload._shard cimport (
    ConnTable, Notice, OffloadShard, shard_attach, shard_bring_back, shard_enabled, shard_epoch, shard_errno, shard_handle, shard_holds,
    shard_lane, shard_owners, shard_pending, shard_query, shard_reached, shard_reason, shard_set_packets, shard_turn,
    shard_want, shard_wanted)
from ctoffload_dpdk.offload._provider cimport Provider
from ctoffload_dpdk.offload._testprovider cimport CompiledProvider
from ctoffload_dpdk.offload._worker cimport worker_run_once
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ID_GENERATION, CT_OFFLOAD_ID_SLOT, ct_offload_ctx, ct_offload_op)
from ctoffload_dpdk.offload.libspsc cimport clock_ns, shared_swap_if

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


def latency_of(runs: list[tuple[float, int]]) -> dict[str, float]:
    """What a lane makes of these latencies in us, each so many times in a row."""
    cdef Latency latency
    memset(&latency, 0, sizeof(latency))
    for us, n in runs:
        latency_add(&latency, us, n)
    return {"n": latency.n, "last_us": latency.last_us, "average_us": latency.mean_us, "ewma_us": latency.ewma_us,
            "stddev_us": sqrt(latency.squares / latency.n)}


cdef class TestTable:
    """The connections of one shard: contexts by slot, and the notices that came."""

    __test__ = False

    cdef OffloadShard *shard
    cdef object layer
    cdef object contexts
    cdef uint32_t[::1] live
    cdef readonly object packets     # by slot: what software has seen
    cdef readonly uint32_t number
    cdef readonly list notices
    cdef readonly list windows       # (connection id, ((seq_lo, seq_hi, max_win), ...)) as they were read back
    cdef readonly list counts        # (connection id, ((packets, bytes), ...)) as they were told

    def __init__(self, OffloadLayer layer, max_slots: int = 64) -> None:
        cdef ConnTable table
        self.layer = layer
        self.number = layer.add_shard(max_slots)
        self.shard = layer.shard(self.number)
        self.contexts = np.zeros(max_slots, CTX)
        self.live = np.zeros(max_slots, np.uint32)
        self.notices = []
        self.windows = []
        self.counts = []
        table.user = <void *> self
        table.fill = fill
        table.prefetch = NULL
        table.notice = take_notice
        shard_attach(self.shard, table)
        self.packets = np.zeros(max_slots, np.uint64)
        shard_set_packets(self.shard, packets_of)

    def put(self, slot: int, generation: int, context: object = None) -> int:
        """A live connection in a slot; returns its id. `context` is a row of contract.CTX."""
        if context is None:
            context = np.zeros((), CTX)
            context["tuple"]["src_port"][0] = slot + 1
            context["tuple"]["src"][0, :4] = (10, 0, slot >> 8 & 255, slot & 255)
            context["proto"], context["eth_type"] = 6, 0x0800
            context["port"]["id"] = 0xffffffff
            context["peer"]["state"] = 4
        conn_id = make_id(self.number, generation, slot)
        self.contexts[slot] = context
        self.contexts[slot]["conn_id"] = conn_id
        self.live[slot] = generation + 1
        return conn_id

    def context(self, slot: int) -> object:
        """A copy of the context of a slot."""
        return self.contexts[slot].copy()

    def set_ports(self, slot: int, orig: int, orig_generation: int, reply: int, reply_generation: int) -> None:
        """Where packets of each direction arrive."""
        self.contexts[slot]["port"]["id"] = (orig, reply)
        self.contexts[slot]["port"]["generation"] = (orig_generation, reply_generation)

    def set_field(self, slot: int, field: str, value: object) -> None:
        """One member of a slot's context, "peer.state" for one inside another."""
        row = self.contexts[slot:slot + 1]
        for name in field.split("."):
            at, row = row, row[name]
        at[name] = value

    def drop(self, slot: int) -> None:
        """The connection of a slot is gone from the table."""
        self.live[slot] = 0

    def stall(self, provider: int) -> None:
        """As if the watch had seen that provider's call go over its limit."""
        shared_swap_if(&shard_lane(self.shard, provider).stalled, STALL_NONE, STALL_SEEN)

    def want(self, conn_id: int, want: int, reason: int = 0) -> None:
        shard_want(self.shard, conn_id, want, reason)

    def bring_back(self, conn_id: int, reason: int = 0) -> None:
        shard_bring_back(self.shard, conn_id, reason)

    def query(self, conn_id: int) -> None:
        shard_query(self.shard, conn_id)

    def turn(self, now_ms: int = 0) -> int:
        """A turn of this shard alone."""
        cdef int64_t now = now_ms
        cdef uint32_t n
        with nogil:
            n = shard_turn(self.shard, now)
        return n

    def take(self) -> list[tuple[str, int]]:
        """(kind, slot) of the notices since the last call."""
        taken, self.notices = self.notices, []
        return [(NoticeKind(n["kind"]).name[7:], n["conn_id"] & 0xffffffff) for n in taken]

    def holds(self, slot: int) -> bool:
        return shard_holds(self.shard, slot)

    def reason(self, slot: int) -> int:
        return shard_reason(self.shard, slot)

    def reached(self, slot: int) -> int:
        return shard_reached(self.shard, slot)

    def wanted(self, slot: int) -> int:
        return shard_wanted(self.shard, slot)

    def pending(self, slot: int) -> bool:
        return shard_pending(self.shard, slot)

    def errno(self, slot: int) -> int:
        return shard_errno(self.shard, slot)

    def owners(self, slot: int) -> int:
        return shard_owners(self.shard, slot)

    def handle(self, slot: int, provider: int) -> int:
        return shard_handle(self.shard, slot, provider)

    def enabled(self) -> bool:
        return shard_enabled(self.shard)

    def epoch(self) -> int:
        return shard_epoch(self.shard)

    # --- for benchmarks: ns per piece of work ---

    def time_wants(self, n: int, want: int, generation: int = 1) -> float:
        """shard_want over slots 0 to n - 1."""
        cdef uint64_t base = make_id(self.number, generation, 0)
        cdef uint32_t i, count = n
        cdef int wanted = want
        cdef int64_t before
        with nogil:
            before = clock_ns()
            for i in range(count):
                shard_want(self.shard, base + i, wanted, 0)
            before = clock_ns() - before
        return before / <double> count

    def time_worker(self, Provider provider, n: int, want: int = 1, now_ms: int = 0) -> float:
        """The worker's part: n wishes are made operations first, outside the time; then its turns, per operation."""
        cdef int64_t before, now = now_ms
        cdef uint32_t done = 0, count = n
        self.time_wants(n, want)
        with nogil:
            shard_turn(self.shard, now)
            before = clock_ns()
            while done < count:
                done += worker_run_once(provider.worker, now)
            before = clock_ns() - before
            shard_turn(self.shard, now)
        self.notices.clear()
        return before / <double> count


def time_plain_marks(n: int) -> float:
    """The control of time_wants: a C loop that marks n cache lines and chains each to the one before."""
    cdef uint32_t i, count = n
    cdef int64_t before
    cdef uint32_t *lines = <uint32_t *> aligned_alloc(64, <size_t> count * 64)
    if lines == NULL:
        raise MemoryError
    memset(lines, 0, <size_t> count * 64)
    with nogil:
        before = clock_ns()
        for i in range(count):
            lines[i * 16] = i
            lines[i * 16 + 1] = i - 1
            if i:
                lines[i * 16 - 14] = i
        before = clock_ns() - before
    free(lines)
    return before / <double> count


def time_plain_batches(CompiledProvider provider, n: int) -> float:
    """The control of time_worker: the provider's own batch_submit over n operations, 1024 at a time."""
    cdef ct_offload_op *ops = <ct_offload_op *> calloc(1024, sizeof(ct_offload_op))
    cdef uint32_t i, count = n // 1024
    cdef int64_t before
    if ops == NULL:
        raise MemoryError
    with nogil:
        before = clock_ns()
        for i in range(count):
            provider.cls.batch_submit(provider.cls.user, ops, 1024)
        before = clock_ns() - before
    free(ops)
    return before / <double> (count * 1024)


cdef bint fill(void *user, uint64_t conn_id, ct_offload_ctx *ctx) noexcept nogil:
    cdef uint32_t slot = CT_OFFLOAD_ID_SLOT(conn_id)
    with gil:
        table = <TestTable> user
        if table.live[slot] != CT_OFFLOAD_ID_GENERATION(conn_id) + 1:
            return False
        copy_row(table, slot, ctx)
        return True


cdef uint64_t packets_of(void *user, uint64_t conn_id) noexcept nogil:
    with gil:
        return (<TestTable> user).packets[CT_OFFLOAD_ID_SLOT(conn_id)]


cdef void copy_row(TestTable table, uint32_t slot, ct_offload_ctx *ctx):
    cdef const unsigned char[::1] row = table.contexts[slot].tobytes()
    memcpy(ctx, &row[0], sizeof(ct_offload_ctx))


cdef void take_notice(void *user, const Notice *notice) noexcept nogil:
    with gil:
        (<TestTable> user).notices.append({
            "conn_id": notice.conn_id, "kind": notice.kind, "error": notice.error, "reason": notice.reason,
            "flags": notice.flags, "last_used_ms": notice.last_used_ms, "sampled_ms": notice.sampled_ms})
        if notice.peer != NULL:
            (<TestTable> user).windows.append((notice.conn_id, tuple([
                (notice.peer[i].seq_lo, notice.peer[i].seq_hi, notice.peer[i].max_win) for i in range(2)])))
        if notice.counts != NULL:
            (<TestTable> user).counts.append((notice.conn_id, tuple([
                (notice.counts.packets[i], notice.counts.bytes[i]) for i in range(2)])))
