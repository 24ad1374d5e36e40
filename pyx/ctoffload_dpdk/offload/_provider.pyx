"""A provider in any of its three forms, behind the one C class that its worker calls."""
import errno
import logging
import threading

from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetPointer, PyCapsule_IsValid
from cpython.ref cimport PyObject
from libc.errno cimport EIO
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

import numpy as np

from ctoffload_dpdk.base.errors import ClosedError, ProviderError, UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.offload.contract import COUNTS, CTX, OP, PEER
from ctoffload_dpdk.offload.provider import CtOffloadProvider, missing_members

from ctoffload_dpdk.offload._batch cimport Batch
from ctoffload_dpdk.offload._lane cimport Told
from ctoffload_dpdk.offload._worker cimport (
    BATCH_MAX, UNCERTAIN, worker_call, worker_complete, worker_event, worker_fini, worker_free, worker_init,
    worker_loop, worker_new, worker_run_once)
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION, CT_OFFLOAD_CAPSULE, CT_OFFLOAD_CLASS_EST_ADDS, CT_OFFLOAD_CLASS_QUERIES_APART,
    CT_OFFLOAD_EVENT_LOST, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_POLICY, CT_OFFLOAD_R_COUNTED,
    ct_offload_counts, ct_offload_ctx, ct_offload_host, ct_offload_op, ct_offload_tcp_peer)
from ctoffload_dpdk.offload.libspsc cimport shared_set

log = logging.getLogger("ctoffload.offload")


cdef class Host:
    """What the layer offers a Python provider: `complete`, `event` and `lost`, from within its own methods."""

    def complete(self, op_id: int, *, error: int = 0, reason: int = 0, handle: int = 0, flags: int = 0,
                 last_used_ms: int = 0, sampled_ms: int = 0, peers: object = None, counts: object = None) -> None:
        """The result of an operation that answered EINPROGRESS.

        `peers`: two rows of contract.PEER, of a WINDOW; `counts`: a row of contract.COUNTS, of an UPD or a DEL.
        Raises ProviderError where op_id names nothing outstanding (ENOENT), or outside a call of this provider (EPERM),
        UsageError EINVAL for peers or counts of another size, ClosedError once the provider was unregistered.
        """
        cdef ct_offload_op result
        memset(&result, 0, sizeof(result))
        result.error = error
        result.reason = reason
        result.handle = handle
        result.flags = flags
        result.last_used_ms = last_used_ms
        result.sampled_ms = sampled_ms
        if peers is not None or counts is not None:
            told = np.array(peers, PEER).tobytes() if peers is not None else np.array(counts, COUNTS).tobytes()
            if len(told) != sizeof(Told):
                raise UsageError("complete: peers are two rows of PEER, counts one of COUNTS", errno=errno.EINVAL,
                                 op="complete")
            if counts is not None:
                result.flags |= CT_OFFLOAD_R_COUNTED
            result.peer = <ct_offload_tcp_peer *> <char *> told
        self.check(worker_complete(self.open_worker(), op_id, &result), "complete", f"operation {op_id:#x}")

    def event(self, conn_id: int, event: int) -> None:
        """AGED: a hint that a connection went idle. LOST: its rules are gone without a removal, because its port is.

        Raises UsageError EINVAL for another event, ProviderError EPERM and ClosedError as `complete` does.
        """
        if event not in (1, 2):
            raise UsageError(f"event: {event} is neither AGED (1) nor LOST (2)", errno=errno.EINVAL, op="event")
        self.check(worker_event(self.open_worker(), conn_id, event, NULL), "event", f"connection {conn_id:#x}")

    def lost(self, conn_id: int, *, error: int = 0, reason: int = 0, counts: object = None) -> None:
        """As LOST, and how: `error` and `reason` as of an EST that failed, for which the layer offers it again by itself,
        after a time that doubles; without them its port is gone. `counts`: a row of contract.COUNTS, what no earlier
        answer told. Raises what `event` does.
        """
        cdef ct_offload_op how
        cdef bytes told = b"" if counts is None else np.array(counts, COUNTS).tobytes()
        memset(&how, 0, sizeof(how))
        how.error, how.reason = error, reason
        if counts is not None:
            if len(told) != sizeof(ct_offload_counts):
                raise UsageError("lost: counts are one row of COUNTS", errno=errno.EINVAL, op="lost")
            how.flags = CT_OFFLOAD_R_COUNTED
            how.counts = <ct_offload_counts *> <char *> told
        self.check(worker_event(self.open_worker(), conn_id, CT_OFFLOAD_EVENT_LOST, &how), "lost",
                   f"connection {conn_id:#x}")

    cdef Worker *open_worker(self) except NULL:
        if self.worker == NULL:
            raise ClosedError("the provider was unregistered: its host takes no more answers", errno=errno.ESHUTDOWN)
        return self.worker

    def check(self, rc: int, op: str, what: str) -> None:
        if rc == errno.EPERM:
            raise ProviderError(f"{op}: {what}: called outside a call of this provider", errno=rc, op=op,
                                hint="complete, event and lost belong into submit or poll, on the provider's own worker")
        if rc:
            raise ProviderError(f"{op}: {what}: names nothing outstanding", errno=rc, op=op)


