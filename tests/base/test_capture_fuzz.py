"""Damaged captures: whatever the bytes, the reader answers with packets inside the file, or with a CaptureError."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from damaged import SEEDS, damaged_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.errors import CaptureError


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


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_files())
def test_a_damaged_capture_gives_packets_or_a_capture_error(tmp_path, data):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    judge(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([seed[:24] for seed in SEEDS]), st.binary(max_size=400))
def test_any_bytes_behind_a_good_header_are_survived(tmp_path, header, rest):
    path = tmp_path / "damaged"
    path.write_bytes(header + rest)
    judge(path)


@pytest.mark.parametrize("seed", [SEEDS[0][:700], SEEDS[2][:700]], ids=["pcap", "pcapng"])
def test_a_capture_cut_at_any_byte_gives_the_whole_packets_ahead_of_it(tmp_path, seed):
    path = tmp_path / "cut"
    path.write_bytes(seed)
    whole = list(read_capture(path).packets)
    assert len(whole) > 5
    for size in range(28, len(seed)):
        path.write_bytes(seed[:size])
        capture = read_capture(path)
        n = len(capture.packets)
        assert list(capture.packets) == whole[:n]
        assert capture.error is not None or size in ends(seed)
        assert n == len(whole) or size < max(end for end in ends(seed) if end <= len(seed))


def ends(seed: bytes) -> list[int]:
    """Byte offsets between two records or blocks."""
    pcapng = seed[:4] == b"\x0a\x0d\x0d\x0a"
    at, found = (0, []) if pcapng else (24, [24])
    while at < len(seed):
        at += struct.unpack_from("<I", seed, at + 4)[0] if pcapng else 16 + struct.unpack_from("<I", seed, at + 8)[0]
        found.append(at)
    return found
