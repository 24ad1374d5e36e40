"""The rte_flow provider against drivers that have no rules, and what it says of ports."""

from __future__ import annotations

from typing import Any

import pytest
import scapy.all as scapy

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Engine, Settings

pytestmark = pytest.mark.eal


def udp(forth: bool) -> bytes:
    src, dst, sport, dport = ("198.51.100.1", "198.51.100.2", 1000, 53)
    if not forth:
        src, dst, sport, dport = dst, src, dport, sport
    return bytes(scapy.Ether() / scapy.IP(src=src, dst=dst) / scapy.UDP(sport=sport, dport=dport) / b"x")


@pytest.fixture
def engine(eal: Any) -> Any:
    """An engine between two ports of a driver that knows no rte_flow."""
    mempool = eal.mempool(1024)
    names = ("net_null0", "net_null1")
    for name in names:
        eal.add_vdev(name, "no-rx=1")
    with Engine(eal, Settings()) as made:
        for name in names:
            made.add_port(name, mempool)
        made.join(*names)
        yield made
    for name in names:
        eal.remove_vdev(name)
    mempool.close()


def exchange(engine: Engine) -> Any:
    """A UDP exchange between the two ports, handed to the tracker; its record."""
    ports = [port.layer_port for port in engine.ports.values()]
    for i, port in enumerate(ports):
        engine.conntrack.shards[0].process(Packets.of([udp(i == 0)]), 1, port=port.id, port_generation=port.generation)
        engine.settle(1)
    (row,) = engine.conntrack.connections()
    return row


def test_a_driver_without_rules_is_declined_with_its_own_words(engine: Engine) -> None:
    row = exchange(engine)
    assert Reason(int(row["reason"])) == Reason.NO_CAPABILITY
    assert engine.rules().created == 0
    ports = [port.layer_port for port in engine.ports.values()]
    choice = engine.offload_class.choices(*ports)["udp", "ipv4", False]
    assert choice.plan == "none"
    assert "implemented" in choice.explain()


def test_a_port_of_another_name_is_not_used(engine: Engine) -> None:
    assert engine.provider.port_add(9, 1, "no_such_port") is None
    assert engine.provider.port_add(1024, 1, "net_null0") is None
    assert engine.provider.port_add(9, 1, "net_null0") is not None
