"""An FTP control connection through a tracker, for tests of its helper."""

from __future__ import annotations

import numpy as np
from conntrack_nat import Translated, ends
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Refusal, states_text

CLIENT, SERVER, PUBLIC, REAL = "10.0.0.1", "10.9.9.2", "198.51.100.100", "10.9.9.77"
CLIENT6, SERVER6, PUBLIC6 = "fc00::1", "fc00::2", "2001:db8::1"
ROOM = 64


class Control(Translated):
    """A control connection with both ends' sequence numbers; packets have room to grow."""

    def __init__(self, nat: str = "", client: str = CLIENT, server: str = SERVER, *, port: int = 21, tags: int = 0):
        super().__init__(nat)
        self.client, self.server, self.port, self.tags = client, server, port, tags
        self.sport = 40000
        self.seq = {"c": 1000, "s": 5000}
        # what each side has received, by the numbers it sees
        self.seen = {"c": 5000, "s": 1000}
        self.wire = {"c": None, "s": None}
        self.say("c", b"", "S")
        self.say("s", b"", "SA")
        self.say("c", b"", "A")

    def transmit(self, frame, *, room: int = ROOM):
        raw = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / frame)
        data = np.frombuffer(raw + bytes(room), np.uint8).copy()
        packets = Packets(data, np.zeros(1, np.uint64), np.array([len(raw)], np.uint32))
        verdict = self.ct.process(packets, self.now_ms, nat=self.nat, helper="ftp", room=len(raw) + room)[0]
        self.reason = Refusal(verdict["reason"])
        out = Ether(data[: len(raw) + int(verdict["grown"])].tobytes())
        return states_text(int(verdict["state"])), out

    def say(self, who: str, payload: bytes, flags: str = "PA", *, room: int = ROOM, seq: int | None = None):
        """One segment from "c" or "s", as that side numbers it; returns verdict and what the other side gets."""
        here, there = self.ends(who)
        ip = IPv6 if ":" in here[0] else IP
        frame = (
            ip(src=here[0], dst=there[0])
            / TCP(
                sport=here[1],
                dport=there[1],
                flags=flags,
                seq=self.seq[who] if seq is None else seq,
                ack=self.seen[who] if "A" in flags else 0,
            )
            / Raw(payload)
        )
        for _ in range(self.tags):
            frame = Dot1Q(vlan=5) / frame
        words, out = self.transmit(frame, room=room)
        if seq is None:
            self.seq[who] += len(payload) + ("S" in flags)
        self.wire[who] = ends(out)
        other = "s" if who == "c" else "c"
        self.seen[other] = out[TCP].seq + len(bytes(out[TCP].payload)) + ("S" in flags)
        return words, out

    def ends(self, who: str):
        """Source and destination as this side knows them."""
        if who == "c":
            return (self.client, self.sport), (self.server, self.port)
        source, destination = self.wire["c"]
        return destination, source

    def data(self, src: str, dst: str, dport: int, sport: int = 20, flags: str = "S"):
        ip = IPv6 if ":" in src else IP
        return self.transmit(ip(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags))
