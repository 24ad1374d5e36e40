"""A batch of operations: grows, goes through the layer, keeps a result per operation, may be submitted again."""
import errno
from typing import NamedTuple

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

import numpy as np

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import wholes
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload.contract import CTX, OP, OpType, counts_of

from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_POLICY, CT_OFFLOAD_OP_UPD,
    CT_OFFLOAD_OP_WINDOW)

cdef enum:
    FIRST_SIZE = 8


class Result(NamedTuple):
    """What became of one operation. `error` is 0 or a positive errno, `reason` a Reason where it is not 0.

    handle: the provider's; flags: ResultFlag; last_used_ms, sampled_ms: of UPD, by the clock of its now_ms.
    """

    error: int
    reason: int
    handle: int
    handled_by: int
    flags: int
    last_used_ms: int
    sampled_ms: int

    def __bool__(self) -> bool:
        """True where it succeeded."""
        return self.error == 0

    def __str__(self) -> str:
        if self.error == 0:
            return "ok"
        return f"{errno.errorcode.get(self.error, self.error)}, reason={Reason(self.reason).text}"


cdef bint has_context(int op_type) noexcept nogil:
    return op_type == CT_OFFLOAD_OP_ADD or op_type == CT_OFFLOAD_OP_EST or op_type == CT_OFFLOAD_OP_POLICY


cdef bint speaks_of_rules(int op_type) noexcept nogil:
    return op_type == CT_OFFLOAD_OP_DEL or op_type == CT_OFFLOAD_OP_UPD or op_type == CT_OFFLOAD_OP_WINDOW


