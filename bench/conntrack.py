"""Speed and size of the software engine: one core, 64-byte UDP frames in buffers that lie as DPDK's do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import Paired, Row, paired
from ctoffload_dpdk.conntrack import Conntrack, Nat
from ctoffload_dpdk.conntrack._bench import Frames, Plain

MILLION = 1_000_000
POOL = 1 << 18  # frames: 570 MB, far more than any cache
HOT_PACKETS = 1 << 20
RANDOM_PACKETS = 1 << 19
AGAINST = "plain C hash lookup"

# The control on the machine the bars were set for (two cores of an AMD EPYC 9004, virtual), in ns.
REFERENCE_HOT = 6.8
REFERENCE_RANDOM = 31.0


def warm_up_memory(n_bytes: int) -> None:
    """A virtual machine pays its host for the first touch of a page: 500 ns a connection, once, and not ours."""
    np.ones(n_bytes // 8)


def numbers(n: int, seed: int = 1) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, n, POOL, dtype=np.uint32)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def insert(conntrack: Conntrack, frames: Frames, first: int, last: int) -> int:
    """Inserts connections first to last - 1; returns the nanoseconds spent in the tracker."""
    spent = 0
    for start in range(first, last, POOL):
        n = min(POOL, last - start)
        frames.fill(np.arange(start, start + n, dtype=np.uint32))
        spent += frames.run(conntrack, n, now_ms=0)
    return spent


def establish(conntrack: Conntrack, frames: Frames, n: int) -> None:
    """Connections 0 to n - 1, each with a packet in both directions."""
    insert(conntrack, frames, 0, n)
    for start in range(0, n, POOL):
        size = min(POOL, n - start)
        frames.fill(np.arange(start, start + size, dtype=np.uint32), reply=True)
        frames.run(conntrack, size, now_ms=0)


def row(name: str, pairs: Paired, bar: float, reference: float) -> Row:
    return Row(name, "ns", pairs.ours, bar, True, pairs.control, reference, AGAINST, pairs.low, pairs.high)


def hot_rows() -> Iterable[Row]:
    plain, order = Plain(1024), numbers(1024)
    frames = Frames(64)
    with Conntrack(1000, now_ms=0) as conntrack:
        establish(conntrack, Frames(64), 1)
        frames.fill(np.zeros(64, np.uint32))
        for good, words in ((True, "checksums good"), (False, "checksums in software")):
            figures = paired(
                lambda good=good: frames.run(conntrack, HOT_PACKETS, now_ms=1, good=good) / HOT_PACKETS,
                lambda: plain.run(order) / POOL,
            )
            yield row(f"established packet, hot, {words}", figures, 45, REFERENCE_HOT)


def random_rows(frames: Frames) -> Iterable[Row]:
    plain, order = Plain(MILLION), numbers(MILLION)
    with Conntrack(2 * MILLION, now_ms=0) as conntrack:
        establish(conntrack, frames, MILLION)
        frames.fill(order)
        for good, words in ((True, "checksums good"), (False, "checksums in software")):
            figures = paired(
                lambda good=good: frames.run(conntrack, RANDOM_PACKETS, now_ms=1, good=good) / RANDOM_PACKETS,
                lambda: plain.run(order) / POOL,
            )
            yield row(f"established packet, random of 1M, cold buffers, {words}", figures, 100, REFERENCE_RANDOM)
        yield marked_row(conntrack, frames)


def marked_row(conntrack: Conntrack, frames: Frames) -> Row:
    """The mark of a rule says where to look first; the control is the same packets without it."""
    hits = conntrack.counters().hint_hits
    figures = paired(
        lambda: frames.run(conntrack, RANDOM_PACKETS, now_ms=1, marked=True) / RANDOM_PACKETS,
        lambda: frames.run(conntrack, RANDOM_PACKETS, now_ms=1) / RANDOM_PACKETS,
    )
    if conntrack.counters().hint_hits == hits:
        raise AssertionError("no mark named its connection")
    name = "established packet, random of 1M, cold buffers, with a mark"
    return Row(name, "ns", figures.ours, figures.control, True, figures.control, figures.control,
               "the same without marks", figures.low, figures.high)  # fmt: skip


def insert_rows(frames: Frames) -> Iterable[Row]:
    plain, order = Plain(MILLION), numbers(MILLION)

    def to(n: int) -> float:
        with Conntrack(2 * MILLION, now_ms=0) as conntrack:
            return insert(conntrack, frames, 0, n) / n

    for n, words, bar in ((100_000, "to 100k", 250), (MILLION, "to 1M", 400)):
        figures = paired(lambda n=n: to(n), lambda: plain.run(order) / POOL)
        yield row(f"new connection, {words}", figures, bar, REFERENCE_RANDOM)


def size_rows(frames: Frames) -> Iterable[Row]:
    """Memory is a slope of what is resident, not a sum of sizes; 10M are inserted once."""
    warm_up_memory(3 << 30)
    with Conntrack(4 * MILLION, now_ms=0) as conntrack:
        insert(conntrack, frames, 0, MILLION)
        before = resident_bytes()
        insert(conntrack, frames, MILLION, 4 * MILLION)
        slope = (resident_bytes() - before) / (3 * MILLION)
    yield Row("memory per connection, 1M to 4M", "bytes", slope, 192, True, 0, 0, "none", slope, slope)
    before = resident_bytes()
    with Conntrack(10 * MILLION, now_ms=0) as conntrack:
        early = insert(conntrack, frames, 0, 100_000) / 100_000
        insert(conntrack, frames, 100_000, 9_900_000)
        late = insert(conntrack, frames, 9_900_000, 10 * MILLION) / 100_000
        gib = (resident_bytes() - before) / 2**30
    yield Row("memory of 10M connections", "GiB", gib, 2.5, True, 0, 0, "none", gib, gib)
    yield Row(
        "new connection, the last 100k of 10M", "ns", late, 2 * early, True, early, early, "the first 100k", late, late
    )


def translated_rows() -> Iterable[Row]:
    """Memory of translated connections, as a slope as well; each has a second entry in the index."""
    frames = Frames(POOL)
    nat = Nat.parse("src=198.51.100.1-198.51.100.64:1024-65535")
    with Conntrack(2 * MILLION, now_ms=0) as conntrack:
        translate(conntrack, frames, nat, 0, MILLION // 2)
        before = resident_bytes()
        translate(conntrack, frames, nat, MILLION // 2, 3 * MILLION // 2)
        slope = (resident_bytes() - before) / MILLION
        if conntrack.count != 3 * MILLION // 2:
            raise AssertionError(f"{conntrack.count} connections were made")
    yield Row("memory per translated connection", "bytes", slope, 256, True, 0, 0, "none", slope, slope)


def translate(conntrack: Conntrack, frames: Frames, nat: Nat, first: int, last: int) -> None:
    """Inserts connections first to last - 1, translated."""
    for start in range(first, last, POOL):
        n = min(POOL, last - start)
        frames.fill(np.arange(start, start + n, dtype=np.uint32))
        frames.run(conntrack, n, now_ms=0, nat=nat)


def rows() -> Iterable[Row]:
    yield from hot_rows()
    yield from translated_rows()
    frames = Frames(POOL)
    yield from random_rows(frames)
    yield from insert_rows(frames)
    yield from size_rows(frames)
