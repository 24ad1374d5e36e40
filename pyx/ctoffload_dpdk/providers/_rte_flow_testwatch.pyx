"""Last-used for tests: connections are two rules of the binding, time is the caller's."""
from libc.errno cimport EIO
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow
from ctoffload_dpdk.providers._rte_flow_last_used cimport (
    LAST_USED_AGE,
    LAST_USED_COUNT,
    LastUsed,
    LastUsedOwner,
    WatchedRule,
    last_used_answer,
    last_used_close,
    last_used_forget,
    last_used_open,
    last_used_poll,
    last_used_port_add,
    last_used_port_del,
    last_used_replaced,
    last_used_watch,
)

AGE = LAST_USED_AGE
COUNT = LAST_USED_COUNT


cdef class TestWatch:
    """What a provider asks of last-used. `aged` collects the hints; reinstall(index, direction) answers 0 or an errno."""

    __test__ = False

    cdef LastUsed watch
    cdef readonly list aged
    cdef readonly list asked             # (index, direction) of each reinstall that was asked for
    cdef object reinstall

    def __init__(self, reinstall: object = None) -> None:
        cdef LastUsedOwner owner
        self.aged = []
        self.asked = []
        self.reinstall = reinstall
        owner.user = <void *> self
        owner.aged = take_aged
        owner.reinstall = take_reinstall
        last_used_open(&self.watch, owner)

    def __dealloc__(self):
        last_used_close(&self.watch)

    def port_add(self, ethdev: int) -> None:
        last_used_port_add(&self.watch, ethdev)

    def port_del(self, ethdev: int) -> None:
        last_used_port_del(&self.watch, ethdev)

    def add(self, index: int, rules: list, *, source: int, timeout_ms: int, refresh_ms: int, now_ms: int) -> None:
        """rules: (ethdev, the driver's number of the rule) by direction."""
        cdef WatchedRule watched[2]
        for direction in range(2):
            watched[direction].ethdev = rules[direction][0]
            watched[direction].flow = <rte_flow *> <size_t> rules[direction][1]
        rc = last_used_watch(&self.watch, index, watched, source, timeout_ms, refresh_ms, now_ms)
        if rc:
            raise OSError(rc, "cannot be watched")

    def add_many(self, const uint32_t[::1] indices, const uint32_t[::1] ethdevs, const uint64_t[:, ::1] flows, *,
                 int source, int timeout_ms, int refresh_ms, int64_t now_ms) -> None:
        """The same for many connections; ethdevs: by direction, for all of them."""
        cdef WatchedRule watched[2]
        cdef Py_ssize_t i
        for i in range(indices.shape[0]):
            for direction in range(2):
                watched[direction].ethdev = ethdevs[direction]
                watched[direction].flow = <rte_flow *> <size_t> flows[i, direction]
            if last_used_watch(&self.watch, indices[i], watched, source, timeout_ms, refresh_ms, now_ms):
                raise MemoryError

    def replaced(self, index: int, direction: int, flow: int, now_ms: int) -> None:
        last_used_replaced(&self.watch, index, direction, <rte_flow *> <size_t> flow, now_ms)

    def forget(self, index: int) -> None:
        last_used_forget(&self.watch, index)

    def answer(self, index: int, now_ms: int) -> tuple[int, int] | None:
        """(last used, sampled) in ms; None where nobody knows."""
        cdef int64_t last_used_ms = 0, sampled_ms = 0, at_ms = now_ms
        cdef uint32_t number = index
        cdef int rc
        with nogil:
            rc = last_used_answer(&self.watch, number, at_ms, &last_used_ms, &sampled_ms)
        return (last_used_ms, sampled_ms) if rc == 0 else None

    def poll(self, now_ms: int, budget_us: int = 0) -> int:
        """When it wants to be called next."""
        cdef int64_t at_ms = now_ms, budget = budget_us
        with nogil:
            at_ms = last_used_poll(&self.watch, at_ms, budget)
        return at_ms

    @property
    def counts(self) -> dict[str, int]:
        return self.watch.counts

    @property
    def n_by_period_ms(self) -> dict[int, int]:
        """How many connections are sampled with each period; 0: those that AGE answers for."""
        return {group.period_ms: group.n_samples for group in self.watch.classes if group.n_samples}


cdef void take_aged(void *user, uint32_t index) noexcept with gil:
    (<TestWatch> user).aged.append(index)


cdef int take_reinstall(void *user, uint32_t index, int direction) noexcept with gil:
    cdef TestWatch watch = <TestWatch> user
    watch.asked.append((index, direction))
    return EIO if watch.reinstall is None else watch.reinstall(index, direction)
