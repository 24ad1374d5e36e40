"""Whatever comes, the account adds up: a random mix of packets, rules, readers, stops and pulled cables."""

from __future__ import annotations

import random
from typing import Any

import pytest
from nicsim_packets import eth, pattern, tcp, udp
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal


def random_packet(dice: random.Random) -> bytes:
    kind = dice.randrange(8)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 120))
    if kind == 1:
        return bytes(eth() / ARP())
    if kind == 2:
        whole = eth() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000, dport=80) / Raw(b"f" * 900)
        return bytes(dice.choice(fragment(whole, 300)))
    if kind == 3:
        return bytes(udp(payload=b"l" * 2100))
    packet = bytearray(bytes(dice.choice([udp, tcp])(dice.choice([4, 6]), payload=dice.randbytes(dice.randrange(60)))))
    if kind == 4:
        packet[dice.randrange(len(packet))] ^= 1 << dice.randrange(8)
    return bytes(packet)


def some_rules(host: Any, other: Any, dice: random.Random) -> None:
    fates = [actions.Drop(), actions.Queue(1), actions.Rss((0, 1)), actions.Jump(1)]
    to_other = [actions.RepresentedPort(other.port.id), actions.PortRepresentor(other.port.id), actions.Drop()]
    version, l4 = dice.choice([4, 6]), dice.choice([items.Udp(), items.Tcp(), items.Udp(src_port=1000)])
    transfer = dice.random() < 0.4
    chosen = dice.choice(to_other if transfer else fates)
    attr = {"transfer": True} if transfer else {"ingress": True, "priority": dice.randrange(3)}
    try:
        host.rule(pattern(version, l4), [actions.Count(), chosen], **attr)
    except FlowError as error:
        assert "such a rule" in str(error)


def closes(host: Any) -> bool:
    c = host.nic.counters()
    assert c.host_pending <= c.host_rx
    return bool(c.wire_in + c.nic_received == c.nic_forwarded + sum(c.nic_dropped.values()) + c.host_rx)


@pytest.mark.parametrize("seed", range(4))
def test_the_account_adds_up_after_every_step(lab: Any, seed: int) -> None:
    dice = random.Random(seed)
    hosts = lab.pair(queues=2)
    read = [0, 0]
    for _ in range(150):
        i = dice.randrange(2)
        host, other = hosts[i], hosts[1 - i]
        match dice.randrange(10):
            case 0:
                some_rules(host, other, dice)
            case 1:
                host.nic.set_link(dice.random() < 0.8)
            case 2 if dice.random() < 0.3:
                host.port.stop()
                host.port.start()
            case 3 | 4:
                read[i] += sum(len(host.burst(queue)) for queue in range(2))
            case 5:
                host.port.tx_burst(Packets.of([random_packet(dice)[:1500] for _ in range(9)]), host.pool)
            case _:
                host.nic.wire_send(Packets.of([random_packet(dice) for _ in range(dice.randrange(1, 80))]))
        assert closes(host)
        assert closes(other)
        for n, end in enumerate(hosts):
            counters = end.nic.counters()
            assert counters.host_rx == read[n] + counters.host_pending
        sums = [end.nic.counters() for end in hosts]
        came = sum(c.host_tx + c.nic_forwarded for c in sums)
        assert came == sum(c.wire_out + c.wire_out_dropped + c.nic_received for c in sums)
    assert sum(len(end.left()) for end in hosts) == sum(end.nic.counters().wire_out for end in hosts)
