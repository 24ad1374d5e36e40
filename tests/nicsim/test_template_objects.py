"""Counters, ages and contexts: how many were set aside, and made, changed, asked and destroyed through queues."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, pattern, tcp
from nicsim_templates import SIZES, Bench, number, packet

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import Attr, Event, FlowSizes, actions, items
from ctoffload_dpdk.dpdk.actions import ConntrackIndex, ConntrackState
from ctoffload_dpdk.nicsim import Call

pytestmark = pytest.mark.eal

INNER = Attr(ingress=True, group=1)
LIBERAL = actions.Conntrack(state=ConntrackState.ESTABLISHED, liberal_mode=True)
COUNT_AGE = [actions.Count(), actions.Age(5), actions.Drop()]


def fails_with(number_of: int, call: Any, words: str = "") -> None:
    with pytest.raises(FlowError) as caught:
        call()
    assert caught.value.errno == number_of and words in str(caught.value)


def test_counters_run_out_and_come_back(lab: Any) -> None:
    bench = Bench(lab.host(sizes=FlowSizes(queues=1, queue_size=8, counters=2)))
    rules = bench.rules(range(1, 3))
    fails_with(errno.ENOSPC, lambda: bench.create(3), "all counters are in use")
    fails_with(errno.ENOSPC, lambda: bench.host.shared(actions.Count()), "all counters are in use")
    fails_with(errno.ENOSPC, lambda: bench.host.rule(number(4), [actions.Count(), actions.Drop()]))
    bench.destroy(rules[0])
    assert bench.nic.flow_audit().counters.used == 2  # until its removal is executed
    bench.run()
    bench.create(3)
    assert bench.run() == [(3, True)]


def test_what_was_not_set_aside_is_refused_as_a_mistake(lab: Any) -> None:
    host = lab.host(sizes=FlowSizes(queues=1, counters=2))
    fails_with(errno.EINVAL, lambda: host.shared(actions.Age(5)), "nb_aging_objects")
    fails_with(errno.EINVAL, lambda: host.shared(LIBERAL), "nb_conn_tracks")
    fails_with(errno.EINVAL, lambda: host.rule(number(1), COUNT_AGE), "nb_aging_objects")
    assert host.nic.flow_audit().counters.used == 0


def test_without_configure_the_nic_s_own_sizes_hold(lab: Any) -> None:
    host = lab.host(counters=1, ages=1, contexts=1)
    host.rule(number(1), COUNT_AGE)
    for action in (actions.Count(), actions.Age(5)):
        fails_with(errno.ENOSPC, lambda action=action: host.shared(action))
    host.shared(LIBERAL)
    fails_with(errno.ENOSPC, lambda: host.shared(LIBERAL), "all connection contexts are in use")
    host.rules[0].close()
    host.shared(actions.Count()).close()
    audit = host.nic.flow_audit()
    assert (audit.counters.used, audit.ages.used, audit.contexts.used) == (0, 0, 1)


def test_shared_counters_are_counted_once(lab: Any) -> None:
    host = lab.host(sizes=FlowSizes(queues=1, counters=1))
    shared = host.shared(actions.Count())
    for n in range(3):
        host.rule(number(n + 1), [actions.Indirect(shared), actions.Drop()])
    assert host.nic.flow_audit().counters.used == 1


def test_an_indirect_action_works_once_its_creation_was_executed(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    shared = bench.shared(actions.Count(), postpone=True)
    own = [actions.Indirect(shared), actions.Drop()]
    fails_with(errno.EBUSY, shared.query, "not executed yet")
    fails_with(errno.EBUSY, lambda: bench.host.rule(number(1), own), "not executed yet")
    assert bench.nic.audit().objects.created == 0
    assert bench.run() == [(0, True)]
    bench.host.rule(number(1), own)
    bench.host.send(packet(1))
    assert shared.query().packets == 1


def test_the_answer_of_a_query_is_that_of_its_execution(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    shared = bench.shared(actions.Count())
    bench.host.rule(number(1), [actions.Indirect(shared), actions.Drop()])
    bench.run()
    bench.host.send(packet(1))
    answer = bench.port.flow_queue().enqueue_query(shared, user_data=3, postpone=True)
    bench.host.send(packet(1), packet(1))
    assert bench.run() == [(3, True)]
    bench.host.send(packet(1))
    assert answer.value.packets == 3


def test_a_removal_of_what_rules_use_is_refused_and_rules_do_not_take_what_is_leaving(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    shared = bench.shared(actions.Count())
    bench.run()
    rule = bench.host.rule(number(1), [actions.Indirect(shared), actions.Drop()])
    queue = bench.port.flow_queue()
    fails_with(errno.EBUSY, lambda: queue.enqueue_indirect_destroy(shared), "rules still use it")
    rule.close()
    queue.enqueue_indirect_destroy(shared, user_data=4, postpone=True)
    fails_with(errno.EBUSY, shared.query, "about to be destroyed")
    assert bench.run() == [(4, True)]
    assert shared.is_closed and bench.nic.audit().objects.live == 0


def test_a_failed_creation_can_only_be_destroyed(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    bench.nic.fail_next(Call.COMPLETION, 1)
    shared = bench.shared(LIBERAL)
    assert bench.pull() == [(0, False)]
    fails_with(errno.EINVAL, shared.query, "can only be destroyed")
    assert bench.nic.flow_audit().contexts.used == 1
    bench.port.flow_queue().enqueue_indirect_destroy(shared, user_data=5)
    assert bench.pull() == [(5, True)]
    books = bench.nic.audit().objects
    assert (books.created, books.destroyed, bench.nic.flow_audit().contexts.used) == (0, 0, 0)


def test_both_directions_of_a_connection_in_one_push(lab: Any) -> None:
    """The direction counts as soon as it is enqueued, as on mlx5; the context's rules judge what the wire brings."""
    host = lab.host(sizes=SIZES)
    bench = Bench(host)
    back = [items.Eth(), items.Ipv4(src="10.0.0.2", dst="10.0.0.1"), items.Tcp(src_port=80, dst_port=1000)]
    shapes = [pattern(4, TCP_ITEM)]
    chosen = [actions.Indirect(None, actions.Conntrack), actions.Jump(2)]
    table = bench.new_table(INNER, shapes, [(chosen, [False, True])], 4)
    host.rule([items.Eth()], [actions.Jump(1)])
    valid = host.rule([items.Eth(), items.Conntrack(1)], [actions.Count(), actions.Drop()], ingress=True, group=2)
    context = bench.shared(LIBERAL)
    own = [actions.Indirect(context), actions.Jump(2)]
    queue = bench.port.flow_queue()
    bench.pull()
    for direction, shape in ((True, pattern(4, TCP_ITEM)), (False, back)):
        queue.enqueue_conntrack_update(context, original_direction=direction, postpone=True)
        bench.keep(queue.enqueue_create(table, shape, own, postpone=True))
    queue.push()
    assert queue.pull_all().is_ok.all()
    host.send(tcp(4))
    assert valid.query_count().packets == 1
    answer = queue.enqueue_query(context)
    queue.pull_all()
    assert answer.value.last_index == ConntrackIndex.ACK and answer.value.last_seq == 1
    queue.enqueue_conntrack_update(context, actions.Conntrack(state=ConntrackState.TIME_WAIT), postpone=True)
    assert context.query().state == ConntrackState.ESTABLISHED
    bench.run()
    assert context.query().state == ConntrackState.TIME_WAIT


