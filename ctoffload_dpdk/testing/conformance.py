"""What any provider must do. Run by pytest with ctoffload_dpdk.testing.plugin; each test has the provider to itself."""

from __future__ import annotations

import errno

import numpy as np

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload._batch import Batch
from ctoffload_dpdk.offload.contract import OpType, ResultFlag
from ctoffload_dpdk.testing.kit import TCP, Kit, gone, good, refused, unknown

ADD, DEL, UPD, POLICY, FLUSH, EST, WINDOW = (
    OpType.ADD,
    OpType.DEL,
    OpType.UPD,
    OpType.POLICY,
    OpType.FLUSH,
    OpType.EST,
    OpType.WINDOW,
)


def test_it_registers_and_unregisters_as_often_as_one_likes(kit: Kit) -> None:
    for _ in range(3):
        kit.again()
    assert [p.name for p in kit.layer.providers()] == [kit.provider.name]


def test_an_accepted_connection_is_installed_and_removed(kit: Kit) -> None:
    kit.remove(kit.installed(8))


def test_an_accepted_connection_may_be_removed_before_it_is_established(kit: Kit) -> None:
    taken = kit.accepted(4)
    kit.remove(taken)
    unknown(kit, taken[0], "that was removed")


def test_what_it_would_accept_it_accepts(kit: Kit) -> None:
    """POLICY and ADD agree; a POLICY it does not answer is no promise."""
    for i in range(8):
        would = kit.one(POLICY, i)
        does = kit.one(ADD, i)
        if would.error == 0:
            assert does.error == 0, f"POLICY says yes, ADD says {does}"
        elif would.error == errno.EPERM:
            assert does.error != 0, f"POLICY says no ({would}), ADD says yes"
        if does.error == 0:
            kit.remove([i])


def test_a_refusal_has_an_errno_and_a_reason(kit: Kit) -> None:
    for result in kit.ask(*[(ADD, i) for i in range(8)]):
        if result.error:
            refused(result, "ADD")
    kit.remove(range(8))


def test_asking_changes_nothing(kit: Kit) -> None:
    kit.ask(*[(POLICY, i) for i in range(4)])
    unknown(kit, 0, "that was only asked about")


def test_what_was_never_added_is_not_there(kit: Kit) -> None:
    assert kit.one(EST, 3).error != 0, "EST succeeds for a connection that was never added"
    assert kit.one(UPD, 3).error != 0, "UPD answers for a connection that was never added"
    gone([kit.one(DEL, 3)], "DEL of a connection that was never added")


def test_a_second_removal_is_harmless(kit: Kit) -> None:
    taken = kit.installed(2)
    kit.remove(taken)
    kit.remove(taken)


def test_one_removal_is_enough_after_a_doubled_addition(kit: Kit) -> None:
    (first, *_) = kit.accepted(1)
    kit.one(ADD, first)
    kit.remove([first])
    unknown(kit, first, "that was added twice and removed")


def test_a_removed_connection_may_come_back(kit: Kit) -> None:
    (first, *_) = kit.installed(1)
    for _ in range(3):
        kit.remove([first])
        good([kit.one(ADD, first), kit.one(EST, first)], "ADD and EST after DEL")
    kit.remove([first])


def test_a_new_generation_is_another_connection(kit: Kit) -> None:
    (first, *_) = kit.installed(1)
    kit.remove([first])
    good([kit.one(ADD, first, generation=2), kit.one(EST, first, generation=2)], "the next generation")
    gone([kit.one(DEL, first)], "DEL of the generation before")
    assert kit.one(UPD, first, generation=2).error in (0, errno.ENODATA), "an old generation's DEL hit the new one"
    gone([kit.one(DEL, first, generation=2)], "DEL")


def test_last_used_is_a_time_that_can_be(kit: Kit) -> None:
    """UPD: 0 with last_used_ms and sampled_ms not after now, or ENODATA. Nothing else for an installed connection."""
    taken = kit.installed(4)
    for _ in range(3):
        kit.run(3, ms=1000)
        for result in kit.ask(*[(UPD, i) for i in taken]):
            if result.error == 0:
                assert 0 <= result.last_used_ms <= kit.now_ms, f"used at {result.last_used_ms}, it is {kit.now_ms}"
                assert 0 <= result.sampled_ms <= kit.now_ms, f"sampled at {result.sampled_ms}, it is {kit.now_ms}"
            else:
                assert result.error == errno.ENODATA, f"UPD of an installed connection: {result}"
    kit.remove(taken)


def test_an_unused_connection_is_not_said_to_be_used(kit: Kit) -> None:
    """No packet goes through: last_used_ms may not move with the clock, or the connection never ends."""
    taken = kit.installed(1)
    kit.run(2, ms=1000)
    before = kit.one(UPD, taken[0])
    kit.run(5, ms=10_000)
    after = kit.one(UPD, taken[0])
    if before.error == 0 and after.error == 0:
        assert after.last_used_ms <= before.last_used_ms + 1000, "last_used_ms moves without packets"
    kit.remove(taken)


