"""Connections that speak, through the device under test or straight to its tracker."""

from __future__ import annotations

import itertools
import time
from typing import Any

import scapy.all as scapy

from hwlab.client import Bench
from hwlab.frames import CLIENT, SERVER, frame
from hwlab.traffic import Generator, until_received

numbers = itertools.count(1)


class System:
    """An engine on the device under test, and what is at the far ends of its wires."""

    def __init__(self, bench: Bench, wires: list[Generator], settings: dict[str, Any], *, across: bool = False) -> None:
        self.bench = bench
        self.wires = wires
        bench.call("engine_start", settings, across=across)
        self.choices: dict[str, dict[str, str]] = bench.call("choices")

    @property
    def has_traffic(self) -> bool:
        return bool(self.wires)

    def deliver(self, side: int, data: bytes) -> None:
        """A frame arrives at a side; software handles what reaches it."""
        if not self.has_traffic:
            self.bench.call("inject", side, data, [len(data)])
            return
        self.wires[side % len(self.wires)].send([data])
        self.settle()

    def settle(self) -> None:
        """Until what arrived is handled and every rule is in or out."""
        if not self.bench.inventory.is_emulated:
            self.bench.call("wait", 0.05)
        assert self.bench.call("engine_run"), "rules were still on their way after 5 s"

    def passes(self, side: int, data: bytes, wanted: bytes) -> bool:
        """Whether a frame that holds `wanted` leaves at the other side when this one arrives."""
        other = self.wires[(1 - side) % len(self.wires)]
        other.receive(0.0)
        self.wires[side % len(self.wires)].send([data])
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            self.settle()
            if until_received(other, wanted, 0.1):
                return True
        return False

    def stats(self) -> dict[str, Any]:
        got: dict[str, Any] = self.bench.call("stats")
        return got

    @property
    def rules(self) -> int:
        """Live rules of connections."""
        now = self.stats()
        return int(now["rules_live"] - now["rules_static"])

    def wait(self, seconds: float) -> None:
        self.bench.call("wait", seconds)

    def wait_until_empty(self, seconds: float) -> float:
        """Until no connection is left; after how many seconds, by the device's clock."""
        for fifth in range(round(seconds * 5)):
            if not self.stats()["connections"]["live"]:
                self.settle()
                return fifth / 5
            self.wait(0.2)
        raise AssertionError(f"{self.stats()['connections']['live']} connections are left after {seconds} s")

    def tcp(self, **kwargs: Any) -> Tcp:
        return Tcp(self, **kwargs)

    def udp(self, **kwargs: Any) -> Udp:
        return Udp(self, **kwargs)


class Connection:
    """Two ends and what the tracker says of them."""

    proto, name, port = 0, "", 0

    def __init__(self, system: System, *, ipv6: bool = False) -> None:
        self.system = system
        self.ipv6 = ipv6
        self.sport = 10_000 + next(numbers)

    @property
    def row(self) -> dict[str, Any] | None:
        rows = self.system.bench.call("connections")
        return next((r for r in rows if (r["proto"], r["sport"]) == (self.proto, self.sport)), None)

    @property
    def is_live(self) -> bool:
        return self.row is not None

    @property
    def in_hardware(self) -> bool:
        return bool(self.row and self.row["in_hardware"])

    @property
    def reason(self) -> str:
        return self.row["reason"] if self.row else "ended"

    @property
    def choice(self) -> dict[str, str]:
        """The plan for connections of this kind."""
        return self.system.choices[f"{self.name}/{'ipv6' if self.ipv6 else 'ipv4'}"]

    def ports(self, side: int) -> dict[str, int]:
        ends = (self.sport, self.port) if side == CLIENT else (self.port, self.sport)
        return {"sport": ends[0], "dport": ends[1]}


class Tcp(Connection):
    """Both ends keep their sequence numbers."""

    proto, name, port = 6, "tcp", 80

    def __init__(self, system: System, *, ipv6: bool = False, established: bool = True) -> None:
        super().__init__(system, ipv6=ipv6)
        self.seq = [1000, 5000]
        for side, flags in ((CLIENT, "S"), (SERVER, "SA"), (CLIENT, "A")) if established else ():
            self.send(side, flags)

    def segment(self, side: int, flags: str, payload: bytes = b"") -> bytes:
        ack = self.seq[1 - side] if "A" in flags else 0
        l4 = scapy.TCP(**self.ports(side), flags=flags, seq=self.seq[side], ack=ack)
        self.seq[side] += len(payload) + ("S" in flags) + ("F" in flags)
        return frame(side, l4 / payload, ipv6=self.ipv6)

    def send(self, side: int, flags: str, payload: bytes = b"") -> None:
        self.system.deliver(side, self.segment(side, flags, payload))

    def close(self) -> None:
        for side, flags in ((CLIENT, "FA"), (SERVER, "FA"), (CLIENT, "A")):
            self.send(side, flags)


class Udp(Connection):
    proto, name, port = 17, "udp", 53

    def __init__(self, system: System, *, ipv6: bool = False) -> None:
        super().__init__(system, ipv6=ipv6)
        for side in (CLIENT, SERVER):
            self.send(side)

    def datagram(self, side: int, payload: bytes = b"x") -> bytes:
        return frame(side, scapy.UDP(**self.ports(side)) / payload, ipv6=self.ipv6)

    def send(self, side: int, payload: bytes = b"x") -> None:
        self.system.deliver(side, self.datagram(side, payload))
