"""How NICs count, age, report and reuse: each manner as a parameter of its own, and as the profiles set them."""

from __future__ import annotations

import ctypes
import errno
import re
from pathlib import Path
from typing import Any

import pytest
from nicsim_packets import pattern, udp

from build_support.dpdk import library
from ctoffload_dpdk.base.errors import EalError, FlowError, PortError
from ctoffload_dpdk.dpdk import Event, FlowSizes, actions, items
from ctoffload_dpdk.nicsim import Nic

pytestmark = pytest.mark.eal

QUEUE = actions.Queue(0)
COUNT_QUEUE = [actions.Count(), QUEUE]
AGE_5_QUEUE = [actions.Age(5), QUEUE]


def to_port(port: int) -> list[Any]:
    return pattern(l4=items.Udp(src_port=1000, dst_port=port))


def packets(rule: Any) -> int:
    count: int = rule.query_count().packets
    return count


# --- counters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{"counter_refresh_ms": 1000}, {"profile": "connectx-sws"}])
def test_a_counter_is_as_old_as_the_last_refresh(lab: Any, parameters: dict[str, Any]) -> None:
    host = lab.host(**parameters)
    rule = host.rule(pattern(), COUNT_QUEUE)
    host.nic.advance_ms(100)
    host.send(udp(), udp())
    assert packets(rule) == 0
    host.nic.set_ms(999)
    assert packets(rule) == 0
    host.nic.set_ms(1000)
    assert packets(rule) == 2
    host.send(udp())
    assert packets(rule) == 2
    host.nic.set_ms(5000)
    assert packets(rule) == 3


def test_a_reset_subtracts_what_the_last_refresh_found(lab: Any) -> None:
    host = lab.host(counter_refresh_ms=1000)
    rule = host.rule(pattern(), COUNT_QUEUE)
    host.send(udp(), udp())
    host.nic.set_ms(1000)
    host.send(udp())
    assert rule.query_count(reset=True).packets == 2
    assert packets(rule) == 0
    host.nic.set_ms(2000)
    assert packets(rule) == 1


def test_a_shared_counter_is_refreshed_alike(lab: Any) -> None:
    host = lab.host(counter_refresh_ms=500)
    shared = host.shared(actions.Count())
    host.rule(pattern(), [actions.Indirect(shared, actions.Count), QUEUE])
    host.send(udp())
    assert shared.query().packets == 0
    host.nic.set_ms(500)
    assert shared.query().packets == 1


def test_by_default_a_counter_is_of_now(lab: Any) -> None:
    host = lab.host()
    rule = host.rule(pattern(), COUNT_QUEUE)
    host.send(udp())
    assert packets(rule) == 1


# --- ages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{"age_check_ms": 1000}, {"profile": "connectx-sws"}])
def test_an_idle_rule_is_found_up_to_two_seconds_late(lab: Any, parameters: dict[str, Any]) -> None:
    host = lab.host(**parameters)
    rule = host.rule(pattern(), AGE_5_QUEUE)
    host.nic.set_ms(3200)
    host.send(udp())
    assert rule.query_age().idle_s == 3, "no check has seen the packet"
    host.nic.set_ms(4000)
    assert rule.query_age().idle_s == 0
    host.nic.set_ms(9999)
    assert (rule.query_age().is_aged, rule.query_age().idle_s) == (False, 5)
    assert host.nic.audit().aged == 0
    host.nic.set_ms(10000)
    assert rule.query_age().is_aged
    assert host.nic.audit().aged == 1


def test_a_rule_that_nothing_ever_hit_counts_from_the_check_before_it_was_made(lab: Any) -> None:
    host = lab.host(age_check_ms=1000)
    host.nic.set_ms(900)
    host.rule(pattern(), AGE_5_QUEUE)
    host.nic.set_ms(5999)
    assert host.nic.audit().aged == 0
    host.nic.set_ms(6000)
    assert host.nic.audit().aged == 1


def test_hardware_steering_checks_twice_a_second(lab: Any) -> None:
    host = lab.host(age_check_ms=500)
    rule = host.rule(pattern(), AGE_5_QUEUE)
    host.nic.set_ms(300)
    host.send(udp())
    host.nic.set_ms(500)
    assert rule.query_age().idle_s == 0
    host.nic.set_ms(5999)
    assert not rule.query_age().is_aged
    host.nic.set_ms(6000)
    assert rule.query_age().is_aged


@pytest.mark.parametrize("parameters", [{"ageing": "final"}, {"profile": "connectx-sws"}])
def test_an_aged_rule_stays_aged_whatever_hits_it(lab: Any, parameters: dict[str, Any]) -> None:
    host = lab.host(**parameters)
    rule = host.rule(pattern(), AGE_5_QUEUE)
    host.nic.set_ms(20000)
    assert rule.query_age().is_aged
    host.send(udp())
    host.nic.advance_ms(1000)
    state = rule.query_age()
    assert (state.is_aged, state.idle_s) == (True, None)
    assert host.nic.audit().aged == 1


