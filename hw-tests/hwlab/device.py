"""The device under test as DPDK has it: EAL, its ports, what is at the far end of their wires, and the clock."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ctoffload_dpdk.base.errors import CtoffloadError, PortError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.cli.devices import Device as Named
from ctoffload_dpdk.cli.devices import find_device, not_taken
from ctoffload_dpdk.dpdk import Eal, Event, Port, eal_args
from ctoffload_dpdk.engine import Engine
from ctoffload_dpdk.engine.account import differs
from hwlab.inventory import EMULATED, STANDIN, VDEV

EMULATED_PORTS = ("net_nicsim0", "net_nicsim1")
EMULATED_CAPACITY = 1 << 17
NICSIM = "net_nicsim"
# As many frames as a receive ring of any driver holds.
PORTION = 32
PEER = "dpdk:"


def frames_of(data: bytes, lengths: list[int]) -> Packets:
    """Frames that came as one block and the length of each."""
    length = np.array(lengths, np.uint32)
    offset = np.zeros(len(lengths), np.uint64)
    offset[1:] = np.cumsum(length[:-1], dtype=np.uint64)
    return Packets(np.frombuffer(data, np.uint8), offset, length)


class Device:
    """Starts DPDK with the devices of an inventory, given as plain values. Raises CtoffloadError, in words."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.is_by_hand = spec["dut"][0].startswith(EMULATED)
        self.opened: dict[str, Port] = {}
        self.nics: list[Any] = []
        self.devices = [self._named(text) for text in spec["dut"]]
        peers = [self._peer(text) for text in spec["peers"] if text.startswith(PEER)]
        self.eal = self._start(spec, peers)
        if self.is_by_hand:
            self._plug_in(spec["dut"][0])
        self.names = self._ports()
        self.sides = list(spec["forward"]) or (self.names[-2:] if len(self.names) > 1 else self.names * 2)
        for name in self.sides:
            if name not in self.names:
                raise PortError(f"there is no port {name}", hint=f"there are: {', '.join(self.names)}", port=name)
        self._pool = self.eal.mempool(4095, name="hwlab-peers") if peers else None
        self.peers = [self._open_peer(peer.name) for peer in peers]
        self.began_ms = self._clock_ms()
        self.removed: set[str] = set()
        by_id = {address.id: address.name for address in self.eal.ports()}
        self._subscription = self.eal.on_event(Event.REMOVED, lambda number, _: self.removed.add(by_id[number]))

    # Starting ------------------------------------------------------------------------------------------------------

    def _named(self, text: str) -> Named:
        if text.startswith((EMULATED, STANDIN)):
            return Named(text, "", False)
        if text.startswith(VDEV):
            name, _, args = text.removeprefix(VDEV).partition(",")
            return Named(name, args, False)
        return find_device(text)

    def _peer(self, text: str) -> Named:
        name = text.removeprefix(PEER)
        return self._named(VDEV + name if name.startswith("net_") else name)

    def _start(self, spec: dict[str, Any], peers: list[Named]) -> Eal:
        everything = [*self.devices, *peers]
        if any(d.name.startswith(NICSIM) for d in everything):
            from ctoffload_dpdk.nicsim import load  # noqa: PLC0415 - nothing of it in a process for a real NIC

            load()
        if spec["eal_args"]:
            return Eal.start(spec["eal_args"])
        arguments = eal_args(
            "hugepages" if spec["hugepages"] else "no-huge",
            memory_mb=spec["memory_mb"],
            allow=[d.devargs for d in everything if d.is_pci],
            vdevs=[d.devargs for d in everything if not d.is_pci and not self.is_by_hand],
            file_prefix=f"ctoffload-lab-{os.getpid()}",
        )
        return Eal.start(arguments)

    def _plug_in(self, text: str) -> None:
        from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - the emulated NIC alone

        profile, _, rest = text.removeprefix(EMULATED).partition(",")
        more: dict[str, Any] = dict(word.split("=", 1) for word in filter(None, rest.split(",")))
        given = {"profile": profile, "switch": 7, "clock": "manual", "capacity": EMULATED_CAPACITY} | more
        self.nics = [Nic.create(self.eal, name, **given) for name in EMULATED_PORTS]

    def _ports(self) -> list[str]:
        """The names of all ports of the devices under test. Raises PortError for a device without one."""
        there = [address.name for address in self.eal.ports()]
        if self.is_by_hand:
            return list(EMULATED_PORTS)
        found: list[str] = []
        for device in self.devices:
            own = [n for n in there if device.name.startswith(STANDIN) or device.names(n)]
            if not own:
                raise not_taken(device, self.eal.log.errors_since(0))
            found += own
        return found

    def _open_peer(self, name: str) -> Port:
        port = self.eal.port(name)
        port.configure()
        port.setup_queues(self._pool)
        port.start()
        return port

    def open(self, name: str) -> Port:
        """A port under test, opened once."""
        if name not in self.opened:
            self.opened[name] = self.eal.port(name)
        return self.opened[name]

    def try_promiscuous(self, port: Port) -> None:
        with contextlib.suppress(PortError):
            port.set_promiscuous()

    # What it is ----------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """The machine, its DPDK, and each port; once the ports are open."""
        return {
            "machine": machine(),
            "dpdk": self.eal.version.removeprefix("DPDK "),
            "python": platform.python_version(),
            "sides": self.sides,
            "is_by_hand": self.is_by_hand,
            "ports": [self._port_facts(name) for name in self.names],
        }

    def _port_facts(self, name: str) -> dict[str, Any]:
        port = self.open(name)
        info = port.info()
        return {
            "name": name,
            "driver": info.driver,
            "firmware": port.firmware(),
            "devargs": info.devargs,
            "mac": info.mac,
            "max_rx_queues": info.max_rx_queues,
            "max_tx_queues": info.max_tx_queues,
            "switch_domain": info.switch_domain,
            "is_representor": info.is_representor,
        }

    def index(self, side: int) -> int:
        return self.names.index(self.sides[side % len(self.sides)])

    def port(self, side: int) -> Port:
        return self.open(self.sides[side % len(self.sides)])

    def other_side(self, name: str) -> str:
        """The port that a side is joined with; empty for the other ports, and where one is joined with itself."""
        ends = {self.sides[0], self.sides[-1]} - {name}
        return ends.pop() if name in self.sides and len(ends) == 1 else ""

    def peer_of(self, name: str) -> str:
        """The other side, where no switch joins the two: the hairpins of both lead to each other."""
        other = self.other_side(name)
        return "" if self.is_by_hand or owner_of(name) == owner_of(other) else other

    # Time ----------------------------------------------------------------------------------------------------------

    def _clock_ms(self) -> int:
        return int(self.nics[0].now_ms()) if self.is_by_hand else time.monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        return self._clock_ms() - self.began_ms

    def advance_ms(self, ms: int) -> None:
        self.nics[0].advance_ms(ms)

    # Traffic -------------------------------------------------------------------------------------------------------

    def portions(self, frames: Packets) -> Iterator[Packets]:
        for first in range(0, len(frames), PORTION):
            yield frames.slice(first, min(first + PORTION, len(frames)))

    def send(self, side: int, frames: Packets) -> None:
        if self.is_by_hand:
            self.nics[side].wire_send(frames)
            return
        sent = 0
        while sent < len(frames):
            sent += self.peers[side].tx_burst(frames.slice(sent, len(frames)), self._pool)

    def receive(self, side: int) -> list[bytes]:
        if self.is_by_hand:
            return list(self.nics[side].wire_receive())
        found: list[bytes] = []
        empty = 0
        while empty < 3:
            burst = self.peers[side].rx_burst(0, 64)
            found += list(burst.packets)
            empty = 0 if len(burst) else empty + 1
        return found

    def send_at_rate(self, side: int, frames: Packets, seconds: float, run: Callable[[], int]) -> dict[str, float]:
        """The frames over and over from a DPDK port, as fast as it takes them; what arrives is thrown away."""
        peer = self.peers[side]
        began = time.monotonic()
        sent = 0
        while time.monotonic() - began < seconds:
            sent += peer.tx_burst(frames, self._pool)
            for other in self.peers:
                other.rx_burst(0, 64)
            run()
        return {"packets": sent, "seconds": time.monotonic() - began}

    def set_link(self, side: int, up: bool) -> None:
        """The link of a side, by the far end where it is in our hands, else by the port itself."""
        if self.is_by_hand:
            self.nics[side].set_link(up)
        else:
            self.port(side).set_link(up)

    # Books ---------------------------------------------------------------------------------------------------------

    def audit(self) -> dict[str, int]:
        audits = [nic.audit() for nic in self.nics]
        return {"rules": sum(a.rules.live for a in audits), "objects": sum(a.objects.live for a in audits)}

    def problems(self, engine: Engine) -> list[str]:
        """Each sum of an engine's books that does not add up."""
        found = engine.connections().problems()
        held = {"rules": engine.rules(), "objects": engine.contexts()}
        for name, books in held.items():
            found += differs(
                f"{name}.created", books.created, "destroyed + lost + live", books.destroyed + books.lost + books.live
            )
        for name, n in (self.audit() if self.is_by_hand else {}).items():
            found += differs(f"{name}.live", held[name].live, f"what the NIC itself holds of {name}", n)
        return found

    def close(self) -> None:
        self._subscription.close()
        for port in [*reversed(self.opened.values()), *self.peers]:
            with contextlib.suppress(CtoffloadError):
                port.close()


def owner_of(name: str) -> str:
    """The device that a port is one of: representors have the name of theirs in front."""
    return name.partition("_representor_")[0]


def machine() -> dict[str, Any]:
    """The machine in a few words."""
    cpus = [line for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return {
        "host": platform.node(),
        "cpu": cpus[0].partition(":")[2].strip() if cpus else platform.machine(),
        "cpus": os.cpu_count() or 0,
        "kernel": platform.release(),
        "hugepages_free": int(read("/proc/sys/vm/nr_hugepages") or 0),
    }


def read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
