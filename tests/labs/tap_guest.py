"""A TAP device of a kernel that has tc flower, under the provider: what `tc filter show` says at each step, as JSON.

    python tap_guest.py

Runs where it may make interfaces: as root in a virtual machine, or in a network namespace.
"""

from __future__ import annotations

import json
import platform
import re
import socket
import subprocess
import time
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine import Engine, Settings
from ctoffload_dpdk.providers.plan import Family, Proto

EAL = "--no-pci --no-huge -m 64 --no-shconf --no-telemetry --vdev net_tap0,iface=t0 --vdev net_tap1,iface=t1"
PORTS, INTERFACES = ("net_tap0", "net_tap1"), ("t0", "t1")
CLIENT, SERVER = "198.51.100.1", "198.51.100.2"
LIMIT_S = 30
N_HITS = 5


class Wire:
    """The kernel's ends of both devices: what is sent there arrives at DPDK's port."""

    def __init__(self) -> None:
        self.sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in INTERFACES]
        for link, name in zip(self.sockets, INTERFACES, strict=True):
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
            link.bind((name, 0))

    def send(self, side: int, l4: Any) -> None:
        src, dst = (CLIENT, SERVER) if side == 0 else (SERVER, CLIENT)
        self.sockets[side].send(bytes(Ether(dst="02:00:00:00:00:01") / IP(src=src, dst=dst) / l4))


def filters(interface: str) -> list[dict[str, Any]]:
    """Rules of a connection as the kernel has them: what they match, packets that hit them, the queue they choose."""
    done = subprocess.run(["tc", "-s", "filter", "show", "dev", interface], capture_output=True, text=True, check=True)
    found = []
    for block in re.split(r"^filter ", done.stdout, flags=re.MULTILINE):
        keys = dict(re.findall(r"^\s+(src_ip|dst_ip|src_port|dst_port|ip_proto) (\S+)$", block, re.MULTILINE))
        if len(keys) == 5:
            hits = re.search(r"Sent \d+ bytes (\d+) pkt", block)
            found.append({**keys, "hits": int(hits[1]) if hits else 0, "does": "skbedit" in block})
    return found


def run(engine: Engine, began: float) -> None:
    for _ in range(20):
        engine.settle(int((time.monotonic() - began) * 1000))
        time.sleep(0.01)


def until(engine: Engine, began: float, condition: Any) -> bool:
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        run(engine, began)
    return True


def tcp(side: int, flags: str, seq: int, ack: int) -> Any:
    sport, dport = (1000, 80) if side == 0 else (80, 1000)
    return TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack)


def connection(engine: Engine) -> dict[str, Any]:
    rows = [row for row in engine.conntrack.connections() if int(row["dst_port"]) == 80]
    return {"in_hardware": bool(rows and rows[0]["offload"] == 2),
            "reason": Reason(int(rows[0]["reason"])).text if rows else "not there"}  # fmt: skip


def main() -> None:
    began = time.monotonic()
    found: dict[str, Any] = {"kernel": platform.release()}
    with Eal.start(EAL.split()) as eal:
        engine = Engine(eal, Settings())
        pool = eal.mempool(2047)
        for name in PORTS:
            engine.add_port(name, pool)
        engine.join(*PORTS)
        choice = engine.plans(*PORTS)[Proto.TCP, Family.IPV4, False]
        found |= {"plan": str(choice.plan), "fate": str(choice.fate), "why": choice.explain()}
        wire = Wire()
        found["before"] = {name: filters(name) for name in INTERFACES}
        for side, flags, seq, ack in ((0, "S", 100, 0), (1, "SA", 500, 101), (0, "A", 101, 501)):
            wire.send(side, tcp(side, flags, seq, ack))
            run(engine, began)
        until(engine, began, lambda: connection(engine)["in_hardware"])
        found["connection"] = connection(engine)
        found["refusal"] = engine.provider.stats().refusal
        found["installed"] = {name: filters(name) for name in INTERFACES}
        for _ in range(N_HITS):
            wire.send(0, tcp(0, "PA", 101, 501))
        wire.send(1, tcp(1, "A", 501, 101))
        run(engine, began)
        found["hit"] = {name: filters(name) for name in INTERFACES}
        received = engine.packets().host_rx
        engine.conntrack.flush()
        until(engine, began, lambda: not any(filters(name) for name in INTERFACES))
        found["after"] = {name: filters(name) for name in INTERFACES}
        found |= {"host_rx": received, "rules": engine.rules().live, "problems": engine.connections().problems()}
        engine.close()
        pool.close()
    print("ANSWER " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