def test_by_default_an_aged_rule_that_is_hit_is_young_again(lab: Any) -> None:
    host = lab.host()
    rule = host.rule(pattern(), AGE_5_QUEUE)
    host.nic.set_ms(20000)
    host.send(udp())
    assert (rule.query_age().is_aged, rule.query_age().idle_s) == (False, 0)
    assert host.nic.audit().aged == 0


def read_aged(host: Any, room: int) -> tuple[int, list[int]]:
    """rte_flow_get_aged_flows as it is: what it returned, and the contexts it wrote."""
    contexts = (ctypes.c_uint64 * room)()
    ethdev = ctypes.CDLL(library("librte_ethdev"))
    return ethdev.rte_flow_get_aged_flows(host.port.id, contexts, room, None), list(contexts)


def test_software_steering_counts_aged_rules_beyond_the_room(lab: Any) -> None:
    host = lab.host(profile="connectx-sws")
    for port in (1, 2, 3):
        host.rule(to_port(port), [actions.Age(1, 10 + port), QUEUE], ingress=True, group=1)
    for port in (4, 5):
        host.rule(to_port(port), [actions.Age(1, 10 + port), actions.Count(), QUEUE], ingress=True, group=1)
    host.nic.set_ms(9000)
    assert read_aged(host, 2) == (4, [11, 12]), "two that found room, and the two that a counter tells of"
    assert read_aged(host, 4) == (4, [11, 12, 13, 14])
    assert read_aged(host, 5) == (5, [11, 12, 13, 14, 15])
    assert host.nic.audit().aged == 5, "reading takes nothing out"


def configured(lab: Any, *, counters: int = 100, ages: int = 100, conntracks: int = 10, **parameters: Any) -> Any:
    """A port with template queues, as hardware steering needs it."""
    host = lab.host(start=False, **parameters)
    host.port.configure_flow(FlowSizes(queues=1, queue_size=4, counters=counters, ages=ages, conntracks=conntracks))
    host.port.start()
    return host


def test_a_profile_says_whether_reading_empties_the_list(lab: Any) -> None:
    for aged, left in (({}, 0), ({"aged": "keep"}, 1)):
        host = configured(lab, profile="connectx-hws", **aged)
        host.shared(actions.Age(1, 7))
        host.nic.advance_ms(10_000)
        assert list(host.port.aged()) == [7]
        assert host.nic.audit().aged == left


def test_the_aged_list_holds_one_in_a_hundred_of_the_counters(lab: Any) -> None:
    host = configured(lab, counters=200, profile="connectx-hws")
    for number in (1, 2, 3):
        host.shared(actions.Age(1, number))
    host.nic.advance_ms(10_000)
    assert list(host.port.aged()) == [1, 2], "200 and a fifth more make room for two"
    assert list(host.port.aged()) == []
    host.nic.advance_ms(500)
    assert list(host.port.aged()) == [3], "found again by the next check"


def test_with_few_counters_there_is_no_room_for_aged_rules_but_events_come(lab: Any) -> None:
    host = configured(lab, counters=83, profile="connectx-hws")
    events: list[int] = []
    with host.port.on_event(Event.FLOW_AGED, lambda *_: events.append(1), thread=False) as heard:
        host.shared(actions.Age(1, 7))
        for expected in (1, 2):
            host.nic.advance_ms(10_000)
            heard.deliver()
            assert list(host.port.aged()) == []
            assert len(events) == expected


def test_without_ages_set_aside_the_aged_list_is_not_to_be_read(lab: Any) -> None:
    host = configured(lab, ages=0, profile="connectx-hws")
    with pytest.raises(FlowError) as caught:
        host.port.aged()
    assert caught.value.errno == errno.ENOENT


# --- counters, contexts and queues that are all in use ---------------------------------------------------------------


def test_a_freed_counter_rests_until_the_next_refresh(lab: Any) -> None:
    host = lab.host(counters=1, counter_rest=1, counter_refresh_ms=500)
    host.rule(to_port(1), COUNT_QUEUE).close()
    with pytest.raises(FlowError) as caught:
        host.rule(to_port(2), COUNT_QUEUE)
    assert caught.value.errno == errno.EAGAIN
    host.nic.set_ms(500)
    host.rule(to_port(2), COUNT_QUEUE)
    with pytest.raises(FlowError) as caught:
        host.rule(to_port(3), COUNT_QUEUE)
    assert caught.value.errno == errno.ENOSPC


