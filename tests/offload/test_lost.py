"""Rules that went without a removal: why is shown, what they carried is told, and they go in again where they can."""

from __future__ import annotations

import errno

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.providers.recording import RecordingProvider


def offers(lab: Lab, provider: RecordingProvider, conn: int, seconds: int) -> list[int]:
    """When it was offered to the provider, in ms from now."""
    begin, times, seen = lab.now_ms, [], len(provider.seen(conn))
    while lab.now_ms < begin + seconds * 1000:
        lab.step(ms=10)
        if len(provider.seen(conn)) > seen:
            times.append(lab.now_ms - begin)
            lab.step(3, ms=0)
            seen = len(provider.seen(conn))
    return times


def test_what_was_lost_for_a_cause_of_its_own_shows_it_and_goes_in_again(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.lose(conn, errno.EINVAL, Reason.INSERT_FAILED)
    assert lab.step(2) == [("REFUSED", 0)]
    assert (lab.table.reached(0), lab.table.reason(0), lab.table.errno(0)) == (OUT, Reason.INSERT_FAILED, errno.EINVAL)
    assert not lab.table.holds(0)
    (offered, *more) = offers(lab, provider, conn, 10)
    assert (offered, more) == (pytest.approx(1000, abs=30), [])
    assert lab.table.reached(0) == INSTALLED
    assert provider.installed == {conn}


def test_it_is_offered_after_times_that_double_until_it_is_taken(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.lose(conn, errno.EINVAL, Reason.INSERT_FAILED)
    for _ in range(4):
        provider.answer(OpType.ADD, error=errno.EINVAL, reason=Reason.INSERT_FAILED)
    times = offers(lab, provider, conn, 40)
    waits = [at - before for before, at in zip([0, *times], times, strict=False)]
    assert waits == [pytest.approx(1000 << i, abs=40) for i in range(5)]
    assert lab.table.take() == [], "it is told once that it is out"
    assert lab.table.reached(0) == INSTALLED


def test_what_is_not_wanted_any_more_is_not_offered_again(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.lose(conn, errno.EINVAL, Reason.INSERT_FAILED)
    lab.step(2)
    lab.table.want(conn, OUT, Reason.CLOSING)
    assert offers(lab, provider, conn, 5) == []
    assert lab.table.reason(0) == Reason.CLOSING


def test_a_reason_that_passes_by_an_event_waits_for_it(lab: Lab, provider: RecordingProvider) -> None:
    """A table that is full: another connection's removal makes room before a second is over."""
    conn, other = lab.installed(0), lab.installed(1)
    provider.lose(conn, errno.ENOSPC, Reason.TABLE_FULL)
    lab.step(2)
    assert (lab.table.reached(0), lab.table.reason(0)) == (OUT, Reason.TABLE_FULL)
    lab.table.want(other, OUT)
    (offered, *_) = offers(lab, provider, conn, 2)
    assert offered < 100
    assert lab.table.reached(0) == INSTALLED


def test_what_went_with_its_port_is_not_offered_by_itself(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.lose(conn)
    assert lab.step(2) == [("LOST", 0)]
    assert (lab.table.reached(0), lab.table.reason(0)) == (OUT, Reason.PORT_DOWN)
    assert offers(lab, provider, conn, 5) == []


@pytest.mark.parametrize("reason", [0, Reason.INSERT_FAILED])
def test_what_its_rules_forwarded_is_told_before_it_is_lost(lab: Lab, provider: RecordingProvider, reason: int) -> None:
    conn = lab.installed()
    provider.lose(conn, reason=reason, forwarded=((3, 300), (4, 4000)))
    assert lab.step(2) == [("COUNTED", 0), ("REFUSED" if reason else "LOST", 0)]
    assert lab.table.counts == [(conn, ((3, 300), (4, 4000)))]


def test_one_that_others_hold_as_well_is_taken_out_of_them_and_goes_in_again() -> None:
    first, second = RecordingProvider("first"), RecordingProvider("second", priority=1)
    lab = Lab(first, second)
    conn = lab.installed()
    first.lose(conn, errno.EIO, Reason.INSERT_FAILED)
    lab.step(3)
    assert second.held == {}
    lab.settle(ms=600)
    assert lab.table.reached(0) == INSTALLED
    assert first.installed == second.installed == {conn}
    lab.layer.close()


def test_nonsense_about_a_loss_does_no_harm(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.lose(conn, error=-5, reason=999, forwarded=((9, 1), (0, 0)))
    assert lab.step(2) == [("REFUSED", 0)]
    assert (lab.table.errno(0), lab.table.reason(0)) == (errno.EIO, Reason.INSERT_FAILED)
    assert lab.layer.statistics().provider("recording").nonsense == 3


def test_a_full_ring_holds_a_loss_up_and_keeps_all_of_it() -> None:
    provider = RecordingProvider()
    lab = Lab(provider, slots=2048, budgets=(4096, 4096, 16))
    conns = [lab.connection(slot) for slot in range(1500)]
    lab.settle()
    for i, conn in enumerate(conns):
        provider.lose(conn, errno.EINVAL, Reason.INSERT_FAILED, forwarded=((i, i), (0, 0)))
    lab.step(8, ms=0)
    assert sorted(counts[0][0] for _, counts in lab.table.counts) == list(range(1500))
    assert all(lab.table.reason(slot) == Reason.INSERT_FAILED for slot in range(1500))
    lab.settle(ms=600)
    assert all(lab.table.reached(slot) == INSTALLED for slot in range(1500))
    lab.layer.close()
