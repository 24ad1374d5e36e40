"""What is established when it is offered is added and installed by one operation, where the provider asks for that."""

from __future__ import annotations

import errno
import threading

import pytest
from offload_lab import ADDED, INSTALLED, OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import Batch
from ctoffload_dpdk.offload.contract import ConnFlag, OpType
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.providers.recording import RecordingProvider

LATER_MS = 1 << 40  # any clock a call may have begun at is long past


class AtOnce(RecordingProvider):
    """Asks for it, and keeps which operations were marked new. Blocks once where it is told to."""

    est_adds = True

    def __init__(self) -> None:
        super().__init__("at-once")
        self.new: list[bool] = []
        self.is_inside = threading.Event()
        self.let_go: threading.Event | None = None

    def submit(self, ops: Batch, contexts: Batch) -> None:
        if self.let_go is not None:
            self.is_inside.set()
            assert self.let_go.wait(30)
            self.let_go = None
        self.new += [bool(flags & ConnFlag.NEW) for flags in contexts["flags"]]
        super().submit(ops, contexts)


@pytest.fixture
def provider() -> AtOnce:
    return AtOnce()


def counts(lab: Lab, op: OpType) -> tuple[int, int, int]:
    ops = lab.layer.statistics().provider("at-once").ops[op.name]
    return ops.enqueued, ops.completed, ops.failed


def test_one_operation_does_both(lab: Lab, provider: AtOnce) -> None:
    conn = lab.connection()
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert (provider.seen(conn), provider.new) == (["EST"], [True])
    assert (lab.table.reached(0), lab.table.handle(0, 0)) == (INSTALLED, provider.held[conn])
    assert counts(lab, OpType.ADD) == counts(lab, OpType.EST) == (1, 1, 0)
    lab.table.want(conn, OUT)
    assert lab.settle() == [("OUT", 0)]
    assert provider.seen(conn) == ["EST", "DEL"]


def test_one_that_was_added_before_is_not_new(lab: Lab, provider: AtOnce) -> None:
    conn = lab.connection(want=ADDED)
    lab.settle()
    lab.table.want(conn, INSTALLED)
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert (provider.seen(conn), provider.new) == (["ADD", "EST"], [False, False])


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errno.EOPNOTSUPP, Reason.PROTO), (errno.EIO, Reason.INSERT_FAILED)],
    ids=["not-for-it", "failed"],
)
def test_of_one_that_is_refused_nothing_is_left(lab: Lab, provider: AtOnce, error: int, reason: Reason) -> None:
    provider.answer(OpType.EST, error, reason=reason)
    conn = lab.connection()
    assert lab.settle() == [("PUSHED", 0), ("REFUSED", 0)]
    assert provider.seen(conn) == ["EST"]
    assert (lab.table.reason(0), lab.table.errno(0), lab.table.holds(0)) == (reason, error, False)
    assert counts(lab, OpType.ADD) == (1, 0, 1)
    assert counts(lab, OpType.EST) == (0, 0, 0)


def test_one_that_found_no_room_is_tried_again(lab: Lab, provider: AtOnce) -> None:
    provider.answer(OpType.EST, errno.ENOSPC)
    conn = lab.connection()
    notices = lab.settle()
    assert notices[:2] == [("PUSHED", 0), ("REFUSED", 0)]
    assert lab.table.reason(0) == Reason.TABLE_FULL
    lab.step(30, ms=50)
    assert provider.installed == {conn}


@pytest.mark.parametrize("error", [0, errno.EIO])
def test_an_answer_may_come_later(lab: Lab, provider: AtOnce, error: int) -> None:
    provider.answer_later(OpType.EST)
    conn = lab.connection()
    assert lab.step(3) == [("PUSHED", 0)]
    assert lab.table.pending(0)
    provider.complete(error=error)
    assert lab.settle() == [("REFUSED" if error else "INSTALLED", 0)]
    assert provider.seen(conn) == ["EST"]
    assert lab.table.holds(0) == (error == 0)


def test_a_removal_that_is_wanted_meanwhile_follows_the_answer(lab: Lab, provider: AtOnce) -> None:
    provider.answer_later(OpType.EST)
    conn = lab.connection()
    lab.step(2)
    lab.table.want(conn, OUT)
    lab.step(2)
    provider.complete()
    assert lab.settle() == [("OUT", 0)]
    assert provider.seen(conn) == ["EST", "DEL"]


def test_switched_off_meanwhile_it_comes_out(lab: Lab, provider: AtOnce) -> None:
    provider.answer_later(OpType.EST)
    conn = lab.connection()
    lab.step(2)
    lab.layer.force_enable(False)
    lab.step(2)
    provider.answer_later()
    provider.complete()
    assert lab.settle() == [("REFUSED", 0)]
    assert lab.table.reason(0) == Reason.DISABLED
    assert provider.seen(conn) == ["EST", "DEL"]


@pytest.mark.parametrize(
    "eligibility", [Eligibility(min_packets=1), Eligibility(rate_per_s=1000, burst=1000)], ids=["packets", "rate"]
)
def test_what_may_hold_est_up_is_asked_after_add(lab: Lab, provider: AtOnce, eligibility: Eligibility) -> None:
    lab.layer.set_eligibility(eligibility)
    lab.table.packets[0] = 10
    conn = lab.connection()
    lab.settle()
    assert (provider.seen(conn), provider.new) == (["ADD", "EST"], [False, False])


def test_two_providers_are_asked_one_after_the_other() -> None:
    at_once, other = AtOnce(), RecordingProvider("other")
    lab = Lab(at_once, other)
    conn = lab.connection()
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert at_once.seen(conn) == other.seen(conn) == ["ADD", "EST"]
    lab.layer.close()


def test_a_provider_that_does_not_ask_gets_both() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    conn = lab.connection()
    lab.settle()
    assert provider.seen(conn) == ["ADD", "EST"]
    lab.layer.close()


def test_what_a_provider_had_in_hand_when_it_stalled_is_removed_when_it_is_back(lab: Lab, provider: AtOnce) -> None:
    conn = lab.connection()
    lab.turn()
    let_go = provider.let_go = threading.Event()
    thread = threading.Thread(target=lab.layer.provider("at-once").run_once, args=(lab.now_ms,))
    thread.start()
    assert provider.is_inside.wait(30)
    assert lab.layer.look_for_stalls(LATER_MS) == 1
    assert lab.turn() == [("REFUSED", 0)]
    assert lab.layer.statistics().orphans == 1
    let_go.set()
    thread.join()
    lab.table.want(conn, OUT)
    lab.settle()
    assert provider.seen(conn) == ["EST", "DEL"]
    assert lab.layer.statistics().orphans == 0
