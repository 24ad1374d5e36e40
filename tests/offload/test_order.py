"""Order per connection: one operation at a time, each completion starts the next step."""

from __future__ import annotations

from offload_lab import ADDED, INSTALLED, OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.providers.recording import RecordingProvider


def test_a_wanted_connection_is_added_then_installed(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.connection()
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]
    assert provider.seen(conn) == ["ADD", "EST"]
    assert lab.table.reached(0) == INSTALLED
    assert provider.installed == {conn}


def test_est_waits_for_the_answer_to_add(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer_later(OpType.ADD)
    conn = lab.connection()
    lab.step(5)
    assert provider.seen(conn) == ["ADD"]
    assert lab.table.pending(0)
    provider.complete()
    lab.step(3)
    assert provider.seen(conn) == ["ADD", "EST"]


def test_a_connection_may_stay_added_until_it_is_established(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.connection(want=ADDED)
    assert lab.settle() == []
    assert (lab.table.reached(0), provider.installed) == (ADDED, set())
    lab.table.want(conn, INSTALLED)
    assert lab.settle() == [("PUSHED", 0), ("INSTALLED", 0)]


def test_a_removal_before_submission_cancels(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.connection()
    lab.table.want(conn, OUT)
    assert not lab.table.holds(0)
    assert lab.settle() == []
    assert provider.log == []


def test_a_removal_in_flight_is_never_doubled(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.DEL)
    for _ in range(5):
        lab.table.want(conn, OUT)
        lab.step()
    assert provider.seen(conn) == ["DEL"]
    provider.complete()
    assert lab.settle() == [("OUT", 0)]
    assert provider.seen(conn) == ["DEL"]


def test_a_removal_wanted_while_est_is_outstanding_follows_its_answer(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer_later(OpType.EST)
    conn = lab.connection()
    lab.step(3)
    lab.table.want(conn, OUT)
    lab.step(3)
    assert provider.seen(conn) == ["ADD", "EST"]
    assert lab.table.holds(0)
    provider.complete()
    assert ("OUT", 0) in lab.settle()
    assert provider.seen(conn) == ["ADD", "EST", "DEL"]
    assert provider.held == {}


def test_a_wish_that_comes_back_while_the_removal_is_outstanding_is_offered_again(
    lab: Lab, provider: RecordingProvider
) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.DEL)
    lab.table.want(conn, OUT)
    lab.step(2)
    lab.table.want(conn, INSTALLED)
    provider.answer_later()
    provider.complete()
    assert lab.settle() == [("OUT", 0), ("PUSHED", 0), ("INSTALLED", 0)]
    assert provider.seen(conn) == ["DEL", "ADD", "EST"]


def test_a_wish_withdrawn_and_renewed_between_turns_changes_nothing(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    lab.table.want(conn, OUT)
    lab.table.want(conn, INSTALLED)
    assert lab.settle() == []
    assert provider.log == []


def test_a_question_is_answered_by_a_notice(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.last_used[conn] = (990, 1000)
    lab.table.query(conn)
    lab.table.query(conn)
    lab.table.turn(lab.now_ms)
    lab.work()
    lab.table.turn(lab.now_ms)
    assert provider.seen(conn) == ["UPD"]
    (notice,) = lab.table.notices
    assert (notice["last_used_ms"], notice["sampled_ms"]) == (990, 1000)
    assert lab.turn() == [("SAMPLE", 0)]


def test_a_removal_waits_for_the_question_that_is_outstanding(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.UPD)
    lab.table.query(conn)
    lab.step(2)
    lab.table.want(conn, OUT)
    lab.step(3)
    assert provider.seen(conn) == ["UPD"]
    provider.complete()
    assert lab.settle() == [("NO_SAMPLE", 0), ("OUT", 0)]


def test_a_connection_that_software_forgot_is_not_offered(lab: Lab, provider: RecordingProvider) -> None:
    lab.connection()
    lab.table.drop(0)
    assert lab.settle() == []
    assert provider.log == []
    assert not lab.table.holds(0)


def test_reasons_say_why_it_is_not_in_hardware(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer(OpType.ADD, 12, reason=Reason.NAT_UNSUPPORTED)
    lab.connection()
    assert lab.settle() == [("REFUSED", 0)]
    assert (lab.table.reason(0), lab.table.errno(0)) == (Reason.NAT_UNSUPPORTED, 12)
    assert not lab.table.holds(0)
