"""Translated connections: the first packets by software, the others by the NIC, all with the same addresses."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from conntrack_nat import ends, right
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from story import MACS, A, B, with_plan

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

CLIENT, SERVER, PUBLIC, REAL = "10.0.0.1", "10.9.9.2", "198.51.100.200", "10.9.9.77"
CLIENT6, SERVER6, PUBLIC6, REAL6 = "fc00::1", "fc00::2", "2001:db8::200", "fc00::77"


class Hosts:
    """A client at port A and a server at port B, which answers whom it hears."""

    def __init__(self, lab: Any, proto: str, ipv6: bool) -> None:
        self.lab, self.proto = lab, proto
        self.client, self.server = (CLIENT6, SERVER6) if ipv6 else (CLIENT, SERVER)
        self.sport, self.dport = 40000, 80
        self.seq = {A: 1000, B: 5000}
        lab.nics[A].wire_receive()
        lab.nics[B].wire_receive()

    def frame(self, side: int, source: tuple[str, int], target: tuple[str, int], flags: str) -> Any:
        ip = IPv6 if ":" in source[0] else IP
        if self.proto == "udp":
            l4: Any = UDP(sport=source[1], dport=target[1])
        else:
            ack = self.seq[1 - side] if "A" in flags else 0
            l4 = TCP(sport=source[1], dport=target[1], flags=flags, seq=self.seq[side], ack=ack)
        return Ether(src=MACS[side], dst=MACS[1 - side]) / ip(src=source[0], dst=target[0]) / l4 / Raw(b"12345")

    def send(self, side: int, source: tuple[str, int], target: tuple[str, int], flags: str = "PA") -> Any:
        """What comes out at the other side."""
        out = self.through(side, self.frame(side, source, target, flags))
        self.seq[side] += 5 + ("S" in flags) + ("F" in flags)
        assert bytes(out) == right(out)
        return out

    def through(self, side: int, frame: Any) -> Any:
        """Sends a frame in at one side; returns what leaves by the other."""
        self.lab.nics[side].wire_send(Packets.of([bytes(frame)]))
        self.lab.engine.settle(self.lab.now_ms)
        packets = self.lab.nics[1 - side].wire_receive()
        (out,) = packets
        return Ether(out)

    def ask(self, flags: str = "PA") -> Any:
        return self.send(A, (self.client, self.sport), (self.server, self.dport), flags)

    def answer(self, heard: Any, flags: str = "PA") -> Any:
        source, target = ends(heard)
        return self.send(B, target, source, flags)


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("what", ["src", "dst", "both"])
@pytest.mark.parametrize(
    "settings",
    [with_plan(*both) for both in product(("auto", "count", "mark", "steer"), ("sync", "async"))],
    ids=lambda settings: f"{settings.ct_offload_plan}-{settings.ct_offload_flow_engine}",
)
def test_software_and_nic_translate_alike(make_lab: Any, settings: Settings, what: str, proto: str, ipv6: bool) -> None:
    """What a rule only steers is translated by software: once, and known by what it was."""
    public, real = (PUBLIC6, REAL6) if ipv6 else (PUBLIC, REAL)
    parts = {"src": f"src=[{public}]:6000", "dst": f"dst=[{real}]:8080"}
    text = ",".join(parts.values()) if what == "both" else parts[what]
    lab = make_lab(settings)
    lab.engine.set_nat(PORTS[A], Nat.parse(text if ipv6 else text.replace("[", "").replace("]", "")))
    hosts = Hosts(lab, proto, ipv6)
    heard = hosts.ask("S")
    assert ends(heard) == (
        (public, 6000) if what != "dst" else (hosts.client, 40000),
        (real, 8080) if what != "src" else (hosts.server, 80),
    )
    reply = hosts.answer(heard, "SA")
    assert ends(reply) == ((hosts.server, 80), (hosts.client, 40000))
    if proto == "tcp":
        hosts.ask("A")
    (row,) = lab.engine.conntrack.connections()
    assert int(row["offload"]) == 2, int(row["reason"])
    seen = lab.host_rx
    assert ends(hosts.ask()) == ends(heard)
    assert ends(hosts.answer(heard)) == ends(reply)
    assert lab.host_rx == (seen + 2 if settings.ct_offload_plan in ("mark", "steer") else seen)
    lab.assert_audit_matches()
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0


def test_translation_without_offload(make_lab: Any) -> None:
    lab = make_lab(Settings(hw_offload=False))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}"))
    hosts = Hosts(lab, "udp", False)
    heard = hosts.ask()
    assert ends(heard)[0] == (PUBLIC, 40000)
    assert ends(hosts.answer(heard))[1] == (CLIENT, 40000)
    # what begins at the other port is not translated
    assert ends(hosts.through(B, hosts.frame(B, (SERVER, 1), (CLIENT, 2), ""))) == ((SERVER, 1), (CLIENT, 2))
