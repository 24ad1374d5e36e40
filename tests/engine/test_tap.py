"""A tap on a loop, and the capture that comes of it."""

from __future__ import annotations

import ipaddress
import threading

import numpy as np
import pytest
import scapy.all as scapy
from story import A, B, StoryLab
from tshark import tshark

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.pcapng import section
from ctoffload_dpdk.demo.lab import EAL_ARGS
from ctoffload_dpdk.engine import PacketTap, pcapng_blocks
from ctoffload_dpdk.engine._tap import ENTRY
from ctoffload_dpdk.engine.tap import comment_of, different

pytestmark = pytest.mark.eal(" ".join(EAL_ARGS))


@pytest.fixture
def lab(eal):
    with StoryLab(eal) as made:
        yield made


def comments(tap: PacketTap, path) -> list[str]:
    """What tshark shows of the packets that a tap took."""
    path.write_bytes(section("test", ["a", "b"], 65535) + pcapng_blocks(*tap.take()))
    return [row[0] for row in tshark(path, "frame.comment")]


def test_each_packet_says_what_software_made_of_it(lab, tmp_path):
    tap = PacketTap()
    lab.engine.loops[0].set_tap(tap)
    lab.udp()
    lab.packet(A, scapy.Ether(src="02:00:00:00:00:0a", dst="ff:ff:ff:ff:ff:ff") / scapy.ARP())
    bad = scapy.IP(src="198.51.100.1", dst="198.51.100.2") / scapy.TCP(sport=5, dport=6, flags="SF")
    lab.packet(A, scapy.Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / bad)
    said = comments(tap, tmp_path / "a.pcapng")
    assert said == [
        "ct_state=new|trk offloaded=no,reason=not-established",
        said[1],
        "untracked=non-ip",
        "ct_state=inv|trk refused=tcp-flags dropped=invalid",
    ]
    assert said[1].startswith("ct_state=est|rpl|trk offloaded=")
    assert (tap.captured, tap.dropped) == (4, 0)


def test_packets_that_the_nic_forwards_are_not_of_the_software_path(lab):
    udp = lab.udp()
    assert udp.in_hardware
    tap = PacketTap()
    lab.engine.loops[0].set_tap(tap)
    udp.client_sends()
    assert len(tap.take()[0]) == 0


def test_a_tap_that_was_taken_out_gets_nothing_more(lab):
    tap = PacketTap()
    lab.engine.loops[0].set_tap(tap)
    lab.udp(answered=False)
    with pytest.raises(UsageError, match="running already"):
        lab.engine.loops[0].set_tap(PacketTap())
    lab.engine.loops[0].set_tap(None)
    lab.udp(answered=False)
    assert tap.captured == 1


def test_the_ring_is_bounded_and_what_it_cannot_hold_is_counted(lab):
    tap = PacketTap(snaplen=1500, ring_bytes=1)
    lab.engine.loops[0].set_tap(tap)
    frame = scapy.Ether(dst="02:00:00:00:00:0b") / scapy.IP(dst="198.51.100.2") / scapy.UDP(dport=9) / (b"x" * 1400)
    for _ in range(10):
        lab.send(A, Packets.of([bytes(frame)] * 20))
    assert tap.captured + tap.dropped == 200
    assert 0 < tap.captured < 60
    rows, packets = tap.take()
    assert len(rows) == tap.captured
    assert set(packets) == {bytes(frame)}
    lab.send(A, Packets.of([bytes(frame)]))
    assert list(tap.take()[1]) == [bytes(frame)]


def test_entries_of_many_sizes_come_out_as_they_went_in(lab):
    tap = PacketTap(ring_bytes=1)
    lab.engine.loops[0].set_tap(tap)
    dice = np.random.default_rng(1)
    base = scapy.Ether(dst="02:00:00:00:00:0b") / scapy.IP(dst="198.51.100.2") / scapy.UDP(dport=9)
    sent, taken = [], []
    for _ in range(120):
        frames = [bytes(base / bytes(dice.integers(0, 256, size, np.uint8))) for size in dice.integers(1, 1400, 5)]
        sent += frames
        lab.send(A, Packets.of(frames))
        rows, packets = tap.take()
        taken += list(packets)
        assert (rows["time_ns"] > 1_600_000_000_000_000_000).all()
    assert tap.dropped == 0
    assert taken == sent


