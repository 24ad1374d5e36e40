from __future__ import annotations

import errno
import os
import struct
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, Ether
from scapy.utils import PcapNgWriter, PcapReader, wrpcap

from ctoffload_dpdk.base.capture import read_capture, write_capture
from ctoffload_dpdk.base.errors import CaptureError, UsageError
from ctoffload_dpdk.base.packets import Packets

ORDERS = {"little": "<", "big": ">"}


def pcap(
    packets: list[tuple[int, int, bytes]], *, order: str = "little", magic: int = 0xA1B2C3D4, link: int = 1
) -> bytes:
    """packets: (seconds, fraction, bytes)."""
    o = ORDERS[order]
    parts = [struct.pack(o + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    parts += [struct.pack(o + "IIII", s, f, len(p), len(p)) + p for s, f, p in packets]
    return b"".join(parts)


class Pcapng:
    """One pcapng section after another, in either byte order."""

    def __init__(self, order: str = "little") -> None:
        self.data = b""
        self.section(order)

    def block(self, kind: int, body: bytes) -> Pcapng:
        body += bytes(-len(body) % 4)
        length = struct.pack(self.o + "I", 12 + len(body))
        self.data += struct.pack(self.o + "I", kind) + length + body + length
        return self

    def section(self, order: str = "little", major: int = 1) -> Pcapng:
        self.o = ORDERS[order]
        return self.block(0x0A0D0D0A, struct.pack(self.o + "IHHq", 0x1A2B3C4D, major, 0, -1))

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.o + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def interface(self, link: int = 1, snap: int = 0, options: bytes = b"") -> Pcapng:
        return self.block(1, struct.pack(self.o + "HHI", link, 0, snap) + options)

    def packet(self, number: int, stamp: int, packet: bytes, wire: int | None = None) -> Pcapng:
        wire = len(packet) if wire is None else wire
        head = struct.pack(self.o + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), wire)
        return self.block(6, head + packet)

    def old_packet(self, number: int, stamp: int, packet: bytes) -> Pcapng:
        head = struct.pack(self.o + "HHIIII", number, 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        return self.block(2, head + packet)

    def simple_packet(self, packet: bytes, wire: int | None = None) -> Pcapng:
        return self.block(3, struct.pack(self.o + "I", len(packet) if wire is None else wire) + packet)


V4 = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello")
V6 = bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2) / b"hello")
FRAMES = [bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(V4)), b"\x02" * 60, b"", b"abc"]


@pytest.fixture
def save(tmp_path):
    def save(data: bytes) -> Path:
        path = tmp_path / "capture"
        path.write_bytes(data)
        return path

    return save


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_a_pcap_is_read_in_both_byte_orders_and_resolutions(save, order, magic, unit_ns):
    packets = [(1_700_000_000 + i, 999_999 - i, frame) for i, frame in enumerate(FRAMES)]
    capture = read_capture(save(pcap(packets, order=order, magic=magic)))
    assert capture.error is None
    assert capture.format == "pcap"
    assert list(capture.packets) == FRAMES
    assert capture.packets.time_ns.tolist() == [s * 10**9 + f * unit_ns for s, f, _ in packets]
    assert capture.link_types == (1,)


def test_a_packet_cut_by_the_snap_length_keeps_its_wire_length(save):
    data = pcap([(0, 0, b"x" * 96)])
    data = data[:36] + struct.pack("<I", 1500) + data[40:]
    packets = read_capture(save(data)).packets
    assert packets.length.tolist() == [96]
    assert packets.wire_length.tolist() == [1500]


def test_what_scapy_writes_is_read(tmp_path):
    frames = [Ether() / IP(V4), Ether() / IPv6(V6)]
    wrpcap(str(tmp_path / "a.pcap"), frames)
    assert list(read_capture(tmp_path / "a.pcap").packets) == [bytes(f) for f in frames]
    with PcapNgWriter(str(tmp_path / "a.pcapng")) as writer:
        for frame in frames:
            writer.write(frame)
    capture = read_capture(tmp_path / "a.pcapng")
    assert capture.format == "pcapng"
    assert list(capture.packets) == [bytes(f) for f in frames]


