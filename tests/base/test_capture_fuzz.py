"""Damaged captures: whatever the bytes, the reader answers with packets inside the file, or with a CaptureError."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.errors import CaptureError
from ctoffload_dpdk.base.packets import Packets

DATA = Path(__file__).parent.parent / "data"
LENGTHS = [0, 1, 3, 4, 11, 12, 15, 16, 27, 28, 32, 0x7FFF, 0xFFFF, 0x40000, 0x40001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def as_pcapng(packets: Packets, link_type: int) -> bytes:
    """The same packets as pcapng, so that both formats are damaged."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    options = struct.pack("<HHBxxxHHqHH", 9, 1, 9, 14, 8, 1, 0, 0)
    parts = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    parts += [block(1, struct.pack("<HHI", link_type, 0, 0) + options)] * 2
    for i, packet in enumerate(packets):
        head = struct.pack("<IIIII", i % 2, 0x17979CFE, i, len(packet), len(packet))
        parts.append(block(3, struct.pack("<I", len(packet)) + packet) if i % 5 == 4 else block(6, head + packet))
    return b"".join(parts)


def seeds() -> list[bytes]:
    found = []
    for path in sorted(DATA.rglob("*.pcap")):
        data = path.read_bytes()[:8000]
        packets = read_capture(path).packets.slice(0, 20)
        found.append(data)
        for link_type in (0, 1, 101, 113, 276):
            found.append(data[:20] + struct.pack("<I", link_type) + data[24:])
            found.append(as_pcapng(packets, link_type))
    return found


SEEDS = seeds()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(data) - 4)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.sampled_from(LENGTHS)))
            case 1:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.binary(min_size=1, max_size=40))
            case 4:
                del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def judge(path: Path) -> None:
    try:
        capture = read_capture(path)
    except CaptureError as error:
        assert str(path) in error.message
        assert error.hint
        return
    packets = capture.packets
    size = path.stat().st_size
    assert len(packets) <= size / 16
    assert len(packets.data) <= size + 14 * len(packets)
    assert len(capture.interface) == len(packets)
    if len(packets):
        assert int((packets.offset + packets.length).max()) <= len(packets.data)
        assert bool(np.all(packets.wire_length >= packets.length))
        assert int(capture.interface.max()) < len(capture.link_types)
        assert int(packets.data.sum()) >= 0  # touches every byte


def test_there_are_seeds_of_both_formats():
    assert {seed[:4] for seed in SEEDS} >= {b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a"}
    assert len(SEEDS) >= 33


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged())
def test_a_damaged_capture_gives_packets_or_a_capture_error(tmp_path, data):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    judge(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([seed[:24] for seed in SEEDS]), st.binary(max_size=400))
def test_any_bytes_behind_a_good_header_are_survived(tmp_path, header, rest):
    path = tmp_path / "damaged"
    path.write_bytes(header + rest)
    judge(path)


@pytest.mark.parametrize("seed", [SEEDS[0], SEEDS[2]], ids=["pcap", "pcapng"])
def test_a_capture_cut_at_any_byte_gives_the_whole_packets_ahead_of_it(tmp_path, seed):
    path = tmp_path / "cut"
    path.write_bytes(seed)
    whole = list(read_capture(path).packets)
    for size in range(28, len(seed)):
        path.write_bytes(seed[:size])
        capture = read_capture(path)
        n = len(capture.packets)
        assert list(capture.packets) == whole[:n]
        assert capture.error is not None or size in ends(seed)
        assert n < len(whole) or size >= max(ends(seed)[:-1])


def ends(seed: bytes) -> list[int]:
    """Byte offsets between two records or blocks."""
    pcapng = seed[:4] == b"\x0a\x0d\x0d\x0a"
    at, found = (0, []) if pcapng else (24, [24])
    while at < len(seed):
        at += struct.unpack_from("<I", seed, at + 4)[0] if pcapng else 16 + struct.unpack_from("<I", seed, at + 8)[0]
        found.append(at)
    return found
