"""Packets in a buffer, and the numbers that come with them: what fits, and what is refused in words."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pytest

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole, wholes
from ctoffload_dpdk.base.packets import Packets

DATA = np.arange(100, dtype=np.uint8)


def test_packets_lie_where_their_numbers_say() -> None:
    packets = Packets(DATA, np.array([0, 90, 100], np.uint64), np.array([3, 10, 0], np.uint32))
    assert list(packets) == [bytes([0, 1, 2]), bytes(range(90, 100)), b""]
    assert packets.data is DATA
    assert packets.time_ns.tolist() == [0, 0, 0]
    assert packets.wire_length.tolist() == [3, 10, 0]


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        ([0, 90], [3, 10]),
        (np.array([0, 90], np.int64), np.array([3, 10], np.int64)),
        (np.array([0, 5, 90, 5], np.uint64)[::2], np.array([3, 0, 10, 0], np.uint32)[::2]),
        (np.array([0, 90], object), np.array([3, 10], np.uint8)),
    ],
    ids=["lists", "int64", "strides", "objects"],
)
def test_numbers_of_another_type_are_converted(offset: Any, length: Any) -> None:
    packets = Packets(DATA, offset, length)
    assert [len(packet) for packet in packets] == [3, 10]
    assert (packets.offset.dtype, packets.length.dtype) == (np.uint64, np.uint32)
    assert packets.offset.flags.c_contiguous and packets.length.flags.c_contiguous


@pytest.mark.parametrize(
    ("offset", "length", "said"),
    [
        ([0], [101], "lies outside its buffer"),
        ([41], [60], "lies outside its buffer"),
        (np.array([2**64 - 30], np.uint64), [60], "lies outside its buffer"),
        ([101], [0], "lies outside its buffer"),
        (np.array([2**64 - 1], np.uint64), np.array([10], np.uint32), "lies outside its buffer"),
        ([-1], [10], "offset -1 is not between 0 and 18446744073709551615"),
        ([0], [-1], "length -1 is not between 0 and 4294967295"),
        ([0], np.array([2**32 + 5]), "length 4294967301 is not between"),
        ([0], [10**30], "length 1000000000000000000000000000000 is not between"),
        (np.array([0.0]), [1], "offset are no whole numbers but float64"),
        (np.array([np.nan]), [1], "offset are no whole numbers but float64"),
        ([0.0], [1], "offset 0.0 is no whole number"),
        ([float("nan")], [1], "offset nan is no whole number"),
        ([None], [1], "offset None is no whole number"),
        (["a"], [1], "offset are no whole numbers"),
        ([[0]], [1], "offset has 2 dimensions"),
        (0, [1], "offset has 0 dimensions"),
        ([[0], [1, 2]], [1], "offset is no array"),
        ([0, 1], [1], "2 offsets but 1 lengths"),
    ],
)
def test_a_packet_outside_its_buffer_and_numbers_that_are_none_are_refused(offset: Any, length: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Packets(DATA, offset, length)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "data", [DATA[::2], DATA.reshape(10, 10), DATA.astype(np.uint16), bytes(DATA), [1, 2, 3], None], ids=str
)
def test_data_of_another_form_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match=r"no uint8\[n\] in one piece"):
        Packets(data, np.zeros(1, np.uint64), np.ones(1, np.uint32))


@pytest.mark.parametrize("times", [[float("nan")], [2**63], np.array([2**63], np.uint64)], ids=str)
def test_a_time_that_is_none_is_refused(times: Any) -> None:
    with pytest.raises(UsageError, match="time_ns"):
        Packets(DATA, np.zeros(1, np.uint64), np.ones(1, np.uint32), times)


@pytest.mark.parametrize(
    ("packets", "times", "said"),
    [(b"abc", [], "a number is no packet"), ([5], [], "a number is no packet"), ([b"a"], [2**63], "time_ns 9223")],
)
def test_what_is_no_packet_and_no_time_makes_none(packets: Any, times: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Packets.of(packets, times)


def test_no_packets_are_packets() -> None:
    assert len(Packets(DATA, [], [])) == len(Packets(DATA[:0], [], [])) == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1, "-1 is not between 0 and 9"),
        (10, "10 is not between 0 and 9"),
        (np.int64(10), "10 is not between 0 and 9"),
        (2**20_000, "<20001 bits> is not between"),
        (-(2**20_000), "<20001 bits> is not between"),
        (5.0, "5.0 is no whole number"),
        (float("nan"), "nan is no whole number"),
        ("5", "'5' is no whole number"),
        (None, "None is no whole number"),
        ("x" * 5000, "'xxx.* is no whole number"),
    ],
    ids=lambda case: str(case)[:20] if isinstance(case, str) else "",
)
def test_a_number_that_does_not_fit_is_refused(value: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"^flush: zone {said}") as caught:
        whole(value, 0, 9, "flush: zone", errno=errno.ERANGE)
    assert caught.value.errno == errno.ERANGE
    assert len(caught.value.message) < 120


def test_numbers_that_fit_are_not_copied() -> None:
    fitting = np.arange(3, dtype=np.uint16)
    assert wholes(fitting, np.uint16, "zone") is fitting
    assert wholes(np.arange(3), np.uint16, "zone").dtype == np.uint16
    assert wholes([0, 2**64 - 1], np.uint64, "ids").tolist() == [0, 2**64 - 1]
    assert whole(np.uint8(9), 0, 9, "n") == 9
