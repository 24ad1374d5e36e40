"""A small owner of connections for tests of the layer: what a connection tracker does with a shard, stepped by hand."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.math cimport sqrt
from libc.string cimport memcpy, memset

import numpy as np

from ctoffload_dpdk.offload._shard import NoticeKind
from ctoffload_dpdk.offload.contract import CTX, make_id

from ctoffload_dpdk.offload._lane cimport Latency, latency_add
from ctoffload_dpdk.offload._layer cimport OffloadLayer
from ctoffload_dpdk.offload._shard cimport (
    ConnTable, Notice, OffloadShard, shard_attach, shard_enabled, shard_epoch, shard_errno,
    shard_handle, shard_holds, shard_owners, shard_pending, shard_query, shard_reached, shard_reason, shard_turn,
    shard_want, shard_wanted)
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_ID_GENERATION, CT_OFFLOAD_ID_SLOT, ct_offload_ctx
from ctoffload_dpdk.offload.libspsc cimport clock_us


def latency_of(values_us: list[float]) -> dict[str, float]:
    """What a lane makes of these latencies."""
    cdef Latency latency
    memset(&latency, 0, sizeof(latency))
    for us in values_us:
        latency_add(&latency, us)
    return {"n": latency.n, "last_us": latency.last_us, "average_us": latency.mean_us, "ewma_us": latency.ewma_us,
            "stddev_us": sqrt(latency.squares / latency.n)}


cdef class TestTable:
    """The connections of one shard: contexts by slot, and the notices that came."""

    __test__ = False

    cdef OffloadShard *shard
    cdef object layer
    cdef object contexts
    cdef uint32_t[::1] live
    cdef readonly uint32_t number
    cdef readonly list notices

    def __init__(self, OffloadLayer layer, max_slots: int = 64) -> None:
        cdef ConnTable table
        self.layer = layer
        self.number = layer.add_shard(max_slots)
        self.shard = layer.shard(self.number)
        self.contexts = np.zeros(max_slots, CTX)
        self.live = np.zeros(max_slots, np.uint32)
        self.notices = []
        table.user = <void *> self
        table.fill = fill
        table.notice = take_notice
        shard_attach(self.shard, table)

    def put(self, slot: int, generation: int, context: object = None) -> int:
        """A live connection in a slot; returns its id. `context` is a row of contract.CTX."""
        if context is None:
            context = np.zeros((), CTX)
            context["tuple"]["src_port"][0] = slot + 1
            context["tuple"]["src"][0, :4] = (10, 0, slot >> 8 & 255, slot & 255)
            context["proto"], context["eth_type"] = 6, 0x0800
            context["port"]["id"] = 0xffffffff
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

    def drop(self, slot: int) -> None:
        """The connection of a slot is gone from the table."""
        self.live[slot] = 0

    def want(self, conn_id: int, want: int, reason: int = 0) -> None:
        shard_want(self.shard, conn_id, want, reason)

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

    def time_wants(self, n: int, want: int, generation: int = 1) -> float:
        """ns per shard_want over slots 0 to n - 1."""
        cdef uint64_t base = make_id(self.number, generation, 0)
        cdef uint32_t i, count = n, before
        cdef int wanted = want
        with nogil:
            before = clock_us()
            for i in range(count):
                shard_want(self.shard, base + i, wanted, 0)
            before = clock_us() - before
        return before * 1000.0 / count


cdef bint fill(void *user, uint64_t conn_id, ct_offload_ctx *ctx) noexcept nogil:
    cdef uint32_t slot = CT_OFFLOAD_ID_SLOT(conn_id)
    with gil:
        table = <TestTable> user
        if table.live[slot] != CT_OFFLOAD_ID_GENERATION(conn_id) + 1:
            return False
        copy_row(table, slot, ctx)
        return True


cdef void copy_row(TestTable table, uint32_t slot, ct_offload_ctx *ctx):
    cdef const unsigned char[::1] row = table.contexts[slot].tobytes()
    memcpy(ctx, &row[0], sizeof(ct_offload_ctx))


cdef void take_notice(void *user, const Notice *notice) noexcept nogil:
    with gil:
        (<TestTable> user).notices.append({
            "conn_id": notice.conn_id, "kind": notice.kind, "error": notice.error, "reason": notice.reason,
            "flags": notice.flags, "last_used_ms": notice.last_used_ms, "sampled_ms": notice.sampled_ms})
