"""A provider that does not come back: named, quarantined, its connections go on; what it holds is deleted later."""

from __future__ import annotations

import errno
import threading
import time

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.errors import ProviderError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import Batch
from ctoffload_dpdk.offload.contract import OpType, make_id
from ctoffload_dpdk.providers.recording import RecordingProvider

LATER_MS = 1 << 40  # any clock a call may have begun at is long past


class Blocking(RecordingProvider):
    """Blocks in the next submit until it is let go."""

    def __init__(self, name: str = "blocking") -> None:
        super().__init__(name)
        self.blocks = False
        self.is_inside = threading.Event()
        self.let_go = threading.Event()

    def submit(self, ops: Batch, contexts: Batch) -> None:
        if self.blocks:
            self.is_inside.set()
            assert self.let_go.wait(30)
            self.blocks = False
        super().submit(ops, contexts)


class Stall:
    """A lab whose provider blocks in a thread of its own while the shard is stepped by hand."""

    def __init__(self, *others: RecordingProvider) -> None:
        self.blocking = Blocking()
        self.lab = Lab(self.blocking, *others)
        self.worker = self.lab.layer.provider("blocking")
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        """The worker takes what is there and does not come back; the watch sees it."""
        self.blocking.blocks = True
        self.thread = threading.Thread(target=self.worker.run_once, args=(self.lab.now_ms,))
        self.thread.start()
        assert self.blocking.is_inside.wait(30)
        assert self.lab.layer.look_for_stalls(LATER_MS) == 1
        assert self.lab.layer.look_for_stalls(LATER_MS) == 0

    def end(self) -> None:
        """The call comes back."""
        self.blocking.let_go.set()
        assert self.thread is not None
        self.thread.join()

    def owners(self, slot: int) -> int:
        return self.lab.table.owners(slot)


@pytest.fixture
def stall() -> Stall:
    return Stall()


def test_it_is_reported_by_name(stall: Stall, capfd: pytest.CaptureFixture[str]) -> None:
    stall.lab.connection()
    stall.lab.turn()
    stall.begin()
    assert "provider blocking has not come back from a call" in capfd.readouterr().err
    assert stall.lab.layer.stalled() == ["blocking"]
    assert stall.lab.layer.statistics().provider("blocking").stalls == 1
    stall.end()
    stall.lab.settle()
    assert stall.lab.layer.stalled() == []


@pytest.mark.slow
def test_a_shard_that_it_cannot_be_told_of_is_not_added_and_may_be_again() -> None:
    other = RecordingProvider("asked-first")
    other.priority = -1
    stall = Stall(other)
    stall.lab.connection()
    stall.lab.turn()
    stall.begin()
    with pytest.raises(ProviderError, match="does not come back from a call") as raised:
        stall.lab.layer.add_shard(16)  # waits 5 s for it
    assert raised.value.errno == errno.ETIMEDOUT
    assert stall.lab.layer.n_shards == 1
    stall.end()
    assert stall.lab.layer.add_shard(16) == 1
    stall.lab.settle()
    assert stall.lab.layer.stalled() == []
    stall.lab.layer.close()


def test_a_call_within_its_limit_is_no_stall(stall: Stall) -> None:
    stall.lab.connection()
    stall.lab.settle()
    assert stall.lab.layer.look_for_stalls(LATER_MS) == 0


def test_what_was_not_handed_over_is_cancelled_and_what_it_holds_goes_on_in_software(stall: Stall) -> None:
    lab = stall.lab
    held = [lab.connection(slot) for slot in (0, 1)]
    lab.settle()
    lab.connection(2)
    lab.turn()
    stall.begin()
    lab.connection(3)
    lab.turn()
    notices = lab.turn()
    lab.step(1)
    assert not any(lab.table.holds(slot) for slot in range(4)), notices
    assert {lab.table.reason(slot) for slot in range(4)} == {Reason.PROVIDER_STALLED}
    stats = lab.layer.statistics().provider("blocking")
    assert (stats.connections, stats.orphans, stats.is_stalled) == (0, 3, True)
    stall.end()
    lab.settle()
    stats = lab.layer.statistics().provider("blocking")
    assert (stats.connections, stats.orphans, stats.lost, stats.is_stalled) == (4, 0, 0, False)
    assert stall.blocking.installed == {*held, make_id(0, 1, 2), make_id(0, 1, 3)}
    assert stall.blocking.seen(held[0]) == ["ADD", "EST", "DEL", "ADD", "EST"]


