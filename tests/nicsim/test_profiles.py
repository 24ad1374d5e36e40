"""Profiles refuse what the NICs they stand for refuse; the ConnectX ones beyond that in test_profile_verdicts."""

from __future__ import annotations

import ctypes
import errno
from typing import Any

import pytest
from nicsim_packets import pattern, udp

from build_support.dpdk import library
from ctoffload_dpdk.base.errors import EalError, FlowError
from ctoffload_dpdk.dpdk import Attr, actions, items
from ctoffload_dpdk.dpdk.items import Masked
from ctoffload_dpdk.nicsim import Nic

pytestmark = pytest.mark.eal

INGRESS = {"ingress": True}
ETH = items.Eth()
DROP = [actions.Drop()]
QUEUE = [actions.Queue(0)]
# enum rte_flow_error_type
UNSPECIFIED, GROUP, PRIORITY, ATTR_INGRESS, EGRESS, TRANSFER, ATTR = 1, 3, 4, 5, 6, 7, 8
ITEM_SPEC, ITEM_MASK, ITEM, CONF, ACTION = 10, 12, 13, 15, 16

Refused = tuple[str, dict[str, Any], list[Any], list[Any], int, int]

SWS: list[Refused] = [
    ("no domain", {}, [ETH], DROP, errno.EINVAL, ATTR),
    ("no E-Switch", {"transfer": True}, [ETH], DROP, errno.ENOTSUP, UNSPECIFIED),
    ("priority", {**INGRESS, "group": 1, "priority": 21844}, [ETH], DROP, errno.ENOTSUP, PRIORITY),
    ("no IP", INGRESS, [ETH, items.Tcp()], DROP, errno.EINVAL, ITEM),
    ("icmp6 on IPv4", INGRESS, [ETH, items.Ipv4(), items.Icmp6()], DROP, errno.EINVAL, ITEM),
    ("port", INGRESS, [items.RepresentedPort(0), ETH], DROP, errno.EINVAL, ITEM),
    ("mark too large", INGRESS, pattern(), [actions.Mark(0xFFFFF0), *QUEUE], errno.EINVAL, CONF),
    ("two marks", INGRESS, pattern(), [actions.Mark(1), actions.Mark(2), *QUEUE], errno.EINVAL, ACTION),
    ("two counts", INGRESS, pattern(), [actions.Count(), actions.Count(), *QUEUE], errno.EINVAL, ACTION),
    ("age 0", INGRESS, pattern(), [actions.Age(0), *QUEUE], errno.EINVAL, ACTION),
    ("two ages", INGRESS, pattern(), [actions.Age(1), actions.Age(1), *QUEUE], errno.EINVAL, ACTION),
    ("direct conntrack", {**INGRESS, "group": 1}, pattern(), [actions.Conntrack(), *QUEUE], errno.EINVAL, UNSPECIFIED),
    ("no fate", INGRESS, pattern(), [actions.Count()], errno.EINVAL, ACTION),
    ("two fates", INGRESS, pattern(), [actions.Queue(0), actions.Queue(0)], errno.EINVAL, ACTION),
    ("jump to 0", INGRESS, pattern(), [actions.Jump(0)], errno.EINVAL, CONF),
    ("jump back", {**INGRESS, "group": 3}, pattern(), [actions.Jump(2)], errno.EINVAL, UNSPECIFIED),
    ("wire", INGRESS, pattern(), [actions.RepresentedPort(0)], errno.ENOTSUP, UNSPECIFIED),
    ("pop without a tag", INGRESS, pattern(), [actions.OfPopVlan(), *QUEUE], errno.ENOTSUP, UNSPECIFIED),
]

TAP: list[Refused] = [
    ("transfer", {"transfer": True}, [ETH], DROP, errno.ENOTSUP, TRANSFER),
    ("group", {**INGRESS, "group": 16}, [ETH], DROP, errno.EINVAL, GROUP),
    ("priority", {**INGRESS, "priority": 4095}, [ETH], DROP, errno.EINVAL, PRIORITY),
    ("conntrack", INGRESS, [ETH, items.Conntrack(flags=1)], DROP, errno.ENOTSUP, ITEM),
    ("icmp", INGRESS, [ETH, items.Ipv4(), items.Icmp()], DROP, errno.ENOTSUP, ITEM),
    ("no eth", INGRESS, [items.Ipv4()], DROP, errno.ENOTSUP, ITEM),
    ("tcp flags", INGRESS, [ETH, items.Ipv4(), items.Tcp(flags=2)], DROP, errno.ENOTSUP, ITEM),
    ("part of a port", INGRESS, [ETH, items.Ipv4(), items.Udp(dst_port=Masked(0, 0xFF))], DROP, errno.ENOTSUP, ITEM),
    ("count", INGRESS, pattern(), [actions.Count(), *QUEUE], errno.ENOTSUP, ACTION),
    ("age", INGRESS, pattern(), [actions.Age(5), *QUEUE], errno.ENOTSUP, ACTION),
    ("jump", INGRESS, pattern(), [actions.Jump(1)], errno.ENOTSUP, ACTION),
    ("two actions", INGRESS, pattern(), [*QUEUE, *DROP], errno.ENOTSUP, ACTION),
    ("queue", INGRESS, pattern(), [actions.Queue(1)], errno.ERANGE, ACTION),
]

