"""pcapng as it is written, read by the reader of this package and by tshark."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tshark import capinfos, tshark

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.pcapng import packet_blocks, section, statistics

FRAME = bytes.fromhex("02000000000b02000000000a0800") + bytes.fromhex("45000020000100004011000001020304") + bytes(16)


def written(path: Path, packets: Packets, comments: list[str], which: list[int], interface: list[int]) -> Path:
    parts = [section("test", ["left", "right"], 96)]
    parts.append(packet_blocks(packets, np.array(interface, np.uint32), np.array(which, np.uint32), comments))
    path.write_bytes(b"".join(parts) + statistics(0, 5_000_000_000, 7, 3, "3 lost"))
    return path


def test_packets_come_back_with_time_interface_and_length(tmp_path):
    packets = Packets.of([FRAME, FRAME[:33], FRAME[:14]], [1, 1_700_000_000_123_456_789, 2])
    packets = Packets(packets.data, packets.offset, packets.length, packets.time_ns, packets.length + np.uint32(100))
    path = written(tmp_path / "a.pcapng", packets, ["first", ""], [0, 1, 0], [0, 1, 1])
    found = read_capture(path)
    assert found.error is None
    assert found.format == "pcapng"
    assert list(found.packets) == list(packets)
    assert found.packets.time_ns.tolist() == packets.time_ns.tolist()
    assert found.packets.wire_length.tolist() == packets.wire_length.tolist()
    assert found.interface.tolist() == [0, 1, 1]


def test_tshark_reads_the_comments_and_capinfos_the_losses(tmp_path):
    packets = Packets.of([FRAME] * 3, [1, 2_000_000_001, 3])
    path = written(tmp_path / "a.pcapng", packets, ["ct_state=new|trk", "", "Grüße"], [0, 1, 2], [0, 1, 0])
    fields = ("frame.comment", "frame.interface_name", "frame.time_epoch", "frame.len")
    rows = tshark(path, *fields)
    assert [row[0] for row in rows] == ["ct_state=new|trk", "", "Grüße"]
    assert [row[1] for row in rows] == ["left", "right", "left"]
    assert rows[1][2].endswith("2.000000001")
    assert rows[0][3] == str(len(FRAME))
    facts = capinfos(path)
    assert "Number of stat entries = 1" in facts["text"]
    assert facts["Number of packets"].strip() == "3"


def test_an_empty_capture_is_a_capture(tmp_path):
    path = tmp_path / "empty.pcapng"
    path.write_bytes(section("test", ["a"], 65535))
    assert len(read_capture(path).packets) == 0
    assert tshark(path, "frame.number") == []


@given(
    st.lists(
        st.tuples(st.binary(max_size=90), st.integers(0, 2**62), st.integers(0, 2), st.integers(0, 2)), max_size=20
    ),
    st.lists(st.text(max_size=40), min_size=3, max_size=3),
)
def test_whatever_is_written_is_read_again(tmp_path_factory, packets, comments):
    made = Packets.of([p[0] for p in packets], [p[1] for p in packets])
    path = tmp_path_factory.mktemp("any") / "any.pcapng"
    comments = [c.encode("utf-8", "replace").decode() for c in comments]
    blocks = packet_blocks(
        made, np.array([p[2] % 2 for p in packets], np.uint32), np.array([p[3] for p in packets], np.uint32), comments
    )
    assert len(blocks) % 4 == 0
    path.write_bytes(section("x", ["a", "b"], 65535) + blocks)
    found = read_capture(path)
    assert found.error is None
    assert list(found.packets) == [p[0] for p in packets]


@pytest.mark.parametrize("wrong", ["comment", "time", "comments", "array"])
def test_what_cannot_be_written_is_refused(wrong):
    packets = Packets.of([FRAME], [-1 if wrong == "time" else 1])
    which = np.array([1 if wrong == "comment" else 0], np.uint32)
    comments = ["x" * 65536] if wrong == "comments" else ["x"]
    interface = np.zeros(2 if wrong == "array" else 1, np.uint32)
    with pytest.raises(ValueError, match="put_blocks"):
        packet_blocks(packets, interface, which, comments)


def test_a_section_is_as_the_specification_has_it():
    head = section("me", [], 0)
    kind, length, magic, major, minor, size = struct.unpack_from("=IIIHHq", head)
    assert (kind, length, magic, major, minor, size) == (0x0A0D0D0A, len(head), 0x1A2B3C4D, 1, 0, -1)
    assert head[-4:] == struct.pack("=I", len(head))