cdef class Batch:
    """Operations in order. Not to be used by two threads at once."""

    def __init__(self) -> None:
        pass

    def __dealloc__(self):
        free(self.ops)
        free(self.contexts)

    def __len__(self) -> int:
        return self.n

    @property
    def capacity(self) -> int:
        """Operations there is room for before it grows: 0, 8, 16, 32 and so on."""
        return self.size

    cdef bint grow(self, uint32_t size) except False:
        cdef ct_offload_op *ops = <ct_offload_op *> realloc(self.ops, <size_t> size * sizeof(ct_offload_op))
        cdef ct_offload_ctx *contexts
        if ops == NULL:
            raise MemoryError
        self.ops = ops
        contexts = <ct_offload_ctx *> realloc(self.contexts, <size_t> size * sizeof(ct_offload_ctx))
        if contexts == NULL:
            raise MemoryError
        self.contexts = contexts
        self.size = size
        return True

    cdef void prepare(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.n):
            self.ops[i].ctx = &self.contexts[i] if has_context(self.ops[i].type) else NULL
            if speaks_of_rules(self.ops[i].type):
                # what is answered beyond the operation: windows, or counts of the same size
                self.ops[i].peer = self.contexts[i].peer
                memset(self.contexts[i].peer, 0, sizeof(self.contexts[i].peer))
            self.ops[i].error = 0
            self.ops[i].reason = 0
            self.ops[i].handled_by = 0
            self.ops[i].flags = 0
            self.ops[i].last_used_ms = 0
            self.ops[i].sampled_ms = 0

    def reserve(self, n: int) -> None:
        """Makes room for n more operations. Raises UsageError E2BIG beyond 2^31 - 1."""
        cdef uint32_t size = self.size or <uint32_t> FIRST_SIZE
        if n > 0x7fffffff - self.n:
            raise UsageError(f"a batch of {self.n + n} operations is too large", errno=errno.E2BIG, op="batch")
        while size < self.n + <uint32_t> n:
            size *= 2
        if size != self.size:
            self.grow(size)

    def add(self, op_type: int, conn_id: int = 0, context: object = None) -> int:
        """Appends an operation and returns its index. `context` is one row of contract.CTX: for ADD, EST and POLICY.

        Raises ValueError for what is no OpType.
        """
        kind = OpType(op_type)
        self.reserve(1)
        cdef uint32_t i = self.n
        cdef const uint8_t[::1] row
        memset(&self.ops[i], 0, sizeof(ct_offload_op))
        memset(&self.contexts[i], 0, sizeof(ct_offload_ctx))
        self.ops[i].type = kind
        self.ops[i].conn_id = conn_id
        if context is not None:
            row = np.asarray(context, CTX).tobytes()
            memcpy(&self.contexts[i], &row[0], sizeof(ct_offload_ctx))
        self.contexts[i].conn_id = conn_id
        self.n += 1
        return i

    def extend(self, op_type: int, contexts: object) -> int:
        """Appends one operation per row of `contexts` (contract.CTX, conn_id filled) or per connection id (uint64).

        Returns the index of the first. Raises ValueError for what is no OpType, TypeError for ids of a signed type.
        """
        kind = OpType(op_type)
        cdef uint32_t first = self.n, count, i
        cdef uint8_t[::1] raw
        cdef const uint64_t[::1] ids
        array = np.ascontiguousarray(contexts)
        has_rows = array.dtype == CTX
        ids = np.ascontiguousarray(array["conn_id"] if has_rows else array.astype(np.uint64, casting="safe"))
        count = <uint32_t> len(ids)
        self.reserve(count)
        if count == 0:
            return first
        memset(&self.ops[first], 0, <size_t> count * sizeof(ct_offload_op))
        if has_rows:
            raw = array.view(np.uint8).copy()
            memcpy(&self.contexts[first], &raw[0], <size_t> count * sizeof(ct_offload_ctx))
        else:
            memset(&self.contexts[first], 0, <size_t> count * sizeof(ct_offload_ctx))
        for i in range(count):
            self.ops[first + i].type = kind
            self.ops[first + i].conn_id = ids[i]
            self.contexts[first + i].conn_id = ids[i]
        self.n += count
        return first

    def set_handles(self, handles: object) -> None:
        """What goes in as each operation's handle; results hand back what came out. For `Provider.submit` only.

        handles: uint64[n]; another number than there are operations raises UsageError EINVAL, as one that does not fit.
        """
        cdef const uint64_t[::1] values = np.ascontiguousarray(wholes(handles, np.uint64, "handles").reshape(-1))
        cdef uint32_t i
        if <uint32_t> len(values) != self.n:
            raise UsageError(f"{len(values)} handles for {self.n} operations", errno=errno.EINVAL, op="batch")
        for i in range(self.n):
            self.ops[i].handle = values[i]

    def clear(self) -> None:
        """Empties the batch; its room stays."""
        self.n = 0

    @property
    def results(self) -> object:
        """A copy of the operations: contract.OP[n]."""
        cdef uint8_t[::1] view
        if self.n == 0:
            return np.zeros(0, OP)
        view = <uint8_t[:<size_t> self.n * sizeof(ct_offload_op)]> <uint8_t *> self.ops
        rows = np.array(view).view(OP)
        rows["ctx"] = 0
        return rows

    @property
    def windows(self) -> object:
        """The peers that each WINDOW read back, by operation and direction: contract.PEER[n, 2]; zeroes elsewhere."""
        return self.told((OpType.WINDOW,))["peer"]

    @property
    def counts(self) -> object:
        """What each UPD and DEL with ResultFlag.COUNTED counted: contract.COUNTS[n]; zeroes elsewhere."""
        return counts_of(self.told((OpType.UPD, OpType.DEL)))

    def told(self, types: tuple[OpType, ...]) -> object:
        cdef uint8_t[::1] view
        if self.n == 0:
            return np.zeros(0, CTX)
        view = <uint8_t[:<size_t> self.n * sizeof(ct_offload_ctx)]> <uint8_t *> self.contexts
        rows = np.array(view).view(CTX)
        rows[~np.isin(self.results["type"], types)] = np.zeros((), CTX)
        return rows

    def result(self, index: int) -> Result:
        """What became of one operation. Raises IndexError."""
        if not 0 <= index < self.n:
            raise IndexError(f"operation {index} of {self.n}")
        cdef ct_offload_op *op = &self.ops[<uint32_t> index]
        return Result(op.error, op.reason, op.handle, op.handled_by, op.flags, op.last_used_ms, op.sampled_ms)
