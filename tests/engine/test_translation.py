"""Translation in the rule: software translated the first packets, the NIC translates the others alike."""

from __future__ import annotations

from typing import Any

import pytest
import scapy.all as scapy
from story import MACS, A, B, with_plan

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack.nat import Nat

pytestmark = pytest.mark.eal

CLIENT = {False: "198.51.100.1", True: "2001:db8::1"}
SERVER = {False: "198.51.100.254", True: "2001:db8::ffff"}
WAYS = {
    False: {
        "src": "src=192.0.2.7:5000",
        "dst": "dst=192.0.2.80:8080",
        "both": "src=192.0.2.7:5000,dst=192.0.2.80:8080",
    },
    True: {
        "src": "src=[2001:db8:1::7]:5000",
        "dst": "dst=[2001:db8:1::80]:8080",
        "both": "src=[2001:db8:1::7]:5000,dst=[2001:db8:1::80]:8080",
    },
}


class Translated:
    """A connection whose first packets went through the tracker with NAT."""

    def __init__(self, lab: Any, proto: str, ipv6: bool, way: str) -> None:
        self.lab, self.proto = lab, proto
        self.ip = scapy.IPv6 if ipv6 else scapy.IP
        self.l4 = scapy.TCP if proto == "tcp" else scapy.UDP
        self.nat = Nat.parse(WAYS[ipv6][way])
        self.client = (CLIENT[ipv6], 1000)
        self.server = (SERVER[ipv6], 80)
        self.outer_client = ("2001:db8:1::7" if ipv6 else "192.0.2.7", 5000) if way != "dst" else self.client
        self.outer_server = ("2001:db8:1::80" if ipv6 else "192.0.2.80", 8080) if way != "src" else self.server
        self.establish()

    def frame(self, side: int, flags: str = "A") -> bytes:
        """As the packet arrives at the port of that side, before any translation."""
        src, dst = (self.client, self.server) if side == A else (self.outer_server, self.outer_client)
        more = {"flags": flags, "seq": 1000 if "S" in flags else 1001, "ack": 1001} if self.proto == "tcp" else {}
        ip = self.ip(src=src[0], dst=dst[0])
        return bytes(scapy.Ether(src=MACS[side], dst=MACS[1 - side]) / ip / self.l4(sport=src[1], dport=dst[1], **more))

    def establish(self) -> None:
        ports = [port.layer_port for port in self.lab.engine.ports.values()]
        for side, flags in ((A, "S"), (B, "SA"), (A, "A")):
            self.lab.engine.conntrack.process(
                Packets.of([self.frame(side, flags)]).copy(),
                self.lab.now_ms,
                nat=self.nat if side == A else Nat(),
                port=ports[side].id,
                port_generation=ports[side].generation,
            )
            self.lab.engine.settle(self.lab.now_ms)

    @property
    def row(self) -> Any:
        (row,) = self.lab.engine.conntrack.connections()
        return row

    def forwarded(self, side: int) -> Any:
        """What leaves by the other wire for a packet that arrives at this side's."""
        self.lab.nics[side].wire_send(Packets.of([self.frame(side)]))
        (out,) = self.lab.nics[1 - side].wire_receive()
        return scapy.Ether(bytes(out))


@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("way", ["src", "dst", "both"])
@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_nic_translates_as_software_did(make_lab: Any, proto: str, ipv6: bool, way: str, engine: str) -> None:
    lab = make_lab(with_plan("auto", engine))
    conn = Translated(lab, proto, ipv6, way)
    assert conn.row["offload"] == 2, Reason(int(conn.row["reason"]))
    seen = lab.host_rx
    for side, (src, dst) in ((A, (conn.outer_client, conn.outer_server)), (B, (conn.server, conn.client))):
        out = conn.forwarded(side)
        assert (out[conn.ip].src, out[conn.l4].sport) == src
        assert (out[conn.ip].dst, out[conn.l4].dport) == dst
        again = scapy.Ether(bytes(out))
        del again[conn.l4].chksum
        assert scapy.Ether(bytes(again))[conn.l4].chksum == out[conn.l4].chksum
    assert lab.host_rx == seen
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
