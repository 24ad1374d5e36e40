"""Late, doubled and senseless answers; reused slots; full rings."""

from __future__ import annotations

import errno

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.errors import ClosedError, ProviderError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import Batch, CtOffloadProvider
from ctoffload_dpdk.offload._provider import Host
from ctoffload_dpdk.offload.contract import Event, OpType, make_id
from ctoffload_dpdk.providers.recording import RecordingProvider


def test_a_slot_is_held_until_the_last_completion(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.DEL)
    lab.table.want(conn, OUT)
    lab.step(3)
    lab.table.drop(0)
    assert lab.table.holds(0)
    provider.complete()
    lab.step(2)
    assert not lab.table.holds(0)


def test_a_new_generation_may_not_take_a_slot_that_is_held(lab: Lab, provider: RecordingProvider) -> None:
    lab.installed(generation=1)
    lab.connection(0, generation=2)
    assert lab.settle() == []
    assert lab.layer.statistics().shards[0].stale == 1
    assert list(provider.held) == [make_id(0, 1, 0)]


def test_a_reused_slot_starts_afresh(lab: Lab, provider: RecordingProvider) -> None:
    old = lab.installed(generation=1)
    lab.table.want(old, OUT, Reason.CLOSING)
    lab.settle()
    new = lab.connection(0, generation=2)
    assert ("INSTALLED", 0) in lab.settle()
    assert provider.seen(new) == ["ADD", "EST"]
    lab.table.want(old, OUT)
    lab.table.query(old)
    assert lab.settle() == []
    assert lab.table.reached(0) == INSTALLED


def test_an_event_for_an_older_generation_is_dropped(lab: Lab, provider: RecordingProvider) -> None:
    old = lab.installed(generation=1)
    lab.table.want(old, OUT)
    lab.settle()
    lab.installed(generation=2)
    provider.say(old, Event.LOST)
    provider.say(old, Event.AGED)
    provider.say(make_id(0, 1, 63), Event.AGED)
    assert lab.settle() == []
    assert lab.table.reached(0) == INSTALLED
    assert lab.layer.statistics().shards[0].stale == 3


