"""Writing pcapng: the blocks of a file as bytes, for files, pipes and sockets alike. Reading is in capture.py."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base import _capture
from ctoffload_dpdk.base.packets import Packets

SECTION, INTERFACE, STATISTICS = 0x0A0D0D0A, 1, 5
BYTE_ORDER_MAGIC = 0x1A2B3C4D
ETHERNET = 1
UNKNOWN_LENGTH = 0xFFFFFFFFFFFFFFFF
COMMENT, APPLICATION = 1, 4
NAME, RESOLUTION = 2, 9
RECEIVED, LOST = 4, 5
NANOSECONDS = b"\x09"


def section(application: str, names: Sequence[str], snaplen: int) -> bytes:
    """What a file begins with: the section, and the interfaces of these names. snaplen: bytes kept of a packet."""
    head = struct.pack("=IHHQ", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH)
    return block(SECTION, head, [(APPLICATION, application.encode())]) + interfaces(names, snaplen)


def interfaces(names: Sequence[str], snaplen: int) -> bytes:
    """More interfaces, of Ethernet and with times in ns; their numbers go on where those before ended."""
    body = struct.pack("=HHI", ETHERNET, 0, snaplen)
    made = [block(INTERFACE, body, [(NAME, name.encode()), (RESOLUTION, NANOSECONDS)]) for name in names]
    return b"".join(made)


def packet_blocks(
    packets: Packets, interface: NDArray[np.uint32], comment: NDArray[np.uint32], comments: Sequence[str]
) -> bytearray:
    """Packets with their time in ns. interface: uint32[n], its number; comment: uint32[n], index into comments.

    An empty comment is none. Raises ValueError for times before 1970 and indexes that are out of range.
    """
    return _capture.put_blocks(
        np.ascontiguousarray(packets.data),
        packets.offset,
        packets.length,
        packets.time_ns,
        packets.wire_length,
        interface,
        comment,
        [text.encode() for text in comments],
    )


def statistics(interface: int, time_ns: int, received: int, lost: int, comment: str = "") -> bytes:
    """How many packets an interface gave, and how many of them were lost, at this time."""
    body = struct.pack("=III", interface, time_ns >> 32, time_ns & 0xFFFFFFFF)
    options = [(RECEIVED, struct.pack("=Q", received)), (LOST, struct.pack("=Q", lost))]
    return block(STATISTICS, body, [(COMMENT, comment.encode()), *options] if comment else options)


def block(kind: int, body: bytes, options: Sequence[tuple[int, bytes]]) -> bytes:
    """One block: type, length, body, options, length again."""
    tail = b"".join(struct.pack("=HH", code, len(value)) + padded(value) for code, value in (*options, (0, b"")))
    length = 12 + len(body) + len(tail)
    return struct.pack("=II", kind, length) + body + tail + struct.pack("=I", length)


def padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
