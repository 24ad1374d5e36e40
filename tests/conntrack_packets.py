"""Frames for tests of the connection tracker, built field by field so that any of them can be wrong."""

# ruff: noqa: PLR0917 - fields of a header, in their order

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, states_text

TCP, UDP, ICMP, ICMPV6, SCTP, GRE = 6, 17, 1, 58, 132, 47
CLIENT, SERVER, ROUTER = "10.0.0.1", "10.0.0.2", "10.9.9.9"
CLIENT6, SERVER6, ROUTER6 = "fc00::1", "fc00::2", "fc00::99"
FLAG = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}


def csum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def pseudo(src: str, dst: str, proto: int, size: int) -> bytes:
    ends = packed(src) + packed(dst)
    return ends + (struct.pack("!BBH", 0, proto, size) if len(ends) == 8 else struct.pack("!IHBB", size, 0, 0, proto))


def ether(l3: bytes, eth_type: int | None = None, vlans: Sequence[int] = ()) -> bytes:
    """An Ethernet frame; `vlans` are tag protocol ids."""
    if eth_type is None:
        eth_type = 0x86DD if l3 and l3[0] >> 4 == 6 else 0x0800
    tags = b"".join(struct.pack("!HH", tpid, 7) for tpid in vlans)
    return b"\x02\0\0\0\0\2\x02\0\0\0\0\1" + tags + struct.pack("!H", eth_type) + l3


