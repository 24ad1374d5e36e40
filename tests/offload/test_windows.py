"""Windows read back before a removal, and what rules forwarded: asked once, under a budget, never in the way."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import Batch
from ctoffload_dpdk.offload._batch import Batch as Operations
from ctoffload_dpdk.offload.classes import DpifOffloadClass
from ctoffload_dpdk.offload.contract import OpType, ResultFlag, make_id
from ctoffload_dpdk.providers.recording import Peers, RecordingProvider

CONTEXT = ResultFlag.BYPASS | ResultFlag.CONTEXT
WINDOW: Peers = ((1000, 66535, 501), (2**32 - 5, 60000, 65535))
LATER_MS = 1 << 40


@pytest.fixture
def provider() -> RecordingProvider:
    return RecordingProvider(flags=CONTEXT)


def installed(lab: Lab, slot: int = 0, generation: int = 1) -> int:
    """A connection in hardware whose window can be read back."""
    conn = lab.installed(slot, generation)
    for provider in lab.providers:
        provider.windows[conn] = WINDOW
    return conn


# --- when ---


def test_it_is_read_once_before_the_removal(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    lab.table.bring_back(conn, Reason.CLOSING)
    assert lab.settle() == [("WINDOW", 0), ("OUT", 0)]
    assert provider.seen(conn) == ["WINDOW", "DEL"]
    assert lab.table.windows == [(conn, WINDOW)]
    assert lab.table.reason(0) == Reason.CLOSING
    window = lab.layer.statistics().provider("recording").ops["WINDOW"]
    assert (window.enqueued, window.completed, window.failed) == (1, 1, 0)


def test_saying_it_twice_reads_it_once(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    lab.table.bring_back(conn)
    lab.table.bring_back(conn)
    lab.step()
    lab.table.bring_back(conn)
    lab.settle()
    assert provider.seen(conn) == ["WINDOW", "DEL"]


def test_a_connection_that_ends_is_not_read(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    lab.table.want(conn, OUT)
    lab.settle()
    assert provider.seen(conn) == ["DEL"]
    other = installed(lab, 1)
    lab.table.bring_back(other)
    lab.table.want(other, OUT)
    lab.settle()
    assert provider.seen(other) == ["DEL"]


def test_without_a_context_nobody_is_asked() -> None:
    lab = Lab(RecordingProvider())
    conn = installed(lab)
    lab.table.bring_back(conn)
    assert lab.settle() == [("OUT", 0)]
    assert lab.providers[0].seen(conn) == ["DEL"]
    lab.layer.close()


def test_before_it_was_installed_there_is_nothing_to_read(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.connection(want=1)
    lab.settle()
    provider.windows[conn] = WINDOW
    lab.table.bring_back(conn)
    lab.settle()
    assert provider.seen(conn) == ["ADD", "DEL"]


@pytest.mark.parametrize("error", [errno.ENODATA, errno.EOPNOTSUPP, errno.EIO])
def test_a_failed_read_is_followed_by_the_removal(lab: Lab, provider: RecordingProvider, error: int) -> None:
    conn = installed(lab)
    provider.answer(OpType.WINDOW, error)
    lab.table.bring_back(conn, Reason.CLOSING)
    assert lab.settle() == [("OUT", 0)]
    assert provider.seen(conn) == ["WINDOW", "DEL"]
    assert lab.table.reason(0) == Reason.CLOSING
    assert lab.layer.statistics().provider("recording").ops["WINDOW"].failed == 1


def test_the_owner_with_the_context_is_asked() -> None:
    plain, context = RecordingProvider("plain"), RecordingProvider("context", 1, flags=CONTEXT)
    lab = Lab(plain, context)
    conn = installed(lab)
    lab.table.bring_back(conn)
    assert lab.settle() == [("WINDOW", 0), ("OUT", 0)]
    assert (plain.seen(conn), context.seen(conn)) == (["DEL"], ["WINDOW", "DEL"])
    lab.layer.close()


def test_it_may_go_in_again_afterwards(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    lab.table.bring_back(conn)
    lab.settle()
    lab.table.want(conn, INSTALLED)
    assert ("INSTALLED", 0) in lab.settle()
    lab.table.bring_back(conn)
    assert lab.settle() == [("WINDOW", 0), ("OUT", 0)]


# --- never in a drain ---


def switch_off(lab: Lab) -> None:
    lab.layer.force_enable(False)


def flush(lab: Lab) -> None:
    lab.layer.flush()


def unregister(lab: Lab) -> None:
    lab.layer.unregister("recording")


class Owner(DpifOffloadClass):
    name = "recording"

    def port_add(self, port: object, name: str) -> bool:
        return True


@pytest.mark.parametrize("drain", [switch_off, flush, unregister])
def test_a_drain_reads_nothing(lab: Lab, provider: RecordingProvider, drain: Callable[[Lab], None]) -> None:
    conns = [installed(lab, slot) for slot in range(3)]
    drain(lab)
    lab.settle()
    assert [provider.seen(conn) for conn in conns] == [["DEL"]] * 3


def test_the_removal_of_a_port_reads_nothing(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.class_register(Owner())
    port = lab.layer.port_add("p0")
    conn = lab.table.put(0, 1)
    lab.table.set_ports(0, port.id, port.generation, port.id, port.generation)
    lab.table.want(conn, INSTALLED)
    lab.settle()
    provider.windows[conn] = WINDOW
    lab.layer.port_del(port)
    assert provider.seen(conn) == ["ADD", "EST", "DEL"]


def test_what_waits_for_its_removal_when_the_switch_goes_off_is_not_read(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    lab.table.bring_back(conn)
    lab.layer.force_enable(False)
    lab.settle()
    assert provider.seen(conn) == ["DEL"]


def test_nothing_is_settled_while_a_window_is_read(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.answer_later(OpType.WINDOW)
    lab.table.bring_back(conn)
    lab.step(2)
    assert not lab.layer.is_settled()
    provider.complete()
    lab.settle()
    assert lab.layer.is_settled()


# --- the budget ---


def test_more_than_the_budget_are_removed_unread(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.window_reads_per_s = 3
    conns = [installed(lab, slot) for slot in range(12)]
    lab.settle(ms=1000)
    for second in range(2):
        part = conns[6 * second : 6 * second + 6]
        for conn in part:
            lab.table.bring_back(conn)
        lab.settle(ms=1)
        assert [provider.seen(conn) for conn in part] == [["WINDOW", "DEL"]] * 3 + [["DEL"]] * 3
        lab.now_ms += 1000
    assert lab.layer.statistics().shards[0].windows_unread == 6


def test_the_budget_is_there_from_the_first_moment(lab: Lab, provider: RecordingProvider) -> None:
    lab.now_ms = 0
    conn = installed(lab)
    lab.table.bring_back(conn)
    for _ in range(4):
        lab.step(ms=0)
    assert provider.seen(conn) == ["WINDOW", "DEL"]


def test_a_budget_of_0_reads_none(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.window_reads_per_s = 0
    conn = installed(lab)
    lab.table.bring_back(conn)
    lab.settle()
    assert provider.seen(conn) == ["DEL"]


def test_a_budget_that_cannot_be_is_refused(lab: Lab) -> None:
    for wrong in (-1, 1_000_001):
        with pytest.raises(UsageError, match="is not 0 to 1000000"):
            lab.layer.window_reads_per_s = wrong
    assert lab.layer.window_reads_per_s == 1000


def test_where_queries_leave_no_room_the_removal_does_not_wait() -> None:
    provider = RecordingProvider(flags=CONTEXT)
    lab = Lab(provider, budgets=(8, 8, 1))
    conn, other = installed(lab, 0), installed(lab, 1)
    provider.answer_later(OpType.UPD)
    lab.table.query(other)
    lab.step(2)
    lab.table.bring_back(conn)
    lab.step(2)
    assert provider.seen(conn) == ["DEL"]
    assert lab.layer.statistics().shards[0].windows_unread == 1
    provider.answer_later()
    provider.complete()
    lab.settle()
    lab.layer.close()


# --- order, lateness, lies ---


def test_the_removal_waits_for_the_answer(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.answer_later(OpType.WINDOW)
    lab.table.bring_back(conn)
    lab.table.query(conn)
    lab.step(5)
    assert provider.seen(conn) == ["WINDOW"]
    assert lab.table.pending(0)
    provider.complete()
    assert lab.settle() == [("WINDOW", 0), ("OUT", 0)]
    assert lab.table.windows == [(conn, WINDOW)]


def test_a_connection_that_ends_while_it_is_read_is_removed_all_the_same(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.answer_later(OpType.WINDOW)
    lab.table.bring_back(conn)
    lab.step(2)
    lab.table.want(conn, OUT)
    lab.table.drop(0)
    lab.step(2)
    assert lab.table.holds(0)
    provider.complete()
    lab.settle()
    assert provider.held == {}
    assert not lab.table.holds(0)


def test_a_read_that_comes_after_the_slot_was_used_again_hits_nobody(lab: Lab, provider: RecordingProvider) -> None:
    old = installed(lab)
    provider.answer_later(OpType.WINDOW)
    lab.table.bring_back(old)
    lab.step(2)
    lab.table.stall(0)
    assert lab.turn() == [("OUT", 0)]
    new = lab.connection(0, generation=2)
    lab.turn()
    assert lab.table.windows == []
    provider.complete()
    assert ("INSTALLED", 0) in lab.settle()
    assert lab.table.windows == []
    assert list(provider.held) == [new]
    assert provider.seen(old) == ["WINDOW", "DEL"]
    assert lab.layer.statistics().orphans == 0


ABSURD = {
    "no window at all": (WINDOW[0], (5, 5, 0)),
    "a window of more than 16 bits": (WINDOW[0], (5, 5, 65536)),
    "may send less than it sent": (WINDOW[0], (1000, 999, 500)),
    "may send two gigabytes": ((0, 1 << 31, 500), WINDOW[1]),
    "nothing written": ((0, 0, 0), (0, 0, 0)),
}


@pytest.mark.parametrize("lie", ABSURD)
def test_a_window_that_no_peer_could_have_is_nonsense(lab: Lab, provider: RecordingProvider, lie: str) -> None:
    conn = installed(lab)
    provider.windows[conn] = ABSURD[lie]
    lab.table.bring_back(conn)
    assert lab.settle() == [("OUT", 0)]
    stats = lab.layer.statistics().provider("recording")
    assert (stats.nonsense, stats.ops["WINDOW"].failed) == (1, 1)


def test_a_provider_that_raises_in_a_read_loses_nothing(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.answer(OpType.WINDOW, raises=RuntimeError("out of cheese"))
    lab.table.bring_back(conn)
    assert lab.settle() == [("OUT", 0)]
    assert provider.held == {}


# --- the thread for queries ---


class SlowReads(RecordingProvider):
    """Its reads wait until they are let go."""

    queries_apart = True

    def __init__(self) -> None:
        super().__init__("slow", flags=CONTEXT)
        self.is_inside = threading.Event()
        self.let_go = threading.Event()

    def submit(self, ops: Batch, contexts: Batch) -> None:
        if ops["type"][0] == OpType.WINDOW:
            self.is_inside.set()
            assert self.let_go.wait(30)
        super().submit(ops, contexts)


class Slow:
    """A lab with such a provider; its query thread is inside a read."""

    def __init__(self) -> None:
        self.provider = SlowReads()
        self.lab = Lab(self.provider)
        self.conn, self.other = installed(self.lab, 0), installed(self.lab, 1)
        self.lab.table.bring_back(self.conn)
        self.lab.turn()
        self.worker = self.lab.layer.provider("slow")
        self.thread = threading.Thread(target=self.worker.run_queries, args=(self.lab.now_ms,))
        self.thread.start()
        assert self.provider.is_inside.wait(30)

    def work(self) -> list[tuple[str, int]]:
        """Turns of shard and worker alone."""
        for _ in range(3):
            self.lab.table.turn(self.lab.now_ms)
            run = threading.Thread(target=self.worker.run_once, args=(self.lab.now_ms,))
            run.start()
            run.join(5)
        self.lab.table.turn(self.lab.now_ms)
        return self.lab.table.take()

    def end(self) -> None:
        self.provider.let_go.set()
        self.thread.join()


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.provider.let_go.set()
    made.thread.join()
    made.lab.settle()
    made.lab.layer.close()
    assert made.provider.held == {}


def test_additions_and_removals_go_on_while_a_read_takes_its_time(slow: Slow) -> None:
    new = slow.lab.connection(2)
    slow.lab.table.want(slow.other, OUT)
    assert ("OUT", 1) in slow.work()
    assert slow.lab.table.reached(2) == INSTALLED
    assert slow.provider.seen(new) == ["ADD", "EST"]
    assert slow.provider.seen(slow.conn) == []
    slow.end()
    assert slow.lab.settle() == [("WINDOW", 0), ("OUT", 0)]


def test_a_read_that_never_ends_is_a_stall(slow: Slow) -> None:
    assert slow.lab.layer.look_for_stalls(LATER_MS) == 1
    assert ("OUT", 0) in slow.work()
    assert slow.lab.layer.stalled() == ["slow"]
    slow.end()
    slow.lab.settle()
    assert slow.lab.layer.stalled() == []
    assert slow.lab.table.windows == []
    assert slow.conn not in slow.provider.held


# --- batches ---


def direct(lab: Lab, *kinds: OpType, conn: int = make_id(255, 1, 1)) -> Operations:
    batch = Operations()
    for kind in kinds:
        batch.add(kind, conn, lab.table.context(0))
    lab.layer.submit(batch)
    return batch


def test_a_batch_reads_windows_back(lab: Lab, provider: RecordingProvider) -> None:
    conn = make_id(255, 1, 1)
    assert direct(lab, OpType.WINDOW).result(0).error == errno.ENOENT
    provider.windows[conn] = WINDOW
    provider.forwarded[conn] = ((7, 700), (3, 180))
    batch = direct(lab, OpType.ADD, OpType.EST, OpType.WINDOW, OpType.DEL)
    assert [batch.result(i).error for i in range(4)] == [0, 0, 0, 0]
    read = [[tuple(map(int, (p["seq_lo"], p["seq_hi"], p["max_win"]))) for p in peers] for peers in batch.windows]
    assert read[2] == list(WINDOW)
    assert read[0] == read[3] == [(0, 0, 0), (0, 0, 0)]
    assert batch.result(3).flags & ResultFlag.COUNTED
    assert batch.counts["packets"].tolist() == [[0, 0]] * 3 + [[7, 3]]
    assert batch.counts["bytes"].tolist()[3] == [700, 180]


def test_of_several_owners_the_first_with_a_window_answers_a_batch() -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b", 1, flags=CONTEXT)
    lab = Lab(a, b)
    conn = make_id(255, 1, 1)
    b.windows[conn] = WINDOW
    a.forwarded[conn] = b.forwarded[conn] = ((1, 100), (2, 200))
    batch = direct(lab, OpType.ADD, OpType.EST, OpType.WINDOW, OpType.DEL)
    assert batch.result(2).error == 0
    assert int(batch.windows[2][1]["seq_hi"]) == WINDOW[1][1]
    assert batch.counts["packets"].tolist()[3] == [2, 4]
    lab.layer.close()


# --- what rules forwarded ---


def test_what_rules_forwarded_is_told_before_the_answer(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.last_used[conn] = (900, 1000)
    provider.forwarded[conn] = ((5, 500), (4, 4000))
    lab.table.query(conn)
    assert lab.settle() == [("COUNTED", 0), ("SAMPLE", 0)]
    lab.table.query(conn)
    assert lab.settle() == [("SAMPLE", 0)]
    provider.forwarded[conn] = ((1, 60), (0, 0))
    lab.table.want(conn, OUT)
    assert lab.settle() == [("COUNTED", 0), ("OUT", 0)]
    assert lab.table.counts == [(conn, ((5, 500), (4, 4000))), (conn, ((1, 60), (0, 0)))]


def test_a_completion_tells_it_too(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.answer_later(OpType.DEL)
    provider.forwarded[conn] = ((5, 500), (4, 4000))
    lab.table.want(conn, OUT)
    lab.step(2)
    assert lab.table.counts == []
    provider.complete()
    lab.settle()
    assert lab.table.counts == [(conn, ((5, 500), (4, 4000)))]


def test_packets_without_bytes_are_nonsense(lab: Lab, provider: RecordingProvider) -> None:
    conn = installed(lab)
    provider.forwarded[conn] = ((5, 4), (0, 0))
    lab.table.want(conn, OUT)
    assert lab.settle() == [("OUT", 0)]
    assert lab.layer.statistics().provider("recording").nonsense == 1
