"""Connections through drivers that stand on others: net_bonding and net_failsafe, each over an emulated NIC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import scapy.all as scapy

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Engine, Settings
from ctoffload_dpdk.providers.plan import BYPASS

pytestmark = pytest.mark.eal
MOST_PORTS = 16


class Pair:
    """Two such ports, joined by an engine, and the NICs below them."""

    def __init__(self, eal: Any, driver: str) -> None:
        from ctoffload_dpdk.nicsim import load  # noqa: PLC0415 - only a child loads DPDK

        load()
        self.eal = eal
        member = "slave" if eal.version < "DPDK 23.11" else "member"
        self.vdevs: list[str] = []
        self.names = [f"net_{driver}{i}" for i in range(2)]
        for i, name in enumerate(self.names):
            if driver == "bonding":
                self.plug_in(f"net_nicsim{i}")
                self.plug_in(name, f"mode=1,{member}=net_nicsim{i}")
            else:
                self.plug_in(name, f"dev(net_nicsim{i})")
        self.mempool = eal.mempool(4095)
        self.engine = Engine(eal, Settings(), now_ms=0)
        for name in self.names:
            self.engine.add_port(name, self.mempool)
        self.engine.join(*self.names)
        self.nics = nics_there()
        self.turn(50)

    def plug_in(self, name: str, args: str = "") -> None:
        self.eal.add_vdev(name, args)
        self.vdevs.append(name)

    def turn(self, n: int = 10) -> None:
        for _ in range(n):
            self.engine.run_once(0)

    def send(self, side: int, src: tuple[str, int], dst: tuple[str, int]) -> int:
        """A datagram arrives; how many leave at the other side."""
        frame = scapy.Ether() / scapy.IP(src=src[0], dst=dst[0]) / scapy.UDP(sport=src[1], dport=dst[1]) / b"x"
        self.nics[side].wire_send(Packets.of([bytes(frame)]))
        self.turn()
        return len(self.nics[1 - side].wire_receive())

    @property
    def nic_rules(self) -> int:
        return sum(int(nic.audit().rules.live) for nic in self.nics)

    def close(self) -> None:
        self.engine.close()
        for nic in self.nics:
            nic.close()
        for name in reversed(self.vdevs):
            self.eal.remove_vdev(name)
        self.mempool.close()


def nics_there() -> list[Any]:
    """The emulated NICs of this process, in order; a driver above may keep them from being listed."""
    from ctoffload_dpdk.nicsim import Nic, NicsimError  # noqa: PLC0415 - only a child loads DPDK

    found = []
    for number in range(MOST_PORTS):
        try:
            found.append(Nic(number))
        except NicsimError:
            continue
    return found


@pytest.fixture(params=["bonding", "failsafe"])
def pair(request: pytest.FixtureRequest, eal: Any) -> Iterator[Pair]:
    made = Pair(eal, request.param)
    yield made
    made.close()


def test_connections_are_steered_and_tracked_in_software(pair: Pair) -> None:
    """Nothing of these drivers leads past software: no switch, no hairpin, or no answer about the last use."""
    choice = pair.engine.plans(*pair.names)["udp", "ipv4", False]
    assert choice.plan not in BYPASS and choice.plan != "none", choice.explain()
    assert any(refusal.plan in BYPASS for refusal in choice.refusals), "why not better is said"
    client, server = ("198.51.100.1", 1000), ("198.51.100.2", 53)
    assert pair.send(0, client, server) == 1
    assert pair.send(1, server, client) == 1
    (row,) = pair.engine.conntrack.connections()
    assert row["offload"] == 2, (Reason(int(row["reason"])), pair.engine.provider.stats().refusal)
    rules = pair.engine.rules()
    assert rules.live == pair.nic_rules > 2
    seen = pair.engine.packets().host_rx
    assert pair.send(0, client, server) == pair.send(1, server, client) == 1
    assert pair.engine.packets().host_rx == seen + 2, "software sees each packet"
    pair.engine.conntrack.flush()
    pair.turn(50)
    stats = pair.engine.provider.stats()
    assert stats.rules_live == stats.rules_static == pair.nic_rules
    pair.engine.drain(20_000)
    pair.engine.run_once(40_000)
    pair.engine.run_once(60_000)
    assert pair.engine.rules().live == pair.nic_rules == 0