QUEUE_ONLY: list[Refused] = [
    ("egress", {"egress": True}, [ETH], DROP, errno.EINVAL, ATTR_INGRESS),
    ("transfer", {"transfer": True}, [ETH], DROP, errno.EINVAL, ATTR_INGRESS),
    ("group", {**INGRESS, "group": 1}, [ETH], DROP, errno.EINVAL, GROUP),
    ("priority", {**INGRESS, "priority": 1}, [ETH], DROP, errno.EINVAL, PRIORITY),
    ("conntrack", INGRESS, [ETH, items.Conntrack(flags=1)], DROP, errno.EINVAL, ITEM),
    ("prefix", INGRESS, [ETH, items.Ipv4(src="10.0.0.0/8")], DROP, errno.EINVAL, ITEM),
    ("count", INGRESS, pattern(), [actions.Count(), *QUEUE], errno.EINVAL, ACTION),
    ("age", INGRESS, pattern(), [*QUEUE, actions.Age(5)], errno.EINVAL, ACTION),
    ("jump", INGRESS, pattern(), [actions.Jump(1)], errno.EINVAL, ACTION),
    ("two queues", INGRESS, pattern(), [*QUEUE, *QUEUE], errno.EINVAL, ACTION),
]

OF_PROFILE = [("connectx-sws", r) for r in SWS] + [("tap", r) for r in TAP] + [("queue-only", r) for r in QUEUE_ONLY]


@pytest.mark.parametrize(("profile", "refused"), OF_PROFILE, ids=[f"{p}: {r[0]}" for p, r in OF_PROFILE])
def test_refused(lab: Any, profile: str, refused: Refused) -> None:
    _, attr, match, acts, number, cause = refused
    host = lab.host(profile=profile)
    with pytest.raises(FlowError) as caught:
        host.rule(match, acts, **attr) if attr else host.port.create_rule(Attr(), match, acts)
    assert (caught.value.errno, caught.value.cause) == (number, cause), str(caught.value)
    assert host.nic.audit().rules.created == 0


def query_count(host: Any, rule: Any) -> int:
    """What rte_flow_query returns, without the binding, which asks only for what a rule has."""
    action = (ctypes.c_uint64 * 4)(8)  # RTE_FLOW_ACTION_TYPE_COUNT, END
    said: int = ctypes.CDLL(library("librte_ethdev")).rte_flow_query(
        host.port.id, ctypes.c_void_p(rule.handle), action, (ctypes.c_uint64 * 3)(), None
    )
    return said


def test_tap_forwards_to_queues_and_drops_and_tells_nothing_of_it(lab: Any) -> None:
    host = lab.host(profile="tap", queues=2)
    rule = host.rule(pattern(), [actions.Queue(1)])
    host.send(udp())
    assert len(host.received(1)) == 1
    assert query_count(host, rule) == -errno.ENOSYS
    with pytest.raises(FlowError) as caught:
        host.port.aged()
    assert caught.value.errno == errno.ENOTSUP
    with pytest.raises(FlowError) as caught:
        host.shared(actions.Count())
    assert caught.value.errno == errno.ENOSYS


def test_queue_only_marks_and_drops_but_does_not_count(lab: Any) -> None:
    host = lab.host(profile="queue-only")
    rule = host.rule(pattern(), [*QUEUE, actions.Mark(7)])
    host.send(udp())
    assert len(host.received()) == 1
    assert query_count(host, rule) == -errno.ENOTSUP


def test_no_flow_knows_no_rules_at_all(lab: Any) -> None:
    host = lab.host(profile="no-flow")
    for call in (
        lambda: host.rule(pattern(), DROP),
        lambda: host.port.validate_rule(Attr(ingress=True), pattern(), DROP),
        lambda: host.shared(actions.Count()),
        host.port.aged,
        lambda: host.port.isolate(True),
    ):
        with pytest.raises(FlowError) as caught:
            call()
        assert caught.value.errno == errno.ENOSYS
    host.send(udp())
    assert len(host.received()) == 1


def test_hardware_steering_takes_no_rules_outside_of_templates(lab: Any) -> None:
    host = lab.host(profile="connectx-hws")
    for call in (
        lambda: host.rule(pattern(), DROP),
        lambda: host.port.validate_rule(Attr(ingress=True), pattern(), DROP),
    ):
        with pytest.raises(FlowError) as caught:
            call()
        assert (caught.value.errno, caught.value.cause) == (errno.ENOTSUP, UNSPECIFIED)


def test_an_unknown_profile_is_refused_with_the_list_of_them(eal: Any, lab: Any) -> None:
    with pytest.raises(EalError, match=r"cannot take profile=cx9; .*profile=free\|connectx-sws\|connectx-hws\|tap\|q"):
        Nic.create(eal, "net_nicsim77", profile="cx9")
