"""What the emulated NIC does not do it refuses: with the errno, the message, and without a trace left behind."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, pattern, udp

from ctoffload_dpdk.base.errors import EalError, FlowError, UsageError
from ctoffload_dpdk.dpdk import Attr, actions, items
from ctoffload_dpdk.nicsim import Call, Nic, NicsimError

pytestmark = pytest.mark.eal

INGRESS = {"ingress": True}
TRANSFER = {"transfer": True}
DROP = [actions.Drop()]
COUNT_DROP = [actions.Count(), actions.Drop()]
ETH = items.Eth()
PAST_THE_LIST = 63

REFUSED: list[tuple[str, dict[str, Any], list[Any], list[Any], int, str]] = [
    ("egress", {"egress": True}, [ETH], DROP, errno.ENOTSUP, "egress rules are not supported"),
    ("no domain", {}, [ETH], DROP, errno.EINVAL, "a rule is either ingress or transfer"),
    ("mac", INGRESS, [items.Eth(src="02:00:00:00:00:01")], DROP, errno.ENOTSUP, "of ETH only the type can be matched"),
    ("mark", INGRESS, [ETH, items.Mark(1)], DROP, errno.ENOTSUP, "item not supported"),
    ("icmp", INGRESS, [ETH, items.Ipv4(), items.Icmp()], DROP, errno.ENOTSUP, "item not supported"),
    ("ttl", INGRESS, [ETH, items.Ipv4(ttl=3)], DROP, errno.ENOTSUP, "that IPv4 field cannot be matched"),
    ("hops", INGRESS, [ETH, items.Ipv6(hop_limit=3)], DROP, errno.ENOTSUP, "that IPv6 field cannot be matched"),
    ("fragments", INGRESS, [ETH, items.Ipv4(fragment_offset=1)], DROP, errno.ENOTSUP, "only packets in one piece"),
    ("tunnel", INGRESS, [*pattern(), ETH], DROP, errno.ENOTSUP, "inner headers cannot be matched"),
    ("ip in ip", INGRESS, [ETH, items.Ipv4(), items.Ipv6()], DROP, errno.ENOTSUP, "inner headers cannot be matched"),
    ("two tags", INGRESS, [ETH, items.Vlan(), items.Vlan()], DROP, errno.ENOTSUP, "one VLAN tag can be matched"),
    ("wrong type", INGRESS, [items.Eth(ether_type=0x86DD), items.Ipv4()], DROP, errno.EINVAL, "it is not IPv4"),
    ("wrong proto", INGRESS, [ETH, items.Ipv4(proto=6), items.Udp()], DROP, errno.EINVAL, "it is not UDP"),
    ("port", INGRESS, [items.RepresentedPort(0), ETH], DROP, errno.ENOTSUP, "in transfer rules only"),
    ("foreign", TRANSFER, [items.RepresentedPort(60), ETH], DROP, errno.EINVAL, "is not in this port's switch"),
    ("from host", TRANSFER, [items.PortRepresentor(0), ETH], DROP, errno.ENOTSUP, "only what arrives by a wire"),
    ("no fate", INGRESS, pattern(), [actions.Count()], errno.EINVAL, "no fate"),
    ("two fates", INGRESS, pattern(), [actions.Drop(), actions.Queue(0)], errno.EINVAL, "a rule has one fate"),
    ("two counts", INGRESS, pattern(), [actions.Count(), *COUNT_DROP], errno.EINVAL, "a rule has one COUNT"),
    ("two ages", INGRESS, pattern(), [actions.Age(1), actions.Age(1), *DROP], errno.EINVAL, "a rule has one AGE"),
    ("age 0", INGRESS, pattern(), [actions.Age(0), *DROP], errno.EINVAL, "AGE needs a timeout of at least 1 s"),
    ("queue", INGRESS, pattern(), [actions.Queue(1)], errno.EINVAL, "the port has no such queue"),
    ("rss", INGRESS, pattern(), [actions.Rss((0, 1))], errno.EINVAL, "the port has no such queue"),
    ("inner rss", INGRESS, pattern(), [actions.Rss((0,), level=2)], errno.ENOTSUP, "RSS over inner headers"),
    ("pop vlan", INGRESS, pattern(), [actions.OfPopVlan(), *DROP], errno.ENOTSUP, "action not supported"),
    ("wire", INGRESS, pattern(), [actions.RepresentedPort(0)], errno.ENOTSUP, "only a transfer rule can forward"),
    ("to nowhere", TRANSFER, pattern(), [actions.PortId(60)], errno.EINVAL, "is not in this port's switch"),
    ("transfer queue", TRANSFER, pattern(), [actions.Queue(0)], errno.ENOTSUP, "a transfer rule cannot choose a queue"),
    ("transfer mark", TRANSFER, pattern(), [actions.Mark(1), *DROP], errno.ENOTSUP, "a transfer rule cannot mark"),
    ("jump back", {**INGRESS, "group": 2}, pattern(), [actions.Jump(1)], errno.EINVAL, "leads to a higher group"),
]


@pytest.mark.parametrize("refused", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(host: Any, refused: tuple[str, dict[str, Any], list[Any], list[Any], int, str]) -> None:
    _, attr, match, acts, number, words = refused
    for call in (host.port.create_rule, host.port.validate_rule):
        with pytest.raises(FlowError, match=words) as caught:
            call(Attr(**attr), match, acts)
        assert caught.value.errno == number
    assert host.nic.audit().rules.created == 0
    host.rule([ETH], DROP)


def test_the_same_rule_twice(host: Any) -> None:
    host.rule(pattern(), COUNT_DROP)
    with pytest.raises(FlowError, match="there is such a rule already") as caught:
        host.rule(pattern(), [actions.Queue(0)])
    assert caught.value.errno == errno.EEXIST
    host.rule(pattern(), DROP, ingress=True, priority=1)


def test_a_full_table_and_room_again(lab: Any) -> None:
    host = lab.host(capacity=3)
    made = [host.rule(pattern(4, items.Udp(src_port=n)), DROP) for n in range(3)]
    with pytest.raises(FlowError, match="the table is full") as caught:
        host.rule(pattern(), DROP)
    assert caught.value.errno == errno.ENOSPC
    made[1].close()
    host.rule(pattern(), DROP)
    books = host.nic.audit().rules
    assert (books.live, books.most, books.capacity) == (3, 3, 3)


def test_no_room_for_indirect_actions_and_no_end_while_used(lab: Any) -> None:
    host = lab.host(objects=1)
    shared = host.shared(actions.Count())
    with pytest.raises(FlowError, match="no room for further indirect actions") as caught:
        host.shared(actions.Count())
    assert caught.value.errno == errno.ENOSPC
    rule = host.rule(pattern(), [actions.Indirect(shared), *DROP])
    with pytest.raises(FlowError, match="rules still use it") as caught:
        shared.close()
    assert caught.value.errno == errno.EBUSY
    rule.close()


def test_an_indirect_action_of_another_port(lab: Any) -> None:
    left, right = lab.pair()
    shared = left.shared(actions.Age(5))
    with pytest.raises(FlowError, match="no such indirect action on this port"):
        right.rule(pattern(), [actions.Indirect(shared), *DROP])


@pytest.mark.parametrize("action", [actions.Mark(1), actions.Drop()])
def test_what_cannot_be_indirect(host: Any, action: Any) -> None:
    with pytest.raises(FlowError, match="only COUNT, AGE and CONNTRACK can be indirect") as caught:
        host.shared(action)
    assert caught.value.errno == errno.ENOTSUP


def test_a_rule_on_a_port_that_is_not_started(lab: Any) -> None:
    host = lab.host(start=False)
    with pytest.raises(FlowError, match="the port is not started") as caught:
        host.rule(pattern(), DROP)
    assert caught.value.errno == errno.ENODEV


def test_isolation_while_the_port_runs(host: Any) -> None:
    with pytest.raises(FlowError, match="only while it is stopped") as caught:
        host.port.isolate()
    assert caught.value.errno == errno.EBUSY


@pytest.mark.parametrize(
    "parameters",
    [{"capacity": 0}, {"capacity": 1 << 24}, {"capacity": "many"}, {"queues": 65}, {"clock": "sundial"},
     {"aged": ""}, {"switch": -1}, {"mtsafe": 2}, {"speed": 100}],
    ids=str,
)  # fmt: skip
def test_a_wrong_parameter_fails_the_probe_and_names_all_that_is_allowed(lab: Any, parameters: dict[str, Any]) -> None:
    (name, value), *_ = parameters.items()
    with pytest.raises(EalError) as caught:
        Nic.create(lab.eal, f"net_nicsim{PAST_THE_LIST}", **parameters)
    text = str(caught.value)
    assert f"cannot take {name}={value}" in text
    for word in ("capacity=1..16777215", "queues=1..64", "switch=0..65535", "clock=real|manual", "aged=keep|consume"):
        assert word in text
    assert not [port for port in lab.eal.ports() if port.name == f"net_nicsim{PAST_THE_LIST}"]


def test_two_clocks_in_one_switch(lab: Any) -> None:
    lab.host(switch=500)
    with pytest.raises(EalError, match="switch 500 has a manual clock; give the same clock= to all of its ports"):
        Nic.create(lab.eal, f"net_nicsim{PAST_THE_LIST}", switch=500, clock="real")


def test_controls_that_cannot_be(lab: Any, host: Any) -> None:
    real = lab.host(clock="real")
    with pytest.raises(UsageError, match="the NIC's clock is real"):
        real.nic.advance_ms(1)
    host.nic.set_ms(1000)
    with pytest.raises(UsageError, match="stands at 1000 ms; it cannot go back to 999 ms"):
        host.nic.set_ms(999)
    with pytest.raises(UsageError, match="there are: validate, create"):
        host.nic.fail_next("creation")
    with pytest.raises(NicsimError, match="EINVAL"):
        host.nic.fail_next(Call.CREATE, 1, 0)
    with pytest.raises(NicsimError, match="found no emulated NIC there"):
        Nic(65)
    with pytest.raises(UsageError, match="is no port number"):
        Nic(-1)


def test_a_closed_or_removed_nic(lab: Any) -> None:
    host = lab.host()
    host.send(udp())
    host.port.remove()
    assert host.nic.counters().wire_in == 1
    for call in (lambda: host.send(udp()), host.nic.rules, lambda: host.nic.set_link(False)):
        with pytest.raises(NicsimError, match="ENODEV"):
            call()
    host.nic.close()
    host.nic.close()
    with pytest.raises(UsageError, match="was closed"):
        host.nic.counters()


@pytest.mark.parametrize("match", [pattern(), pattern(6), pattern(4, TCP_ITEM)], ids=["v4", "v6", "tcp"])
def test_a_refusal_after_the_pattern_leaves_nothing_behind(lab: Any, match: list[Any]) -> None:
    host = lab.host(capacity=1)
    first = host.rule(match, DROP)
    for _ in range(300):
        with pytest.raises(FlowError):
            host.rule([*match[:2], items.Udp(dst_port=7)], DROP)
    first.close()
    host.rule(match, DROP)