def ipv4(
    src: str,
    dst: str,
    proto: int,
    l4: bytes,
    *,
    options: bytes = b"",
    fragment: int = 0,
    ident: int = 1,
    version: int = 4,
    header_words: int | None = None,
    total: int | None = None,
    bad_sum: bool = False,
) -> bytes:
    words = 5 + len(options) // 4 if header_words is None else header_words
    length = 20 + len(options) + len(l4) if total is None else total
    head = struct.pack("!BBHHHBBH", version << 4 | words, 0, length, ident, fragment, 64, proto, 0)
    head += packed(src) + packed(dst) + options
    value = csum(head) ^ (1 if bad_sum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + l4


def ipv6(
    src: str,
    dst: str,
    proto: int,
    l4: bytes,
    *,
    extensions: bytes = b"",
    first: int | None = None,
    payload: int | None = None,
) -> bytes:
    """`extensions` are whole headers, the last of them naming proto; `first` names the first of them."""
    length = len(extensions) + len(l4) if payload is None else payload
    next_header = proto if first is None else first
    return struct.pack("!IHBB", 6 << 28, length, next_header, 64) + packed(src) + packed(dst) + extensions + l4


def ip(src: str, dst: str, proto: int, l4: bytes) -> bytes:
    return (ipv6 if ":" in src else ipv4)(src, dst, proto, l4)


def udp_l4(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    data: bytes = b"x",
    *,
    length: int | None = None,
    checksum: int | None = None,
) -> bytes:
    size = 8 + len(data) if length is None else length
    l4 = struct.pack("!HHHH", sport, dport, size, 0) + data
    value = csum(pseudo(src, dst, UDP, len(l4)) + l4) or 0xFFFF if checksum is None else checksum
    return l4[:6] + struct.pack("!H", value) + l4[8:]


def tcp_l4(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    flags: str,
    seq: int = 0,
    ack: int = 0,
    win: int = 8192,
    data: bytes = b"",
    *,
    options: bytes = b"",
    words: int | None = None,
    bad_sum: bool = False,
) -> bytes:
    bits = sum(FLAG[f] for f in flags)
    header = (5 + len(options) // 4 if words is None else words) << 4
    l4 = (
        struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, header, bits, win, 0, 0)
        + options
        + data
    )
    value = csum(pseudo(src, dst, TCP, len(l4)) + l4) ^ (1 if bad_sum else 0)
    return l4[:16] + struct.pack("!H", value) + l4[18:]


def wscale(shift: int) -> bytes:
    """The window scale option, padded to four bytes."""
    return bytes([1, 3, 3, shift])


def icmp_l4(
    kind: int, code: int, rest: bytes, data: bytes = b"", *, ends: tuple[str, str] | None = None, bad_sum: bool = False
) -> bytes:
    """ICMP, or ICMPv6 where `ends` gives the addresses of its pseudo-header."""
    body = struct.pack("!BBH", kind, code, 0) + rest + data
    head = pseudo(*ends, ICMPV6, len(body)) if ends else b""
    value = csum(head + body) ^ (1 if bad_sum else 0)
    return body[:2] + struct.pack("!H", value) + body[4:]


def sctp_l4(sport: int, dport: int, chunks: bytes, *, bad_sum: bool = False) -> bytes:
    l4 = struct.pack("!HHII", sport, dport, 1, 0) + chunks
    return l4[:8] + struct.pack("<I", crc32c(l4) ^ (1 if bad_sum else 0)) + l4[12:]


def chunk(kind: int, data: bytes, length: int | None = None) -> bytes:
    """An SCTP chunk, padded to four bytes."""
    return struct.pack("!BBH", kind, 0, 4 + len(data) if length is None else length) + data + b"\0" * (-len(data) % 4)


def udp(src: str, sport: int, dst: str, dport: int, data: bytes = b"x") -> bytes:
    return ether(ip(src, dst, UDP, udp_l4(src, sport, dst, dport, data)))


def tcp(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    flags: str,
    seq: int = 0,
    ack: int = 0,
    win: int = 8192,
    data: bytes = b"",
    options: bytes = b"",
) -> bytes:
    return ether(ip(src, dst, TCP, tcp_l4(src, sport, dst, dport, flags, seq, ack, win, data, options=options)))


def echo(src: str, dst: str, ident: int, kind: int = 8, code: int = 0) -> bytes:
    rest = struct.pack("!HH", ident, 1)
    if ":" in src:
        return ether(ipv6(src, dst, ICMPV6, icmp_l4(kind, code, rest, ends=(src, dst))))
    return ether(ipv4(src, dst, ICMP, icmp_l4(kind, code, rest)))


def error(src: str, dst: str, inner: bytes, kind: int = 3, code: int = 1) -> bytes:
    """An ICMP error about an IP packet."""
    if ":" in src:
        return ether(ipv6(src, dst, ICMPV6, icmp_l4(kind, code, bytes(4), inner, ends=(src, dst))))
    return ether(ipv4(src, dst, ICMP, icmp_l4(kind, code, bytes(4), inner)))


class Tracker:
    """A tracker whose answers are words and whose time is moved by hand."""

    def __init__(self, conntrack: Conntrack | None = None, **options: object) -> None:
        self.now_ms = 1_000_000
        self.ct = conntrack or Conntrack(**({"max_connections": 1000, "now_ms": self.now_ms} | options))

    def __call__(self, *frames: bytes, **action: object) -> str:
        """The ct_state of the last of these packets."""
        return self.states(*frames, **action)[-1]

    def states(self, *frames: bytes, **action: object) -> list[str]:
        verdicts = self.ct.process(Packets.of(frames), self.now_ms, **action)
        return [states_text(int(v["state"])) for v in verdicts]

    def verdict(self, frame: bytes, **action: object) -> dict[str, int]:
        row = self.ct.process(Packets.of([frame]), self.now_ms, **action)[0]
        return {name: int(row[name]) for name in row.dtype.names}

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def expire(self) -> int:
        """Everything that is due; returns how many connections are left."""
        self.ct.expire(self.now_ms)
        return self.ct.count

    def account_closes(self) -> bool:
        c = self.ct.counters()
        return c.created == c.live + c.expired + c.closed + c.flushed + c.replaced


class Peers:
    """A TCP client and server that speak through a tracker; sequence numbers are kept for them."""

    def __init__(
        self,
        tracker: Tracker,
        sport: int = 40000,
        dport: int = 80,
        family: int = 4,
        isn: tuple[int, int] = (1000, 5000),
        options: bytes = b"",
    ) -> None:
        self.tracker = tracker
        self.ends = ((CLIENT, sport), (SERVER, dport)) if family == 4 else ((CLIENT6, sport), (SERVER6, dport))
        self.seq = list(isn)
        self.options = options

    def frame(
        self,
        who: int,
        flags: str,
        data: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        win: int = 8192,
        options: bytes = b"",
    ) -> bytes:
        src, dst = self.ends[who], self.ends[1 - who]
        return tcp(
            *src,
            *dst,
            flags,
            self.seq[who] if seq is None else seq,
            (self.seq[1 - who] if ack is None else ack) if "A" in flags else 0,
            win,
            data,
            options,
        )

    def send(self, who: int, flags: str, data: bytes = b"", **fields: object) -> str:
        """Sends, advances the sender's sequence, and says the state."""
        state = self.tracker(self.frame(who, flags, data, **fields))
        if "seq" not in fields:
            self.seq[who] += len(data) + ("S" in flags) + ("F" in flags)
        return state

    def handshake(self) -> list[str]:
        return [self.send(0, "S", options=self.options), self.send(1, "SA", options=self.options), self.send(0, "A")]

    def row(self):
        (src, sport), (dst, dport) = self.ends
        rows = self.tracker.ct.find(src, dst, TCP, sport, dport)
        return rows[0] if len(rows) else None

    def tcp_states(self) -> tuple[int, int]:
        row = self.row()
        return int(row["tcp_state"][0]), int(row["tcp_state"][1])

    def left_s(self) -> float:
        return int(self.row()["timeout_ms"]) / 1000
