"""What the emulated NIC does not do it refuses: with the errno, the message, and without a trace left behind."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import numpy as np
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
VXLAN = items.Vxlan()
TUNNEL = [ETH, items.Ipv4(), items.Udp(), VXLAN]
PAST_THE_LIST = 63

REFUSED: list[tuple[str, dict[str, Any], list[Any], list[Any], int, str]] = [
    ("egress queue", {"egress": True}, [ETH], [actions.Queue(0)], errno.ENOTSUP, "only an ingress rule can choose"),
    ("no domain", {}, [ETH], DROP, errno.EINVAL, "a rule is one of ingress"),
    ("mark", TRANSFER, [ETH, items.Mark(1)], DROP, errno.ENOTSUP, "a transfer rule sees no mark"),
    ("two marks", INGRESS, [items.Mark(1), items.Mark(2)], DROP, errno.EINVAL, "a pattern has one MARK"),
    ("two metas", INGRESS, [items.Meta(1), items.Meta(2)], DROP, errno.EINVAL, "a pattern has one META"),
    ("tag 6", INGRESS, [items.Tag(6, 1)], DROP, errno.EINVAL, "there are TAGs 0 to 5"),
    ("tag twice", INGRESS, [items.Tag(1, 1), items.Tag(1, 2)], DROP, errno.EINVAL, "names a TAG once"),
    ("icmp", INGRESS, [ETH, items.Ipv4(proto=6), items.Icmp()], DROP, errno.EINVAL, "it is not ICMP"),
    ("icmp6", INGRESS, [ETH, items.Ipv6(proto=6), items.Icmp6()], DROP, errno.EINVAL, "it is not ICMPv6"),
    ("fragment", INGRESS, [ETH, items.Ipv4(), items.Ipv6FragExt()], DROP, errno.EINVAL, "comes behind IPV6"),
    ("second eth", INGRESS, [*pattern(), ETH], DROP, errno.EINVAL, "ETH comes first and once"),
    ("ip in ip", INGRESS, [ETH, items.Ipv4(), items.Ipv6()], DROP, errno.ENOTSUP, "an IP header inside another"),
    ("two l4", INGRESS, [*pattern(), items.Tcp()], DROP, errno.EINVAL, "one header follows the IP header"),
    ("three tags", INGRESS, [ETH, *[items.Vlan()] * 3], DROP, errno.ENOTSUP, "two VLAN tags can be matched"),
    ("late tag", INGRESS, [ETH, items.Ipv4(), items.Vlan()], DROP, errno.EINVAL, "VLAN comes before the IP header"),
    ("vxlan over tcp", INGRESS, [ETH, items.Ipv4(), items.Tcp(), VXLAN], DROP, errno.EINVAL, "comes behind UDP"),
    ("two tunnels", INGRESS, [*TUNNEL, *TUNNEL], DROP, errno.ENOTSUP, "a tunnel in a tunnel"),
    ("inner ttl", INGRESS, [*TUNNEL, ETH, items.Ipv4(ttl=3)], DROP, errno.ENOTSUP, "that IPv4 field cannot be matched"),
    ("wrong type", INGRESS, [items.Eth(ether_type=0x86DD), items.Ipv4()], DROP, errno.EINVAL, "it is not IPv4"),
    ("no tag", INGRESS, [items.Eth(ether_type=0x0800), items.Vlan()], DROP, errno.EINVAL, "says there is no tag"),
    ("wrong proto", INGRESS, [ETH, items.Ipv4(proto=6), items.Udp()], DROP, errno.EINVAL, "it is not UDP"),
    ("port", INGRESS, [items.RepresentedPort(0), ETH], DROP, errno.ENOTSUP, "in transfer rules only"),
    ("any port", INGRESS, [items.PortRepresentor(), ETH], DROP, errno.ENOTSUP, "in transfer rules only"),
    ("foreign", TRANSFER, [items.RepresentedPort(60), ETH], DROP, errno.EINVAL, "is not in this port's switch"),
    ("late port", TRANSFER, [ETH, items.PortRepresentor()], DROP, errno.EINVAL, "the port comes first and once"),
    ("no fate", INGRESS, pattern(), [actions.Count()], errno.EINVAL, "no fate"),
    ("two fates", INGRESS, pattern(), [actions.Drop(), actions.Queue(0)], errno.EINVAL, "a rule has one fate"),
    ("two counts", INGRESS, pattern(), [actions.Count(), *COUNT_DROP], errno.EINVAL, "a rule has one COUNT"),
    ("two ages", INGRESS, pattern(), [actions.Age(1), actions.Age(1), *DROP], errno.EINVAL, "a rule has one AGE"),
    ("age 0", INGRESS, pattern(), [actions.Age(0), *DROP], errno.EINVAL, "AGE needs a timeout of at least 1 s"),
    ("queue", INGRESS, pattern(), [actions.Queue(1)], errno.EINVAL, "the port has no such queue"),
    ("rss", INGRESS, pattern(), [actions.Rss((0, 1))], errno.EINVAL, "the port has no such queue"),
    ("inner rss", INGRESS, pattern(), [actions.Rss((0,), level=2)], errno.ENOTSUP, "RSS over inner headers"),
    ("pop vlan", INGRESS, pattern(), [actions.OfPopVlan(), *DROP], errno.EINVAL, "where the pattern names it"),
    ("set vid", INGRESS, pattern(), [actions.OfSetVlanVid(1), *DROP], errno.EINVAL, "a tag is written where"),
    ("push what", INGRESS, pattern(), [actions.OfPushVlan(0x800), *DROP], errno.EINVAL, "0x8100 or 0x88a8"),
    ("two pushes", INGRESS, pattern(), [*[actions.OfPushVlan()] * 2, *DROP], errno.ENOTSUP, "one tag is put on"),
    ("late push", INGRESS, pattern(), [*DROP, actions.OfPushVlan()], errno.ENOTSUP, "a tag is written before the fate"),
    ("late meta", INGRESS, pattern(), [*DROP, actions.SetMeta(1)], errno.ENOTSUP, "is written before the fate"),
    ("set tag 6", INGRESS, pattern(), [actions.SetTag(6, 1), *DROP], errno.EINVAL, "there are TAGs 0 to 5"),
    ("five writes", INGRESS, pattern(), [*[actions.SetMeta(1)] * 5, *DROP], errno.ENOTSUP, "at most four times"),
    ("direct conntrack", INGRESS, pattern(), [actions.Conntrack(), *DROP], errno.ENOTSUP, "as an indirect action only"),
    ("wire", INGRESS, pattern(), [actions.RepresentedPort(0)], errno.ENOTSUP, "only a transfer rule can forward"),
    ("to nowhere", TRANSFER, pattern(), [actions.PortId(60)], errno.EINVAL, "is not in this port's switch"),
    ("transfer queue", TRANSFER, pattern(), [actions.Queue(0)], errno.ENOTSUP, "only an ingress rule can choose"),
    ("transfer mark", TRANSFER, pattern(), [actions.Mark(1), *DROP], errno.ENOTSUP, "only an ingress rule can mark"),
    ("transfer flag", TRANSFER, pattern(), [actions.Flag(), *DROP], errno.ENOTSUP, "only an ingress rule can mark"),
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
    with pytest.raises(UsageError, match="cannot go as far as 4000000000001 ms"):
        host.nic.set_ms(4_000_000_000_001)
    with pytest.raises(UsageError, match="there are: validate, create"):
        host.nic.fail_next("creation")
    with pytest.raises(NicsimError, match="EINVAL"):
        host.nic.fail_next(Call.CREATE, 1, 0)
    with pytest.raises(NicsimError, match="found no emulated NIC there"):
        Nic(65)
    with pytest.raises(UsageError, match="is no port number"):
        Nic(-1)
    beyond = SimpleNamespace(data=np.zeros(1, np.uint8), offset=np.array([1 << 40]), length=np.array([64]))
    with pytest.raises(UsageError, match="SimpleNamespace is no Packets"):
        host.nic.wire_send(beyond)


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
