"""The generic layer: what the packet path pays for a wish, and what the layer adds to a provider's own work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from bench import Row, paired
from ctoffload_dpdk.offload import Batch, CtOffloadProvider, OffloadLayer
from ctoffload_dpdk.offload._batch import Batch as Operations
from ctoffload_dpdk.offload._testprovider import CompiledProvider
from ctoffload_dpdk.offload._testtable import TestTable, time_plain_batches, time_plain_marks
from ctoffload_dpdk.offload.contract import OpType, make_id

N_WANTS = 1 << 12
N_OPS = 2048  # as many as the layer has outstanding by default
ROUNDS = 20
WORK_NS_REFERENCE = 0.55  # two cores of an AMD EPYC, virtual
MARK_NS_REFERENCE = 0.7


class Empty(CtOffloadProvider):
    """An empty body: every operation stays refused."""

    name = "empty"

    def submit(self, ops: Batch, contexts: Batch) -> None:
        pass


def enqueue() -> Row:
    """A wish on the packet path: slots that are warm, as those of packets just looked up are."""
    table = TestTable(OffloadLayer(), N_WANTS)
    table.time_wants(N_WANTS, 2)

    def ours() -> float:
        table.time_wants(N_WANTS, 0)
        return min(table.time_wants(N_WANTS, want) for want in (2, 2, 2) if table.time_wants(N_WANTS, 0))

    took = paired(ours, lambda: min(time_plain_marks(N_WANTS) for _ in range(3)))
    return Row("offload: a wish on the packet path", "ns", took.ours, 5.0, True, took.control, MARK_NS_REFERENCE,
               "a C loop that marks and chains cache lines", took.low, took.high)  # fmt: skip


def native() -> Iterator[Row]:
    """What a native batch costs above the provider's own batch_submit: on the worker, and submitted directly."""
    source = CompiledProvider(accept=True)
    layer = OffloadLayer()
    layer.force_enable()
    table = TestTable(layer, N_OPS)
    for slot in range(N_OPS):
        table.put(slot, 1)
    provider = layer.register(source, activate=True)

    def own() -> float:
        return time_plain_batches(source, N_OPS * ROUNDS)

    def worker() -> float:
        # The median of rounds: one that another process interrupts says nothing of the layer.
        taken = [table.time_worker(provider, N_OPS, want) for _ in range(ROUNDS) for want in (1, 0)]
        return statistics.median(taken) - own()

    worker()

    took = paired(worker, own)
    yield Row("offload: native batch on the worker, above the provider's own work", "ns/op", took.ours, 20.0, True,
              took.control, WORK_NS_REFERENCE, "the provider's batch_submit alone", took.low, took.high)  # fmt: skip
    yield direct(layer, own)
    layer.close()


def direct(layer: OffloadLayer, own: Callable[[], float]) -> Row:
    batch = Operations()
    for n in range(1024):
        batch.add(OpType.POLICY, make_id(255, 1, n))

    def ours() -> float:
        before = time.perf_counter_ns()
        for _ in range(10):
            layer.submit(batch)
        return (time.perf_counter_ns() - before) / (10 * 1024)

    took = paired(ours, own)
    return Row("offload: a batch submitted directly, in all", "ns/op", took.ours, 100.0, True, took.control,
               WORK_NS_REFERENCE, "the provider's batch_submit alone", took.low, took.high)  # fmt: skip


def python() -> Row:
    """A Python provider with an empty body, 1024 operations per call."""
    layer = OffloadLayer()
    layer.force_enable()
    table = TestTable(layer, N_OPS)
    for slot in range(N_OPS):
        table.put(slot, 1)
    provider = layer.register(Empty, activate=True)
    native_form = CompiledProvider(accept=True)

    def ours() -> float:
        return 1e3 / statistics.median(table.time_worker(provider, N_OPS, want=1) for _ in range(ROUNDS))

    ours()
    took = paired(ours, lambda: time_plain_batches(native_form, N_OPS * ROUNDS))
    layer.close()
    return Row("offload: a Python provider with an empty body", "M ops/s", took.ours, 2.0, False, took.control,
               WORK_NS_REFERENCE, "a native batch_submit alone", took.low, took.high)  # fmt: skip


def rows() -> Iterator[Row]:
    yield enqueue()
    yield from native()
    yield python()
