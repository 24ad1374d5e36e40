"""What the speed bars of the rte_flow provider are measured with: the rules of its connections, made by a plain C loop or by
the rule engine, and read by a plain C loop.

The connections are those of the tracker's benchmark: UDP, 10.x.x.x port 1024 and up to 192.168.1.1 port 53.
"""
from libc.errno cimport EAGAIN, EINPROGRESS
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

import numpy as np

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    rte_flow_action,
    rte_flow_create,
    rte_flow_destroy,
    rte_flow_error,
    rte_flow_query,
    rte_flow_query_count,
)
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_tuple
from ctoffload_dpdk.providers._rte_flow_engine cimport (
    ENGINE_ASYNC,
    ENGINE_SYNC,
    RuleEngine,
    engine_close,
    engine_create,
    engine_destroy,
    engine_n_waiting,
    engine_open,
    engine_pull,
    engine_push,
    engine_table_add,
)
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineRule, RuleResult
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_AGE,
    DOES_COUNT,
    DOMAIN_TRANSFER,
    FAMILY_IPV4,
    FATE_PORT,
    PROTO_UDP,
    RuleShape,
    ShapeKind,
    shape_init,
    shape_match,
)
from ctoffload_dpdk.providers._rte_flow_template cimport RuleTable

cdef enum:
    PULL = 64


