"""Hairpin: the NIC sends what a rule gives to such a queue, by the port it is bound to, without the host."""

from __future__ import annotations

from typing import Any

import pytest
from nicsim_packets import pattern, tcp, udp

from ctoffload_dpdk.base.errors import PortError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal


def prepare(host: Any, *, pool_queues: int = 1) -> None:
    """Stopped, one queue more than the host uses."""
    host.port.stop()
    host.port.configure(rx_queues=pool_queues + 1, tx_queues=pool_queues + 1, rss_types=host.port.info().rss_types)
    for queue in range(pool_queues):
        host.port.setup_rx_queue(queue, host.pool, descriptors=128)
        host.port.setup_tx_queue(queue)


def turn(host: Any, **how: Any) -> None:
    """Queue 1 of the port sends by queue 1 of the same port."""
    prepare(host)
    host.port.setup_hairpin_rx(1, [(host.port.id, 1)], **how)
    host.port.setup_hairpin_tx(1, [(host.port.id, 1)], **how)
    host.port.start()


def cross(left: Any, right: Any) -> None:
    """Queue 1 of each port sends by queue 1 of the other, once bound."""
    by_hand = {"manual_bind": True, "tx_explicit": True}
    for host, peer in ((left, right), (right, left)):
        prepare(host)
        host.port.setup_hairpin_rx(1, [(peer.port.id, 1)], **by_hand)
        host.port.setup_hairpin_tx(1, [(peer.port.id, 1)], **by_hand)
        host.port.start()


def closes(*hosts: Any) -> bool:
    counters = [host.nic.counters() for host in hosts]
    own = all(
        c.wire_in + c.host_switched + c.nic_received == c.nic_forwarded + sum(c.nic_dropped.values()) + c.host_rx
        for c in counters
    )
    sent = sum(c.host_tx - c.host_switched + c.nic_forwarded for c in counters)
    return own and sent == sum(c.wire_out + c.wire_out_dropped + c.nic_received for c in counters)


def test_on_one_port_it_is_bound_with_the_start(host: Any) -> None:
    turn(host)
    rule = host.rule(pattern(), [actions.Count(), actions.DecTtl(), actions.Queue(1)])
    host.send(udp(), tcp())
    assert host.left() == [bytes(udp(ttl=63))]
    assert host.received() == [bytes(tcp())]
    assert rule.query_count().packets == 1
    counters = host.nic.counters()
    assert (counters.nic_forwarded, counters.hairpinned, counters.wire_out, counters.host_rx) == (1, 1, 1, 1)
    assert closes(host)
    assert host.port.hairpin_peers() == host.port.hairpin_peers(as_tx=False) == [host.port.id]


def test_packets_that_no_rule_took_never_go_to_a_hairpin_queue(host: Any) -> None:
    turn(host)
    host.send(*(udp(sport=n) for n in range(1000, 1060)))
    assert len(host.received()) == 60
    assert host.nic.counters().nic_forwarded == 0
    assert host.left() == []
    for use in (lambda: host.burst(1), lambda: host.port.tx_burst(Packets.of([bytes(udp())]), host.pool, 1)):
        with pytest.raises(UsageError, match="queue 1 is a hairpin"):
            use()


def test_by_hand_nothing_passes_before_the_bind_and_after_the_unbind(host: Any) -> None:
    turn(host, manual_bind=True)
    host.rule(pattern(), [actions.Queue(1)])
    host.send(udp())
    assert host.nic.counters().nic_dropped["hairpin"] == 1
    host.port.bind_hairpin(host.port.id)
    host.send(udp())
    assert len(host.left()) == 1
    host.port.unbind_hairpin(host.port.id)
    host.send(udp())
    assert host.left() == []
    assert host.nic.counters().nic_dropped["hairpin"] == 2
    assert closes(host)


def test_between_two_ports(lab: Any) -> None:
    left, right = lab.pair()
    cross(left, right)
    left.port.bind_hairpin(right.port.id)
    right.port.bind_hairpin()
    left.rule(pattern(), [actions.SetIpv4Src("203.0.113.9"), actions.Queue(1)])
    right.rule(pattern(), [actions.Queue(1)])
    left.send(udp(), tcp())
    right.send(udp())
    new = udp()
    new[1].src = "203.0.113.9"
    assert right.left() == [bytes(new)]
    assert left.left() == [bytes(udp())]
    assert left.received() == [bytes(tcp())]
    assert closes(left, right)
    assert left.port.hairpin_peers() == [right.port.id]


