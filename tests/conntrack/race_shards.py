"""Three shards, a thread each, and one more that asks and flushes: a program, so that it can be under ThreadSanitizer.

Exits with 1 where the books do not close, or where something of what shards share was not used.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conntrack_packets import echo, udp

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat, Shards
from ctoffload_dpdk.conntrack._shards import stubs, take, waiting
from ctoffload_dpdk.conntrack._shards_test import serve

N_SHARDS = 3
CLIENTS = 40
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
TURN_MS = 30  # connections live for a second: for some 30 turns
MOST = 300  # connections, of which there would be more
ACTION = {"commit": True, "nat": Nat.parse("src=198.51.100.1"), "helper": "tftp"}


def round_of(number: int) -> list[bytes]:
    """What clients say: questions, echoes, and the beginning of TFTP transfers; and what a server sends of those."""
    said = []
    for i in range(CLIENTS):
        src, port = f"10.0.0.{1 + i}", 2000 + (i * 7 + number) % 900
        said += [
            udp(src, port, "10.9.9.2", 53),
            echo(src, "10.9.9.2", i),
            udp(src, port, "10.9.9.2", 69, b"\0\1file\0octet\0"),
        ]
        # The port became the next one whose replies come home, of three.
        said += [udp("10.9.9.2", 3069, "198.51.100.1", port + n, b"\0\3\0\1data") for n in range(N_SHARDS)]
    return said


def visit(shards: Shards, are_over: threading.Event) -> None:
    """What is asked and changed from outside, each time between two turns of a shard."""
    turn = 0
    while not are_over.wait(0.002):
        turn += 1
        shards.counters()
        shards.events()
        if turn // 64 % 2:  # the shards that need the default's limit make it, whichever is first
            shards.clear_zone_limit(0)
            shards.zone_default_limit = MOST - 50 if turn % 32 else 0
        else:
            shards.set_zone_limit(0, MOST - 50 if turn % 2 else 2 * MOST)
        if turn % 4 == 0:
            shards.connections()
        if turn % 16 == 0:
            shards.flush()


def drain(shards: Shards) -> None:
    """Takes what is in rings still, until nothing is."""
    ways = [(a, b) for a in range(N_SHARDS) for b in range(N_SHARDS) if a != b]
    while any(waiting(shards.shards[to], sender) for sender, to in ways):
        for sender, to in ways:
            take(shards.shards[to], sender, 32, shards.shards[to].now_ms, **ACTION)


def main() -> int:
    shards = Shards(N_SHARDS, 1000, now_ms=0, events=1000)
    shards.max_connections = MOST
    shards.set_timeout_policy(0, udp_first=1, udp_single=1, udp_multiple=1, icmp_first=1, icmp_reply=1)
    frames = [frame for number in range(ROUNDS) for frame in round_of(number)]
    sent = [Packets.of(frames).copy() for _ in shards.shards]
    threads = [
        threading.Thread(target=serve, args=(shard, packets, TURN_MS), kwargs=ACTION)
        for shard, packets in zip(shards.shards, sent, strict=True)
    ]
    are_over = threading.Event()
    visitor = threading.Thread(target=visit, args=(shards, are_over))
    for thread in [*threads, visitor]:
        thread.start()
    for thread in threads:
        thread.join()
    are_over.set()
    visitor.join()
    drain(shards)
    shards.flush()
    c = shards.counters()
    left = [sum(stubs(shard) for shard in shards.shards), shards.count, shards.zone_limit(0)[1]]
    used = {
        "handed over": c.handed_over,
        "expected": c.expected,
        "expired": c.expired,
        "flushed": c.flushed,
        "refused by a limit": c.refused["limit"] + c.refused["zone-limit"],
    }
    shards.close()
    print(f"{c.packets} packets, {c.created} connections, {used}, left: {left}")
    print(sys.modules[serve.__module__].__file__)
    ended = c.expired + c.closed + c.flushed + c.replaced
    return 0 if ended == c.created and not any(left) and all(used.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
