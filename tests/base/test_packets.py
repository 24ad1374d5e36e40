"""Packets as arrays: what cannot lie in its buffer is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets


@pytest.mark.parametrize(("offset", "length"), [(0, 101), (100, 1), (41, 60), (2**64 - 30, 60), (2**64 - 1, 1)])
def test_a_packet_outside_its_buffer_is_refused(offset: int, length: int) -> None:
    with pytest.raises(UsageError, match="outside its buffer"):
        Packets(np.zeros(100, np.uint8), np.array([offset], np.uint64), np.array([length], np.uint32))


@pytest.mark.parametrize(("offset", "length"), [(0, 100), (100, 0), (40, 60)])
def test_a_packet_may_reach_the_end_of_its_buffer(offset: int, length: int) -> None:
    packets = Packets(np.zeros(100, np.uint8), np.array([offset], np.uint64), np.array([length], np.uint32))
    assert len(packets[0]) == length


def test_an_offset_without_a_length_is_refused() -> None:
    with pytest.raises(UsageError, match="2 offsets but 1 lengths"):
        Packets(np.zeros(100, np.uint8), np.zeros(2, np.uint64), np.zeros(1, np.uint32))