def test_an_aged_event_is_a_hint(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.say(conn, Event.AGED)
    assert lab.settle() == [("AGED", 0)]
    assert lab.table.reached(0) == INSTALLED


def test_completions_in_any_order_reach_their_connections(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer_later(OpType.ADD)
    conns = [lab.connection(slot) for slot in range(4)]
    lab.step(2)
    provider.complete_at(2)
    provider.complete_at(0, errno.EIO)
    lab.step(2)
    assert [lab.table.pending(slot) for slot in range(4)] == [False, True, False, True]
    provider.answer_later()
    provider.complete()
    lab.settle()
    assert sorted(provider.installed) == conns[1:]


def test_a_reused_tuple_waits_for_the_old_removal(lab: Lab, provider: RecordingProvider) -> None:
    old = lab.installed(slot=0)
    context = lab.table.context(0)
    provider.answer_later(OpType.DEL)
    lab.table.want(old, OUT)
    lab.step(2)
    new = lab.table.put(1, 1, context)
    lab.table.want(new, INSTALLED)
    lab.step(3)
    assert provider.seen(new) == []
    assert lab.table.reason(1) == Reason.PENDING_DELETE
    provider.complete()
    assert lab.settle() == [("OUT", 0), ("PUSHED", 1), ("INSTALLED", 1)]


@pytest.mark.parametrize("wanted", [1, 3, 16])
def test_a_full_ring_loses_no_removal(wanted: int) -> None:
    provider = RecordingProvider()
    lab = Lab(provider, budgets=(1, 2, 1))
    conns = [lab.connection(slot) for slot in range(wanted)]
    lab.settle()
    assert len(provider.installed) == wanted
    provider.answer_later(OpType.DEL)
    for conn in conns:
        lab.table.want(conn, OUT)
    lab.step(4)
    assert len(provider.waiting) == 1
    out = []
    while provider.waiting:
        provider.complete()
        out += lab.step(2)
    assert sorted(out) == [("OUT", slot) for slot in range(wanted)]
    assert provider.held == {}


def test_removals_go_first_and_do_not_starve_questions() -> None:
    provider = RecordingProvider()
    lab = Lab(provider, budgets=(4, 4, 4))
    conns = [lab.connection(slot) for slot in range(30)]
    lab.settle()
    provider.log.clear()
    lab.table.want(lab.connection(40, want=None), INSTALLED)
    lab.table.query(conns[0])
    for conn in conns[1:]:
        lab.table.want(conn, OUT)
    lab.step()
    kinds = [op_type.name for op_type, _ in provider.log]
    assert kinds == ["DEL"] * 4 + ["ADD", "UPD"]


def test_depth_and_high_water_marks_are_told() -> None:
    provider = RecordingProvider()
    lab = Lab(provider, budgets=(4, 3, 2))
    provider.answer_later(OpType.ADD)
    for slot in range(10):
        lab.connection(slot)
    lab.step(2)
    stats = lab.layer.statistics()
    add = stats.provider("recording").queues["add"]
    assert (add.depth, add.high_water, add.budget) == (3, 3, 3)
    assert stats.shards[0].waiting["add"] == 7
    assert stats.shards[0].waiting_high_water["add"] == 10


class Senseless(CtOffloadProvider):
    """Answers as `write` says."""

    name = "senseless"

    def __init__(self, write: object) -> None:
        self.write = write
        self.held: set[int] = set()
        self.ops: list[int] = []
        self.host: Host | None = None

    def init(self, host: Host) -> None:
        self.host = host

    def submit(self, ops: Batch, contexts: Batch) -> None:
        for op in ops:
            kind, conn = int(op["type"]), int(op["conn_id"])
            self.ops.append(kind)
            if kind == OpType.DEL:
                op["error"] = 0 if conn in self.held else errno.ENOENT
                self.held.discard(conn)
                continue
            if kind == OpType.ADD:
                self.held.add(conn)
            op["error"] = 0
            self.write(self, op)  # type: ignore[operator]


def negative(self: Senseless, op: Batch) -> None:
    op["error"] = -5


def enormous(self: Senseless, op: Batch) -> None:
    op["error"] = 1 << 30


def raising(self: Senseless, op: Batch) -> None:
    raise RuntimeError("out of cheese")


@pytest.mark.parametrize("write", [negative, enormous, raising])
@pytest.mark.parametrize("stage", [OpType.ADD, OpType.EST])
def test_an_answer_that_cannot_be_is_an_error_and_undone(write: object, stage: OpType) -> None:
    def only_then(self: Senseless, op: Batch) -> None:
        if op["type"] == stage:
            write(self, op)  # type: ignore[operator]

    provider = Senseless(only_then)
    lab = Lab()
    lab.layer.register(provider, activate=True)
    lab.connection()
    lab.step(8, ms=50)
    assert lab.table.errno(0) == errno.EIO
    assert not lab.table.holds(0)
    assert provider.held == set()
    stats = lab.layer.statistics().provider("senseless")
    assert stats.nonsense + stats.raised >= 1
    lab.layer.close()


def scribbling(self: Senseless, op: Batch) -> None:
    op["op_id"], op["conn_id"], op["type"], op["ctx"] = 77, 78, 79, 80


def test_identities_that_a_provider_overwrites_do_not_matter() -> None:
    lab = Lab()
    lab.layer.register(Senseless(scribbling), activate=True)
    lab.connection()
    lab.step(4)
    assert lab.table.reached(0) == INSTALLED
    lab.layer.close()


def completes_and_answers(self: Senseless, op: Batch) -> None:
    assert self.host is not None
    self.host.complete(int(op["op_id"]), handle=9)
    with pytest.raises(ProviderError, match="names nothing outstanding"):
        self.host.complete(int(op["op_id"]), handle=10)
    with pytest.raises(ProviderError, match="names nothing outstanding"):
        self.host.complete(0xDEAD, handle=10)


def test_an_operation_is_answered_once() -> None:
    provider = Senseless(completes_and_answers)
    lab = Lab()
    lab.layer.register(provider, activate=True)
    lab.connection()
    lab.step(4)
    assert (lab.table.reached(0), lab.table.handle(0, 0)) == (INSTALLED, 9)
    assert lab.layer.statistics().provider("senseless").nonsense >= 3
    lab.layer.close()


def in_progress_after_completion(self: Senseless, op: Batch) -> None:
    assert self.host is not None
    self.host.complete(int(op["op_id"]), handle=9)
    op["error"] = errno.EINPROGRESS


def test_completing_within_the_call_is_allowed() -> None:
    lab = Lab()
    lab.layer.register(Senseless(in_progress_after_completion), activate=True)
    lab.connection()
    lab.step(4)
    assert lab.table.reached(0) == INSTALLED
    lab.layer.close()


def test_impossible_times_are_no_sample(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.last_used[conn] = (1 << 50, 1)
    lab.table.query(conn)
    lab.layer.step(lab.now_ms)
    (notice,) = lab.table.notices
    assert (notice["kind"], notice["error"]) == (5, errno.EIO)


def test_the_host_is_of_use_within_a_call_only(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    host = provider._host
    assert host is not None
    with pytest.raises(ProviderError, match="outside a call of this provider"):
        host.event(conn, Event.LOST)
    with pytest.raises(ProviderError, match="outside a call of this provider"):
        host.complete(1)
    lab.layer.unregister("recording")
    with pytest.raises(ClosedError, match="unregistered"):
        host.complete(1)
    assert lab.table.reached(0) == OUT


def test_a_provider_that_answers_nothing_has_refused() -> None:
    class Silent(CtOffloadProvider):
        name = "silent"

        def submit(self, ops: Batch, contexts: Batch) -> None:
            pass

    lab = Lab()
    lab.layer.register(Silent, activate=True)
    lab.connection()
    lab.step(3)
    assert (lab.table.reason(0), lab.table.errno(0)) == (Reason.PROVIDER_REFUSED, errno.EOPNOTSUPP)
    lab.layer.close()


def test_lost_is_never_lost_even_when_its_ring_is_full() -> None:
    provider = RecordingProvider()
    lab = Lab(provider, slots=2048, budgets=(4096, 4096, 16))
    conns = [lab.connection(slot) for slot in range(1500)]
    lab.settle()
    for conn in conns:
        provider.say(conn, Event.LOST)
    lost = lab.settle()
    assert sorted(lost) == [("LOST", slot) for slot in range(1500)]
