"""An engine on two ports of each driver that moves packets in software: does it forward, and why has it no rules.

    python software_guest.py DIRECTORY KIND...

Run in a network namespace of its own. Prints the answers as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import scapy.all as scapy

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine import Engine, Settings

EAL = "--no-pci --no-huge -m 128 --no-shconf --no-telemetry"
LIMIT_S = 10
OFFLOADED = ("no", "pending", "yes")
CLIENT, SERVER = "198.51.100.1", "198.51.100.2"
WORDS = (b"a question", b"an answer")


def datagram(side: int) -> bytes:
    src, dst = (CLIENT, SERVER) if side == 0 else (SERVER, CLIENT)
    sport, dport = (1000, 53) if side == 0 else (53, 1000)
    ether = scapy.Ether(src=f"02:00:00:00:00:0{side}", dst=f"02:00:00:00:00:0{1 - side}")
    return bytes(ether / scapy.IP(src=src, dst=dst) / scapy.UDP(sport=sport, dport=dport) / WORDS[side])


class Null:
    """Receives packets for ever, nobody wrote what they hold; throws away what is sent."""

    names = ("net_null0", "net_null1")

    def __init__(self, directory: Path) -> None:
        self.vdevs = [f"{name},size=64" for name in self.names]

    def open(self, eal: Eal, pool: Any) -> None: ...

    def send(self, side: int) -> None: ...

    def received(self, side: int) -> bool:
        return False


class Ring(Null):
    """What is sent comes in again by the same port; nothing else does."""

    names = ("net_ring0", "net_ring1")

    def __init__(self, directory: Path) -> None:
        self.vdevs = list(self.names)
        self.engine: Engine | None = None
        self.pool: Any = None

    def open(self, eal: Eal, pool: Any) -> None:
        self.pool = pool

    def send(self, side: int) -> None:
        assert self.engine is not None
        self.engine.port(self.names[side]).port.tx_burst(Packets.of([datagram(side)]), self.pool)


class Pcap(Null):
    """Receives what one file holds, and writes what is sent into another."""

    names = ("net_pcap0", "net_pcap1")

    def __init__(self, directory: Path) -> None:
        self.out = [directory / f"out{i}.pcap" for i in range(2)]
        self.vdevs = []
        for i, name in enumerate(self.names):
            scapy.wrpcap(str(directory / f"in{i}.pcap"), [scapy.Ether(datagram(i))])
            self.vdevs.append(f"{name},rx_pcap={directory / f'in{i}.pcap'},tx_pcap={self.out[i]}")

    def received(self, side: int) -> bool:
        """The file is whole once the port was closed: asked at the end."""
        packets = read_capture(str(self.out[side])).packets
        return any(WORDS[1 - side] in packet for packet in packets)


class Memif(Null):
    """Shared memory; the far ends are ports of this process, too."""

    names = ("net_memif0", "net_memif1")
    far = ("net_memif2", "net_memif3")

    def __init__(self, directory: Path) -> None:
        self.vdevs, self.ports, self.pool = [], [], None
        for i in range(2):
            place = f"id={i},socket={directory / f'memif{i}'},socket-abstract=no"
            self.vdevs += [f"{self.names[i]},role=server,{place}", f"{self.far[i]},role=client,{place}"]
        self.got: list[list[bytes]] = [[], []]

    def open(self, eal: Eal, pool: Any) -> None:
        self.pool = pool
        for name in self.far:
            port = eal.port(name)
            port.configure()
            port.setup_queues(pool)
            port.start()
            self.ports.append(port)
        end = time.monotonic() + LIMIT_S
        while not all(port.link().is_up for port in self.ports) and time.monotonic() < end:
            time.sleep(0.01)
        for port in self.ports:
            port.rx_burst(0, 32)  # a client's first look gives the server buffers to send into

    def send(self, side: int) -> None:
        self.ports[side].tx_burst(Packets.of([datagram(side)]), self.pool)

    def received(self, side: int) -> bool:
        self.got[side] += list(self.ports[side].rx_burst(0, 32).packets)
        return any(WORDS[1 - side] in packet for packet in self.got[side])


class AfPacket(Null):
    """A kernel interface, one end of a veth pair."""

    names = ("net_af_packet0", "net_af_packet1")

    def __init__(self, directory: Path) -> None:
        import socket  # noqa: PLC0415

        self.vdevs, self.sockets = [], []
        for i, name in enumerate(self.names):
            for line in (f"link add v{i} type veth peer name w{i}", f"link set v{i} up", f"link set w{i} up"):
                subprocess.run(["ip", *line.split()], check=True)
            self.vdevs.append(f"{name},iface=v{i}")
            link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            link.bind((f"w{i}", 0))
            link.settimeout(0.05)
            self.sockets.append(link)

    def send(self, side: int) -> None:
        self.sockets[side].send(datagram(side))

    def received(self, side: int) -> bool:
        try:
            return WORDS[1 - side] in self.sockets[side].recv(2048)
        except TimeoutError:
            return False


KINDS = {"null": Null, "ring": Ring, "pcap": Pcap, "memif": Memif, "af_packet": AfPacket}


class Looks:
    """What an engine says of its connections, looked at after each turn."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: set[tuple[str, str]] = set()

    def run(self, turns: int = 50) -> None:
        """Bounded: what loops back by itself would keep an engine busy for ever."""
        for _ in range(turns):
            self.engine.run_once(1)
            for row in self.engine.conntrack.connections():
                self.seen.add((OFFLOADED[int(row["offload"])], Reason(int(row["reason"])).text))


def tried(kind: str, eal: Eal, pool: Any, world: Any) -> dict[str, Any]:
    """An engine on two ports of this kind, and a datagram from each side."""
    engine = Engine(eal, Settings())
    for name in world.names:
        engine.add_port(name, pool)
    engine.join(*world.names)
    choice = engine.plans(*world.names)["udp", "ipv4", False]
    world.engine = engine
    world.open(eal, pool)
    looks, arrived = Looks(engine), [False, False]
    for side in range(2):
        end = time.monotonic() + LIMIT_S
        world.send(side)
        while not arrived[1 - side] and time.monotonic() < end:
            looks.run()
            if kind in ("null", "ring", "pcap"):
                break
            arrived[1 - side] = world.received(1 - side)
    packets = engine.packets()
    found: dict[str, Any] = {
        "plan": str(choice.plan), "why": choice.explain(), "host_rx": packets.host_rx, "host_tx": packets.host_tx,
        "connections": len(engine.conntrack.connections()), "seen": sorted(looks.seen),
        "rules": engine.rules().created, "problems": engine.connections().problems(),
    }  # fmt: skip
    engine.close()
    if kind == "pcap":
        arrived = [world.received(side) for side in range(2)]
    return found | {"arrived": arrived}


def main() -> None:
    directory, kinds = Path(sys.argv[1]), sys.argv[2:]
    worlds = {kind: KINDS[kind](directory) for kind in kinds}
    vdevs = [word for world in worlds.values() for vdev in world.vdevs for word in ("--vdev", vdev)]
    with Eal.start([*EAL.split(), *vdevs]) as eal:
        pool = eal.mempool(4095)
        found = {kind: tried(kind, eal, pool, world) for kind, world in worlds.items()}
    print("ANSWER " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
