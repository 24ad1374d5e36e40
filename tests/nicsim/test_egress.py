"""Egress rules: what a port's own host sends meets them before the switch and the wire."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, pattern, tcp, udp
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal

EGRESS = {"egress": True}
DROP = [actions.Drop()]


def transmit(host: Any, *packets: Any) -> None:
    """The host sends these."""
    assert host.port.tx_burst(Packets.of([bytes(p) for p in packets]), host.pool) == len(packets)


def test_a_dropped_packet_does_not_leave_and_is_accounted_for(host: Any) -> None:
    rule = host.rule(pattern(), [actions.Count(), *DROP], **EGRESS)
    transmit(host, udp(), tcp())
    assert len(host.left()) == 1
    assert rule.query_count().packets == 1
    counters = host.nic.counters()
    assert (counters.host_tx, counters.wire_out, counters.nic_dropped["rule"]) == (2, 1, 1)


def test_a_rule_without_a_fate_counts_rewrites_and_lets_go(host: Any) -> None:
    rule = host.rule(pattern(), [actions.SetIpv4Src("192.0.2.1"), actions.Count()], **EGRESS)
    transmit(host, udp())
    (left,) = host.left()
    assert Ether(left)[IP].src == "192.0.2.1"
    assert rule.query_count().packets == 1


def test_groups_are_those_of_what_the_host_sends(host: Any) -> None:
    host.rule([items.Eth()], [actions.Jump(1)], **EGRESS)
    host.rule(pattern(l4=TCP_ITEM), DROP, egress=True, group=1)
    transmit(host, udp(), tcp())
    assert len(host.left()) == 1


def test_what_arrives_by_the_wire_does_not_meet_them_nor_what_another_host_sends(lab: Any) -> None:
    left, right = lab.pair()
    rule = left.rule(pattern(), [actions.Count(), *DROP], **EGRESS)
    left.rule(pattern(), [actions.Queue(0)])
    left.send(udp())
    assert len(left.received()) == 1
    transmit(right, udp())
    assert len(right.left()) == 1
    assert rule.query_count().packets == 0


def test_the_switchs_rules_come_after_them(lab: Any) -> None:
    left, right = lab.pair()
    left.rule(pattern(), [actions.SetTtl(9)], **EGRESS)
    left.rule(
        [items.PortRepresentor(left.port.id), *pattern()], [actions.RepresentedPort(right.port.id)], transfer=True
    )
    transmit(left, udp())
    (packet,) = right.left()
    assert Ether(packet)[IP].ttl == 9