# --- the Python form ------------------------------------------------------------------------------------------------

cdef object array_over(void *memory, uint32_t n, size_t size, object dtype):
    cdef uint8_t[::1] view = <uint8_t[:n * size]> (<uint8_t *> memory)
    return np.asarray(view).view(dtype)


cdef inline bint has_context(const ct_offload_op *op) noexcept nogil:
    return op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_EST or op.type == CT_OFFLOAD_OP_POLICY


cdef void python_submit_part(Provider self, ct_offload_op *ops, uint32_t n) except *:
    """One batch as arrays. What is answered beyond an operation is taken from `peer` of its row of contexts."""
    cdef uint8_t[::1] raw
    cdef ct_offload_ctx *contexts
    cdef void *told[BATCH_MAX]
    cdef uint32_t i
    # The thread for queries has its own: the worker may be in a call with the other one.
    is_query = self.worker.querier != NULL and ops == self.worker.querier.batch
    rows = np.zeros(n, CTX) if is_query else self.contexts[:n]
    raw = rows.view(np.uint8)
    contexts = <ct_offload_ctx *> &raw[0]
    for i in range(n):
        told[i] = NULL if has_context(&ops[i]) else <void *> ops[i].peer
        if has_context(&ops[i]) and ops[i].ctx != NULL:
            memcpy(&contexts[i], ops[i].ctx, sizeof(ct_offload_ctx))
        else:
            memset(&contexts[i], 0, sizeof(ct_offload_ctx))
    if ops == self.worker.batch:
        if self.ops_view is None:
            self.ops_view = array_over(ops, BATCH_MAX, sizeof(ct_offload_op), OP)
        view = self.ops_view[:n]
    else:
        view = array_over(ops, n, sizeof(ct_offload_op), OP)
    self.form.submit(view, rows)
    for i in range(n):
        if told[i] != NULL and ops[i].error == 0:
            memcpy(told[i], contexts[i].peer, sizeof(Told))


cdef void python_submit(void *user, ct_offload_op *ops, size_t n_ops) noexcept nogil:
    cdef size_t i, done = 0
    cdef uint32_t n
    with gil:
        self = <Provider> <PyObject *> user
        while done < n_ops:
            n = <uint32_t> min(n_ops - done, <size_t> BATCH_MAX)
            try:
                python_submit_part(self, ops + done, n)
            except BaseException as raised:
                # How far it came nobody knows: what it may hold is removed again.
                self.blame(raised, "submit")
                for i in range(done, done + n):
                    ops[i].error = EIO
                    ops[i].reason = 0
                    ops[i].reserved[0] = UNCERTAIN
            done += n


cdef int64_t python_poll(void *user, int64_t now_ms) noexcept nogil:
    cdef int64_t after = now_ms + 1000
    with gil:
        self = <Provider> <PyObject *> user
        try:
            asked = self.form.poll(now_ms)
            if asked is not None:
                after = asked
        except BaseException as raised:
            self.blame(raised, "poll")
    return after


cdef int python_init(void *user, const ct_offload_host *host) noexcept nogil:
    cdef int rc = 0
    with gil:
        self = <Provider> <PyObject *> user
        try:
            made = Host()
            (<Host> made).worker = self.worker
            (<Host> made).provider = self
            self.pending = None
            self.host_ref = made
            rc = self.form.init(made) or 0
        except BaseException as raised:
            self.pending = raised
            rc = getattr(raised, "errno", 0) or EIO
    return rc