def test_what_is_written_is_read_by_scapy_and_by_us(tmp_path):
    times = [10**18 + 1, 10**18 + 999_999_999, 10**18 + 10**9, 2**32 * 10**9 - 1]
    write_capture(tmp_path / "a.pcap", Packets.of(FRAMES, times))
    capture = read_capture(tmp_path / "a.pcap")
    assert list(capture.packets) == FRAMES
    assert capture.packets.time_ns.tolist() == times
    with PcapReader(str(tmp_path / "a.pcap")) as reader:
        assert [bytes(p) for p in reader if p.wirelen] == [f for f in FRAMES if f]


def test_times_a_pcap_cannot_hold_are_refused(tmp_path):
    for time_ns in (-1, 2**32 * 10**9):
        with pytest.raises(UsageError, match="1970"):
            write_capture(tmp_path / "a.pcap", Packets.of([b"x"], [time_ns]))


def test_writing_where_one_may_not_is_said(tmp_path):
    with pytest.raises(CaptureError, match="cannot write"):
        write_capture(tmp_path / "no" / "a.pcap", Packets.of([b"x"]))


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_pcapng_with_every_kind_of_packet_block_is_read(save, order):
    ng = Pcapng(order).block(0x0BAD, b"unknown block").interface()
    ng.packet(0, 1_700_000_000_000_001, FRAMES[0]).block(5, b"x" * 8).simple_packet(b"simple").old_packet(0, 7, b"old")
    capture = read_capture(save(ng.data))
    assert capture.error is None
    assert list(capture.packets) == [FRAMES[0], b"simple", b"old"]
    assert capture.packets.time_ns.tolist() == [1_700_000_000_000_001_000, 0, 7000]


