"""What a second core gains: two shards fed from bursts in memory, beside two copies of the plain lookup loop.

A ratio of gains in one run; each thread is alone on its core only where nothing else runs.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bench import PAIRS, Row
from ctoffload_dpdk.conntrack import Shards
from ctoffload_dpdk.conntrack._bench import Frames, Plain

CONNECTIONS = 1 << 19  # in each shard
POOL = 1 << 17  # frames of each shard
PACKETS = 1 << 21
AGAINST = "gain of two plain C hash lookups"


def homes(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The shard of each connection of `Frames`, of two: the lowest bit of the symmetric Toeplitz hash."""
    client, port = 0x0A000000 | numbers, 1024 + numbers % 60000
    folded = (client >> 16 ^ client ^ 0xC0A8 ^ 0x0101 ^ port ^ 53) & 0xFFFF
    home = np.zeros_like(numbers)
    for bit in range(16):
        turned = (0x6D5A << bit | 0x6D5A >> (16 - bit)) & 1
        home ^= (folded >> (15 - bit) & 1) * turned
    return home


def seconds(work: list[Callable[[], int]]) -> float:
    """Until all of it is done, each piece by a thread of its own."""
    ready = threading.Barrier(len(work) + 1)

    def run(one: Callable[[], int]) -> None:
        ready.wait()
        one()

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def gain(work: list[Callable[[], int]]) -> float:
    """How much more two do in the time of one."""
    alone = seconds(work[:1])
    return len(work) * alone / seconds(work)


def rows() -> Iterable[Row]:
    dice = np.random.default_rng(1)
    every = np.arange(3 * CONNECTIONS, dtype=np.uint32)
    shards = Shards(2, 4 * CONNECTIONS, now_ms=0)
    ours: list[Callable[[], int]] = []
    plain: list[Callable[[], int]] = []
    for i, shard in enumerate(shards.shards):
        mine = every[homes(every) == i][:CONNECTIONS]
        frames = Frames(POOL)
        for reply in (False, True):
            for start in range(0, CONNECTIONS, POOL):
                frames.fill(mine[start : start + POOL], reply=reply)
                frames.run(shard, POOL, now_ms=0)
        frames.fill(dice.choice(mine, POOL))
        ours.append(lambda frames=frames, shard=shard: frames.run(shard, PACKETS, now_ms=1))
        table, order = Plain(CONNECTIONS), dice.integers(0, CONNECTIONS, 4 * PACKETS, dtype=np.uint32)
        plain.append(lambda table=table, order=order: table.run(order))
    if shards.count != 2 * CONNECTIONS or shards.counters().handed_over:
        raise AssertionError("frames are not at the shards that they belong to")
    taken = [(gain(ours), gain(plain)) for _ in range(PAIRS)]
    shares = sorted(a / b for a, b in taken)
    low, _, high = statistics.quantiles(shares, n=4)
    control = statistics.median(b for _, b in taken)
    yield Row(
        "two shards, gain over one",
        "of the control",
        statistics.median(shares),
        0.9,
        False,
        control,
        0,
        AGAINST,
        low,
        high,
    )
    shards.close()