def test_a_snapped_packet_keeps_its_length(lab):
    tap = PacketTap(snaplen=60)
    lab.engine.loops[0].set_tap(tap)
    lab.packet(A, scapy.Ether() / scapy.IP(dst="198.51.100.2") / scapy.UDP(dport=9) / (b"x" * 500))
    rows, packets = tap.take()
    assert (packets.length.tolist(), packets.wire_length.tolist()) == ([60], [542])
    assert rows["port"].tolist() == [0]


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({"proto": 17}, True),
        ({"proto": 6}, False),
        ({"src": ipaddress.ip_network("198.51.100.0/24")}, True),
        ({"src": ipaddress.ip_network("198.51.101.0/24")}, False),
        ({"src": ipaddress.ip_network("2001:db8::/32")}, False),
        ({"dst": ipaddress.ip_network("198.51.100.254/32"), "dst_port": 53}, True),
        ({"dst_port": 54}, False),
        ({"reply_dst": ipaddress.ip_network("198.51.100.1/32")}, True),
        ({"zone": 0, "mark": (0, 0xFF)}, True),
        ({"mark": (1, 0xFF)}, False),
        ({"offload": 2}, False),
        ({"reason": 0}, False),
        ({"reason": 4}, True),
        ({"tcp_state": 4}, False),
        ({"proto": None, "src": None}, True),
    ],
)
def test_a_condition_is_about_the_connection_of_a_packet(lab, conditions, fits):
    tap = PacketTap(**conditions)
    lab.engine.loops[0].set_tap(tap)
    lab.udp(host=1, answered=False)
    assert tap.captured == int(fits)
    lab.packet(B, scapy.Ether(dst="ff:ff:ff:ff:ff:ff") / scapy.ARP())
    without_conditions = not any(value is not None for value in conditions.values())
    assert tap.captured == int(fits) + int(without_conditions)


def test_what_is_no_condition_is_refused():
    with pytest.raises(UsageError, match="no condition colour"):
        PacketTap(colour=1)
    for wrong in ({"snaplen": 0}, {"snaplen": 65536}, {"ring_bytes": 0}, {"ring_bytes": 1 << 31}):
        with pytest.raises(UsageError):
            PacketTap(**wrong)


def test_one_thread_fills_it_and_another_empties_it(lab):
    tap = PacketTap(ring_bytes=1)
    lab.engine.loops[0].set_tap(tap)
    taken: list[bytes] = []
    done = threading.Event()

    def empty() -> None:
        while not done.is_set() or len(taken) != tap.captured:
            taken.extend(tap.take(64)[1])

    reader = threading.Thread(target=empty)
    reader.start()
    frames = [
        bytes(scapy.Ether() / scapy.IP(dst="198.51.100.2") / scapy.UDP(dport=9) / f"{n:06}".encode())
        for n in range(3000)
    ]
    for first in range(0, len(frames), 32):
        lab.send(A, Packets.of(frames[first : first + 32]))
    done.set()
    reader.join(20)
    assert not reader.is_alive()
    assert tap.captured + tap.dropped == len(frames)
    numbers = [int(frame[-6:]) for frame in taken]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == tap.captured


def test_marks_and_zones_of_each_packet_stand_in_its_comment():
    rows = np.zeros(6, ENTRY)
    rows["record"]["conn_id"] = [1, 1, 1, 0, 1, 1]
    rows["record"]["mark"] = [0, 7, 7, 0, 2**32 - 1, 0]
    rows["record"]["zone"] = [0, 0, 5, 0, 65535, 0]
    rows["state"] = 0x22
    first, which = different(rows)
    said = [comment_of(rows[first[i]]) for i in which]
    assert said == [
        "ct_state=est|trk offloaded=no",
        "ct_state=est|trk offloaded=no mark=7",
        "ct_state=est|trk offloaded=no zone=5 mark=7",
        "ct_state=est|trk",
        "ct_state=est|trk offloaded=no zone=65535 mark=4294967295",
        "ct_state=est|trk offloaded=no",
    ]
    assert len(first) == 5