def test_an_age_whose_creation_a_flush_hurries_is_as_old_as_the_flush(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    bench.nic.delay_results(60_000)
    shared = bench.shared(actions.Age(5))
    bench.port.flush_rules()
    bench.nic.advance_ms(2000)
    assert shared.query().idle_s == 2


def test_rules_of_a_table_age_and_are_listed(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES), COUNT_AGE)
    rule = bench.create(1)
    bench.run()
    bench.nic.advance_ms(5000)
    assert len(bench.port.aged()) == len(bench.port.flow_queue(1).aged()) == 1  # one list, whoever asks
    assert rule.query_age().is_aged
    row = bench.nic.rules()[0]
    assert (row["table"], row["group"], bool(row["is_aged"])) == (bench.nic.flow_audit().tables[0].number, 0, True)


def test_with_strict_queues_each_is_asked_for_its_own(lab: Any) -> None:
    sizes = FlowSizes(queues=2, queue_size=8, counters=8, ages=8, strict_queue=True)
    host = lab.host(sizes=sizes)
    bench, seen = Bench(host, COUNT_AGE), []
    with host.port.on_event(Event.FLOW_AGED, lambda *_: seen.append(1), thread=False):
        for n, queue in ((1, 0), (2, 1), (3, 1)):
            bench.create(n, queue=queue)
            bench.run(queue)
        shared = bench.shared(actions.Age(5), queue=1)
        host.nic.advance_ms(6000)
    assert seen == []
    assert [len(host.port.flow_queue(q).aged()) for q in (0, 1)] == [1, 3]
    fails_with(errno.EINVAL, host.port.aged, "STRICT_QUEUE")
    fails_with(errno.EINVAL, lambda: host.rule(number(7), COUNT_AGE), "STRICT_QUEUE")
    fails_with(errno.EINVAL, lambda: host.shared(actions.Age(5)), "STRICT_QUEUE")
    assert shared.query().is_aged


def test_the_audit_shows_templates_tables_and_queues(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES))
    bench.new_table(INNER, [number(0), pattern(4, TCP_ITEM)], [([actions.Drop()], None)], 100)
    bench.rules(range(1, 3))
    bench.create(3)
    audit = bench.nic.flow_audit()
    assert (audit.is_configured, audit.is_strict) == (True, False)
    assert (audit.counters.used, audit.counters.room) == (3, SIZES.counters)
    assert (audit.pattern_templates, audit.actions_templates) == (3, 2)
    first, second = audit.tables
    assert (first.domain, first.group, first.room, first.rules) == ("ingress", 0, 16, 3)
    assert (second.group, second.room, second.pattern_templates, second.actions_templates) == (1, 100, 2, 1)
    queue, idle = audit.queues
    assert (queue.size, queue.enqueued, queue.waiting, queue.told) == (SIZES.queue_size, 3, 1, 2)
    assert idle.enqueued == 0
    assert {int(r["table"]) for r in bench.nic.rules()} == {first.number}
