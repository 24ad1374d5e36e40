"""The running system between two representors of the stand-in: a module of functions for a `Worker`."""

from __future__ import annotations

from typing import Any

import scapy.all as scapy

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine import Engine, Settings

CLIENT, SERVER = "198.51.100.1", "198.51.100.2"

held: dict[str, Any] = {}


def start(eal_args: list[str]) -> list[str]:
    """Joins the two representors; returns the names of all ports."""
    eal = held["eal"] = Eal.start(eal_args)
    names = [port.name for port in eal.ports()]
    pool = held["pool"] = eal.mempool(4095)
    # The uplink's rules are the switch's: it has to run as well.
    uplink = held["uplink"] = eal.port(names[0])
    uplink.configure()
    uplink.setup_queues(pool, descriptors=64)
    uplink.start()
    engine = held["engine"] = Engine(eal, Settings())
    for name in names[1:]:
        engine.add_port(name, pool)
    engine.join(*names[1:])
    return names


def udp(forth: bool) -> bytes:
    src, dst, sport, dport = (CLIENT, SERVER, 1000, 53) if forth else (SERVER, CLIENT, 53, 1000)
    return bytes(scapy.Ether() / scapy.IP(src=src, dst=dst) / scapy.UDP(sport=sport, dport=dport) / b"x")


def exchange() -> dict[str, Any]:
    """A UDP question and its answer reach the tracker; what became of the connection."""
    engine = held["engine"]
    for i, port in enumerate(p.layer_port for p in engine.ports.values()):
        engine.conntrack.process(Packets.of([udp(i == 0)]), 1, port=port.id, port_generation=port.generation)
        engine.settle(1)
    (row,) = engine.conntrack.connections()
    return {"reason": Reason(int(row["reason"])).name, "created": engine.rules().created, "live": engine.rules().live}


def capabilities() -> list[tuple[str, str, bool, str]]:
    return [(c.family, c.proto, c.works, c.evidence) for c in held["engine"].provider.capabilities()]


def flush() -> int:
    """Ends all connections; how many rules are left."""
    held["engine"].conntrack.flush()
    held["engine"].settle(2)
    return int(held["engine"].rules().live)


def finish() -> None:
    held["engine"].close()
    held["uplink"].stop()
