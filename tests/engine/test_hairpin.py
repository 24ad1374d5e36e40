"""One port, joined with itself: connections leave by the port they came by, through a hairpin queue of the NIC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import scapy.all as scapy
from story import with_plan

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Engine

pytestmark = pytest.mark.eal
NAME = "net_nicsim0"


class Loop:
    """The port, its engine, and a TCP connection through it."""

    def __init__(self, eal: Any, plan: str, engine: str, **parameters: Any) -> None:
        from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - only a child loads DPDK

        self.eal = eal
        self.mempool = eal.mempool(1023)
        self.nic = Nic.create(eal, NAME, clock="manual", **parameters)
        self.engine = Engine(eal, with_plan(plan, engine), now_ms=0)
        self.engine.add_port(NAME, self.mempool)
        self.engine.join(NAME, NAME)

    def send(self, forth: bool, flags: str) -> int:
        """A segment arrives; how many leave by the wire."""
        src, dst, sport, dport = ("198.51.100.1", "198.51.100.2", 1000, 80)
        if not forth:
            src, dst, sport, dport = dst, src, dport, sport
        l4 = scapy.TCP(sport=sport, dport=dport, flags=flags, seq=100 + (flags == "A"), ack=0 if flags == "S" else 101)
        self.nic.wire_send(Packets.of([bytes(scapy.Ether() / scapy.IP(src=src, dst=dst) / l4)]))
        self.engine.settle(0)
        return len(self.nic.wire_receive())

    def close(self) -> None:
        self.engine.close()
        self.nic.close()
        self.eal.remove_vdev(NAME)
        self.mempool.close()


@pytest.fixture
def make_loop(eal: Any) -> Iterator[Any]:
    made: list[Loop] = []

    def make(*args: Any, **parameters: Any) -> Loop:
        made.append(Loop(eal, *args, **parameters))
        return made[-1]

    yield make
    for loop in made:
        loop.close()


@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("plan", ["ct", "age", "count"])
def test_a_connection_passes_the_port_and_leaves_by_it(make_loop: Any, plan: str, engine: str) -> None:
    loop = make_loop(plan, engine)
    port = loop.engine.port(NAME).layer_port
    choice = loop.engine.offload_class.choices(port, port)["tcp", "ipv4", False]
    assert (choice.plan, choice.fate) == (plan, "hairpin"), choice.explain()
    for forth, flags in ((True, "S"), (False, "SA"), (True, "A")):
        assert loop.send(forth, flags) == 1
    (row,) = loop.engine.conntrack.connections()
    assert row["offload"] == 2, (Reason(int(row["reason"])), loop.engine.provider.stats().refusal)
    seen = loop.engine.packets().host_rx
    assert loop.send(True, "A") == loop.send(False, "A") == 1
    assert loop.engine.packets().host_rx == seen
    assert loop.send(True, "FA") == 1
    assert loop.engine.packets().host_rx == seen + 1
    stats = loop.engine.provider.stats()
    assert stats.rules_live == stats.rules_static
    assert stats.contexts_live == 0
    assert loop.nic.audit().rules.live == stats.rules_live
