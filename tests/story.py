"""A lab for stories: two emulated ports, an engine between them, and connections that speak."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import scapy.all as scapy

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.demo.lab import PORTS, Lab
from ctoffload_dpdk.settings import Settings

A, B = 0, 1
MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
numbers = itertools.count(1)


class StoryLab(Lab):
    """The demo's lab with the words of a story. Time starts at 0 and moves by `advance` alone."""

    def __init__(self, eal: Any, settings: Settings | None = None, **parameters: Any) -> None:
        self.gone: list[Any] = []  # counters of NICs that were unplugged
        super().__init__(eal, settings or Settings(), **parameters)

    def advance(self, seconds: float, step_s: float = 0.5) -> None:
        """Lets time go by in steps, the engine running."""
        until = self.now_ms + round(seconds * 1000)
        while self.now_ms < until:
            self.advance_to(min(self.now_ms + round(step_s * 1000), until))

    def packet(self, side: int, frame: Any) -> None:
        self.send(side, Packets.of([bytes(frame)]))

    def tcp(self, **kwargs: Any) -> TcpConnection:
        return TcpConnection(self, **kwargs)

    def udp(self, **kwargs: Any) -> UdpConnection:
        return UdpConnection(self, **kwargs)

    def ping(self, **kwargs: Any) -> PingConnection:
        return PingConnection(self, **kwargs)

    # ---- ports that go and return ------------------------------------------------------------------------------------

    def has(self, side: int) -> bool:
        """Whether the port of this side is there."""
        return PORTS[side] in self.engine.ports

    def port_leaves(self, side: int) -> None:
        """Taken out in order, then its device is unplugged."""
        self.engine.remove_port(PORTS[side], self.now_ms)
        self._unplug(side)

    def port_vanishes(self, side: int) -> None:
        """Its device is pulled out; the engine hears of it afterwards."""
        self.nics[side].unplug()
        self.engine.remove_port(PORTS[side], self.now_ms, vanished=True)
        self._unplug(side)

    def port_returns(self, side: int) -> None:
        self.engine.add_port(PORTS[side], self.mempool)
        self._join()

    def port_is_reset(self, side: int) -> None:
        """Its device fails, loses everything and asks for a reset."""
        self.nics[side].demand_reset()
        self.engine.reset_port(PORTS[side], self.mempool, self.now_ms)
        self._join()

    def _unplug(self, side: int) -> None:
        """Another device takes its place, which the engine does not use yet."""
        self.gone.append(self.nics[side].counters())
        self.nics[side].close()
        self.eal.remove_vdev(PORTS[side])
        self.nics[side] = self.make_nic(PORTS[side])

    def nic_counters(self) -> list[Any]:
        return [*super().nic_counters(), *self.gone]

    def _join(self) -> None:
        self.engine.settle(self.now_ms)
        if self.has(A) and self.has(B):
            self.engine.join(*PORTS)

    @property
    def host_rx(self) -> int:
        """Packets that reached software."""
        return self.engine.packets().host_rx

    @property
    def rules(self) -> int:
        """Live rules of connections: the NIC's own audit, less the provider's pipelines."""
        return sum(nic.audit().rules.live for nic in self.nics) - self.engine.provider.stats().rules_static

    def assert_audit_matches(self) -> None:
        assert self.account().problems() == []


