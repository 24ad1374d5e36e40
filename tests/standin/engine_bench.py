"""The running system between two ports of the stand-in: a module of functions for a `Worker`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import scapy.all as scapy

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack.nat import Nat
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine import Engine, Settings

ANSWER_LIMIT_S = 5
CLIENT, SERVER = "198.51.100.1", "198.51.100.2"
CLIENT_V6, SERVER_V6 = "2001:db8::1", "2001:db8::2"
# Where the source of a translated connection goes, by family.
TRANSLATED, TRANSLATED_PORT = ("192.0.2.7", "2001:db8:1::7"), 5000

held: dict[str, Any] = {}


def start(eal_args: list[str], settings: dict[str, Any]) -> list[str]:
    """Joins the two representors, or two ports without a switch; returns all names. settings: not as by default."""
    eal = held["eal"] = Eal.start(eal_args)
    names = [port.name for port in eal.ports()]
    pool = held["pool"] = eal.mempool(4095)
    # Of three, the first is the uplink: its rules are the switch's, so it has to run as well.
    engine = held["engine"] = Engine(eal, replace(Settings(), **settings))
    two_ports = names if len(names) == 2 else []
    for name in names:
        engine.add_port(name, pool, peer=next((other for other in two_ports if other != name), ""))
    # One port alone is joined with itself.
    held["ends"] = two_ports or names[1:] or names * 2
    engine.join(*held["ends"])
    return names


def ends() -> list[Any]:
    """The two joined ports, as the layer knows them."""
    return [held["engine"].port(name).layer_port for name in held["ends"]]


def frame(proto: str, forth: bool, ipv6: bool, *, vlans: tuple[int, ...], flags: str, nat: bool) -> bytes:
    """A packet of one direction of the connection between the client and the server. nat: replies go to TRANSLATED."""
    ends = (CLIENT_V6, SERVER_V6) if ipv6 else (CLIENT, SERVER)
    src, dst = ends if forth else ends[::-1]
    sport, dport = (1000, 80) if forth else (80, 1000)
    if nat and not forth:
        dst, dport = TRANSLATED[ipv6], TRANSLATED_PORT
    l4 = {
        "tcp": scapy.TCP(
            sport=sport, dport=dport, flags=flags, seq=100 + (flags == "A"), ack=0 if flags == "S" else 101
        ),
        "udp": scapy.UDP(sport=sport, dport=dport),
        "icmp": scapy.ICMP(type=8 if forth else 0, id=7),
    }[proto]
    packet = scapy.Ether()
    for tag in vlans:
        packet /= scapy.Dot1Q(vlan=tag)
    return bytes(packet / (scapy.IPv6 if ipv6 else scapy.IP)(src=src, dst=dst) / l4)


def set_zone(vlans: tuple[int, ...], zone: int) -> None:
    """Packets with these tags are in the zone, on both ports."""
    for name in held["ends"]:
        held["engine"].set_zone(name, vlans[0], vlans[1] if len(vlans) > 1 else None, zone)


def establish(proto: str, ipv6: bool, vlans: tuple[int, ...] = (), zone: int = 0, nat: bool = False) -> tuple[str, str]:
    """A connection opens and is answered; its reason, and the driver's last words. nat: its source is translated."""
    engine = held["engine"]
    ports = ends()
    rule = Nat.parse(f"src=[{TRANSLATED[ipv6]}]:{TRANSLATED_PORT}") if nat else None
    for forth, flags in ((True, "S"), (False, "SA"), (True, "A")):
        port = ports[0 if forth else 1]
        packets = Packets.of([frame(proto, forth, ipv6, vlans=vlans, flags=flags, nat=nat)]).copy()
        engine.conntrack.shards[0].process(
            packets, 1, nat=rule, port=port.id, port_generation=port.generation, zone=zone
        )
        settle(1)
    number = {"tcp": 6, "udp": 17, "icmp": 1}[proto]
    rows = engine.conntrack.connections()
    (row,) = [r for r in rows if r["proto"] == number and r["family"] == (6 if ipv6 else 4)]
    return Reason(int(row["reason"])).name, refusal()


def contexts() -> int:
    """Live CONNTRACK objects of connections."""
    return int(held["engine"].contexts().live)


def pipeline() -> int:
    """Live rules that are no connection's."""
    return int(held["engine"].provider.stats().rules_static)


def udp(forth: bool) -> bytes:
    src, dst, sport, dport = (CLIENT, SERVER, 1000, 53) if forth else (SERVER, CLIENT, 53, 1000)
    return bytes(scapy.Ether() / scapy.IP(src=src, dst=dst) / scapy.UDP(sport=sport, dport=dport) / b"x")


def settle(now_ms: int) -> None:
    """Until every rule is in or out: the device answers on a thread of its own."""
    engine = held["engine"]
    until = time.monotonic() + ANSWER_LIMIT_S
    engine.settle(now_ms)
    while engine.provider.stats().unsettled and time.monotonic() < until:
        engine.settle(now_ms)


def exchange() -> dict[str, Any]:
    """A UDP question and its answer reach the tracker; what became of the connection."""
    engine = held["engine"]
    for i, port in enumerate(ends()):
        engine.conntrack.shards[0].process(Packets.of([udp(i == 0)]), 1, port=port.id, port_generation=port.generation)
        settle(1)
    (row,) = engine.conntrack.connections()
    return {"reason": Reason(int(row["reason"])).name, "created": engine.rules().created, "live": engine.rules().live}


def choices() -> dict[str, str]:
    """The plan for each kind of connection between the two, explained."""
    engine = held["engine"]
    found = engine.offload_class.choices(*ends())
    return {f"{p}/{f}/{'nat' if nat else 'plain'}": choice.explain() for (p, f, nat), choice in found.items()}


def refusal() -> str:
    """The driver's last words."""
    return str(held["engine"].provider.stats().refusal)


def flush() -> int:
    """Ends all connections; how many rules are left."""
    held["engine"].conntrack.flush()
    settle(2)
    return int(held["engine"].rules().live)


def finish() -> None:
    held["engine"].close()
