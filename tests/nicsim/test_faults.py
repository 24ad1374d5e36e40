"""Faults while the NIC runs: calls that fail by plan or take long, wrong answers, a port that fails or is gone."""

from __future__ import annotations

import errno
import threading
import time
from typing import Any

import pytest
from nicsim_packets import pattern, udp

from ctoffload_dpdk.base.errors import CtoffloadError, FlowError, UsageError
from ctoffload_dpdk.dpdk import Event, actions, items
from ctoffload_dpdk.nicsim import Answer, Call

pytestmark = pytest.mark.eal

COUNTED = [actions.Count(), actions.Age(30), actions.Drop()]


def which_fail(host: Any, n: int) -> list[int]:
    """Which of n queries of a rule fail, counted from 1."""
    rule = host.rules[0] if host.rules else host.rule(pattern(), COUNTED)
    failed = []
    for number in range(1, n + 1):
        try:
            rule.query_count()
        except FlowError:
            failed.append(number)
    return failed


def test_each_third_call_fails_until_it_is_taken_back(host: Any) -> None:
    host.nic.fail_every(Call.QUERY, 3)
    assert which_fail(host, 10) == [3, 6, 9]
    assert host.nic.failed(Call.QUERY) == 3
    host.nic.fail_next(Call.QUERY, 0)
    assert which_fail(host, 10) == []


def test_random_failures_come_at_the_rate_asked_for_and_again_with_the_same_seed(host: Any) -> None:
    runs = []
    for seed in (1, 1, 2):
        host.nic.fail_randomly(Call.QUERY, 0.2, seed=seed)
        runs.append(which_fail(host, 1000))
        assert host.nic.failed(Call.QUERY) == len(runs[-1])
    assert 150 < len(runs[0]) < 250
    assert runs[0] == runs[1] != runs[2]
    host.nic.fail_randomly(Call.QUERY, 1.0)
    assert which_fail(host, 3) == [1, 2, 3]
    host.nic.fail_randomly(Call.QUERY, 0.0)
    assert which_fail(host, 100) == []


def test_a_burst_fails_by_plan_too(host: Any) -> None:
    host.nic.fail_every(Call.RX, 1)
    found = []
    for _ in range(2):
        host.send(udp())
        found.append(len(host.received()))
    host.nic.clear_faults()
    assert [*found, len(host.received())] == [0, 0, 2]


@pytest.mark.parametrize("wrong", [1.5, -0.1])
def test_what_is_no_probability_is_refused(host: Any, wrong: float) -> None:
    with pytest.raises(UsageError, match="is no probability"):
        host.nic.fail_randomly(Call.QUERY, wrong)


def test_every_zeroth_call_and_no_errno_are_refused(host: Any) -> None:
    for plan in (lambda: host.nic.fail_every(Call.QUERY, 0), lambda: host.nic.fail_every(Call.QUERY, 2, 0)):
        with pytest.raises(CtoffloadError) as caught:
            plan()
        assert caught.value.errno == errno.EINVAL