def test_without_the_manner_a_freed_counter_is_used_at_once(lab: Any) -> None:
    host = lab.host(counters=1)
    host.rule(to_port(1), COUNT_QUEUE).close()
    assert host.rule(to_port(2), COUNT_QUEUE)


def test_a_rule_that_ages_takes_a_counter(lab: Any) -> None:
    host = lab.host(counters=1, age_takes_counter=1, counters_full="enoent")
    host.rule(to_port(1), AGE_5_QUEUE)
    with pytest.raises(FlowError) as caught:
        host.rule(to_port(2), AGE_5_QUEUE)
    assert caught.value.errno == errno.ENOENT


def test_with_software_steering_a_context_outlives_the_stop_and_is_freed_while_the_port_runs(lab: Any) -> None:
    host = lab.host(profile="connectx-sws")
    context, counter = host.shared(actions.Conntrack()), host.shared(actions.Count())
    host.port.stop()
    with pytest.raises(FlowError) as caught:
        context.close()
    assert caught.value.errno == errno.EAGAIN
    counter.close()
    assert host.nic.audit().objects.live == 1
    host.port.start()
    context.close()
    assert host.nic.audit().objects.live == 0


def test_contexts_are_rounded_up_to_a_power_of_two(lab: Any) -> None:
    host = configured(lab, conntracks=3, profile="connectx-hws")
    for _ in range(4):
        host.shared(actions.Conntrack())
    with pytest.raises(FlowError) as caught:
        host.shared(actions.Conntrack())
    assert caught.value.errno == errno.ENOSPC


def test_a_shared_age_cannot_be_changed_with_software_steering(lab: Any) -> None:
    host = lab.host(profile="connectx-sws")
    shared = host.shared(actions.Age(5))
    with pytest.raises(FlowError) as caught:
        shared.update_age(timeout_s=9)
    assert caught.value.errno == errno.ENOTSUP


# --- handles, ports, contexts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{"small_handles": 1}, {"profile": "connectx-sws"}])
def test_handles_are_small_numbers_that_are_used_again_and_the_same_on_each_port(
    lab: Any, parameters: dict[str, Any]
) -> None:
    left, right = lab.pair(**parameters)
    first = left.rule(pattern(), [QUEUE])
    assert first.handle < 1 << 32
    assert right.rule(pattern(), [QUEUE]).handle == first.handle
    number = first.handle
    first.close()
    assert left.rule(to_port(9), [QUEUE]).handle == number


def test_by_default_a_handle_is_not_used_again(host: Any) -> None:
    first = host.rule(pattern(), [QUEUE])
    number = first.handle
    first.close()
    assert host.rule(pattern(), [QUEUE]).handle != number


def test_the_proxy_starts_first_and_stops_last(lab: Any) -> None:
    proxy, other = lab.pair(proxy_order=1, start=False)
    for host in (proxy, other):
        host.port.configure_flow(FlowSizes(queues=1, queue_size=4))
    with pytest.raises(PortError) as caught:
        other.port.start()
    assert caught.value.errno == errno.EAGAIN
    proxy.port.start()
    other.port.start()
    with pytest.raises(PortError) as caught:
        proxy.port.stop()
    assert caught.value.errno == errno.EBUSY
    other.port.stop()
    proxy.port.stop()


def test_a_port_without_a_switch_has_no_transfer_proxy(lab: Any) -> None:
    alone = lab.host(profile="connectx-sws")
    with pytest.raises(FlowError) as caught:
        alone.port.transfer_proxy()
    assert caught.value.errno == errno.EINVAL
    left, right = lab.pair(profile="connectx-sws")
    assert right.port.transfer_proxy() == left.port.id


def test_contexts_are_for_the_first_ports_only(lab: Any) -> None:
    first, second = lab.pair(context_ports=1)
    assert first.shared(actions.Conntrack())
    with pytest.raises(FlowError) as caught:
        second.shared(actions.Conntrack())
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("wrong", ["counter_refresh_ms=60001", "aged_percent=101", "small_handles=2", "aged=often"])
def test_a_value_out_of_range_is_refused_with_the_list(eal: Any, lab: Any, wrong: str) -> None:
    name, value = wrong.split("=")
    with pytest.raises(EalError, match=rf"cannot take {wrong}; allowed: .*age_check_ms=0\.\.60000"):
        Nic.create(eal, "net_nicsim78", **{name: value})


def test_every_manner_is_in_the_table_of_the_docs() -> None:
    root = Path(__file__).parents[2]
    text = (root / "pyx" / "ctoffload_dpdk" / "nicsim" / "manners.c").read_text()
    names = re.findall(r'\] = \{"(\w+)"', text)
    documented = re.findall(
        r"^\| `(\w+)=.*\| .* \| .* \| .* \|$", (root / "docs" / "emulated-nic.md").read_text(), re.M
    )
    assert len(names) == 18
    assert not set(names) - set(documented)