# This thread's own time: what others do on the machine meanwhile does not count.
cdef inline int64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef void put32(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = value >> 24 & 0xff
    at[1] = value >> 16 & 0xff
    at[2] = value >> 8 & 0xff
    at[3] = value & 0xff


cdef uint16_t swap16(uint32_t value) noexcept nogil:
    return <uint16_t> ((value & 0xff) << 8 | value >> 8 & 0xff)


cdef void connection_tuples(uint32_t number, ct_offload_tuple *tuples) noexcept nogil:
    memset(tuples, 0, 2 * sizeof(ct_offload_tuple))
    put32(tuples[0].src, 0x0a000000 | number)
    put32(tuples[0].dst, 0xc0a80101U)
    put32(tuples[1].src, 0xc0a80101U)
    put32(tuples[1].dst, 0x0a000000 | number)
    tuples[0].src_port = tuples[1].dst_port = swap16(1024 + number % 60000)
    tuples[0].dst_port = tuples[1].src_port = swap16(53)


cdef class Rules:
    """Both rules of n connections between two ports of one switch, in one group, prefilled once."""

    cdef RuleShape shape
    cdef uint16_t ethdev
    cdef uint16_t[2] ports
    cdef uint32_t n
    cdef EngineRule *rules
    cdef RuleEngine engine
    cdef RuleTable table

    def __init__(self, n: int, ethdev: int, ports: tuple[int, int], *, group: int = 0, has_age: bool = True,
                 is_async: bool = False, queue_size: int = 1024) -> None:
        cdef ShapeKind kind
        cdef rte_flow_error error
        memset(&kind, 0, sizeof(kind))
        kind.domain = DOMAIN_TRANSFER
        kind.family = FAMILY_IPV4
        kind.proto = PROTO_UDP
        kind.does = DOES_COUNT | DOES_AGE if has_age else DOES_COUNT
        kind.fate = FATE_PORT
        kind.of_connection = True
        kind.queued = is_async
        kind.group = group
        shape_init(&self.shape, &kind)
        self.shape.age.timeout = 3600
        self.n = n
        self.ethdev = ethdev
        self.ports[0], self.ports[1] = ports
        self.rules = <EngineRule *> calloc(2 * self.n, sizeof(EngineRule))
        if self.rules == NULL:
            raise MemoryError
        memset(self.rules, 1, 2 * self.n * sizeof(EngineRule))       # the pages are there before the clock runs
        memset(self.rules, 0, 2 * self.n * sizeof(EngineRule))
        rc = engine_open(&self.engine, ethdev, ENGINE_ASYNC if is_async else ENGINE_SYNC, 0, 1, queue_size, 1000)
        if rc == 0:
            rc = engine_table_add(&self.engine, &self.table, &self.shape.attr, self.shape.items, self.shape.actions,
                                  self.shape.action_masks, 2 * self.n, &error)
        if rc:
            raise OSError(rc, "the rules' table could not be made")

    def __dealloc__(self):
        free(self.rules)

    def close(self) -> None:
        """Before the port is closed."""
        engine_close(&self.engine)

    cdef void fill(self, uint32_t number, int direction, const ct_offload_tuple *tuples) noexcept nogil:
        self.shape.in_port.port_id = self.ports[direction]
        self.shape.fate_port.port_id = self.ports[1 - direction]
        self.shape.age.context = <void *> <size_t> (number + 1)
        shape_match(&self.shape, &tuples[direction], &tuples[1 - direction])

    def create_plain(self) -> float:
        """ns per rule of rte_flow_create alone, in a C loop."""
        cdef ct_offload_tuple tuples[2]
        cdef rte_flow_error error
        cdef uint32_t i, failed = 0
        cdef int direction
        cdef int64_t took
        with nogil:
            took = clock_ns()
            for i in range(self.n):
                connection_tuples(i, tuples)
                for direction in range(2):
                    self.fill(i, direction, tuples)
                    self.rules[2 * i + direction].flow = rte_flow_create(
                        self.ethdev, &self.shape.attr, self.shape.items, self.shape.actions, &error)
                    failed += self.rules[2 * i + direction].flow == NULL
            took = clock_ns() - took
        if failed:
            raise AssertionError(f"{failed} rules were refused")
        return took / <double> (2 * self.n)

    def destroy_plain(self) -> float:
        """ns per rule of rte_flow_destroy alone."""
        cdef rte_flow_error error
        cdef uint32_t i, failed = 0
        cdef int64_t took
        with nogil:
            took = clock_ns()
            for i in range(2 * self.n):
                failed += rte_flow_destroy(self.ethdev, self.rules[i].flow, &error) != 0
            took = clock_ns() - took
        if failed:
            raise AssertionError(f"{failed} rules could not be destroyed")
        return took / <double> (2 * self.n)

    def create(self) -> float:
        """ns per rule of the engine, each confirmed."""
        cdef ct_offload_tuple tuples[2]
        cdef rte_flow_error error
        cdef uint32_t i, failed = 0
        cdef int direction, rc = 0
        cdef int64_t took
        with nogil:
            took = clock_ns()
            for i in range(self.n):
                connection_tuples(i, tuples)
                for direction in range(2):
                    self.fill(i, direction, tuples)
                    rc = EAGAIN
                    while rc == EAGAIN:
                        rc = engine_create(&self.engine, &self.table, self.shape.items, self.shape.actions,
                                           2 * i + direction, &self.rules[2 * i + direction], &error)
                        if rc == EAGAIN:
                            failed += self.pull()
                    failed += rc != 0 and rc != EINPROGRESS
            failed += self.settle()
            took = clock_ns() - took
        if failed:
            raise AssertionError(f"{failed} rules were refused: {rc}")
        return took / <double> (2 * self.n)

    def destroy(self) -> float:
        """ns per rule of the engine, each confirmed."""
        cdef rte_flow_error error
        cdef uint32_t i, failed = 0
        cdef int rc = 0
        cdef int64_t took
        with nogil:
            took = clock_ns()
            for i in range(2 * self.n):
                rc = EAGAIN
                while rc == EAGAIN:
                    rc = engine_destroy(&self.engine, &self.table, &self.rules[i], i, &error)
                    if rc == EAGAIN:
                        failed += self.pull()
                failed += rc != 0 and rc != EINPROGRESS
            failed += self.settle()
            took = clock_ns() - took
        if failed:
            raise AssertionError(f"{failed} rules could not be destroyed")
        return took / <double> (2 * self.n)

    cdef uint32_t pull(self) noexcept nogil:
        """How many of the results are failures."""
        cdef RuleResult results[PULL]
        cdef uint32_t failed = 0
        cdef int i, n = PULL
        engine_push(&self.engine)
        while n == PULL:
            n = engine_pull(&self.engine, results, PULL, 0)
            for i in range(n):
                failed += results[i].error != 0
        return failed

    cdef uint32_t settle(self) noexcept nogil:
        cdef uint32_t failed = self.pull()
        while engine_n_waiting(&self.engine):
            failed += self.pull()
        return failed

    def query_plain(self) -> float:
        """ns per connection of rte_flow_query COUNT on both rules, in a C loop."""
        cdef rte_flow_action action[2]
        cdef rte_flow_query_count count
        cdef rte_flow_error error
        cdef uint32_t i, failed = 0
        cdef int64_t took
        memset(action, 0, sizeof(action))
        action[0].type = RTE_FLOW_ACTION_TYPE_COUNT
        action[1].type = RTE_FLOW_ACTION_TYPE_END
        count.reset = 0
        with nogil:
            took = clock_ns()
            for i in range(2 * self.n):
                failed += rte_flow_query(self.ethdev, self.rules[i].flow, action, &count, &error) != 0
            took = clock_ns() - took
        if failed:
            raise AssertionError(f"{failed} rules could not be asked")
        return took / <double> self.n

    def handles(self) -> np.ndarray:
        """The driver's numbers of the rules, by connection and direction."""
        cdef uint32_t i
        handles = np.empty((self.n, 2), np.uint64)
        cdef uint64_t[:, ::1] out = handles
        for i in range(2 * self.n):
            out[i // 2, i % 2] = <size_t> self.rules[i].flow
        return handles
