"""A provider for tests: writes down every operation and answers as it is told: at once, later, badly, or not at all."""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ctoffload_dpdk.offload._provider import Host
from ctoffload_dpdk.offload.contract import COUNTS, PEER, Event, OpType, ResultFlag, counts_of
from ctoffload_dpdk.offload.provider import Batch, CtOffloadProvider

# (seq_lo, seq_hi, max_win) of either peer; packets and bytes by direction.
Peers = tuple[tuple[int, int, int], tuple[int, int, int]]
Counts = tuple[tuple[int, int], tuple[int, int]]


@dataclass
class Answer:
    """One scripted answer to the next operation of a type."""

    error: int = 0
    reason: int = 0
    raises: BaseException | None = None


@dataclass
class Waiting:
    """An operation that answered EINPROGRESS."""

    op_id: int
    type: int
    conn_id: int
    answer: Answer = field(default_factory=Answer)


class RecordingProvider(CtOffloadProvider):
    """Holds what it accepted; `log` is (type, connection id) in order of arrival.

    `last_used`, `windows` and `forwarded` are what it answers of a connection; what was forwarded is told once.
    """

    def __init__(self, name: str = "recording", priority: int = 0, flags: int = ResultFlag.BYPASS) -> None:
        self.name = name
        self.priority = priority
        self.flags = flags
        self.log: list[tuple[OpType, int]] = []
        self.batches: list[int] = []
        self.held: dict[int, int] = {}
        self.installed: set[int] = set()
        self.waiting: list[Waiting] = []
        self.last_used: dict[int, tuple[int, int]] = {}
        self.windows: dict[int, Peers] = {}
        self.forwarded: dict[int, Counts] = {}
        self.is_initialised = False
        self._later: set[OpType] = set()
        self._script: dict[OpType, deque[Answer]] = {t: deque() for t in OpType}
        self._to_complete: list[Waiting] = []
        self._events: list[tuple[int, Event]] = []
        self._losses: list[tuple[int, int, int, Counts | None]] = []
        self._host: Host | None = None
        self._next_handle = 0x1000

    # --- what the test says ---

    def answer(
        self, op_type: OpType, error: int = 0, *, reason: int = 0, raises: BaseException | None = None, times: int = 1
    ) -> None:
        """The next `times` operations of a type get this answer."""
        self._script[op_type].extend(Answer(error, reason, raises) for _ in range(times))

    def answer_later(self, *op_types: OpType) -> None:
        """Operations of these types answer EINPROGRESS until `complete`; none given: all answer at once again."""
        self._later = set(op_types)

    def complete(self, n: int | None = None, error: int | None = None) -> None:
        """At the next poll, the oldest n (default all) waiting operations are completed."""
        n = len(self.waiting) if n is None else n
        done, self.waiting = self.waiting[:n], self.waiting[n:]
        for one in done:
            if error is not None:
                one.answer = Answer(error)
        self._to_complete += done

    def complete_at(self, index: int, error: int = 0) -> None:
        """At the next poll, one waiting operation is completed, whichever its turn."""
        one = self.waiting.pop(index)
        one.answer = Answer(error)
        self._to_complete.append(one)

    def say(self, conn_id: int, event: Event) -> None:
        """At the next poll, an event is given; after LOST it holds the connection no more."""
        self._events.append((conn_id, event))

    def lose(self, conn_id: int, error: int = 0, reason: int = 0, forwarded: Counts | None = None) -> None:
        """At the next poll it says that the connection's rules are gone, why, and what they forwarded."""
        self._losses.append((conn_id, error, reason, forwarded))

    def losing(self) -> set[int]:
        """The connections of which it has something to say at the next poll."""
        return {event[0] for event in self._events} | {loss[0] for loss in self._losses}

    def seen(self, conn_id: int) -> list[str]:
        """The operations that came for a connection, in order."""
        return [op_type.name for op_type, seen in self.log if seen == conn_id]

    # --- what the layer calls ---

    def init(self, host: Host) -> None:
        self._host = host
        self.is_initialised = True

    def fini(self) -> None:
        self.is_initialised = False

    def submit(self, ops: Batch, contexts: Batch) -> None:
        self.batches.append(len(ops))
        for op, context in zip(ops, contexts, strict=True):
            self._one(op, context)

    def poll(self, now_ms: int) -> None:
        assert self._host is not None
        done, self._to_complete = self._to_complete, []
        for one in done:
            self._settle(one)
        events, self._events = self._events, []
        for conn_id, event in events:
            if event == Event.LOST:
                self.held.pop(conn_id, None)
                self.installed.discard(conn_id)
            self._host.event(conn_id, event)
        losses, self._losses = self._losses, []
        for conn_id, error, reason, forwarded in losses:
            self.held.pop(conn_id, None)
            self.installed.discard(conn_id)
            counts = None if forwarded is None else counted(forwarded)
            self._host.lost(conn_id, error=error, reason=reason, counts=counts)

    def _one(self, op: Batch, context: Batch) -> None:
        op_type, conn_id = OpType(int(op["type"])), int(op["conn_id"])
        self.log.append((op_type, conn_id))
        answer = self._script[op_type].popleft() if self._script[op_type] else Answer()
        if answer.raises is not None:
            self._do(op_type, conn_id)
            raise answer.raises
        if op_type in self._later:
            self.waiting.append(Waiting(int(op["op_id"]), op_type, conn_id, answer))
            op["error"] = errno.EINPROGRESS
            return
        op["error"], op["reason"] = answer.error, answer.reason
        if answer.error == 0:
            done = self._do(op_type, conn_id)
            if "peers" in done:
                context["peer"] = done.pop("peers")
            if "counts" in done:
                counts_of(context.reshape(1))[0] = done.pop("counts")
                op["flags"] |= ResultFlag.COUNTED
            for key, value in done.items():
                op[key] = value

    def _settle(self, one: Waiting) -> None:
        assert self._host is not None
        facts: dict[str, Any] = {"error": one.answer.error, "reason": one.answer.reason}
        if one.answer.error == 0:
            facts |= self._do(OpType(one.type), one.conn_id)
        self._host.complete(one.op_id, **facts)

    def _do(self, op_type: OpType, conn_id: int) -> dict[str, Any]:
        """Does what was asked; the results besides error 0."""
        if op_type == OpType.ADD or (op_type == OpType.EST and self.est_adds and conn_id not in self.held):
            self._next_handle += 1
            self.held[conn_id] = self._next_handle
        if op_type == OpType.ADD:
            return {"handle": self.held[conn_id]}
        if op_type == OpType.FLUSH:
            self.held.clear()
            self.installed.clear()
            return {}
        if op_type == OpType.POLICY:
            return {}
        if conn_id not in self.held:
            return {"error": errno.ENOENT}
        return self._do_held(op_type, conn_id)

    def _do_held(self, op_type: OpType, conn_id: int) -> dict[str, Any]:
        if op_type == OpType.EST:
            self.installed.add(conn_id)
            return {"flags": int(self.flags), "handle": self.held[conn_id]}
        if op_type == OpType.DEL:
            del self.held[conn_id]
            self.installed.discard(conn_id)
            return self._told(conn_id)
        if op_type == OpType.WINDOW:
            return self._window(conn_id)
        if conn_id not in self.last_used:
            return {"error": errno.ENODATA}
        last_used_ms, sampled_ms = self.last_used[conn_id]
        return {"last_used_ms": last_used_ms, "sampled_ms": sampled_ms} | self._told(conn_id)

    def _window(self, conn_id: int) -> dict[str, Any]:
        if conn_id not in self.windows:
            return {"error": errno.ENODATA}
        peers = np.zeros(2, PEER)
        for peer, (seq_lo, seq_hi, max_win) in zip(peers, self.windows[conn_id], strict=True):
            peer["seq_lo"], peer["seq_hi"], peer["max_win"] = seq_lo, seq_hi, max_win
        return {"peers": peers}

    def _told(self, conn_id: int) -> dict[str, Any]:
        forwarded = self.forwarded.pop(conn_id, None)
        if forwarded is None:
            return {}
        return {"counts": counted(forwarded)}


def counted(forwarded: Counts) -> npt.NDArray[np.void]:
    """A row of contract.COUNTS."""
    counts = np.zeros((), COUNTS)
    counts["packets"], counts["bytes"] = np.transpose(forwarded)
    return counts
