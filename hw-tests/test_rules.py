"""Rules of the kind the provider makes: taken, queried, destroyed."""

from __future__ import annotations

import pytest

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import Attr, Port, Rule, actions, items

# Addresses kept for documentation: no traffic carries them.
IPV4 = items.Ipv4(src="192.0.2.1", dst="192.0.2.2")
IPV6 = items.Ipv6(src="2001:db8::1", dst="2001:db8::2")
TCP = items.Tcp(src_port=1000, dst_port=80)
UDP = items.Udp(src_port=1000, dst_port=53)


def create(port: Port, attr: Attr, pattern: list[items.Item], acts: list[actions.Action]) -> Rule:
    """The rule, or a skip with the driver's reason."""
    try:
        return port.create_rule(attr, pattern, acts)
    except FlowError as error:
        pytest.skip(f"this NIC does not take the rule: {error}")


@pytest.mark.parametrize("network", [IPV4, IPV6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("transport", [TCP, UDP], ids=["tcp", "udp"])
def test_a_counted_rule_starts_at_zero_and_goes_away(port: Port, network: items.Item, transport: items.Item) -> None:
    acts = [actions.Count(), actions.Queue(0)]
    with create(port, Attr(ingress=True), [items.Eth(), network, transport], acts) as rule:
        assert rule.query_count().packets == 0
    assert rule.is_closed


def test_an_ageing_rule_says_how_long_it_was_idle(port: Port) -> None:
    acts = [actions.Age(timeout_s=600), actions.Queue(0)]
    with create(port, Attr(ingress=True), [items.Eth(), IPV4, UDP], acts) as rule:
        state = rule.query_age()
        assert not state.is_aged
        assert state.idle_s is None or state.idle_s < 600


def test_the_switch_forwards_by_rule(port: Port) -> None:
    pattern = [items.RepresentedPort(port.id), items.Eth(), IPV4, UDP]
    acts = [actions.Count(), actions.Age(timeout_s=600), actions.RepresentedPort(port.id)]
    with create(port, Attr(transfer=True), pattern, acts) as rule:
        assert not rule.is_gone