@pytest.mark.parametrize(
    ("resolution", "stamp", "time_ns"),
    [
        (0, 3, 3_000_000_000),
        (3, 1_700_000_000_123, 1_700_000_000_123_000_000),
        (9, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (12, 5_999, 5),
        (19, 2**63, 922_337_203),
        (27, 2**64 - 1, 18),
        (127, 2**64 - 1, 0),
        (0x80 | 0, 2, 2_000_000_000),
        (0x80 | 10, 1536, 1_500_000_000),
        (0x80 | 32, 2**63, 2**31 * 10**9),
        (0x80 | 64, 2**63, 500_000_000),
        (0xFF, 2**64 - 1, 0),
        (0, 2**64 - 1, 2**63 - 1),
    ],
)
def test_time_stamps_of_every_resolution_become_ns(save, resolution, stamp, time_ns):
    ng = Pcapng()
    ng.interface(options=ng.option(2, b"eth0") + ng.option(9, bytes([resolution])) + ng.option(0, b""))
    capture = read_capture(save(ng.packet(0, stamp, b"x").data))
    assert capture.error is None
    assert capture.packets.time_ns.tolist() == [time_ns]


def test_the_time_offset_of_an_interface_is_added(save):
    ng = Pcapng()
    ng.interface(options=ng.option(14, struct.pack("<q", -5)))
    ng.interface(options=ng.option(14, struct.pack("<q", -(2**63))))
    times = read_capture(save(ng.packet(0, 7_000_000, b"x").packet(1, 1, b"x").data)).packets.time_ns
    assert times.tolist() == [2_000_000_000, -(2**63)]


def test_each_section_has_interfaces_and_a_byte_order_of_its_own(save):
    ng = Pcapng("little").interface(101).interface(1).packet(1, 1, FRAMES[0]).packet(0, 2, V4)
    ng.section("big").interface(1).packet(0, 3, FRAMES[1])
    capture = read_capture(save(ng.data))
    assert capture.error is None
    assert capture.link_types == (101, 1, 1)
    assert capture.interface.tolist() == [1, 0, 2]
    assert list(capture.packets) == [FRAMES[0], bytes(12) + b"\x08\x00" + V4, FRAMES[1]]


def test_a_simple_packet_is_cut_at_the_snap_length(save):
    packets = read_capture(save(Pcapng().interface(snap=4).simple_packet(b"abcdef", wire=100).data)).packets
    assert list(packets) == [b"abcd"]
    assert packets.wire_length.tolist() == [100]


SLL = bytes(CookedLinux(lladdrtype=1, lladdrlen=6, src=b"\x02\0\0\0\0\x09\0\0", proto=0x0800) / IP(V4))
SLL2 = struct.pack("!HHIHBB8s", 0x86DD, 0, 3, 1, 0, 6, b"\x02\0\0\0\0\x09\0\0") + V6


@pytest.mark.parametrize(
    ("link", "packet", "frame"),
    [
        (113, SLL, bytes(6) + b"\x02\0\0\0\0\x09" + b"\x08\x00" + V4),
        (276, SLL2, bytes(6) + b"\x02\0\0\0\0\x09" + b"\x86\xdd" + V6),
        (101, V4, bytes(12) + b"\x08\x00" + V4),
        (12, V6, bytes(12) + b"\x86\xdd" + V6),
        (14, V6, bytes(12) + b"\x86\xdd" + V6),
        (101, b"\x00junk", bytes(14) + b"\x00junk"),
        (101, b"", bytes(14)),
        (228, V4, bytes(12) + b"\x08\x00" + V4),
        (229, V6, bytes(12) + b"\x86\xdd" + V6),
        (0, b"\x02\0\0\0" + V4, bytes(12) + b"\x08\x00" + V4),
        (0, b"\0\0\0\x1e" + V6, bytes(12) + b"\x86\xdd" + V6),
        (108, b"\0\0\0\x18" + V6, bytes(12) + b"\x86\xdd" + V6),
        (108, b"\0\0\0\x63" + V6, bytes(14) + V6),
        (0, b"\x02\0", bytes(14)),
        (113, SLL[:15], bytes(14)),
        (276, SLL2[:19], bytes(14)),
    ],
)
def test_other_link_types_get_an_ethernet_header(save, link, packet, frame):
    capture = read_capture(save(pcap([(0, 0, packet), (0, 0, packet)], link=link)))
    assert capture.error is None
    assert list(capture.packets) == [frame, frame]
    assert capture.packets.wire_length.tolist() == [len(frame)] * 2
    assert capture.link_types == (link,)


def test_the_fcs_length_in_the_link_type_field_is_no_link_type(save):
    assert len(read_capture(save(pcap([(0, 0, b"x")], link=0x24000001))).packets) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"abc", "neither pcap nor pcapng"),
        (b"GET / HTTP/1.0\r\n", "neither pcap nor pcapng .* 47 45 54 20"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (pcap([], magic=0xA1B2CD34), "modified pcap"),
        (pcap([], magic=0xA1B2CD34, order="big"), "modified pcap"),
        (pcap([])[:23], "breaks off at byte 0 .* 24 bytes are due there, 23 are left"),
        (pcap([])[:4] + b"\x01\0\x04\0" + pcap([])[8:], "pcap version 1.4"),
        (pcap([], link=127), r"link type 127 \(IEEE802_11_RADIO\)"),
        (pcap([], link=147), r"link type 147 \(unknown\)"),
    ],
)
def test_what_is_no_readable_capture_is_refused_in_words(save, data, words):
    with pytest.raises(CaptureError, match=words) as caught:
        read_capture(save(data))
    assert caught.value.hint


NG = Pcapng().interface().packet(0, 1, b"abcd").packet(0, 2, b"efgh").data


