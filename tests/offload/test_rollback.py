"""Ownership, and all-or-nothing over several providers."""

from __future__ import annotations

import errno

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import Event, OpType, ResultFlag
from ctoffload_dpdk.providers.recording import RecordingProvider


@pytest.fixture
def pair() -> tuple[Lab, RecordingProvider, RecordingProvider]:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    return Lab(a, b), a, b


Pair = tuple[Lab, RecordingProvider, RecordingProvider]


def test_both_hold_what_both_accept(pair: Pair) -> None:
    lab, a, b = pair
    conn = lab.connection()
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert (a.installed, b.installed, lab.table.owners(0)) == ({conn}, {conn}, 0b11)
    assert (lab.table.handle(0, 0), lab.table.handle(0, 1)) == (a.held[conn], b.held[conn])


def test_one_that_is_not_able_leaves_the_connection_to_the_other(pair: Pair) -> None:
    lab, a, b = pair
    a.answer(OpType.ADD, errno.EPERM, reason=Reason.ZONE_UNSUPPORTED)
    conn = lab.connection()
    assert ("INSTALLED", 0) in lab.settle()
    assert (a.held, list(b.held)) == ({}, [conn])
    lab.table.want(conn, OUT)
    lab.settle()
    assert a.seen(conn) == ["ADD"]
    assert b.seen(conn) == ["ADD", "EST", "DEL"]


def test_nobody_accepts_is_not_offloaded_with_the_first_reason(pair: Pair) -> None:
    lab, a, b = pair
    a.answer(OpType.ADD, errno.EPERM, reason=Reason.ZONE_UNSUPPORTED)
    b.answer(OpType.ADD, errno.EOPNOTSUPP, reason=Reason.NAT_UNSUPPORTED)
    lab.connection()
    assert lab.settle() == [("REFUSED", 0)]
    assert (lab.table.reached(0), lab.table.reason(0)) == (OUT, Reason.ZONE_UNSUPPORTED)


def test_a_failed_add_undoes_the_other(pair: Pair) -> None:
    lab, a, b = pair
    b.answer(OpType.ADD, errno.EIO)
    conn = lab.connection()
    assert lab.settle() == [("REFUSED", 0)]
    assert a.seen(conn) == ["ADD", "DEL"]
    assert (a.held, b.held) == ({}, {})
    assert (lab.table.errno(0), lab.table.reason(0)) == (errno.EIO, Reason.PROVIDER_REFUSED)
    assert not lab.table.holds(0)


def test_a_failed_est_undoes_both_and_the_notice_comes_when_nothing_is_left(pair: Pair) -> None:
    lab, a, b = pair
    b.answer(OpType.EST, errno.EINVAL, reason=Reason.PORT_PAIR)
    a.answer_later(OpType.DEL)
    conn = lab.connection()
    assert lab.step(6) == [("PUSHED", 0)]
    assert lab.table.holds(0)
    a.complete()
    assert lab.settle() == [("REFUSED", 0)]
    assert (a.seen(conn), b.seen(conn)) == (["ADD", "EST", "DEL"], ["ADD", "EST", "DEL"])
    assert (a.held, b.held, lab.table.reason(0)) == ({}, {}, Reason.PORT_PAIR)


def test_est_waits_for_the_slower_of_two(pair: Pair) -> None:
    lab, a, b = pair
    b.answer_later(OpType.ADD)
    conn = lab.connection()
    lab.step(4)
    assert a.seen(conn) == ["ADD"]
    b.complete()
    assert ("INSTALLED", 0) in lab.settle()


def test_flags_are_those_of_all_owners() -> None:
    a = RecordingProvider("a", flags=ResultFlag.CONTEXT)
    b = RecordingProvider("b", flags=ResultFlag.BYPASS)
    lab = Lab(a, b)
    lab.connection()
    for _ in range(4):
        lab.layer.step(lab.now_ms)
    (installed,) = [n for n in lab.table.notices if n["kind"] == 1]
    assert installed["flags"] == ResultFlag.CONTEXT | ResultFlag.BYPASS


def test_last_used_is_the_latest_and_the_collection_time_the_earliest(pair: Pair) -> None:
    lab, a, b = pair
    conn = lab.installed()
    a.last_used[conn], b.last_used[conn] = (500, 900), (700, 800)
    lab.table.query(conn)
    lab.layer.step(lab.now_ms)
    (notice,) = lab.table.notices
    assert (notice["last_used_ms"], notice["sampled_ms"]) == (700, 800)


