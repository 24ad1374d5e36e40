"""Spreading over queues: Toeplitz with the port's key, its table, its types."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from nicsim_packets import eth, tcp
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

pytestmark = pytest.mark.eal

QUEUES = 16
# Published with the definition of RSS: key, and per pair of ends the hash without and with ports.
KNOWN_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
KNOWN = [
    (IP, "66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
    (IP, "199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
    (IP, "24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
    (IP, "38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
    (IP, "153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2),
    (IPv6, "3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
    (IPv6, "3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
    (IPv6, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4B61E985, 0x02D1FEEF),
]
L3_TYPES = 0x3 << 2 | 0x1 << 7 | 0x3 << 8 | 0x1 << 13  # IPv4 and IPv6 in whatever form


@pytest.fixture
def wide(lab: Any) -> Any:
    return lab.host(queues=QUEUES)


def queue_of(host: Any, packet: Any) -> int:
    """Where the packet lands."""
    host.send(packet)
    (found,) = [queue for queue in range(QUEUES) if host.received(queue)]
    return found


@pytest.mark.parametrize("known", KNOWN)
def test_the_hash_is_the_one_published_with_the_definition(wide: Any, known: tuple[Any, ...]) -> None:
    network, src, sport, dst, dport, without_ports, with_ports = known
    types = wide.port.info().rss_types
    packet = eth() / network(src=src, dst=dst) / TCP(sport=sport, dport=dport)
    for wanted, chosen in ((with_ports, types), (without_ports, types & L3_TYPES)):
        wide.port.set_rss(chosen, KNOWN_KEY)
        # The table shows seven bits of the hash, four at a time.
        for shift in (0, 3):
            wide.port.set_reta([(i >> shift) % QUEUES for i in range(128)])
            assert queue_of(wide, packet) == (wanted % 128 >> shift) % QUEUES


def ends(dice: random.Random) -> tuple[str, str, int, int]:
    a, b = (".".join(str(dice.randrange(1, 250)) for _ in range(4)) for _ in range(2))
    return a, b, dice.randrange(1, 65536), dice.randrange(1, 65536)


@pytest.mark.parametrize("layer", [TCP, UDP])
def test_by_default_both_directions_reach_one_queue_and_connections_spread(wide: Any, layer: Any) -> None:
    dice = random.Random(5)
    used = set()
    for _ in range(150):
        a, b, p, q = ends(dice)
        there = queue_of(wide, eth() / IP(src=a, dst=b) / layer(sport=p, dport=q))
        assert queue_of(wide, eth() / IP(src=b, dst=a) / layer(sport=q, dport=p)) == there
        used.add(there)
    assert len(used) > QUEUES / 2


def test_another_key_spreads_the_two_directions_apart(wide: Any) -> None:
    wide.port.set_rss(wide.port.info().rss_types, KNOWN_KEY)
    dice = random.Random(6)
    together = 0
    for _ in range(60):
        a, b, p, q = ends(dice)
        there = queue_of(wide, eth() / IP(src=a, dst=b) / TCP(sport=p, dport=q))
        together += queue_of(wide, eth() / IP(src=b, dst=a) / TCP(sport=q, dport=p)) == there
    assert together < 10
    assert wide.port.rss().key == KNOWN_KEY


def test_the_quick_way_of_a_key_that_repeats_gives_what_the_long_way_gives(wide: Any) -> None:
    repeating = bytes([0x12, 0x9F]) * 20
    nearly = repeating[:-1] + b"\x9e"  # the last bits are of no place in the input
    dice = random.Random(7)
    for _ in range(40):
        a, b, p, q = ends(dice)
        packet = eth() / IP(src=a, dst=b) / TCP(sport=p, dport=q)
        found = []
        for key in (repeating, nearly):
            wide.port.set_rss(wide.port.info().rss_types, key)
            found.append(queue_of(wide, packet))
        assert found[0] == found[1]


def test_the_table_decides(wide: Any) -> None:
    wide.port.set_reta([5] * 128)
    assert queue_of(wide, tcp()) == 5
    assert np.all(wide.port.reta() == 5)


def test_without_types_nothing_is_spread(wide: Any) -> None:
    wide.port.set_rss(0)
    dice = random.Random(8)
    for _ in range(10):
        a, b, p, q = ends(dice)
        assert queue_of(wide, eth() / IP(src=a, dst=b) / TCP(sport=p, dport=q)) == 0
