"""Several shards as one tracker: what is asked and changed from outside the loops, which may be running."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.conntrack._conntrack import CONNECTION, Conntrack, Counters
from ctoffload_dpdk.conntrack._shardgroup import ShardGroup
from ctoffload_dpdk.offload import OffloadLayer

T = TypeVar("T")

# Rows of a dump or a flush between which the shard's loop goes on: 0.2 ms.
SLICE = 2048
# As many as a group has at most.
MOST_SHARDS = 32


class _Common(property):
    """A setting that all shards have alike."""

    def __init__(self, name: str, doc: str) -> None:
        def get(shards: Shards) -> Any:
            return getattr(shards.shards[0], name)

        def put(shards: Shards, value: Any) -> None:
            with shards.held():
                for shard in shards.shards:
                    setattr(shard, name, value)

        super().__init__(get, put, doc=doc)


class Shards:
    """The trackers of all loops, one shard each, under the names of one `Conntrack`.

    While threads run the loops, one other thread may call: each shard is held between two turns of its loop, one
    after the other, for a slice of the table at a time; all at once where what they have in common changes. So a dump
    or a flush of a running engine is of no single moment: what is there throughout is met once, what comes or goes
    meanwhile may or may not be. Methods raise what those of `Conntrack` raise, and CtoffloadError ETIMEDOUT where a
    loop does not end its turn within 5 s.
    """

    establish_at_reply = _Common("establish_at_reply", "TCP is handed over at the SYN-ACK.")
    tcp_liberal = _Common("tcp_liberal", "TCP packets outside the window are accepted as if they were inside.")
    strict_windows = _Common("strict_windows", "Contexts in the NIC check windows.")
    unconfirmed_rst_ms = _Common("unconfirmed_rst_ms", "What is left to one after an RST nobody can judge, in ms.")
    max_connections = _Common("max_connections", "Most connections at once.")
    zone_default_limit = _Common("zone_default_limit", "Limit of zones that have none of their own; 0 is unlimited.")

    def __init__(self, n: int, max_connections: int, *, layer: OffloadLayer | None = None, **options: Any) -> None:
        """n shards, 1 to 32, with at most max_connections in all; options: of `Conntrack`."""
        n = whole(n, 1, MOST_SHARDS, "Shards: n")
        group = ShardGroup(n) if n > 1 else None
        self.shards = tuple(Conntrack(max_connections, shard=i, layer=layer, group=group, **options) for i in range(n))

    def each(self, call: Callable[[Conntrack], T]) -> list[T]:
        """What a call gives of each shard in turn, the loop of that one standing still meanwhile."""
        found = []
        for shard in self.shards:
            with shard.held():
                found.append(call(shard))
        return found

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside happens between two turns of every loop. Keep it short."""
        with contextlib.ExitStack() as stack:
            for shard in self.shards:
                stack.enter_context(shard.held())
            yield

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self.shards[0].is_closed

    def close(self) -> None:
        """Closes all shards. Their loops must not run any more. Idempotent."""
        for shard in self.shards:
            shard.close()

    # --- connections ---

    @property
    def count(self) -> int:
        """Live connections."""
        return sum(self.each(lambda shard: shard.count))

    @property
    def capacity(self) -> int:
        """Connections that memory was reserved for: the most that max_connections can be."""
        return self.shards[0].capacity

    @property
    def now_ms(self) -> int:
        """The latest time any shard was told."""
        return max(self.each(lambda shard: shard.now_ms))

    def iterate(self, chunk: int = SLICE) -> Iterator[NDArray[np.void]]:
        """Yields CONNECTION[] arrays of the live connections, a slice of a shard's table at a time."""
        for shard in self.shards:
            yield from shard.iterate(chunk)

    def connections(self, zone: int | None = None) -> NDArray[np.void]:
        """All live connections, or those of a zone, as CONNECTION[]; timeout_ms is what is left at now_ms."""
        only = None if zone is None else whole(zone, 0, 65535, "zone")
        rows = joined(self.iterate())
        return rows if only is None else rows[rows["zone"] == only]

    def find(  # noqa: PLR0917 - the tuple, in its order
        self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0
    ) -> NDArray[np.void]:
        """The connection of a tuple of either direction as CONNECTION[1], or CONNECTION[0]."""
        return joined(self.each(lambda shard: shard.find(src, dst, proto, src_port, dst_port, zone)))[:1]

    def ask(self, conn_ids: ArrayLike | None = None) -> int:
        """Asks the NIC of these connections (uint64[n]), or of all: when they were used, and what it carried.

        Returns how many are asked; the answers come with later turns.
        """
        if conn_ids is not None:
            return sum(self.each(lambda shard: shard.ask(conn_ids)))
        asked = 0
        for shard in self.shards:
            for rows in shard.iterate(SLICE):
                with shard.held():
                    asked += shard.ask(rows["conn_id"])
        return asked

    def flush(self, zone: int | None = None) -> int:
        """Ends all connections, or those of a zone; returns how many."""
        ended = 0
        for shard in self.shards:
            for rows in shard.iterate(SLICE):
                ids = rows["conn_id"] if zone is None else rows["conn_id"][rows["zone"] == zone]
                with shard.held():
                    ended += shard.flush_ids(ids)
            with shard.held():  # what came meanwhile, and what was due but not yet met by expiry
                ended += shard.flush(zone)
        return ended

    def flush_tuple(  # noqa: PLR0917 - the tuple, in its order
        self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0
    ) -> bool:
        """Ends the connection of a tuple of either direction; False where there is none."""
        return any(self.each(lambda shard: shard.flush_tuple(src, dst, proto, src_port, dst_port, zone)))

    def flush_ids(self, conn_ids: ArrayLike) -> int:
        """Ends the connections of these ids (uint64[n]), as a dump gives them; returns how many were still there."""
        return sum(self.each(lambda shard: shard.flush_ids(conn_ids)))

    # --- counters and events ---

    def counters(self) -> Counters:
        """Totals of all shards since they were made."""
        return total(self.each(Conntrack.counters))

    def events(self) -> NDArray[np.void]:
        """What happened since the last call, in order of time, as CONNECTION[]; see `Conntrack.events`."""
        rows = joined(self.each(Conntrack.events))
        return rows[np.argsort(rows["time_ms"], kind="stable")] if len(self.shards) > 1 else rows

    # --- limits, timeouts, fragments ---

    def set_zone_limit(self, zone: int, limit: int) -> None:
        """Most connections in a zone; 0 refuses every new one. Connections from before it are not counted."""
        with self.held():  # all of them count by it
            self.shards[0].set_zone_limit(zone, limit)

    def clear_zone_limit(self, zone: int) -> None:
        """The zone follows the default from now on, where there is one."""
        with self.held():
            self.shards[0].clear_zone_limit(zone)

    def zone_limits(self) -> dict[int, tuple[int, int]]:
        """{zone: (limit, connections counted)} of the zones with a limit of their own."""
        return self.shards[0].zone_limits()

    def zone_limit(self, zone: int) -> tuple[int, int]:
        """(limit, connections counted) of one zone, the default's where it has none of its own."""
        return self.shards[0].zone_limit(zone)

    def zone_count(self, zone: int) -> int:
        """Live connections in a zone."""
        return sum(self.each(lambda shard: shard.zone_count(zone)))

    def set_timeout_policy(self, policy: int, **timeouts_s: int) -> None:
        """Sets timeouts in seconds, named as in OVS (tcp_established=...); those left out are the defaults."""
        self.each(lambda shard: shard.set_timeout_policy(policy, **timeouts_s))

    def clear_timeout_policy(self, policy: int) -> None:
        """Connections of this policy get the defaults with their next packet."""
        self.each(lambda shard: shard.clear_timeout_policy(policy))

    def timeout_policy(self, policy: int = 0) -> dict[str, int]:
        """{name: seconds} of a policy; the defaults for one that was never set."""
        return self.shards[0].timeout_policy(policy)

    def set_fragments(self, family: int, **values: Any) -> None:
        """Putting together of one family (4 or 6); takes what `Conntrack.set_fragments` takes."""
        self.each(lambda shard: shard.set_fragments(family, **values))

    def fragments(self) -> dict[str, int]:
        """Settings and counters of fragments, by name; counters of all shards."""
        found = self.each(Conntrack.fragments)
        settings = ("enabled", "min_size", "max_held", "timeout_ms")
        return {n: v if n.endswith(settings) else sum(f[n] for f in found) for n, v in found[0].items()}


def joined(parts: Iterable[NDArray[np.void]]) -> NDArray[np.void]:
    """The arrays one behind the other; CONNECTION[0] of none."""
    found = [part for part in parts if len(part)]
    return np.concatenate(found) if found else np.zeros(0, CONNECTION)


def total(counters: Sequence[Counters]) -> Counters:
    """The sum, field by field."""
    return Counters(**{f.name: summed([attrgetter(f.name)(c) for c in counters]) for f in fields(Counters)})


def summed(values: Sequence[Any]) -> Any:
    """A sum of numbers, of tuples of them, or of dictionaries of them."""
    first = values[0]
    if isinstance(first, dict):
        return {name: sum(value[name] for value in values) for name in first}
    if isinstance(first, tuple):
        return tuple(map(sum, zip(*values, strict=True)))
    return sum(values)
