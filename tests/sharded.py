"""Several shards as one tracker, stepped by hand: packets arrive anywhere and are handed over in any order."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import VERDICT, Shards
from ctoffload_dpdk.conntrack._shards import take, waiting

FIRST_TOKEN = 2
# Shards that `tracker` makes; a fixture changes it.
N_SHARDS = 1


class Sharded(Shards):
    """With the calls of one `Conntrack`. Each packet arrives at a shard of the dice's choice, or at `arrives`."""

    def __init__(self, n: int, max_connections: int = 1000, seed: int = 0, **options: Any) -> None:
        super().__init__(n, max_connections, **options)
        self.dice = random.Random(seed)
        self.arrives: int | None = None

    def process(self, packets: Packets, now_ms: Any = None, **action: Any) -> NDArray[np.void]:
        """One packet after the other, each judged before the next one arrives."""
        said = np.zeros(len(packets), VERDICT)
        times = np.broadcast_to(np.asarray(self.now_ms if now_ms is None else now_ms, np.int64), len(packets))
        for i in range(len(packets)):
            said[i] = self._one(packets, i, int(times[i]), {n: one(v, i) for n, v in action.items()})
        return said

    def _one(self, packets: Packets, index: int, now_ms: int, action: dict[str, Any]) -> Any:
        at = self.dice.randrange(len(self.shards)) if self.arrives is None else self.arrives
        (verdict,) = self.shards[at].process(packets.slice(index, index + 1), now_ms, **action)
        answers = [verdict] if verdict["state"] or verdict["reason"] else []
        answers += [verdict for _, verdict in self.drain(now_ms, **action)]
        assert len(answers) == 1, "a packet has one verdict"
        return answers[0]

    def drain(self, now_ms: int, **action: Any) -> list[tuple[int, Any]]:
        """Shards take from each other until no ring holds anything: (token, verdict) of what was judged."""
        kept = {n: v for n, v in action.items() if n not in PER_PACKET}
        found = []
        ways = [(a, b) for a in range(len(self.shards)) for b in range(len(self.shards)) if a != b]
        while ready := [way for way in ways if waiting(self.shards[way[1]], way[0])]:
            sender, receiver = self.dice.choice(ready)
            tokens, said = take(self.shards[receiver], sender, self.dice.choice((1, 2, 32)), now_ms, **kept)
            found += [(int(t), v) for t, v in zip(tokens, said, strict=True) if v["state"] or v["reason"]]
        return found

    def advance(self, now_ms: int) -> None:
        for shard in self.shards:
            shard.advance(now_ms)

    def expire(self, now_ms: int) -> int:
        return sum(shard.expire(now_ms) for shard in self.shards)


PER_PACKET = ("zone", "flags", "port", "port_generation", "room")


def one(value: Any, index: int) -> Any:
    """What is said of the packet of that index, where it is said of each."""
    return value[index] if isinstance(value, np.ndarray) else value


def tracker(max_connections: int, **options: Any) -> Sharded:
    """What a test of one tracker uses to be one of several shards as well."""
    return Sharded(N_SHARDS, max_connections, **options)
