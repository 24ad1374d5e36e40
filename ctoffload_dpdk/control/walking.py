"""A walk over the tables of all loops, in steps between which the loops go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ctoffload_dpdk.engine import Conditions, Conntrack, Walk


class Walking:
    """Iterated, it gives the `Walk` of each table again and again until that is done; each time one step of it is to be
    taken, by one call of its methods.
    """

    def __init__(self, trackers: Sequence[Conntrack], conditions: Conditions | None = None) -> None:
        self._walks = [Walk(tracker, conditions) for tracker in trackers]

    def __iter__(self) -> Iterator[Walk]:
        for walk in self._walks:
            while walk.next:
                yield walk

    def progress(self) -> dict[str, int]:
        """How far it is: places of the tables looked at, of how many."""
        ends = [walk.end - 1 for walk in self._walks]
        looked = [walk.next - 1 if walk.next else end for walk, end in zip(self._walks, ends, strict=True)]
        return {"looked_at": sum(looked), "of": sum(ends)}
