"""The rte_flow provider against drivers that have no rules, and what it says of ports."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import scapy.all as scapy

from ctoffload_dpdk.base.errors import ProviderError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Engine, Settings
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.providers.plan import Fate, LastUsed, Plan
from ctoffload_dpdk.providers.rte_flow import RteFlowProvider

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


NO_PORTS = [-1, 32, 65535, 1 << 40]


@pytest.mark.parametrize("ethdev", NO_PORTS)
@pytest.mark.parametrize(
    "call",
    [
        lambda provider, ethdev: provider.set_misses(ethdev, True),
        lambda provider, ethdev: provider.set_one_group(ethdev, True),
        lambda provider, ethdev: provider.set_engine(ethdev, False),
        lambda provider, ethdev: provider.has_rules(ethdev),
        lambda provider, ethdev: provider.set_zone(ethdev, (), 1),
        lambda provider, ethdev: provider.set_plan(ethdev, 0, (0, 0, False), Plan.NONE, Fate.QUEUE, LastUsed.SOFTWARE),
    ],
    ids=["set_misses", "set_one_group", "set_engine", "has_rules", "set_zone", "set_plan"],
)
def test_a_number_that_no_dpdk_port_has_is_refused(call: Callable[[RteFlowProvider, int], Any], ethdev: int) -> None:
    with pytest.raises(UsageError, match=f"no DPDK port {ethdev}"):
        call(RteFlowProvider(), ethdev)


@pytest.mark.parametrize(
    ("tags", "zone"),
    [
        ((1, 2, 3), 5),
        (tuple(range(255)), 5),
        ((4096,), 5),
        ((-1,), 5),
        ((5,), 65536),
        ((), -1),
    ],
)
def test_vlans_and_zones_that_cannot_be_are_refused(tags: tuple[int, ...], zone: int) -> None:
    with pytest.raises(UsageError, match="cannot be in zone") as raised:
        RteFlowProvider().set_zone(0, tags, zone)
    assert raised.value.hint == "at most 2 VLAN ids of 0 to 4095, a zone of 0 to 65535"


@pytest.mark.parametrize("kind", [(3, 0, False), (-1, 0, False), (0, 2, False), (0, -1, False)])
def test_a_plan_for_connections_that_there_are_not_is_refused(kind: tuple[int, int, bool]) -> None:
    with pytest.raises(UsageError, match="no connections of protocol"):
        RteFlowProvider().set_plan(0, 0, kind, Plan.NONE, Fate.QUEUE, LastUsed.SOFTWARE)


@pytest.mark.parametrize("size", [-1, 1 << 32])
@pytest.mark.parametrize("name", ["n_queues", "queue_size", "n_rules"])
def test_an_engine_of_sizes_that_cannot_be_is_refused(name: str, size: int) -> None:
    with pytest.raises(UsageError, match=f"set_engine: {name} {size} is not between"):
        RteFlowProvider().set_engine(0, True, **{name: size})


def test_one_layer_has_it_at_a_time() -> None:
    provider, first, second = RteFlowProvider(), OffloadLayer(), OffloadLayer()
    first.register(provider)
    with pytest.raises(ProviderError, match="init failed") as raised:
        second.register(provider)
    assert raised.value.errno == errno.EBUSY
    assert second.providers() == []
    first.close()
    second.register(provider)
    second.close()