def test_an_addition_in_the_call_is_deleted_when_it_is_back(stall: Stall) -> None:
    conn = stall.lab.connection()
    stall.lab.turn()
    stall.begin()
    stall.lab.turn()
    stall.lab.table.want(conn, OUT)
    assert not stall.lab.table.holds(0)
    stall.lab.table.drop(0)
    stall.end()
    stall.lab.settle()
    assert stall.blocking.seen(conn) == ["ADD", "DEL"]
    assert stall.blocking.held == {}


def test_a_removal_in_the_call_is_not_waited_for(stall: Stall) -> None:
    conn = stall.lab.installed()
    stall.lab.table.want(conn, OUT)
    stall.lab.turn()
    stall.begin()
    assert ("OUT", 0) in stall.lab.turn()
    new = stall.lab.connection(0, generation=2)
    stall.lab.turn()
    assert stall.lab.table.reason(0) == Reason.PROVIDER_STALLED
    stall.end()
    stall.lab.settle()
    assert stall.blocking.installed == {new}


def test_the_other_provider_is_undone_and_serves_alone_meanwhile() -> None:
    other = RecordingProvider("other")
    stall = Stall(other)
    lab = stall.lab
    conn = lab.installed()
    lab.connection(1)
    lab.turn()
    stall.begin()
    for _ in range(4):
        lab.turn()
        lab.layer.provider("other").run_once(lab.now_ms)
    assert "DEL" in other.seen(conn)
    third = lab.connection(2)
    for _ in range(4):
        lab.turn()
        lab.layer.provider("other").run_once(lab.now_ms)
    assert third in other.installed
    assert stall.owners(2) == 0b10
    stall.end()
    lab.settle()
    assert lab.layer.statistics().orphans == 0


def test_an_orphaned_tuple_is_not_offloaded_again(stall: Stall) -> None:
    other = RecordingProvider("other")
    stall = Stall(other)
    lab = stall.lab
    lab.installed()
    lab.table.want(lab.connection(1, want=None), INSTALLED)
    lab.turn()
    stall.begin()
    lab.turn()
    again = lab.table.put(5, 1, lab.table.context(0))
    lab.table.want(again, INSTALLED)
    for _ in range(4):
        lab.turn()
        lab.layer.provider("other").run_once(lab.now_ms)
    assert other.seen(again) == []
    assert lab.table.reason(5) == Reason.PROVIDER_STALLED
    stall.end()
    lab.table.drop(0)
    lab.settle()
    assert again in other.installed


def test_a_batch_is_told_that_it_is_stalled(stall: Stall) -> None:
    stall.lab.connection()
    stall.lab.turn()
    stall.begin()
    result = stall.lab.layer.conn_add(make_id(255, 1, 0), stall.lab.table.context(0))
    assert result.reason == Reason.PROVIDER_STALLED
    stall.end()


def test_closing_does_not_wait_for_it_and_counts_what_is_lost(stall: Stall, caplog: pytest.LogCaptureFixture) -> None:
    stall.lab.installed()
    stall.lab.connection(1)
    stall.lab.turn()
    stall.begin()
    stall.lab.turn()
    before = time.monotonic()
    stall.lab.layer.close()
    assert time.monotonic() - before < 3
    assert "2 connections it may hold are lost" in caplog.text
    stall.end()


def test_unregistering_it_says_that_it_does_not_give_back(stall: Stall) -> None:
    stall.lab.installed()
    stall.lab.connection(1)
    stall.lab.turn()
    stall.begin()
    with pytest.raises(ProviderError, match="still holds connections"):
        stall.lab.layer.unregister("blocking", timeout_s=0.05)
    stall.end()
    stall.lab.layer.unregister("blocking")
    assert stall.blocking.held == {}


def test_the_watch_runs_in_a_thread_of_its_own() -> None:
    blocking = Blocking()
    lab = Lab(call_limit_ms=50)
    lab.layer.register(blocking, activate=True)
    lab.layer.start()
    blocking.blocks = True
    lab.connection()
    lab.turn()
    assert blocking.is_inside.wait(30)
    end = time.monotonic() + 20
    while lab.layer.stalled() != ["blocking"]:
        assert time.monotonic() < end
    blocking.let_go.set()
    while lab.table.reached(0) != INSTALLED:
        assert time.monotonic() < end
        lab.turn()
    lab.layer.stop()
    lab.layer.close()
    assert OpType.DEL in [kind for kind, _ in blocking.log]