cdef void python_fini(void *user) noexcept nogil:
    with gil:
        self = <Provider> <PyObject *> user
        try:
            self.form.fini()
        except BaseException as raised:
            self.blame(raised, "fini")


# --- checking -------------------------------------------------------------------------------------------------------

cdef void check_class(const ct_offload_class *cls) except *:
    """Raises ProviderError naming what is wrong with a class."""
    if cls.name == NULL or cls.name[0] == 0:
        raise ProviderError("the provider has no name", errno=errno.EINVAL, op="register",
                            hint="set ct_offload_class.name to a unique word")
    name = cls.name.decode(errors="replace")
    if cls.abi_version != CT_OFFLOAD_ABI_VERSION or cls.size != sizeof(ct_offload_class):
        raise ProviderError(
            f"provider {name}: built for ABI {cls.abi_version} with a class of {cls.size} bytes, this layer has ABI "
            f"{CT_OFFLOAD_ABI_VERSION} with {sizeof(ct_offload_class)}", errno=errno.EPROTO, op="register",
            provider=name, hint="build it against the ct_offload.h of ctoffload_dpdk.get_include()")
    members = {"can_offload": cls.can_offload != NULL, "conn_add": cls.conn_add != NULL,
               "conn_del": cls.conn_del != NULL}
    missing = [member for member, is_there in members.items() if not is_there]
    if cls.batch_submit == NULL and missing:
        raise ProviderError(f"provider {name}: {', '.join(missing)} missing", errno=errno.EINVAL, op="register",
                            provider=name, hint="give it batch_submit, or all of can_offload, conn_add, conn_del")


def check_python(form: CtOffloadProvider) -> None:
    """As for a C class: a name, and something to do the work."""
    kind = type(form).__name__
    if not isinstance(form.name, str) or not form.name or "\0" in form.name:
        raise ProviderError(f"{kind} has no name", errno=errno.EINVAL, op="register",
                            hint="set the class attribute `name`")
    whole(form.priority, -(1 << 31), (1 << 31) - 1, f"provider {form.name}: priority")
    missing = missing_members(form)
    if missing:
        raise ProviderError(f"provider {form.name}: {', '.join(missing)} missing", errno=errno.EINVAL, op="register",
                            provider=form.name, hint="override submit, or conn_add and conn_del")


