"""Workers in threads of their own: nothing is lost, nothing is called by two threads at once, stopping stops."""

from __future__ import annotations

import threading
import time

from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.offload import Batch, CtOffloadProvider, OffloadLayer
from ctoffload_dpdk.offload._batch import Batch as Ops
from ctoffload_dpdk.offload._testprovider import CompiledProvider
from ctoffload_dpdk.offload.contract import OpType, make_id
from ctoffload_dpdk.providers.dummy import DummyProvider


def until(done: object, lab: Lab, limit_s: float = 20.0) -> None:
    """Turns the shard until done() holds; the workers run by themselves."""
    end = time.monotonic() + limit_s
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, "the workers do not get there"
        lab.table.turn(int(time.monotonic() * 1000))


def test_connections_go_in_and_out_through_threads() -> None:
    lab = Lab(slots=2000, budgets=(64, 64, 64))
    dummy, compiled = DummyProvider(), CompiledProvider()
    lab.layer.register(dummy, activate=True)
    lab.layer.register(compiled, activate=True)
    lab.layer.start()
    conns = [lab.connection(slot) for slot in range(2000)]
    until(lambda: all(lab.table.reached(slot) == INSTALLED for slot in range(2000)), lab)
    assert (dummy.n_established, len(compiled.held())) == (2000, 2000)
    for conn in conns:
        lab.table.want(conn, OUT)
    until(lambda: not any(lab.table.holds(slot) for slot in range(2000)), lab)
    lab.layer.stop()
    assert (len(dummy), compiled.held()) == (0, [])
    lab.layer.close()


def test_a_provider_registered_while_running_has_its_thread_and_loses_it_at_the_end() -> None:
    layer = OffloadLayer()
    layer.start()
    layer.register(DummyProvider(), activate=True)
    assert [t.name for t in threading.enumerate() if t.name == "ct-dummy"] == ["ct-dummy"]
    layer.unregister("dummy")
    assert not [t for t in threading.enumerate() if t.name == "ct-dummy"]
    layer.close()


def test_a_batch_and_the_worker_never_call_a_provider_at_once() -> None:
    class Watching(CtOffloadProvider):
        name = "watching"

        def __init__(self) -> None:
            self.inside = 0
            self.overlaps = 0

        def submit(self, ops: Batch, contexts: Batch) -> None:
            self.inside += 1
            self.overlaps += self.inside > 1
            time.sleep(0)
            ops["error"] = 0
            self.inside -= 1

        def poll(self, now_ms: int) -> None:
            self.inside += 1
            self.overlaps += self.inside > 1
            time.sleep(0)
            self.inside -= 1

    provider, layer = Watching(), OffloadLayer()
    layer.force_enable()
    layer.register(provider, activate=True)
    layer.start()
    ops = Ops()
    for n in range(50):
        ops.add(OpType.ADD, make_id(255, 1, n))
        ops.add(OpType.DEL, make_id(255, 1, n))
    for _ in range(50):
        layer.submit(ops)
        assert not ops.results["error"].any()
    layer.stop()
    assert provider.overlaps == 0
    layer.close()
