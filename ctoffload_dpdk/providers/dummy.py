"""The dummy provider: holds connections in memory and counts what was asked, to try the layer without a NIC.

Only on request. It never claims a use: conn_update answers ENODATA until `set_last_used` tells it otherwise.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ctoffload_dpdk.offload.contract import NO_PORT, ORIG, REPLY
from ctoffload_dpdk.offload.provider import Batch, CtOffloadProvider


@dataclass
class Held:
    """One connection: its ports by direction, whether it was established, when it was used as far as it was told."""

    handle: int
    port_in: int
    port_reply: int = NO_PORT
    is_established: bool = False
    last_used_ms: int | None = None


class DummyProvider(CtOffloadProvider):
    """Accepts every connection once. ADD of one that it holds answers EEXIST; EST, UPD, DEL of any other ENOENT.

    n_added, n_deleted, n_updated (queries), n_established: connections; n_flushed: flushes. Counters only grow;
    `reset_counters` sets them to zero.
    """

    name = "dummy"
    priority = 0

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._next_handle = 1
        self._now_ms = 0
        self.reset_counters()

    def reset_counters(self) -> None:
        """All counters to zero; what it holds stays."""
        self.n_added = 0
        self.n_deleted = 0
        self.n_updated = 0
        self.n_established = 0
        self.n_flushed = 0

    def __len__(self) -> int:
        return len(self._held)

    def contains(self, conn_id: int) -> bool:
        """True while it holds the connection."""
        return conn_id in self._held

    def is_established(self, conn_id: int) -> bool:
        """True once EST came for it, after its ADD."""
        held = self._held.get(conn_id)
        return held is not None and held.is_established

    def is_bidirectional(self, conn_id: int) -> bool:
        """True where the ports of both directions are known."""
        held = self._held.get(conn_id)
        return held is not None and NO_PORT not in (held.port_in, held.port_reply)

    def set_last_used(self, conn_id: int, last_used_ms: int) -> None:
        """Tells it when a connection was last used: conn_update's answer from now on. KeyError where it is not held."""
        self._held[conn_id].last_used_ms = last_used_ms

    def conn_add(self, ops: Batch, contexts: Batch) -> None:
        for op, context in zip(ops, contexts, strict=True):
            conn_id = int(op["conn_id"])
            if conn_id in self._held:
                op["error"] = errno.EEXIST
                continue
            self._held[conn_id] = Held(self._next_handle, int(context["port"]["id"][ORIG]))
            op["handle"] = self._next_handle
            op["error"] = 0
            self._next_handle += 1
            self.n_added += 1

    def conn_established(self, ops: Batch, contexts: Batch) -> None:
        for op, context in zip(ops, contexts, strict=True):
            held = self._held.get(int(op["conn_id"]))
            if held is None:
                op["error"] = errno.ENOENT
                continue
            op["error"] = 0
            if not held.is_established:
                held.is_established = True
                held.port_reply = int(context["port"]["id"][REPLY])
                self.n_established += 1

    def conn_update(self, ops: Batch) -> None:
        for op in ops:
            held = self._held.get(int(op["conn_id"]))
            if held is None:
                op["error"] = errno.ENOENT
                continue
            self.n_updated += 1
            if held.last_used_ms is None:
                op["error"] = errno.ENODATA
                continue
            op["error"] = 0
            op["last_used_ms"] = held.last_used_ms
            op["sampled_ms"] = self._now_ms

    def conn_del(self, ops: Batch) -> None:
        for op in ops:
            gone = self._held.pop(int(op["conn_id"]), None)
            op["error"] = 0 if gone is not None else errno.ENOENT
            self.n_deleted += gone is not None

    def flush(self) -> None:
        self.n_deleted += len(self._held)
        self.n_flushed += 1
        self._held.clear()

    def poll(self, now_ms: int) -> int:
        self._now_ms = now_ms
        return now_ms + 1000
