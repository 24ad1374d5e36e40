"""Traffic made with scapy: whole connections of every kind the demo can show, from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets

MAC_A, MAC_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
SPAN_S = 30.0

Timed = tuple[float, Any]


def generate(connections: int = 40, seed: int = 1) -> Packets:
    """Packets of `connections` TCP and UDP connections over IPv4 and IPv6 within 30 s, in order of time.

    Raises UsageError where scapy is not installed.
    """
    try:
        import scapy.all as scapy  # noqa: PLC0415 - slow to load, and only needed here
    except ImportError:
        raise UsageError(
            "generated traffic needs scapy, which is not installed", hint="pip install scapy, or use --pcap FILE"
        ) from None
    dice = random.Random(seed)
    timed: list[Timed] = []
    for number in range(connections):
        start = dice.uniform(0.0, SPAN_S * 0.5)
        make = (tcp_that_closes, tcp_that_idles, tcp_that_is_reset, udp_with_answers, udp_one_way, ping)[number % 6]
        timed.extend(make(scapy, Ends(scapy, number, number % 4 == 3), start, dice))
    timed.sort(key=lambda pair: pair[0])
    return Packets.of((bytes(packet) for _, packet in timed), (int(at * 1e9) for at, _ in timed))


class Ends:
    """The two hosts of one connection, and frames from each."""

    def __init__(self, scapy: Any, number: int, ipv6: bool) -> None:
        self.scapy = scapy
        self.ipv6 = ipv6
        self.port = 20_000 + number
        layer = scapy.IPv6 if ipv6 else scapy.IP
        a, b = ("2001:db8::a", "2001:db8::b") if ipv6 else ("198.51.100.1", "198.51.100.2")
        ether = scapy.Ether
        self.from_a = ether(src=MAC_A, dst=MAC_B) / layer(src=a, dst=b)
        self.from_b = ether(src=MAC_B, dst=MAC_A) / layer(src=b, dst=a)


def handshake(scapy: Any, ends: Ends, start: float) -> Iterator[Timed]:
    port = ends.port
    yield start, ends.from_a / scapy.TCP(sport=port, dport=80, flags="S", seq=1000, options=[("WScale", 7)])
    yield (
        start + 0.01,
        ends.from_b / scapy.TCP(sport=80, dport=port, flags="SA", seq=5000, ack=1001, options=[("WScale", 7)]),
    )
    yield start + 0.02, ends.from_a / scapy.TCP(sport=port, dport=80, flags="A", seq=1001, ack=5001)


def exchange(scapy: Any, ends: Ends, start: float, rounds: int) -> Iterator[Timed]:
    """A sends 10 bytes, B answers 100, `rounds` times, 20 ms apart. Ends at 1001 + 10 r, 5001 + 100 r."""
    port = ends.port
    for r in range(rounds):
        at, seq, ack = start + r * 0.04, 1001 + 10 * r, 5001 + 100 * r
        yield at, ends.from_a / scapy.TCP(sport=port, dport=80, flags="PA", seq=seq, ack=ack) / (b"q" * 10)
        yield at + 0.02, ends.from_b / scapy.TCP(sport=80, dport=port, flags="PA", seq=ack, ack=seq + 10) / (b"a" * 100)


def tcp_that_closes(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    rounds = dice.randint(5, 60)
    yield from handshake(scapy, ends, start)
    yield from exchange(scapy, ends, start + 0.1, rounds)
    at, seq, ack, port = start + 0.2 + rounds * 0.04, 1001 + 10 * rounds, 5001 + 100 * rounds, ends.port
    yield at, ends.from_a / scapy.TCP(sport=port, dport=80, flags="FA", seq=seq, ack=ack)
    yield at + 0.01, ends.from_b / scapy.TCP(sport=80, dport=port, flags="FA", seq=ack, ack=seq + 1)
    yield at + 0.02, ends.from_a / scapy.TCP(sport=port, dport=80, flags="A", seq=seq + 1, ack=ack + 1)


def tcp_that_idles(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    yield from handshake(scapy, ends, start)
    yield from exchange(scapy, ends, start + 0.1, dice.randint(2, 20))


def tcp_that_is_reset(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    rounds = dice.randint(2, 20)
    yield from handshake(scapy, ends, start)
    yield from exchange(scapy, ends, start + 0.1, rounds)
    seq = 1001 + 10 * rounds
    yield start + 0.2 + rounds * 0.04, ends.from_a / scapy.TCP(sport=ends.port, dport=80, flags="R", seq=seq)


def udp_with_answers(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    for r in range(dice.randint(2, 40)):
        yield start + r * 0.1, ends.from_a / scapy.UDP(sport=ends.port, dport=53) / (b"q" * 30)
        yield start + r * 0.1 + 0.01, ends.from_b / scapy.UDP(sport=53, dport=ends.port) / (b"a" * 200)


def udp_one_way(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    for r in range(dice.randint(1, 10)):
        yield start + r * 0.2, ends.from_a / scapy.UDP(sport=ends.port, dport=514) / (b"log" * 10)


def ping(scapy: Any, ends: Ends, start: float, dice: random.Random) -> Iterator[Timed]:
    request, reply = (scapy.ICMPv6EchoRequest, scapy.ICMPv6EchoReply) if ends.ipv6 else (scapy.ICMP, scapy.ICMP)
    ask = {} if ends.ipv6 else {"type": 8}
    answer = {} if ends.ipv6 else {"type": 0}
    for r in range(dice.randint(1, 5)):
        at = start + r
        yield at, ends.from_a / request(id=ends.port, seq=r, **ask) / (b"p" * 32)
        yield at + 0.005, ends.from_b / reply(id=ends.port, seq=r, **answer) / (b"p" * 32)