class Connection:
    """Two ends and what the tracker says of them."""

    proto = 0
    port = 0

    def __init__(
        self,
        lab: StoryLab,
        *,
        ipv6: bool = False,
        sport: int | None = None,
        host: int = 1,
        vlans: tuple[int, ...] = (),
        zone: int = 0,
    ) -> None:
        self.lab = lab
        self.vlans = vlans
        self.zone = zone
        self.sport = sport or 10_000 + next(numbers)
        self.src, self.dst = (
            (f"2001:db8::{host:x}", "2001:db8::ffff") if ipv6 else (f"198.51.100.{host}", "198.51.100.254")
        )
        self.ip = scapy.IPv6 if ipv6 else scapy.IP

    def frame(self, side: int, l4: Any) -> Any:
        src, dst = (self.src, self.dst) if side == A else (self.dst, self.src)
        ether = scapy.Ether(src=MACS[side], dst=MACS[1 - side])
        for tag in self.vlans:
            ether /= scapy.Dot1Q(vlan=tag)
        return ether / self.ip(src=src, dst=dst) / l4

    @property
    def row(self) -> Any:
        """The tracker's record, or None."""
        rows = self.lab.engine.conntrack.find(self.src, self.dst, self.proto, self.sport, self.port, self.zone)
        return rows[0] if len(rows) else None

    @property
    def in_hardware(self) -> bool:
        return self.row is not None and self.row["offload"] == 2

    @property
    def reason(self) -> Reason:
        return Reason(int(self.row["reason"]))

    @property
    def is_live(self) -> bool:
        return self.row is not None

    @property
    def rules(self) -> list[Any]:
        """The connection's rules, as the NIC has them."""
        ports = {self.sport, self.port}
        return [r for r in self.lab.nic_rules() if {int(r["src_port"]), int(r["dst_port"])} == ports]

    def nic_packets(self) -> int:
        """Packets that rules of this connection forwarded so far."""
        return sum(int(r["packets"]) for r in self.rules)


class TcpConnection(Connection):
    """A TCP connection whose ends keep their sequence numbers."""

    proto, port = 6, 80

    def __init__(self, lab: StoryLab, *, established: bool = True, **kwargs: Any) -> None:
        super().__init__(lab, **kwargs)
        self.seq = [1000, 5000]
        if established:
            self.handshake()

    def send(self, side: int, flags: str, payload: bytes = b"", **fields: Any) -> None:
        sport, dport = (self.sport, self.port) if side == A else (self.port, self.sport)
        ack = self.seq[1 - side] if "A" in flags else 0
        l4 = scapy.TCP(sport=sport, dport=dport, flags=flags, **({"seq": self.seq[side], "ack": ack} | fields))
        self.lab.packet(side, self.frame(side, l4 / payload))
        self.seq[side] += len(payload) + ("S" in flags) + ("F" in flags)

    def handshake(self) -> None:
        self.send(A, "S")
        self.send(B, "SA")
        self.send(A, "A")

    def client_sends(self, payload: bytes = b"x") -> None:
        self.send(A, "PA", payload)

    def server_sends(self, payload: bytes = b"x") -> None:
        self.send(B, "PA", payload)

    def close(self) -> None:
        self.send(A, "FA")
        self.send(B, "FA")
        self.send(A, "A")


class UdpConnection(Connection):
    proto, port = 17, 53

    def __init__(self, lab: StoryLab, *, answered: bool = True, **kwargs: Any) -> None:
        super().__init__(lab, **kwargs)
        self.client_sends()
        if answered:
            self.server_sends()

    def client_sends(self, payload: bytes = b"q") -> None:
        self.lab.packet(A, self.frame(A, scapy.UDP(sport=self.sport, dport=self.port) / payload))

    def server_sends(self, payload: bytes = b"a") -> None:
        self.lab.packet(B, self.frame(B, scapy.UDP(sport=self.port, dport=self.sport) / payload))


class PingConnection(Connection):
    """An echo and its answers; sport is the identifier."""

    proto, port = 1, 8 << 8

    def __init__(self, lab: StoryLab, **kwargs: Any) -> None:
        super().__init__(lab, **kwargs)
        self.client_sends()
        self.server_sends()

    def client_sends(self) -> None:
        self.lab.packet(A, self.frame(A, scapy.ICMP(type=8, id=self.sport) / b"ping"))

    def server_sends(self) -> None:
        self.lab.packet(B, self.frame(B, scapy.ICMP(type=0, id=self.sport) / b"ping"))


def with_timeouts(**seconds: int) -> Settings:
    """Settings with these timeouts, named as in OVS: tcp_established=5."""
    return replace(Settings(), **{f"ct_offload_timeout_{name}": value for name, value in seconds.items()})


def with_plan(plan: str = "auto", engine: str = "auto", **timeouts: int) -> Settings:
    """Settings that fix how connections are put into the NIC."""
    return replace(with_timeouts(**timeouts), ct_offload_plan=plan, ct_offload_flow_engine=engine)
