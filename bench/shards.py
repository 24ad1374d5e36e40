"""What a second core gains, and what a packet costs that came to the wrong one.

The gain: two shards fed from bursts in memory, beside two copies of the plain lookup loop. A ratio of gains in one run;
each thread is alone on its core only where nothing else runs. The hand-over: both halves on one core, beside the same
packets at home.
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
HAND_OVER_NS, HOME_NS = 45, 60  # set on one core: what goes from core to core comes to it
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


def at_home(shards: Shards, dice: np.random.Generator) -> list[Frames]:
    """Connections in both shards, both ways seen, and frames of each shard's in random order."""
    every = np.arange(3 * CONNECTIONS, dtype=np.uint32)
    pools = []
    for i, shard in enumerate(shards.shards):
        mine = every[homes(every) == i][:CONNECTIONS]
        frames = Frames(POOL)
        for reply in (False, True):
            for start in range(0, CONNECTIONS, POOL):
                frames.fill(mine[start : start + POOL], reply=reply)
                frames.run(shard, POOL, now_ms=0)
        frames.fill(dice.choice(mine, POOL))
        pools.append(frames)
    if shards.count != 2 * CONNECTIONS or shards.counters().handed_over:
        raise AssertionError("frames are not at the shards that they belong to")
    return pools


def second_core(shards: Shards, pools: list[Frames], dice: np.random.Generator) -> Row:
    ours: list[Callable[[], int]] = []
    plain: list[Callable[[], int]] = []
    for frames, shard in zip(pools, shards.shards, strict=True):
        ours.append(lambda frames=frames, shard=shard: frames.run(shard, PACKETS, now_ms=1))
        table, order = Plain(CONNECTIONS), dice.integers(0, CONNECTIONS, 4 * PACKETS, dtype=np.uint32)
        plain.append(lambda table=table, order=order: table.run(order))
    taken = [(gain(ours), gain(plain)) for _ in range(PAIRS)]
    shares = sorted(a / b for a, b in taken)
    low, _, high = statistics.quantiles(shares, n=4)
    control = statistics.median(b for _, b in taken)
    share = statistics.median(shares)
    return Row("two shards, gain over one", "of the control", share, 0.9, False, control, 0, AGAINST, low, high)


def hand_over(shards: Shards, pools: list[Frames]) -> Row:
    """What a packet costs more that arrives elsewhere: looked at there, put in the ring, taken, judged at home."""
    away, home = shards.shards
    frames, n = pools[1], PACKETS // 4
    taken = []
    for _ in range(PAIRS):
        before = shards.counters().handed_over
        over = frames.run(away, n, now_ms=1, home=home) / n
        if shards.counters().handed_over - before != n:
            raise AssertionError("not each packet was handed over")
        taken.append((over, frames.run(home, n, now_ms=1) / n))
    more = sorted(a - b for a, b in taken)
    low, _, high = statistics.quantiles(more, n=4)
    control = statistics.median(b for _, b in taken)
    return Row(
        "a packet handed to its shard",
        "ns more",
        statistics.median(more),
        HAND_OVER_NS,
        True,
        control,
        HOME_NS,
        "the same packets at home",
        low,
        high,
    )


def rows() -> Iterable[Row]:
    dice = np.random.default_rng(1)
    shards = Shards(2, 4 * CONNECTIONS, now_ms=0)
    pools = at_home(shards, dice)
    yield second_core(shards, pools, dice)
    yield hand_over(shards, pools)
    shards.close()
