"""Batches: growth, resubmission, per-operation results, equal for native batches and single members, with ownership."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import numpy as np
import pytest

from ctoffload_dpdk.base.errors import ProviderError, UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload._batch import Batch
from ctoffload_dpdk.offload._testprovider import CompiledProvider
from ctoffload_dpdk.offload.contract import CTX, OP, Event, OpType, make_id
from ctoffload_dpdk.providers.dummy import DummyProvider
from ctoffload_dpdk.providers.recording import RecordingProvider

ADD, DEL, UPD, POLICY, FLUSH, EST = (OpType[n] for n in ("ADD", "DEL", "UPD", "POLICY", "FLUSH", "EST"))


def conn(n: int) -> int:
    return make_id(255, 1, n)


def context(mark: int = 0, n: int = 0) -> np.ndarray[tuple[()], np.dtype[np.void]]:
    row = np.zeros((), CTX)
    row["mark"], row["proto"], row["eth_type"] = mark, 17, 0x0800
    row["conn_id"] = conn(n)
    return row


@pytest.fixture
def layer() -> Iterator[OffloadLayer]:
    made = OffloadLayer()
    made.force_enable()
    yield made
    made.close()


def with_provider(layer: OffloadLayer, *providers: object) -> OffloadLayer:
    for provider in providers:
        layer.register(provider, activate=True)
    return layer


def errors(layer: OffloadLayer, *ops: tuple[OpType, int]) -> list[int]:
    batch = Batch()
    for op_type, n in ops:
        batch.add(op_type, conn(n), context(n=n))
    layer.submit(batch, 1000)
    return [batch.result(i).error for i in range(len(batch))]


def test_it_grows_by_doubling_from_8() -> None:
    batch, sizes = Batch(), []
    assert (len(batch), batch.capacity) == (0, 0)
    for n in range(33):
        assert batch.add(DEL, conn(n)) == n
        sizes.append(batch.capacity)
    assert sorted(set(sizes)) == [8, 16, 32, 64]
    assert sizes[7:9] == [8, 16]
    batch.clear()
    assert (len(batch), batch.capacity) == (0, 64)


def test_arrays_and_objects_make_the_same_batch() -> None:
    one, two, three = Batch(), Batch(), Batch()
    rows = np.zeros(20, CTX)
    rows["conn_id"] = [conn(n) for n in range(20)]
    for row in rows:
        one.add(ADD, int(row["conn_id"]), row)
    assert two.extend(ADD, rows) == 0
    assert two.extend(ADD, rows) == 20
    assert (one.results == two.results[:20]).all()
    three.extend(DEL, rows["conn_id"])
    assert three.results["conn_id"].tolist() == rows["conn_id"].tolist()
    assert three.results.dtype == OP


def test_an_empty_batch_calls_nobody(layer: OffloadLayer) -> None:
    provider = RecordingProvider()
    with_provider(layer, provider).submit(Batch())
    assert (provider.batches, len(Batch().results)) == ([], 0)


def test_bad_operations_are_refused_where_they_are_made() -> None:
    batch = Batch()
    with pytest.raises(ValueError, match="9 is not a valid OpType"):
        batch.add(9, 1)
    with pytest.raises(IndexError):
        batch.result(0)
    with pytest.raises(TypeError):
        batch.extend(DEL, np.array([1.5]))


@pytest.mark.parametrize(
    ("handles", "said"),
    [
        ([1, 2], "2 handles for 1 operations"),
        ([-1], "handles -1 is not between"),
        ([2**64], "handles 18446744073709551616 is not between"),
        ([1.5], "handles 1.5 is no whole number"),
        (None, "handles None is no whole number"),
    ],
)
def test_handles_that_cannot_be_are_refused(handles: object, said: str) -> None:
    batch = Batch()
    batch.add(OpType.DEL, make_id(0, 1, 1))
    with pytest.raises(UsageError, match=said) as caught:
        batch.set_handles(handles)
    assert caught.value.errno == errno.EINVAL
    batch.set_handles([2**64 - 1])


def test_each_operation_has_its_result(layer: OffloadLayer) -> None:
    provider = DummyProvider()
    with_provider(layer, provider)
    assert errors(layer, (ADD, 1), (ADD, 2), (EST, 1), (UPD, 1), (DEL, 2), (POLICY, 3)) == [
        0,
        0,
        0,
        errno.ENODATA,
        0,
        0,
    ]
    assert (provider.n_added, provider.n_established, provider.n_updated, provider.n_deleted) == (2, 1, 1, 1)
    assert layer.is_offloaded(conn(1))
    assert layer.is_established(conn(1))
    assert not layer.is_offloaded(conn(2))


def test_what_needs_no_provider_is_answered_without(layer: OffloadLayer) -> None:
    provider = RecordingProvider()
    with_provider(layer, provider)
    assert errors(layer, (EST, 1), (UPD, 1), (DEL, 1)) == [errno.ENOENT] * 3
    assert errors(layer, (ADD, 1), (ADD, 1), (EST, 1), (EST, 1)) == [0, errno.EALREADY, 0, errno.EALREADY]
    assert provider.seen(conn(1)) == ["ADD", "EST"]


def test_a_batch_may_be_submitted_again(layer: OffloadLayer) -> None:
    with_provider(layer, DummyProvider())
    batch = Batch()
    batch.add(ADD, conn(1), context())
    batch.add(DEL, conn(1))
    for _ in range(3):
        layer.submit(batch)
        assert [batch.result(i).error for i in range(2)] == [0, 0]
        assert len(batch) == 2


def test_operations_of_one_connection_keep_their_order(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    order = [ADD, EST, UPD, DEL, ADD, DEL]
    errors(layer, *[(op, n) for op in order for n in (1, 2)])
    for provider in (a, b):
        for n in (1, 2):
            assert provider.seen(conn(n)) == [op.name for op in order]


def test_nothing_is_offloaded_without_provider_or_with_the_switch_off() -> None:
    layer = OffloadLayer()
    assert errors(layer, (ADD, 1)) == [errno.EPERM]
    layer.force_enable()
    result = layer.conn_add(conn(1), context())
    assert (result.error, result.reason) == (errno.ENODEV, Reason.NO_PROVIDER)
    assert str(result) == "ENODEV, reason=no-provider"
    assert not result
    assert not layer.is_offloaded(conn(1))


def test_removals_and_questions_are_not_gated_by_the_switch(layer: OffloadLayer) -> None:
    with_provider(layer, DummyProvider())
    assert errors(layer, (ADD, 1), (EST, 1)) == [0, 0]
    layer.force_enable(False)
    assert errors(layer, (ADD, 2), (EST, 1), (UPD, 1), (DEL, 1)) == [errno.EPERM, errno.EPERM, errno.ENODATA, 0]


def test_several_providers_share_or_decline(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    a.answer(ADD, errno.EPERM, reason=Reason.ZONE_UNSUPPORTED)
    result = layer.conn_add(conn(1), context())
    assert (result.error, result.handled_by, layer.owners(conn(1))) == (0, 0b10, ["b"])
    assert layer.conn_add(conn(2), context()).handled_by == 0b11
    a.answer(ADD, errno.EPERM, reason=Reason.ZONE_UNSUPPORTED)
    b.answer(ADD, errno.EPERM, reason=Reason.ALG)
    result = layer.conn_add(conn(3), context())
    assert (result.error, result.reason) == (errno.EPERM, Reason.ZONE_UNSUPPORTED)


@pytest.mark.parametrize("stage", [ADD, EST])
def test_a_failure_undoes_the_others(layer: OffloadLayer, stage: OpType) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    b.answer(stage, errno.ENOSPC, reason=Reason.TABLE_FULL)
    results = errors(layer, (ADD, 1), (EST, 1))
    assert results == ([errno.ENOSPC, errno.ENOENT] if stage == ADD else [0, errno.ENOSPC])
    assert (a.held, b.held) == ({}, {})
    assert not layer.is_offloaded(conn(1))


def test_a_provider_that_raises_fails_its_operations_and_is_undone(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    b.answer(ADD, raises=RuntimeError("no"))
    assert errors(layer, (ADD, 1)) == [errno.EIO]
    assert (a.held, b.held) == ({}, {})
    assert layer.statistics().provider("b").last_error == "submit: RuntimeError: no"


def test_the_latest_use_of_all_owners(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    errors(layer, (ADD, 1), (EST, 1))
    a.last_used[conn(1)], b.last_used[conn(1)] = (100, 500), (200, 400)
    result = layer.conn_update(conn(1), now_ms=1000)
    assert (result.error, result.last_used_ms, result.sampled_ms) == (0, 200, 400)
    del b.last_used[conn(1)]
    assert layer.conn_update(conn(1), now_ms=1000).error == errno.ENODATA


def test_a_removal_that_fails_may_be_submitted_again(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    errors(layer, (ADD, 1))
    a.answer(DEL, errno.EBUSY)
    assert errors(layer, (DEL, 1)) == [errno.EBUSY]
    assert layer.owners(conn(1)) == ["a"]
    assert errors(layer, (DEL, 1)) == [0]
    assert (a.held, b.held) == ({}, {})
    assert b.seen(conn(1)).count("DEL") == 1


def test_a_flush_leaves_nothing_marked(layer: OffloadLayer) -> None:
    with_provider(layer, DummyProvider(), RecordingProvider())
    assert errors(layer, *[(ADD, n) for n in range(200)], (FLUSH, 0), (UPD, 5), (ADD, 5)) == [0] * 201 + [
        errno.ENOENT,
        0,
    ]
    assert not layer.is_offloaded(conn(6))


def test_answers_that_come_later_are_waited_for(layer: OffloadLayer) -> None:
    provider = RecordingProvider()
    with_provider(layer, provider)

    def poll(now_ms: int) -> None:
        provider.complete()
        RecordingProvider.poll(provider, now_ms)

    provider.poll = poll  # type: ignore[method-assign]
    provider.answer_later(ADD, EST, DEL)
    assert errors(layer, (ADD, 1), (ADD, 2), (EST, 1), (DEL, 2)) == [0, 0, 0, 0]
    assert provider.installed == {conn(1)}


def test_rules_that_are_lost_are_forgotten(layer: OffloadLayer) -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    with_provider(layer, a, b)
    errors(layer, (ADD, 1), (EST, 1))
    a.say(conn(1), Event.LOST)
    layer.run_workers(2000)
    layer.submit(Batch())
    assert not layer.is_offloaded(conn(1))
    assert b.held == {}


def test_a_shard_s_connections_are_not_for_batches(layer: OffloadLayer) -> None:
    layer.add_shard(16)
    with pytest.raises(UsageError, match="belongs to shard 0"):
        layer.conn_del(make_id(0, 1, 1))


def test_a_provider_may_not_call_back(layer: OffloadLayer) -> None:
    caught: list[ProviderError] = []

    class Calling(DummyProvider):
        name = "calling"

        def conn_add(self, ops: object, contexts: object) -> None:
            for call in (
                lambda: layer.conn_del(conn(9)),
                lambda: layer.unregister("calling"),
                lambda: layer.step(0),
                lambda: layer.register(DummyProvider),
                layer.flush,
                layer.close,
            ):
                try:
                    call()
                except ProviderError as refused:
                    caught.append(refused)
            super().conn_add(ops, contexts)  # type: ignore[arg-type]

    with_provider(layer, Calling)
    assert layer.conn_add(conn(1), context()).error == 0
    assert [e.errno for e in caught] == [errno.EDEADLK] * 6
    assert "called from within a provider" in str(caught[0])


@pytest.mark.parametrize("n", [1, 7, 1024, 3000])
def test_native_batches_and_single_members_give_equal_results(n: int) -> None:
    rng = np.random.default_rng(n)
    kinds = rng.choice([ADD, ADD, EST, UPD, DEL, POLICY], n)
    who = rng.integers(0, max(2, n // 4), n)
    marks = rng.choice([0, 0xBAD], n, p=[0.8, 0.2])
    outcomes = []
    for batch_form in (True, False):
        layer = with_provider(OffloadLayer(), CompiledProvider(batch=batch_form))
        layer.force_enable()
        batch = Batch()
        for kind, slot, mark in zip(kinds, who, marks, strict=True):
            batch.add(int(kind), conn(int(slot)), context(int(mark)))
        layer.submit(batch, 5000)
        results = batch.results
        results["op_id"] = 0
        outcomes.append(results)
        layer.close()
    assert (outcomes[0] == outcomes[1]).all()
    assert set(outcomes[0]["error"].tolist()) <= {0, errno.EPERM, errno.ENOENT, errno.EALREADY}


def test_unregistering_takes_batch_connections_out(layer: OffloadLayer) -> None:
    provider = DummyProvider()
    with_provider(layer, provider)
    errors(layer, *[(ADD, n) for n in range(100)])
    layer.unregister("dummy")
    assert len(provider) == 0
    assert not layer.is_offloaded(conn(5))


def test_totals_of_batches_are_counted(layer: OffloadLayer) -> None:
    with_provider(layer, DummyProvider())
    errors(layer, (ADD, 1), (ADD, 1), (EST, 1))
    totals = layer.statistics().batches
    assert (totals["ADD"].enqueued, totals["ADD"].failed, totals["EST"].completed) == (2, 1, 1)
