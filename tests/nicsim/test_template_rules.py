"""Rules made of templates, through queues: when packets meet them, what comes back, and in which order."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from nicsim_packets import IP, TCP_ITEM, UDP, eth, pattern, tcp, udp
from nicsim_templates import COUNT_DROP, ROOT, SIZES, Bench, number, packet

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import Attr, FlowSizes, actions, items

pytestmark = pytest.mark.eal


def rewritten(address: str) -> Any:
    return actions.ModifyField(
        actions.FieldAt(actions.Field.IPV4_DST), bytes(int(n) for n in address.split(".")), width_bits=32
    )


@pytest.fixture
def bench(lab: Any) -> Bench:
    return Bench(lab.host(sizes=SIZES))


def test_a_postponed_rule_meets_packets_only_once_it_was_pushed(bench: Bench) -> None:
    rule = bench.create(1)
    assert bench.hits(1) == 0 and len(bench.nic.rules()) == 0
    assert bench.pull() == []
    assert bench.run() == [(1, True)]
    assert rule.is_confirmed and bench.hits(1) == 1
    assert rule.query_count().packets == 1


def test_a_rule_that_is_not_postponed_takes_those_before_it_along(bench: Bench) -> None:
    for n in (1, 2):
        bench.create(n)
    bench.create(3, postpone=False)
    assert [bench.hits(n) for n in (1, 2, 3)] == [1, 1, 1]
    assert bench.pull() == [(1, True), (2, True), (3, True)]


def test_results_come_in_the_order_of_the_operations_with_their_numbers(bench: Bench) -> None:
    first, second = bench.rules(range(1, 3))
    bench.destroy(second, 90)
    bench.create(3)
    bench.destroy(first, 91)
    assert bench.run() == [(90, True), (3, True), (91, True)]
    assert bench.pull() == []


def test_a_destroyed_rule_meets_packets_until_its_removal_is_pushed(bench: Bench) -> None:
    (rule,) = bench.rules(range(1, 2))
    bench.destroy(rule, 5)
    assert bench.hits(1) == 1 and not rule.is_closed
    assert bench.run() == [(5, True)]
    assert bench.hits(1) == 0 and rule.is_closed


def test_the_same_rule_twice_fails_when_it_is_executed_and_is_destroyed_all_the_same(bench: Bench) -> None:
    first, second = bench.create(1), bench.create(1)
    assert bench.run() == [(1, True), (1, False)]
    assert (first.is_confirmed, second.is_failed) == (True, True)
    assert bench.nic.audit().rules.live == 1
    with pytest.raises(FlowError) as caught:
        second.query_count()
    assert caught.value.errno == errno.EBUSY
    bench.destroy(second, 2)
    assert bench.run() == [(2, True)]
    assert bench.hits(1) == 1
    books = bench.nic.audit().rules
    assert (books.created, books.live, books.destroyed) == (1, 1, 0)


def test_close_of_a_rule_waits_for_its_removal(bench: Bench) -> None:
    rules = bench.rules(range(1, 4))
    for rule in rules:
        rule.close()
    assert bench.nic.audit().rules.live == 0 and bench.pull() == []


def test_a_full_queue_refuses_until_results_are_pulled(bench: Bench) -> None:
    for n in range(SIZES.queue_size):
        bench.create(n + 1)
    for _ in range(2):
        with pytest.raises(FlowError) as caught:
            bench.create(100)
        assert caught.value.errno == errno.EAGAIN
        assert "the flow queue is full" in str(caught.value)
        bench.port.flow_queue().push()  # executed, but the places are taken until the results are pulled
    assert len(bench.pull()) == SIZES.queue_size
    bench.create(100)
    assert bench.run() == [(100, True)]


def test_a_full_table_refuses_and_takes_again_what_was_removed(lab: Any) -> None:
    bench = Bench(lab.host(sizes=SIZES), room=3)
    rules = bench.rules(range(1, 4))
    with pytest.raises(FlowError) as caught:
        bench.create(4)
    assert caught.value.errno == errno.ENOSPC
    bench.destroy(rules[0])
    with pytest.raises(FlowError):
        bench.create(4)  # its place is free once the removal was executed
    bench.run()
    bench.create(4)
    assert bench.run() == [(4, True)]


def test_two_queues_know_nothing_of_each_other(bench: Bench) -> None:
    bench.create(1, queue=0)
    bench.create(2, queue=1)
    assert bench.run(1) == [(2, True)]
    assert (bench.hits(1), bench.hits(2)) == (0, 1)
    assert bench.run(0) == [(1, True)]


def test_the_template_s_mask_says_what_is_compared(bench: Bench) -> None:
    table = bench.new_table(ROOT, [[items.Eth(), items.Ipv4(src="0.0.0.0/24")]], [(COUNT_DROP, None)], 4)
    rule = bench.add(table, [items.Eth(), items.Ipv4(src="10.0.0.77")], COUNT_DROP)
    bench.host.send(udp(4), tcp(4), udp(4), eth() / IP(src="10.0.1.1", dst="10.0.0.2") / UDP())
    assert rule.is_confirmed and rule.query_count().packets == 3


def test_a_table_has_several_templates_of_each_kind(bench: Bench) -> None:
    shapes = [pattern(4), pattern(6), pattern(4, TCP_ITEM)]
    kinds = [COUNT_DROP, [actions.Mark(7), actions.Count(), actions.Queue(0)]]
    table = bench.new_table(ROOT, shapes, [(k, None) for k in kinds], 8)
    for i, a in enumerate([0, 1, 1]):
        assert bench.add(table, shapes[i], kinds[a], pattern_index=i, actions_index=a).is_confirmed
    bench.host.send(udp(4), udp(6), tcp(4))
    burst = bench.host.burst()
    assert burst.mark.tolist() == [7, 7]
    assert bench.nic.counters().nic_dropped["rule"] == 1


def test_a_value_that_the_template_fixes_is_not_the_rule_s(lab: Any) -> None:
    chosen = [actions.Mark(5), actions.Count(), actions.Queue(0)]
    bench = Bench(lab.host(sizes=SIZES, queues=2), chosen, fixed=[True, True, False])
    bench.create(1, [actions.Mark(6), actions.Count(), actions.Queue(1)])
    assert bench.run() == [(1, True)]
    bench.host.send(packet(1))
    burst = bench.host.burst(1)
    assert burst.mark.tolist() == [5]


def test_rules_jump_and_follow_priorities_like_others(bench: Bench) -> None:
    deep = Attr(ingress=True, group=3, priority=1)
    first = bench.new_table(ROOT, [[items.Eth()]], [([actions.Jump(3)], [False])], 1)
    second = bench.new_table(deep, [number(0)], [(COUNT_DROP, None)], 4)
    bench.add(first, [items.Eth()], [actions.Jump(3)])
    rule = bench.add(second, number(1), COUNT_DROP)
    bench.host.rule(number(2), [actions.Drop()], ingress=True, group=3)  # the synchronous way, beside them
    bench.host.send(packet(1), packet(2), packet(3))
    assert rule.query_count().packets == 1 and len(bench.host.received()) == 1


def test_a_relaxed_template_skips_layers_without_a_mask(bench: Bench) -> None:
    shape = [items.Eth(), items.Ipv4(src="10.0.0.1"), items.Udp()]
    rules = []
    for priority, relaxed in ((0, False), (1, True)):
        attr = Attr(ingress=True, priority=priority)
        table = bench.new_table(attr, [shape], [(COUNT_DROP, None)], 4, relaxed=relaxed)
        rules.append(bench.add(table, shape, COUNT_DROP))
    bench.host.send(tcp(4), udp(4))
    assert [rule.query_count().packets for rule in rules] == [1, 1]


def test_a_rewrite_s_value_comes_with_the_rule(lab: Any) -> None:
    left, right = lab.pair(sizes=SIZES)
    attr = Attr(transfer=True)
    to = actions.RepresentedPort(right.port.id)
    bench = Bench(left, [rewritten("0.0.0.0"), actions.Count(), to], attr=attr, fixed=[False, True, True])
    bench.create(1, [rewritten("192.0.2.9"), actions.Count(), to])
    bench.create(2, [rewritten("192.0.2.10"), actions.Count(), to])
    assert bench.run() == [(1, True), (2, True)]
    left.send(packet(1), packet(2))
    assert [out[30:34] for out in right.left()] == [bytes([192, 0, 2, 9]), bytes([192, 0, 2, 10])]


def test_a_stop_executes_what_is_on_the_queues_and_takes_all_rules_out(bench: Bench) -> None:
    bench.rules(range(1, 4))
    bench.create(4)
    bench.host.port.stop()
    books = bench.nic.audit().rules
    assert (books.created, books.destroyed + books.lost, books.live) == (4, 4, 0)
    bench.host.port.start()
    assert bench.pull() == []  # nobody asks for the results of before
    bench.create(1)
    assert bench.run() == [(1, True)]  # tables and templates outlive a stop
    assert bench.hits(1) == 1


def test_a_flush_takes_the_rules_of_tables_too(bench: Bench) -> None:
    bench.rules(range(1, 4))
    bench.port.flush_rules()
    books = bench.nic.audit().rules
    assert (books.created, books.destroyed, books.live) == (3, 3, 0)


def test_sizes_are_kept_over_a_restart_and_other_ones_refused(lab: Any) -> None:
    host = lab.host(sizes=SIZES)
    host.port.stop()
    host.port.configure_flow(SIZES)
    with pytest.raises(FlowError) as caught:
        host.port.configure_flow(FlowSizes(queues=1))
    assert caught.value.errno == errno.ENOTSUP