def test_a_window_is_read_back_as_it_was_given(kit: Kit) -> None:
    """No packet goes through, so WINDOW gives what EST was told, in the same units; without CONTEXT it is an error."""
    taken = kit.accepted(4)
    rows = kit.maker(4)
    for i in taken:
        has_context = kit.one(EST, i).flags & ResultFlag.CONTEXT
        result = kit.one(WINDOW, i)
        if result.error:
            known = not has_context or result.error in (errno.ENODATA, errno.EOPNOTSUPP)
            assert known, f"WINDOW of an installed connection with CONTEXT: {result}"
            continue
        assert has_context, "WINDOW is answered, but EST did not say CONTEXT"
        assert rows[i]["proto"] == TCP, "a window is read back of a connection that is no TCP"
        for field in ("seq_lo", "seq_hi", "max_win"):
            given, read = rows[i]["peer"][field].tolist(), kit.windows[0][field].tolist()
            assert read == given, f"{field} went in as {given} and came back as {read}"
    kit.remove(taken)
    assert all(r.error for r in kit.ask(*[(WINDOW, i) for i in taken])), "a window is read back after DEL"


def test_reading_a_window_back_leaves_the_connection_installed(kit: Kit) -> None:
    taken = kit.installed(4)
    kit.ask(*[(WINDOW, i) for i in taken])
    known = kit.ask(*[(UPD, i) for i in taken])
    assert all(result.error in (0, errno.ENODATA) for result in known), "WINDOW has removed a connection"
    kit.remove(taken)


def test_an_unused_connection_has_forwarded_nothing(kit: Kit) -> None:
    """UPD and DEL may say what was counted; no packet goes through, so that is nothing."""
    taken = kit.installed(4)
    for op_type in (UPD, UPD, DEL):
        kit.run(2, ms=1000)
        kit.ask(*[(op_type, i) for i in taken])
        assert not kit.counts["packets"].any(), f"{op_type.name} counts packets that never were"
        assert not kit.counts["bytes"].any(), f"{op_type.name} counts bytes that never were"


def test_operations_of_one_batch_are_done_in_order(kit: Kit) -> None:
    (first, *_) = kit.accepted(1)
    kit.remove([first])
    batch = [ADD, EST, DEL, ADD, DEL, EST]
    results = [kit.one(op, first) for op in batch]
    kit.remove([first])
    together = kit.ask(*[(op, first) for op in batch[:3]])
    good(results[:4], "ADD EST DEL ADD one by one")
    assert results[5].error != 0, "EST succeeds after DEL"
    good([together[0]], "ADD in a batch")
    unknown(kit, first, "that was added, established and removed in one batch")


def test_large_batches_lose_nothing(kit: Kit) -> None:
    taken = kit.installed(3000)
    known = kit.ask(*[(UPD, i) for i in taken])
    assert all(result.error in (0, errno.ENODATA) for result in known), "connections of a large batch are not known"
    kit.remove(taken)
    assert all(result.error not in (0, errno.ENODATA) for result in kit.ask(*[(UPD, i) for i in taken[:50]]))


def test_the_size_of_a_batch_makes_no_difference(kit: Kit) -> None:
    operations = [(ADD, i) for i in range(6)] + [(EST, i) for i in range(6)] + [(DEL, i) for i in range(6)]
    one_by_one = [kit.one(op, i).error for op, i in operations]
    kit.handles.clear()
    in_parts = [r.error for part in (operations[:6], operations[6:12], operations[12:]) for r in kit.ask(*part)]
    assert one_by_one == in_parts


def test_who_an_operation_is_for_is_left_alone(kit: Kit) -> None:
    """The layer puts these right; a provider that overwrites them has mixed something up."""
    batch = Batch()
    rows = kit.maker(4)
    for i in range(4):
        batch.add(ADD, kit.conn(i), rows[i])
    kit.provider.submit(batch, kit.now_ms)
    assert batch.results["conn_id"].tolist() == [kit.conn(i) for i in range(4)]
    assert set(batch.results["type"].tolist()) == {int(ADD)}
    kit.remove(range(4))


def test_a_flush_takes_everything_out(kit: Kit) -> None:
    taken = kit.installed(5)
    result = kit.one(FLUSH)
    assert result.error in (0, errno.EOPNOTSUPP, errno.EINVAL), f"FLUSH: {result}"
    if result.error == 0:
        for i in taken:
            assert kit.one(UPD, i).error not in (0, errno.ENODATA), "a connection is known after FLUSH"
        kit.handles.clear()
        kit.remove(kit.installed(5))
    kit.remove(taken)


def test_nothing_of_an_earlier_life_is_left(kit: Kit) -> None:
    taken = kit.installed(3)
    kit.remove(taken)
    kit.again()
    unknown(kit, taken[0], "of before it was unregistered")


def test_polling_is_harmless_whatever_the_clock_does(kit: Kit) -> None:
    taken = kit.installed(2)
    kit.run(20, ms=1)
    kit.run(20, ms=60_000)
    kit.run(20)
    kit.remove(taken)


def test_it_survives_what_any_order_of_operations_brings(kit: Kit) -> None:
    """Random operations; in the end everything is removed and nothing known."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        kinds = rng.choice([ADD, ADD, EST, UPD, DEL, POLICY, WINDOW], 20)
        for op, i in zip(map(OpType, kinds.tolist()), rng.integers(0, 10, 20).tolist(), strict=True):
            result = kit.one(op, i)
            assert result.reason in list(Reason)
            if op == DEL and result.error in (0, errno.ENOENT):
                kit.handles.pop(kit.conn(i), None)
        kit.run(1, ms=100)
    kit.remove(range(10))
    for i in range(10):
        unknown(kit, i, "that was removed")
