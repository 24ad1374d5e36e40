"""Flow queues that misbehave: late, lost, failed results, a stalled queue, a port that stops or goes meanwhile."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from nicsim_templates import ROOT, SIZES, Bench, packet

from ctoffload_dpdk.base.errors import CtoffloadError, FlowError, UsageError
from ctoffload_dpdk.dpdk import actions
from ctoffload_dpdk.nicsim import Call

pytestmark = pytest.mark.eal


@pytest.fixture
def bench(lab: Any) -> Bench:
    return Bench(lab.host(sizes=SIZES))


def books_close(bench: Bench) -> bool:
    rules, queues = bench.nic.audit().rules, bench.nic.flow_audit().queues
    return rules.created == rules.live + rules.destroyed + rules.lost and all(
        q.enqueued == q.waiting + q.executed + q.cancelled and q.executed == q.results + q.told + q.dropped
        for q in queues
    )


def test_a_result_comes_when_the_nic_s_clock_says_so(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES, completion_delay_ms=20))
    bench.create(1)
    bench.nic.advance_ms(100)  # it counts from the push
    assert bench.run() == []
    bench.nic.advance_ms(19)
    assert bench.hits(1) == 0 and bench.pull() == []
    bench.nic.advance_ms(1)
    assert bench.hits(1) == 1
    assert bench.pull() == [(1, True)]
    assert bench.nic.rules()[0]["last_hit_ms"] == 120


def test_the_delay_can_change_and_results_stay_in_order(bench: Bench) -> None:
    bench.nic.delay_results(50)
    bench.create(1, postpone=False)
    bench.nic.delay_results(0)
    bench.create(2, postpone=False)
    assert bench.pull() == [] and bench.hits(2) == 0
    bench.nic.advance_ms(50)
    assert bench.pull() == [(1, True), (2, True)]


def test_a_stalled_queue_takes_operations_until_it_is_full_and_executes_none(bench: Bench) -> None:
    bench.nic.stall_queue(0)
    for n in range(SIZES.queue_size):
        bench.create(n + 1, postpone=False)
    with pytest.raises(FlowError) as caught:
        bench.create(99)
    assert caught.value.errno == errno.EAGAIN
    assert bench.run() == [] and bench.hits(1) == 0
    bench.create(50, queue=1, postpone=False)
    assert bench.pull(1) == [(50, True)]  # the others go on
    bench.nic.stall_queue(0, on=False)
    assert bench.pull() == [(n + 1, True) for n in range(SIZES.queue_size)]
    assert books_close(bench)


def test_an_operation_that_fails_has_no_effect_and_says_so(bench: Bench) -> None:
    (kept,) = bench.rules(range(1, 2))
    bench.nic.fail_next(Call.COMPLETION, 2)
    failed = bench.create(2)
    bench.destroy(kept, 7)
    bench.create(3)
    assert bench.run() == [(2, False), (7, False), (3, True)]
    assert (bench.hits(1), bench.hits(2), bench.hits(3)) == (1, 0, 1)
    for rule in (failed, kept):
        bench.destroy(rule, 8)
    assert bench.run() == [(8, True)] * 2
    assert bench.nic.audit().rules.live == 1 and books_close(bench)


def test_a_failed_removal_of_a_failed_rule_leaves_it_to_be_destroyed(bench: Bench) -> None:
    bench.nic.fail_next(Call.COMPLETION, 2)
    rule = bench.create(1, postpone=False)
    bench.pull()
    bench.destroy(rule, 1, postpone=False)
    assert bench.pull() == [(1, False)]
    bench.destroy(rule, 2, postpone=False)
    assert bench.pull() == [(2, True)]
    assert bench.nic.flow_audit().tables[0].rules == 0


def test_a_lost_result_takes_its_place_for_ever(bench: Bench) -> None:
    bench.nic.drop_results(3)
    bench.rules(range(1, 6))
    queue = bench.nic.flow_audit().queues[0]
    assert (queue.executed, queue.told, queue.dropped, queue.results) == (5, 2, 3, 0)
    assert bench.hits(1) == 1  # the rule itself is there
    for n in range(SIZES.queue_size - 3):
        bench.create(100 + n)
    with pytest.raises(FlowError) as caught:
        bench.create(200)
    assert caught.value.errno == errno.EAGAIN
    bench.run()
    assert books_close(bench)


def test_a_stop_cancels_what_a_stalled_queue_holds(bench: Bench) -> None:
    rules = bench.rules(range(1, 3))
    bench.nic.stall_queue(0)
    bench.create(3)
    bench.destroy(rules[0])
    bench.nic.fail_next(Call.FLUSH)
    bench.port.stop()
    books, queue = bench.nic.audit().rules, bench.nic.flow_audit().queues[0]
    assert (books.created, books.lost, books.destroyed) == (2, 2, 0)
    assert (queue.cancelled, queue.waiting, bench.nic.flow_audit().tables[0].rules) == (2, 0, 0)
    assert books_close(bench)


def test_a_stop_executes_the_rest_and_drops_the_results(bench: Bench) -> None:
    bench.create(1)
    bench.create(2, postpone=False)
    bench.create(3)
    bench.nic.fail_next(Call.FLUSH)
    bench.port.stop()
    books, queue = bench.nic.audit().rules, bench.nic.flow_audit().queues[0]
    assert (books.created, books.lost) == (3, 3)
    assert (queue.executed, queue.dropped, queue.told) == (3, 3, 0)
    bench.port.start()
    assert bench.pull() == [] and bench.nic.flow_audit().tables[0].rules == 0


def test_a_removed_port_leaves_closed_books(lab: Any, caplog: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    bench.rules(range(1, 3))
    bench.nic.unplug()
    bench.port.close()
    audit = bench.nic.flow_audit()
    assert bench.nic.audit().rules.lost == 2
    assert (audit.pattern_templates, audit.actions_templates, audit.tables) == (0, 0, ())
    assert books_close(bench)


def test_a_reset_takes_templates_and_sizes_out(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    bench.create(1)
    bench.nic.demand_reset()
    bench.port.stop()
    bench.port.reset()
    audit = bench.nic.flow_audit()
    assert (audit.is_configured, audit.tables, audit.queues) == (False, (), ())
    assert bench.nic.audit().rules.created == 0  # what was on the queue of a broken port never happened


# How to make one call of each kind of operation.
PROVOKE: dict[Call, Any] = {
    Call.INFO: lambda b: b.port.flow_info(),
    Call.PATTERN_TEMPLATE: lambda b: b.pattern_of(ROOT),
    Call.ACTIONS_TEMPLATE: lambda b: b.actions_of(ROOT),
    Call.TEMPLATE_TABLE: lambda b: b.keep(b.port.template_table(ROOT, [b.pattern_of(ROOT)], [b.actions_of(ROOT)], 4)),
    Call.TEMPLATE_DESTROY: lambda b: b.table.close(),
    Call.ASYNC_CREATE: lambda b: b.create(1),
    Call.ASYNC_DESTROY: lambda b: b.destroy(b.host.rules[0]),
    Call.PUSH: lambda b: b.port.flow_queue().push(),
    Call.PULL: lambda b: b.port.flow_queue().pull(),
    Call.ASYNC_INDIRECT_CREATE: lambda b: b.shared(),
    Call.ASYNC_INDIRECT_DESTROY: lambda b: b.port.flow_queue().enqueue_indirect_destroy(b.host.objects[-1]),
    Call.ASYNC_INDIRECT_UPDATE: lambda b: b.port.flow_queue().enqueue_conntrack_update(
        b.host.objects[-1], actions.Conntrack()
    ),
    Call.ASYNC_INDIRECT_QUERY: lambda b: b.port.flow_queue().enqueue_query(b.host.objects[-1]),
}


@pytest.mark.parametrize("call", list(PROVOKE))
def test_each_call_fails_as_often_as_told_with_that_errno(lab: Any, call: Call) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    (rule,) = bench.rules(range(9, 10))
    bench.host.rules.append(rule)
    bench.shared()
    bench.run()
    if call is Call.TEMPLATE_DESTROY:
        rule.close()
    bench.nic.fail_next(call, 2, errno.EREMOTEIO)
    for left in (1, 0):
        with pytest.raises(CtoffloadError) as caught:
            PROVOKE[call](bench)
        assert caught.value.errno == errno.EREMOTEIO
        assert bench.nic.fail_left(call) == left
    PROVOKE[call](bench)
    bench.run()
    assert books_close(bench)


def test_configure_fails_as_told_and_leaves_the_port_as_it_was(lab: Any) -> None:
    host = lab.host(start=False)
    host.nic.fail_next(Call.FLOW_CONFIGURE, 1, errno.ENOMEM)
    with pytest.raises(FlowError) as caught:
        host.port.configure_flow(SIZES)
    assert caught.value.errno == errno.ENOMEM
    assert not host.nic.flow_audit().is_configured
    host.port.configure_flow(SIZES)
    assert len(host.nic.flow_audit().queues) == SIZES.queues


def test_a_completion_cannot_be_slow_as_nobody_waits_for_it(bench: Bench) -> None:
    with pytest.raises(CtoffloadError) as caught:
        bench.nic.slow_down(Call.COMPLETION, 5)
    assert caught.value.errno == errno.EINVAL


def test_a_queue_that_is_not_there_can_be_neither_stalled_nor_robbed(bench: Bench) -> None:
    for wrong in (bench.nic.stall_queue, lambda queue: bench.nic.drop_results(1, queue)):
        with pytest.raises(UsageError, match="no flow queue 2"):
            wrong(2)


def test_all_faults_of_queues_are_taken_back_at_once(bench: Bench) -> None:
    bench.nic.stall_queue(1)
    bench.nic.drop_results(5)
    bench.nic.clear_faults()
    bench.create(1, postpone=False)
    bench.create(2, queue=1, postpone=False)
    assert (bench.pull(0), bench.pull(1)) == ([(1, True)], [(2, True)])


def test_packets_pass_while_operations_wait(bench: Bench) -> None:
    bench.nic.stall_queue(0)
    bench.create(1, postpone=False)
    bench.host.send(packet(1))
    assert len(bench.host.received()) == 1
