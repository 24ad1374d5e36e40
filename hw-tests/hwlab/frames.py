"""The frames of connections, by scapy; many of one kind by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scapy.all as scapy

CLIENT, SERVER = 0, 1
MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
IPV4 = ("198.51.100.1", "198.51.100.254")
IPV6 = ("2001:db8::1", "2001:db8::ffff")
MANY_LENGTH = 64


def frame(side: int, l4: Any, *, ipv6: bool = False, src: str = "", dst: str = "") -> bytes:
    """A frame from one side to the other; src, dst: where it is not the ends' own addresses."""
    ends = IPV6 if ipv6 else IPV4
    ip = (scapy.IPv6 if ipv6 else scapy.IP)(src=src or ends[side], dst=dst or ends[1 - side])
    return bytes(scapy.Ether(src=MACS[side], dst=MACS[1 - side]) / ip / l4)


def many_udp(side: int, n: int) -> list[bytes]:
    """A UDP frame of each of n connections: clients 10.0.0.0 + number, port 1024 + number, to one server's port 53."""
    numbers = np.arange(n, dtype=np.uint32)
    frames = np.zeros((n, MANY_LENGTH), np.uint8)
    frames[:, :12] = np.frombuffer(bytes.fromhex((MACS[1 - side] + MACS[side]).replace(":", "")), np.uint8)
    frames[:, 12:14] = 8, 0
    header = np.zeros((n, 10), ">u2")
    header[:, 0], header[:, 1], header[:, 4] = 0x4500, MANY_LENGTH - 14, 64 << 8 | 17
    client = np.stack([0x0A00 + (numbers >> 16), numbers & 0xFFFF], axis=1)
    server = np.tile(np.array([[0xC633, 0x64FE]], np.uint32), (n, 1))
    header[:, 6:8], header[:, 8:10] = (client, server) if side == CLIENT else (server, client)
    total = header.astype(np.uint32).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    header[:, 5] = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ports = np.zeros((n, 4), ">u2")
    port = 1024 + numbers % 60000
    ports[:, 0], ports[:, 1] = (port, 53) if side == CLIENT else (53, port)
    ports[:, 2] = MANY_LENGTH - 34
    frames[:, 14:34], frames[:, 34:42] = header.view(np.uint8), ports.view(np.uint8)
    return [bytes(row) for row in frames]