def test_one_owner_without_data_means_no_data(pair: Pair) -> None:
    lab, a, _ = pair
    conn = lab.installed()
    a.last_used[conn] = (500, 900)
    lab.table.query(conn)
    lab.layer.step(lab.now_ms)
    (notice,) = lab.table.notices
    assert (notice["kind"], notice["error"], notice["reason"]) == (5, errno.ENODATA, Reason.NO_LAST_USED)


def test_lost_at_one_takes_it_out_of_the_other_and_forgets_the_handle(pair: Pair) -> None:
    lab, a, b = pair
    conn = lab.installed()
    a.say(conn, Event.LOST)
    assert lab.settle() == [("LOST", 0)]
    assert (a.seen(conn), b.seen(conn)) == ([], ["DEL"])
    assert not lab.table.holds(0)


def test_a_removal_that_one_refuses_is_tried_again_until_it_is_done(pair: Pair) -> None:
    lab, a, b = pair
    conn = lab.installed()
    a.answer(OpType.DEL, errno.EBUSY, times=3)
    lab.table.want(conn, OUT)
    notices = lab.settle()
    assert notices == [("OUT", 0)]
    assert (a.seen(conn).count("DEL"), b.seen(conn).count("DEL")) == (4, 1)
    assert a.held == {}


def test_enoent_counts_as_removed(pair: Pair) -> None:
    lab, a, _ = pair
    conn = lab.installed()
    del a.held[conn]
    lab.table.want(conn, OUT)
    assert lab.settle() == [("OUT", 0)]
    assert lab.layer.statistics().provider("a").ops["DEL"].failed == 0


def test_a_full_table_keeps_the_wish_and_goes_on_when_there_is_room() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    first = lab.installed(slot=0)
    provider.answer(OpType.EST, errno.ENOSPC)
    lab.connection(slot=1)
    assert ("REFUSED", 1) in lab.settle()
    assert lab.table.reason(1) == Reason.TABLE_FULL
    lab.table.want(first, OUT)
    assert ("INSTALLED", 1) in lab.settle()


def test_a_waiting_wish_for_room_can_be_withdrawn() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    first = lab.installed(slot=0)
    provider.answer(OpType.ADD, errno.ENOSPC)
    second = lab.connection(slot=1)
    lab.settle()
    lab.table.want(second, OUT)
    assert not lab.table.holds(1)
    lab.table.want(first, OUT)
    assert lab.settle() == [("OUT", 0)]
    assert provider.seen(second) == ["ADD"]


def test_a_slow_provider_does_not_hold_up_the_connections_of_another() -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    lab = Lab(a, b, budgets=(2, 2, 2))
    a.answer_later(OpType.ADD)
    for slot in range(8):
        lab.connection(slot)
    lab.step(6)
    assert len(a.waiting) == 2
    assert len(b.held) >= 2
    a.answer_later()
    while a.waiting:
        a.complete()
        lab.step(2)
    lab.settle()
    assert len(a.installed) == len(b.installed) == 8
    assert {lab.table.reached(slot) for slot in range(8)} == {INSTALLED}


def test_an_errno_stands_with_the_reason_that_it_belongs_to_and_no_longer(pair: Pair) -> None:
    lab, _, b = pair
    b.answer(OpType.ADD, errno.EIO)
    conn = lab.connection()
    lab.settle()
    assert (lab.table.errno(0), lab.table.reason(0)) == (errno.EIO, Reason.PROVIDER_REFUSED)
    lab.table.want(conn, OUT, Reason.CLOSING)
    assert (lab.table.errno(0), lab.table.reason(0)) == (0, Reason.CLOSING)


def test_an_errno_of_an_answer_goes_when_the_next_try_waits_for_another_reason(pair: Pair) -> None:
    lab, a, b = pair
    old = lab.installed(slot=0)
    b.answer(OpType.ADD, errno.ENOSPC)
    new = lab.table.put(1, 1, lab.table.context(0))
    lab.table.want(new, INSTALLED)
    lab.settle(ms=1)
    assert (lab.table.errno(1), lab.table.reason(1)) == (errno.ENOSPC, Reason.TABLE_FULL)
    a.answer_later(OpType.DEL)
    lab.table.want(old, OUT)
    lab.table.want(new, INSTALLED)
    lab.step(3)
    assert (lab.table.errno(1), lab.table.reason(1)) == (0, Reason.PENDING_DELETE)
    a.complete()
