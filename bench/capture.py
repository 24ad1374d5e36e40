"""Reading a capture from the page cache; control: one byte of each packet, added up over the mapped file."""

from __future__ import annotations

import mmap
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bench import Row, paired
from ctoffload_dpdk.base.capture import read_capture, write_capture
from ctoffload_dpdk.base.packets import Packets

PACKETS = 500_000
BAR_NS = 100.0  # 10 million packets a second


def pcap(path: Path, size: int) -> None:
    offset = np.arange(PACKETS, dtype=np.uint64) * np.uint64(size)
    times = np.arange(PACKETS, dtype=np.int64) * 1000
    write_capture(path, Packets(np.zeros(PACKETS * size, np.uint8), offset, np.full(PACKETS, size, np.uint32), times))


def pcapng(path: Path, size: int) -> None:
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
    length = 32 + size
    packet = struct.pack("<IIIIIII", 6, length, 0, 0, 1, size, size) + bytes(size) + struct.pack("<I", length)
    path.write_bytes(section + interface + packet * PACKETS)


def ns_per_packet(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    done = work()
    taken = time.perf_counter_ns() - start
    del done
    return taken / PACKETS


def touch(path: Path, stride: int) -> int:
    """What no reader can do without: a cache line of every packet."""
    with path.open("rb") as file:
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    return int(data[::stride].sum())


def row(path: Path, name: str, size: int, header: int, reference: float) -> Row:
    pair = paired(
        lambda: ns_per_packet(lambda: read_capture(path)),
        lambda: ns_per_packet(lambda: touch(path, size + header)),
    )
    return Row(
        name=f"read a {name}, {size}-byte packets",
        unit="ns/packet",
        figure=pair.ours,
        bar=BAR_NS,
        at_most=True,
        control=pair.control,
        reference=reference,
        against="one byte a packet",
        low=pair.low,
        high=pair.high,
    )


def rows() -> Iterable[Row]:
    kinds = (("pcap", pcap, 64, 16, 8.3), ("pcapng", pcapng, 64, 32, 12.6), ("pcap", pcap, 1500, 16, 19.0))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "capture"
        for name, make, size, header, reference in kinds:
            make(path, size)
            read_capture(path)
            yield row(path, name, size, header, reference)
