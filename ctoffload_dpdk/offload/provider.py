"""The provider as Python writes it: a class that is called with whole batches as arrays."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctoffload_dpdk.offload.contract import OpType, counts_of

if TYPE_CHECKING:
    from ctoffload_dpdk.offload._provider import Host

Batch = npt.NDArray[np.void]


class CtOffloadProvider:
    """A provider written in Python.

    `ops` are rows of contract.OP, `contexts` the rows of contract.CTX that belong to them (zeroes for operations
    without context). A row comes in as refused (error EOPNOTSUPP); the provider writes its results into it: `error` 0,
    a positive errno, or EINPROGRESS where `host.complete` follows. Both arrays are valid during the call only. WINDOW
    writes its answer into `contexts["peer"]`, UPD and DEL may write theirs into `contract.counts_of(contexts)`.

    Override `submit` for whole batches, or `conn_add` and `conn_del` (and what else there is) for runs of one type.
    All methods are called by the provider's own worker, never by two threads at once; they may not call back into the
    layer. With `queries_apart`, batches of UPD and WINDOW alone come from a second thread and may meet another call:
    slow queries hold up nothing then. They are answered at once, never with EINPROGRESS.

    With `est_adds`, a connection that is established when it is offered may come with EST alone, ConnFlag.NEW in its
    context and no handle: added and installed in one, or neither.
    """

    name: str = ""
    priority: int = 0
    queries_apart: bool = False
    est_adds: bool = False

    def init(self, host: Host) -> int | None:
        """Called at registration. A return other than 0 and None, or an exception, refuses it (ProviderError)."""

    def fini(self) -> None:
        """Called when the provider was drained and is unregistered."""

    def submit(self, ops: Batch, contexts: Batch) -> None:
        """A batch, in order. This one hands each run of equal types to the method of that type."""
        for op_type, start, end in runs(ops):
            part, ctx = ops[start:end], contexts[start:end]
            handler = self._handlers().get(op_type)
            if handler is None:
                part["error"] = errno.EINVAL
            else:
                handler(part, ctx)

    def can_offload(self, contexts: Batch) -> npt.NDArray[Any] | int:
        """For each connection the Reason against it, 0 where there is none: uint16[n], or one number for all."""
        return 0

    def conn_add(self, ops: Batch, contexts: Batch) -> None:
        """Connections were committed: accept (error 0, handle) or refuse (errno, reason). Nothing enters the NIC."""
        raise NotImplementedError

    def conn_established(self, ops: Batch, contexts: Batch) -> None:
        """They are established: put both directions into the NIC."""
        ops["error"] = 0

    def conn_update(self, ops: Batch) -> None:
        """When were they last used: last_used_ms and sampled_ms, or ENODATA."""
        ops["error"] = errno.ENODATA

    def conn_window(self, ops: Batch, peers: Batch) -> None:
        """Read windows back: write `peers`, PEER[n, 2], by operation and direction; ENODATA where there is none."""
        ops["error"] = errno.EOPNOTSUPP

    def conn_counts(self, ops: Batch, counts: Batch) -> None:
        """Called before conn_update and conn_del: what was forwarded past software that no earlier answer told.

        Write `counts`, COUNTS[n], and set ResultFlag.COUNTED in the flags of their operations.
        """

    def conn_del(self, ops: Batch) -> None:
        """Take them out and forget them; ENOENT counts as done."""
        raise NotImplementedError

    def flush(self) -> int | None:
        """Take everything out. Returns 0 or None, else a positive errno."""

    def poll(self, now_ms: int) -> int | None:
        """Called in each turn: pull completions, sample, age. Returns when it wants to be called next, in ms."""

    def _handlers(self) -> dict[int, Callable[[Batch, Batch], None]]:
        return {
            OpType.ADD: self._add,
            OpType.EST: self.conn_established,
            OpType.UPD: self._update,
            OpType.DEL: self._del,
            OpType.WINDOW: lambda ops, contexts: self.conn_window(ops, contexts["peer"]),
            OpType.POLICY: self._answer_policy,
            OpType.FLUSH: self._flush,
        }

    def _add(self, ops: Batch, contexts: Batch) -> None:
        wanted = self._policy(ops, contexts)
        if wanted.all():
            ops["error"] = errno.EOPNOTSUPP
            self.conn_add(ops, contexts)
        elif wanted.any():
            part = ops[wanted]
            part["error"] = errno.EOPNOTSUPP
            self.conn_add(part, contexts[wanted])
            ops[wanted] = part

    def _update(self, ops: Batch, contexts: Batch) -> None:
        self.conn_counts(ops, counts_of(contexts))
        self.conn_update(ops)

    def _del(self, ops: Batch, contexts: Batch) -> None:
        self.conn_counts(ops, counts_of(contexts))
        self.conn_del(ops)

    def _policy(self, ops: Batch, contexts: Batch) -> npt.NDArray[np.bool_]:
        against = np.broadcast_to(np.asarray(self.can_offload(contexts), np.uint16), ops.shape)
        ops["reason"] = against
        ops["error"] = np.where(against != 0, errno.EPERM, 0)
        wanted: npt.NDArray[np.bool_] = against == 0
        return wanted

    def _answer_policy(self, ops: Batch, contexts: Batch) -> None:
        self._policy(ops, contexts)

    def _flush(self, ops: Batch, contexts: Batch) -> None:
        for op in ops:
            op["error"] = self.flush() or 0


def runs(ops: Batch) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each run of equal types."""
    types = ops["type"]
    if len(types) == 0:
        return
    edges = np.flatnonzero(types[1:] != types[:-1]) + 1
    start = 0
    for end in (*edges.tolist(), len(types)):
        yield int(types[start]), start, end
        start = end


def missing_members(provider: CtOffloadProvider) -> list[str]:
    """What a Python provider would have to override and does not."""
    kind = type(provider)
    if kind.submit is not CtOffloadProvider.submit:
        return []
    return [name for name in ("conn_add", "conn_del") if getattr(kind, name) is getattr(CtOffloadProvider, name)]