cdef class Provider:
    """A registered provider: made by `OffloadLayer.register`. index: its place among the layer's, 0 to 7."""

    def __init__(self, source: object, index: int) -> None:
        self.index = index
        self.last_error = ""
        self.threads = []
        if isinstance(source, type) and issubclass(source, CtOffloadProvider):
            source = source()
        if isinstance(source, CtOffloadProvider):
            self.take_python(source)
        else:
            self.take_capsule(source)
        self.worker = worker_new(&self.cls)
        if self.worker == NULL:
            raise MemoryError

    def __dealloc__(self):
        worker_free(self.worker)

    def take_python(self, form: CtOffloadProvider) -> None:
        check_python(form)
        self.form = form
        self._name = form.name.encode()
        self.contexts = np.zeros(BATCH_MAX, CTX)
        memset(&self.cls, 0, sizeof(self.cls))
        self.cls.abi_version = CT_OFFLOAD_ABI_VERSION
        self.cls.size = sizeof(ct_offload_class)
        self.cls.name = self._name
        self.cls.priority = form.priority
        self.cls.flags = (CT_OFFLOAD_CLASS_QUERIES_APART * bool(form.queries_apart)
                          | CT_OFFLOAD_CLASS_EST_ADDS * bool(form.est_adds))
        self.cls.user = <void *> self
        self.cls.init = python_init
        self.cls.fini = python_fini
        self.cls.batch_submit = python_submit
        self.cls.poll = python_poll

    def take_capsule(self, source: object) -> None:
        capsule = source
        if hasattr(source, "__ct_offload_class__"):
            capsule = source.__ct_offload_class__()
        if not PyCapsule_CheckExact(capsule) or not PyCapsule_IsValid(capsule, CT_OFFLOAD_CAPSULE):
            raise ProviderError(
                f"{type(source).__name__} is no provider", errno=errno.EINVAL, op="register",
                hint=f"pass a CtOffloadProvider, or a PyCapsule named {CT_OFFLOAD_CAPSULE.decode()}, or an object "
                     "whose __ct_offload_class__() returns one")
        self.cls = (<ct_offload_class *> PyCapsule_GetPointer(capsule, CT_OFFLOAD_CAPSULE))[0]
        check_class(&self.cls)
        self._name = self.cls.name
        self.cls.name = self._name
        self.form = (capsule, source)

    @property
    def name(self) -> str:
        """Unique within its layer."""
        return self._name.decode(errors="replace")

    @property
    def priority(self) -> int:
        """Lower is asked first."""
        return self.cls.priority

    @property
    def implementation(self) -> object:
        """The Python provider, None for a compiled one."""
        return self.form if isinstance(self.form, CtOffloadProvider) else None

    def blame(self, raised: BaseException, op: str) -> None:
        """Counts and reports, by name, what a Python provider raised."""
        self.n_raised += 1
        self.last_error = f"{op}: {type(raised).__name__}: {raised}"
        if self.n_raised == 1:
            log.warning("provider %s raised in %s; its operations failed", self.name, self.last_error)

    def init(self) -> None:
        """The provider's own init; raises ProviderError with what it returned or raised."""
        cdef int rc
        with nogil:
            rc = worker_init(self.worker)
        if rc:
            raised, self.pending = self.pending, None
            why = f": {raised}" if raised is not None else ""
            raise ProviderError(f"provider {self.name}: init failed{why}", errno=abs(rc), op="init",
                                provider=self.name) from raised
        self.is_initialised = True

    def fini(self) -> None:
        """The provider's own fini; its host takes no more answers."""
        self.stop()
        if self.is_initialised:
            self.is_initialised = False
            with nogil:
                worker_fini(self.worker)
        if self.host_ref is not None:
            (<Host> self.host_ref).worker = NULL

    def run_once(self, now_ms: int) -> int:
        """One turn of its worker; how many operations were handed over."""
        cdef int64_t now = now_ms
        cdef uint32_t n
        with nogil:
            n = worker_run_once(self.worker, now)
            if self.worker.querier != NULL:
                n += worker_run_once(self.worker.querier, now)
        return n

    def run_queries(self, now_ms: int) -> int:
        """One turn of its thread for queries alone; 0 where it has none."""
        cdef int64_t now = now_ms
        cdef uint32_t n = 0
        if self.worker.querier != NULL:
            with nogil:
                n = worker_run_once(self.worker.querier, now)
        return n

    def submit(self, batch: Batch, now_ms: int, limit_ms: int = 2000) -> None:
        """Hands a batch to this provider alone, as it stands: no ownership, no rollback, no gate. For trying it.

        now_ms, limit_ms: the time, and how long it is waited for. Raises ProviderError: EDEADLK from within a provider,
        ETIMEDOUT where it does not come back or is in quarantine, EINVAL for too large a batch, ENOMEM.
        """
        cdef int rc
        cdef Batch ops = batch
        cdef int64_t now = now_ms
        cdef uint32_t limit = limit_ms
        ops.prepare()
        with nogil:
            rc = worker_call(self.worker, ops.ops, ops.n, now, limit)
        if rc:
            raise ProviderError(f"provider {self.name}: submit failed", errno=rc, op="submit", provider=self.name)

    @property
    def n_nonsense(self) -> int:
        """Answers so far that could not be."""
        cdef uint64_t n = self.worker.count.nonsense
        return n + (self.worker.querier.count.nonsense if self.worker.querier != NULL else 0)

    def start(self) -> None:
        """Runs the worker in a thread of its own until `stop`."""
        if self.threads:
            return
        shared_set(&self.worker.stop, 0)
        self.threads = [threading.Thread(target=self.loop, name=f"ct-{self.name}", daemon=True)]
        if self.worker.querier != NULL:
            shared_set(&self.worker.querier.stop, 0)
            self.threads.append(threading.Thread(target=self.query_loop, name=f"ct-{self.name}-q", daemon=True))
        for thread in self.threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Ends the thread; False where the provider does not come back from a call."""
        shared_set(&self.worker.stop, 1)
        if self.worker.querier != NULL:
            shared_set(&self.worker.querier.stop, 1)
        for thread in self.threads:
            thread.join(timeout_s)
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        return not self.threads

    def loop(self) -> None:
        with nogil:
            worker_loop(self.worker)

    def query_loop(self) -> None:
        with nogil:
            worker_loop(self.worker.querier)
