"""Ages to the second on a clock that is run by hand, the list of aged rules, the event that there are some."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, pattern, tcp, udp

from ctoffload_dpdk.dpdk import Event, actions

pytestmark = pytest.mark.eal


def ageing(timeout_s: int, context: int = 0) -> list[Any]:
    return [actions.Count(), actions.Age(timeout_s, context), actions.Drop()]


def test_the_idle_time_is_right_to_the_second(host: Any) -> None:
    rule = host.rule(pattern(), ageing(30))
    for ms, seconds in ((999, 0), (1, 1), (998, 1), (2, 2), (27_999, 29)):
        host.nic.advance_ms(ms)
        state = rule.query_age()
        assert (state.idle_s, state.is_aged) == (seconds, False)
    host.nic.advance_ms(1)
    assert (rule.query_age().idle_s, rule.query_age().is_aged) == (30, True)


def test_a_packet_makes_it_young_again(host: Any) -> None:
    rule = host.rule(pattern(), ageing(5))
    for _ in range(10):
        host.nic.advance_ms(4900)
        host.send(udp())
        assert rule.query_age().idle_s == 0
    assert host.port.aged().tolist() == []
    host.nic.advance_ms(5999)
    assert host.port.aged().tolist() == [rule.handle]


def test_the_list_has_the_contexts_in_the_order_of_ageing_and_the_handle_without_one(host: Any) -> None:
    late = host.rule(pattern(), ageing(9, 111))
    early = host.rule(pattern(6), ageing(3, 222))
    nameless = host.rule(pattern(4, TCP_ITEM), ageing(6))
    seen = []
    for _ in range(9):
        host.nic.advance_ms(1000)
        seen.append(host.port.aged().tolist())
    assert seen[1] == []
    assert seen[2] == [222]
    assert seen[5] == [222, nameless.handle]
    assert seen[8] == [222, nameless.handle, 111]
    early.close()
    assert host.port.aged().tolist() == [nameless.handle, 111]
    late.close()
    nameless.close()
    assert host.nic.audit().aged == 0


def test_a_hit_after_ageing_takes_it_from_the_list_and_it_ages_again(host: Any) -> None:
    host.rule(pattern(), ageing(2, 7))
    host.nic.advance_ms(3000)
    assert host.port.aged().tolist() == [7]
    host.send(udp())
    assert host.port.aged().tolist() == []
    host.nic.advance_ms(3000)
    assert host.port.aged().tolist() == [7]


def test_a_rule_that_aged_for_good_counts_on_but_tells_no_age_until_it_is_made_again(lab: Any) -> None:
    host = lab.host(ageing="final")
    rule = host.rule(pattern(), ageing(2, 7))
    host.nic.advance_ms(1900)
    host.send(udp())
    host.nic.advance_ms(1900)
    assert (rule.query_age().idle_s, rule.query_age().is_aged) == (1, False)
    host.nic.advance_ms(1100)
    host.send(udp())
    assert (rule.query_age().idle_s, rule.query_age().is_aged) == (None, True)
    assert rule.query_count().packets == 2
    assert host.port.aged().tolist() == [7]
    rule.close()
    again = host.rule(pattern(), ageing(2, 7))
    assert (again.query_age().idle_s, again.query_age().is_aged) == (0, False)


def test_a_port_that_consumes_its_list_tells_each_ageing_once(lab: Any) -> None:
    host = lab.host(aged="consume")
    rule = host.rule(pattern(), ageing(2, 7))
    host.nic.advance_ms(3000)
    assert host.port.aged().tolist() == [7]
    assert host.port.aged().tolist() == []
    assert rule.query_age().is_aged
    host.send(udp())
    host.nic.advance_ms(3000)
    assert host.port.aged().tolist() == [7]


def test_the_event_comes_once_until_the_list_is_read(host: Any) -> None:
    events: list[int] = []
    with host.port.on_event(Event.FLOW_AGED, lambda *_: events.append(host.nic.now_ms()), thread=False) as heard:
        for timeout_s, match in ((2, pattern()), (4, pattern(6)), (6, pattern(4, TCP_ITEM))):
            host.rule(match, ageing(timeout_s))
        for step in range(1, 9):
            host.nic.advance_ms(1000)
            heard.deliver()
            if step == 5:
                assert events == [2000]
                host.port.aged()
        assert events == [2000, 6000]


def test_a_leap_of_the_clock_beyond_the_wheel_ages_what_is_due_and_keeps_what_is_not(host: Any) -> None:
    host.rule(pattern(), ageing(10_000, 1))
    host.rule(pattern(6), ageing(20_000, 2))
    host.rule(pattern(4, TCP_ITEM), ageing(0xFFFFFF, 3))
    host.nic.advance_ms(9_999_999)
    assert host.port.aged().tolist() == []
    host.nic.advance_ms(1)
    assert host.port.aged().tolist() == [1]
    host.nic.advance_ms(10_000_000)
    assert host.port.aged().tolist() == [1, 2]
    host.nic.set_ms(0xFFFFFF * 1000)
    assert host.port.aged().tolist() == [1, 2, 3]


def test_rules_that_share_an_indirect_age_live_as_long_as_one_of_them_is_used(host: Any) -> None:
    shared = host.shared(actions.Age(5, 42))
    host.rule(pattern(), [actions.Indirect(shared), actions.Drop()])
    host.rule(pattern(4, TCP_ITEM), [actions.Indirect(shared), actions.Drop()])
    for packet in (udp(), tcp()) * 4:
        host.nic.advance_ms(4000)
        host.send(packet)
    assert host.port.aged().tolist() == []
    host.nic.advance_ms(5000)
    assert host.port.aged().tolist() == [42]
    assert shared.query().is_aged


def test_an_indirect_age_can_be_touched_and_given_another_timeout(host: Any) -> None:
    shared = host.shared(actions.Age(5, 42))
    host.rule(pattern(), [actions.Indirect(shared), actions.Drop()])
    host.nic.advance_ms(4000)
    shared.update_age(touch=True)
    host.nic.advance_ms(4000)
    assert shared.query().idle_s == 4
    shared.update_age(timeout_s=20)
    host.nic.advance_ms(10_000)
    assert host.port.aged().tolist() == []
    shared.update_age(timeout_s=0)
    host.nic.advance_ms(100_000)
    assert host.port.aged().tolist() == []
    assert not shared.query().is_aged


def test_rules_that_share_an_indirect_counter_count_together(host: Any) -> None:
    shared = host.shared(actions.Count())
    one = host.rule(pattern(), [actions.Indirect(shared), actions.Drop()])
    two = host.rule(pattern(4, TCP_ITEM), [actions.Indirect(shared), actions.Drop()])
    host.send(udp(), tcp(), tcp())
    assert shared.query().packets == 3
    one.close()
    host.send(tcp())
    assert shared.query().packets == 4
    two.close()
    assert shared.query().packets == 4


def test_the_ports_of_a_switch_share_its_clock(lab: Any) -> None:
    left, right = lab.pair()
    rule = right.rule(pattern(), ageing(2, 9))
    left.nic.advance_ms(2000)
    assert right.nic.now_ms() == 2000
    assert right.port.aged().tolist() == [9]
    assert rule.query_age().idle_s == 2


def test_a_clock_can_be_taken_in_hand_and_let_go_without_a_leap(lab: Any) -> None:
    host = lab.host(clock="real")
    host.nic.run_clock_by_hand()
    now = host.nic.now_ms()
    host.nic.advance_ms(60_000)
    assert host.nic.now_ms() == now + 60_000
    host.nic.run_clock_by_hand(False)
    assert now + 60_000 <= host.nic.now_ms() < now + 90_000