def test_a_slow_call_takes_its_time_and_holds_up_nobody_else(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    host.nic.slow_down(Call.QUERY, 400, 2)
    took = []

    def ask() -> None:
        before = time.monotonic()
        rule.query_count()
        took.append(time.monotonic() - before)

    slow = threading.Thread(target=ask)
    slow.start()
    while host.nic.slow_left(Call.QUERY) == 2:
        pass
    for n in range(50):
        host.send(udp())
        host.rule(pattern(4, items.Udp(src_port=n)), COUNTED)
    assert slow.is_alive()
    slow.join()
    host.nic.slow_down(Call.QUERY, 0, 0)
    ask()
    assert took[0] >= 0.4 > took[1]


def test_a_slow_call_can_also_fail(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    host.nic.slow_down(Call.QUERY, 20)
    host.nic.fail_next(Call.QUERY, 1, errno.ETIMEDOUT)
    before = time.monotonic()
    with pytest.raises(FlowError) as caught:
        rule.query_count()
    assert caught.value.errno == errno.ETIMEDOUT
    assert time.monotonic() - before >= 0.02


def test_a_counter_and_an_age_say_what_they_are_told_to_for_as_long(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    host.send(udp())
    host.nic.answer_count(5, 700, 2)
    host.nic.answer_age(77, True)
    told = [(c.packets, c.bytes) for c in (rule.query_count() for _ in range(3))]
    assert told == [(5, 700), (5, 700), (1, len(udp()))]
    ages = [rule.query_age() for _ in range(2)]
    assert [(a.idle_s, a.is_aged) for a in ages] == [(77, True), (0, False)]


def test_an_indirect_counter_lies_as_well(host: Any) -> None:
    shared = host.shared(actions.Count())
    host.nic.answer_count(9, 9)
    assert shared.query().packets == 9
    assert shared.query().packets == 0


def test_a_stale_answer_is_that_of_the_first_query(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    host.nic.answer_stale(Answer.COUNT, 3)
    told = []
    for _ in range(4):
        host.send(udp())
        told.append(rule.query_count().packets)
    assert told == [1, 1, 1, 4]


def test_garbage_is_the_same_for_the_same_seed_and_ends(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    told = []
    for seed in (3, 3, 4):
        host.nic.answer_garbage(Answer.COUNT, 1, seed=seed)
        told.append(rule.query_count())
    assert told[0] == told[1] != told[2]
    assert rule.query_count().packets == 0


def test_a_context_reads_wrong_and_then_true(host: Any) -> None:
    shared = host.shared(actions.Conntrack())
    truth = shared.query()
    host.nic.answer_garbage(Answer.CONNTRACK)
    assert shared.query() != truth
    assert shared.query() == truth


def test_no_context_can_be_made_up(host: Any) -> None:
    with pytest.raises(UsageError, match="there are: count, age, conntrack"):
        host.nic.answer_stale("meter")
    with pytest.raises(UsageError, match="16777215"):
        host.nic.answer_age(1 << 24)


def test_all_faults_are_taken_back_at_once(host: Any) -> None:
    rule = host.rule(pattern(), COUNTED)
    host.nic.fail_every(Call.QUERY, 1)
    host.nic.slow_down(Call.QUERY, 60_000)
    host.nic.answer_count(5, 5, 99)
    host.nic.clear_faults()
    assert rule.query_count().packets == 0


def events_of(host: Any, event: Event) -> tuple[list[int], Any]:
    seen: list[int] = []
    return seen, host.port.on_event(event, lambda port_id, _event: seen.append(port_id), thread=False)


def test_a_link_that_goes_down_is_told(host: Any) -> None:
    seen, subscription = events_of(host, Event.LINK_CHANGE)
    for up in (False, True):
        host.nic.set_link(up)
    subscription.deliver()
    assert seen == [host.port.id] * 2
    subscription.close()


def test_a_port_that_fails_works_again_after_a_reset_and_not_before(host: Any) -> None:
    seen, subscription = events_of(host, Event.RESET)
    rule, shared = host.rule(pattern(), COUNTED), host.shared(actions.Count())
    host.nic.demand_reset()
    subscription.deliver()
    assert seen == [host.port.id]
    assert not host.port.link().is_up
    books = host.nic.audit()
    assert (books.rules.lost, books.objects.lost) == (1, 1)
    for refused in (rule.query_count, shared.query, lambda: host.rule(pattern(), COUNTED)):
        with pytest.raises(CtoffloadError):
            refused()
    host.send(udp())
    assert host.received() == []
    assert host.nic.counters().nic_dropped["not_started"] == 1
    host.port.stop()
    for refused in (host.port.start, host.port.configure):
        with pytest.raises(CtoffloadError) as caught:
            refused()
        assert caught.value.errno == errno.EIO
    host.port.reset()
    host.restart()
    host.send(udp())
    assert host.received() == [bytes(udp())]
    host.rule(pattern(), COUNTED)
    assert host.nic.audit().rules.live == 1
    subscription.close()


def test_a_port_that_was_not_asked_does_not_tell_that_it_was_pulled_out(host: Any) -> None:
    host.port.stop()
    host.port.configure(rx_queues=1, tx_queues=1)
    seen, subscription = events_of(host, Event.REMOVED)
    host.nic.unplug()
    subscription.deliver()
    assert seen == []
    assert host.port.is_removed
    subscription.close()


def test_a_port_pulled_out_loses_all_and_its_name_can_be_used_again(lab: Any) -> None:
    host, other = lab.pair()
    seen, subscription = events_of(host, Event.REMOVED)
    rule, shared = host.rule(pattern(), COUNTED), host.shared(actions.Count())
    onward = other.rule(pattern(), [actions.Count(), actions.RepresentedPort(host.port.id)], transfer=True)
    host.nic.unplug()
    subscription.deliver()
    assert seen == [host.port.id]
    for refused in (rule.query_count, shared.query, lambda: host.rule(pattern(), COUNTED), host.nic.unplug):
        with pytest.raises(CtoffloadError) as caught:
            refused()
        assert caught.value.errno in (errno.ENODEV, errno.EIO, errno.ENOENT)
    books = host.nic.audit()
    assert (books.rules.live, books.rules.lost, books.objects.lost) == (0, 1, 1)
    other.send(udp())
    assert other.nic.counters().nic_dropped["out_port_down"] == 1
    assert onward.query_count().packets == 1
    subscription.close()
    name = host.port.name
    host.port.remove()
    again = lab.host(name=name)
    again.send(udp())
    assert again.received() == [bytes(udp())]
    with pytest.raises(CtoffloadError):
        rule.query_count()
