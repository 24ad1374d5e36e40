"""The capture that ships with the package is what its recorder promises."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

import ctoffload_dpdk
from ctoffload_dpdk.base.capture import read_capture

PATH = Path(ctoffload_dpdk.__file__).parent / "demo" / "example.pcap"
NS_PER_S = 1_000_000_000


@pytest.fixture(scope="module")
def capture():
    return read_capture(PATH)


@pytest.fixture(scope="module")
def packets(capture):
    return [Ether(packet) for packet in capture.packets]


@pytest.fixture(scope="module")
def connections(capture, packets):
    """(time, TCP segment) of each TCP connection, by the client's end: (address, port)."""
    found = defaultdict(list)
    for packet, time_ns in zip(packets, capture.packets.time_ns.tolist(), strict=True):
        if TCP in packet:
            ip = packet[IP] if IP in packet else packet[IPv6]
            segment = packet[TCP]
            client = (ip.src, segment.sport) if segment.sport > segment.dport else (ip.dst, segment.dport)
            found[client].append((time_ns, segment))
    return found


def test_it_is_whole_small_and_long_enough(capture):
    assert capture.error is None
    assert PATH.stat().st_size <= 300_000
    assert capture.packets.length.tolist() == capture.packets.wire_length.tolist()
    assert int(capture.packets.length.max()) <= 1514
    times = capture.packets.time_ns.tolist()
    assert times == sorted(times)
    assert times[-1] - times[0] >= 28 * NS_PER_S


def test_it_holds_seconds_of_silence(capture):
    times = capture.packets.time_ns.tolist()
    assert max(b - a for a, b in pairwise(times)) >= 4 * NS_PER_S


def test_every_checksum_is_right(capture, packets):
    checked = 0
    for packet, data in zip(packets, capture.packets, strict=True):
        fresh = Ether(data)
        for layer in fresh.iterpayloads():
            for name in ("chksum", "cksum"):
                if name in layer.fields:
                    delattr(layer, name)
                    checked += 1
        assert bytes(fresh) == data, packet.summary()
    assert checked > len(packets)


def test_both_families_resolve_names_fetch_pages_and_ping(packets):
    for ip in (IP, IPv6):
        assert sum(ip in p and TCP in p and p[TCP].dport == 80 for p in packets) > 20
    assert {p[DNS].qr for p in packets if DNS in p} == {0, 1}
    assert sum(ICMP in p and p[ICMP].type == 8 for p in packets) == 6
    assert sum(ICMP in p and p[ICMP].type == 0 for p in packets) == 6
    assert sum(ICMPv6EchoRequest in p for p in packets) == sum(ICMPv6EchoReply in p for p in packets) == 6


def test_one_connection_idles_to_the_end_without_being_closed(capture, connections):
    end = int(capture.packets.time_ns[-1])
    open_ones = [c for c in connections.values() if not any(s.flags.F or s.flags.R for _, s in c)]
    assert len(open_ones) == 1
    segments = open_ones[0]
    assert segments[0][1].flags == "S"
    assert sum(len(s.payload) > 0 for _, s in segments) >= 2
    assert end - segments[-1][0] >= 24 * NS_PER_S


def test_connections_close_are_reset_and_are_refused(connections):
    flags = [[str(s.flags) for _, s in c] for c in connections.values()]
    assert sum(sum("F" in f for f in c) == 2 and not any("R" in f for f in c) for c in flags) >= 8
    assert sum("SA" in c and any("R" in f for f in c) for c in flags) == 1
    assert sum(c == ["S", "RA"] for c in flags) == 1


def test_udp_goes_one_way_both_ways_and_nowhere(packets):
    to = [p[UDP].dport for p in packets if UDP in p and ICMP not in p]
    back = [p[UDP].sport for p in packets if UDP in p and ICMP not in p]
    assert to.count(514) == 12
    assert back.count(514) == 0
    assert to.count(4000) == back.count(4000) == 40
    assert sum(ICMP in p and p[ICMP].type == 3 and p[ICMP].code == 3 for p in packets) == 1
