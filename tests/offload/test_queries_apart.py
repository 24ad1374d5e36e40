"""A thread of its own for slow queries: they hold up neither additions nor removals."""

from __future__ import annotations

import errno
import threading
import time

from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.offload import Batch
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.providers.recording import RecordingProvider

LATER_MS = 1 << 40


class SlowQueries(RecordingProvider):
    """Its queries wait until they are let go."""

    queries_apart = True

    def __init__(self) -> None:
        super().__init__("slow")
        self.is_inside = threading.Event()
        self.let_go = threading.Event()

    def submit(self, ops: Batch, contexts: Batch) -> None:
        if ops["type"][0] == OpType.UPD:
            assert set(ops["type"].tolist()) == {OpType.UPD}
            self.is_inside.set()
            assert self.let_go.wait(30)
        super().submit(ops, contexts)


class Slow:
    """A lab with such a provider; its query thread is inside a query."""

    def __init__(self) -> None:
        self.provider = SlowQueries()
        self.lab = Lab(self.provider)
        self.conn = self.lab.installed()
        self.provider.last_used[self.conn] = (900, 1000)
        self.lab.table.query(self.conn)
        self.lab.turn()
        self.worker = self.lab.layer.provider("slow")
        self.thread = threading.Thread(target=self.worker.run_queries, args=(self.lab.now_ms,))
        self.thread.start()
        assert self.provider.is_inside.wait(30)

    def main(self) -> None:
        """A turn of the worker alone."""
        run = threading.Thread(target=self.worker.run_once, args=(self.lab.now_ms,))
        run.start()
        run.join(5)

    def end(self) -> None:
        self.provider.let_go.set()
        self.thread.join()


def test_additions_and_removals_go_on_while_a_query_takes_its_time() -> None:
    slow = Slow()
    lab = slow.lab
    other = lab.connection(1)
    for _ in range(3):
        lab.turn()
        slow.main()
    lab.turn()
    assert lab.table.reached(1) == INSTALLED
    lab.table.want(other, OUT)
    lab.turn()
    slow.main()
    lab.turn()
    assert not lab.table.holds(1)
    assert lab.table.pending(0)
    slow.end()
    assert lab.turn() == [("SAMPLE", 0)]
    lab.layer.close()


def test_a_removal_waits_for_the_query_of_its_own_connection() -> None:
    slow = Slow()
    lab = slow.lab
    lab.table.want(slow.conn, OUT)
    lab.turn()
    slow.main()
    assert slow.provider.seen(slow.conn) == []
    slow.end()
    assert lab.settle() == [("SAMPLE", 0), ("OUT", 0)]
    lab.layer.close()


def test_a_query_that_never_ends_is_a_stall() -> None:
    slow = Slow()
    lab = slow.lab
    assert lab.layer.look_for_stalls(LATER_MS) == 1
    assert ("REFUSED", 0) in lab.turn()
    slow.main()
    lab.turn()
    assert lab.layer.stalled() == ["slow"]
    assert lab.layer.statistics().orphans == 1
    slow.end()
    lab.settle()
    assert lab.layer.stalled() == []
    assert slow.provider.installed == {slow.conn}
    lab.layer.close()


def test_a_query_may_not_answer_later_there() -> None:
    provider = SlowQueries()
    provider.let_go.set()
    lab = Lab(provider)
    conn = lab.installed()
    provider.answer_later(OpType.UPD)
    lab.table.query(conn)
    lab.turn()
    lab.work()
    lab.table.turn(lab.now_ms)
    (notice,) = lab.table.notices
    assert (notice["kind"], notice["error"]) == (5, errno.EIO)
    assert lab.layer.statistics().provider("slow").nonsense == 1
    lab.layer.close()


def test_it_has_its_thread() -> None:
    provider = SlowQueries()
    provider.let_go.set()
    lab = Lab(provider, slots=300)
    lab.layer.start()
    conns = [lab.connection(slot) for slot in range(300)]
    end = time.monotonic() + 20
    while len(provider.installed) < 300:
        assert time.monotonic() < end
        lab.table.turn(lab.now_ms)
    lab.table.take()
    for conn in conns:
        provider.last_used[conn] = (900, 1000)
        lab.table.query(conn)
    answered: list[tuple[str, int]] = []
    while len([kind for kind, _ in answered if kind == "SAMPLE"]) < 300:
        assert time.monotonic() < end
        lab.table.turn(lab.now_ms)
        answered += lab.table.take()
    lab.layer.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("ct-")]
    lab.layer.close()