@pytest.mark.parametrize(
    ("data", "n", "words"),
    [
        (pcap([(0, 0, b"abcd"), (0, 0, b"efgh")])[:-1], 1, r"byte 44 \(after 1 packet\): 20 bytes are due there, 19"),
        (pcap([(0, 0, b"abcd")]) + b"\0" * 15, 1, "byte 44 .*: 16 bytes are due there, 15"),
        (pcap([(0, 0, b"abcd")]) + b"\xff" * 16, 1, "byte 44 .* a length of 4294967295 cannot be"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 262145, 262145) + bytes(262145), 0, "length of 262145"),
        (NG[:-1], 1, "breaks off .* 36 bytes are due there, 35 are left"),
        (NG[:-4] + b"\0\0\0\0", 1, "length of 36 cannot be"),
        (NG + b"\x0a\x0d\x0d\x0a" + b"\x1c\0\0\0" + b"abcd" + bytes(20), 2, "byte-order"),
        (NG + struct.pack("<III", 6, 0xFFFFFFFC, 0), 2, "4294967292 bytes are due"),
        (NG + struct.pack("<III", 6, 8, 0), 2, "a length of 8 cannot be"),
        (Pcapng().interface().packet(0, 1, b"a").packet(1, 1, b"a").data, 1, "interface 1 of 1"),
        (Pcapng().interface().packet(0, 1, b"a").section().packet(0, 1, b"a").data, 1, "interface 0 of 0"),
        (Pcapng().interface().packet(0, 1, b"a").section(major=2).data, 1, "pcapng version 2.0"),
        (Pcapng().interface().block(6, struct.pack("<IIIII", 0, 0, 0, 2**32 - 1, 4)).data, 0, "length of 4294967295"),
        (Pcapng().interface().block(6, bytes(16)).data, 0, "length of 28"),
        (Pcapng().block(1, bytes(4)).data, 0, "length of 16"),
        (Pcapng().block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)).data, 0, "length of 16"),
        (Pcapng().interface(127).interface(1).packet(1, 1, b"a").packet(0, 1, b"a").data, 1, "link type 127"),
    ],
)
def test_a_file_broken_half_way_gives_what_it_had_and_the_error(save, data, n, words):
    capture = read_capture(save(data))
    assert len(capture.packets) == n
    assert capture.error is not None
    with pytest.raises(CaptureError, match=words):
        raise capture.error


def test_an_interface_option_that_runs_over_its_block_is_left_alone(save):
    ng = Pcapng().interface(options=struct.pack("<HH", 9, 65535)).packet(0, 1, b"a")
    assert read_capture(save(ng.data)).packets.time_ns.tolist() == [1000]


def test_a_capture_without_packets_is_no_error(save):
    for data in (pcap([]), Pcapng().data, Pcapng().interface(127).data):
        capture = read_capture(save(data))
        assert len(capture.packets) == 0
        assert capture.error is None


def test_more_packets_than_one_step_holds_are_read(save, monkeypatch):
    monkeypatch.setattr("ctoffload_dpdk.base.capture.ROWS_AT_ONCE", 3)
    frames = [bytes([i]) * 14 for i in range(10)]
    for n in (8, 9, 10):
        capture = read_capture(save(pcap([(i, 0, f) for i, f in enumerate(frames[:n])])))
        assert list(capture.packets) == frames[:n]
        assert capture.packets.time_ns.tolist() == [i * 10**9 for i in range(n)]


def test_a_large_file_is_mapped_and_read_the_same(save, monkeypatch):
    path = save(pcap([(1, 2, f) for f in FRAMES]))
    monkeypatch.setattr("ctoffload_dpdk.base.capture.READ_WHOLE_BYTES", 10)
    assert list(read_capture(path).packets) == FRAMES


def test_a_pipe_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[pcap([(1, 2, f) for f in FRAMES])])
    writer.start()
    assert list(read_capture(tmp_path / "pipe").packets) == FRAMES
    writer.join()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null"])
def test_a_device_without_end_is_refused_at_once(device):
    with pytest.raises(CaptureError, match=r"neither pcap nor pcapng|empty"):
        read_capture(device)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(CaptureError, match=r"no\.pcap: cannot read the capture: No such file"):
        read_capture(tmp_path / "no.pcap")
    with pytest.raises(CaptureError) as caught:
        read_capture(tmp_path)
    assert caught.value.errno == errno.EISDIR


def test_a_length_of_4_gib_allocates_nothing(save):
    data = pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    tracemalloc.start()
    capture = read_capture(save(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert capture.error is not None
    assert peak < 4 << 20


def test_the_columns_have_their_types(save):
    packets = read_capture(save(pcap([(1, 2, b"x")]))).packets
    assert packets.offset.dtype == np.uint64
    assert packets.length.dtype == packets.wire_length.dtype == np.uint32
    assert packets.time_ns.dtype == np.int64