def test_rss_may_spread_over_hairpin_queues(lab: Any) -> None:
    host = lab.host()
    turn(host)
    host.rule([items.Eth(), items.Ipv4(), items.Udp()], [actions.Rss((0, 1))])
    host.send(*(udp(sport=n) for n in range(1000, 1060)))
    out, in_host = len(host.left()), len(host.received())
    assert out + in_host == 60
    assert out > 0
    assert in_host > 0
    assert closes(host)


def test_a_peer_that_stops_ends_it_and_a_new_bind_begins_it_again(lab: Any) -> None:
    left, right = lab.pair()
    cross(left, right)
    right.port.bind_hairpin(left.port.id)
    left.rule(pattern(), [actions.Queue(1)])
    right.port.stop()
    left.send(udp())
    right.port.start()
    left.send(udp())
    assert left.nic.counters().nic_dropped["hairpin"] == 2
    right.port.bind_hairpin(left.port.id)
    left.send(udp())
    assert right.left() == [bytes(udp())]
    right.nic.set_link(False)
    left.send(udp())
    assert left.nic.counters().nic_dropped["out_port_down"] == 1
    right.port.remove()
    left.send(udp())
    assert left.nic.counters().nic_dropped["hairpin"] == 3


def test_what_cannot_be_paired(lab: Any) -> None:
    left, right = lab.pair()
    alone = lab.host()
    for host in (left, right, alone):
        prepare(host)
    with pytest.raises(PortError, match="needs manual_bind and tx_explicit"):
        left.port.setup_hairpin_rx(1, [(right.port.id, 1)], manual_bind=True)
    with pytest.raises(PortError, match="is not in its switch"):
        left.port.setup_hairpin_tx(1, [(alone.port.id, 1)], manual_bind=True, tx_explicit=True)
    with pytest.raises(PortError, match="there is no queue 5 for a hairpin"):
        left.port.setup_hairpin_tx(1, [(left.port.id, 5)])
    with pytest.raises(PortError, match="EINVAL"):
        left.port.setup_hairpin_rx(1, [(left.port.id, 0), (left.port.id, 1)])
    left.port.setup_hairpin_rx(1, [(left.port.id, 1)])
    left.port.setup_hairpin_tx(1, [(left.port.id, 0)])
    with pytest.raises(PortError, match="is not the other half of hairpin queue 1"):
        left.port.start()
    capability = left.port.hairpin_capability()
    assert (capability.max_rx_to_tx, capability.max_tx_to_rx) == (1, 1)


def test_a_bind_needs_a_peer_that_runs(lab: Any) -> None:
    left, right = lab.pair()
    cross(left, right)
    left.port.stop()
    with pytest.raises(PortError, match="is not started"):
        right.port.bind_hairpin(left.port.id)
    with pytest.raises(PortError, match="EBUSY"):
        left.port.bind_hairpin(right.port.id)
    left.port.start()
    with pytest.raises(PortError, match="ENODEV"):
        left.port.bind_hairpin(20)


def test_what_the_host_sends_meets_rules_that_name_its_port(lab: Any) -> None:
    left, right = lab.pair()
    match = [items.PortRepresentor(left.port.id), *pattern()]
    taken = left.rule(
        match, [actions.Count(), actions.SetMeta(1), actions.RepresentedPort(right.port.id)], transfer=True
    )
    anything = left.rule([items.Eth()], [actions.Count(), actions.Drop()], transfer=True, priority=1)
    from ctoffload_dpdk.base.packets import Packets  # noqa: PLC0415

    assert left.port.tx_burst(Packets.of([bytes(udp()), bytes(tcp())]), left.pool) == 2
    assert right.left() == [bytes(udp())]
    assert left.left() == [bytes(tcp())]
    assert (taken.query_count().packets, anything.query_count().packets) == (1, 0)
    assert left.nic.counters().host_switched == 1
    assert closes(left, right)
    taken.close()
    other = [items.PortRepresentor(), *pattern()]
    left.rule(other, [actions.PortRepresentor(right.port.id)], transfer=True)
    left.port.tx_burst(Packets.of([bytes(udp())]), left.pool)
    assert right.received() == [bytes(udp())]
    assert closes(left, right)
