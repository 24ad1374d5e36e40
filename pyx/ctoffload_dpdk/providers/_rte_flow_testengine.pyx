"""The rule engine and last-used for tests and benchmarks: stepped by hand, with items and actions of the binding."""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ctoffload_dpdk.providers.rte_flow_types import Result

from ctoffload_dpdk.dpdk._actions cimport Actions, template_masks
from ctoffload_dpdk.dpdk._flow cimport to_attr
from ctoffload_dpdk.dpdk._pattern cimport Pattern
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_attr, rte_flow_error
from ctoffload_dpdk.providers._rte_flow_engine cimport (
    ENGINE_ASYNC,
    ENGINE_SYNC,
    RuleEngine,
    engine_close,
    engine_create,
    engine_create_now,
    engine_destroy,
    engine_destroy_now,
    engine_flushed,
    engine_n_waiting,
    engine_open,
    engine_port_gone,
    engine_pull,
    engine_push,
    engine_table_add,
    engine_table_remove,
)
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineRule, RuleResult
from ctoffload_dpdk.providers._rte_flow_template cimport RuleTable

cdef enum:
    MAX_TABLES = 64
    PULL_MOST = 256


cdef class TestEngine:
    """One engine on one port. Tables and rules are numbered in the order of their making; results name rules so."""

    __test__ = False

    cdef RuleEngine engine
    cdef RuleTable tables[MAX_TABLES]
    cdef int n_tables
    cdef EngineRule *rules
    cdef uint32_t *table_of
    cdef uint32_t n_rules
    cdef uint32_t room
    cdef readonly str message        # the driver's, of the last refusal

    def __init__(self, ethdev: int, *, is_async: bool = False, first_queue: int = 0, n_queues: int = 1,
                 queue_size: int = 64, limit_ms: int = 1000, room: int = 4096) -> None:
        rc = engine_open(&self.engine, ethdev, ENGINE_ASYNC if is_async else ENGINE_SYNC, first_queue, n_queues,
                         queue_size, limit_ms)
        if rc:
            raise OSError(rc, "the engine could not be opened")
        self.room = room
        self.rules = <EngineRule *> calloc(room, sizeof(EngineRule))
        self.table_of = <uint32_t *> calloc(room, sizeof(uint32_t))
        if self.rules == NULL or self.table_of == NULL:
            raise MemoryError
        self.message = ""

    def __dealloc__(self):
        free(self.rules)
        free(self.table_of)

    def close(self) -> int:
        """0, or the errno with which the driver kept a table."""
        cdef int rc
        with nogil:
            rc = engine_close(&self.engine)
        return rc

    cdef int said(self, int rc, rte_flow_error *error):
        if rc:
            self.message = error.message.decode() if error.message != NULL else ""
        return rc

    def table_add(self, attr: object, pattern: list, actions: list, fixed: list, n_rules: int) -> int:
        """0 or errno; the table's number is the number of those added before."""
        cdef Pattern c_pattern = Pattern(pattern)
        cdef Actions c_actions = Actions(actions)
        cdef Actions masks = template_masks(actions, fixed)
        cdef rte_flow_attr c_attr
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        to_attr(attr, &c_attr)
        rc = engine_table_add(&self.engine, &self.tables[self.n_tables], &c_attr, c_pattern.items, c_actions.actions,
                              masks.actions, n_rules, &error)
        self.n_tables += rc == 0
        return self.said(rc, &error)

    def table_remove(self, table: int) -> int:
        cdef rte_flow_error error
        memset(&error, 0, sizeof(error))
        return self.said(engine_table_remove(&self.engine, &self.tables[table], &error), &error)

    def table_live(self, table: int) -> tuple[int, int]:
        """Rules in it, and how many of them were lost."""
        return self.tables[table].n_live, self.tables[table].n_lost

    def create(self, table: int, pattern: list, actions: list, *, now: bool = False) -> int:
        """0, EINPROGRESS or errno; the rule's number is the number of those made before, refused ones included."""
        cdef Pattern c_pattern = Pattern(pattern)
        cdef Actions c_actions = Actions(actions)
        cdef rte_flow_error error
        cdef int rc
        cdef bint wait = now
        cdef RuleTable *c_table = &self.tables[<int> table]
        cdef EngineRule *rule = &self.rules[self.n_rules]
        if self.n_rules == self.room:
            raise IndexError("room for rules is over")
        memset(&error, 0, sizeof(error))
        with nogil:
            if wait:
                rc = engine_create_now(&self.engine, c_table, c_pattern.items, c_actions.actions, rule, &error)
            else:
                rc = engine_create(&self.engine, c_table, c_pattern.items, c_actions.actions, self.n_rules, rule,
                                   &error)
        self.table_of[self.n_rules] = table
        self.n_rules += 1
        return self.said(rc, &error)

    def destroy(self, number: int, *, now: bool = False) -> int:
        """0, EINPROGRESS or errno."""
        cdef rte_flow_error error
        cdef int rc
        cdef bint wait = now
        cdef uint32_t rule = number
        cdef RuleTable *table = &self.tables[self.table_of[rule]]
        memset(&error, 0, sizeof(error))
        with nogil:
            if wait:
                rc = engine_destroy_now(&self.engine, table, &self.rules[rule], &error)
            else:
                rc = engine_destroy(&self.engine, table, &self.rules[rule], rule, &error)
        return self.said(rc, &error)

    def holds(self, number: int) -> bool:
        """Whether there is a handle of this rule."""
        return self.rules[<uint32_t> number].flow != NULL

    def handle(self, number: int) -> int:
        return <size_t> self.rules[<uint32_t> number].flow

    def push(self) -> int:
        return engine_push(&self.engine)

    def pull(self, now_ms: int = 0, most: int = PULL_MOST) -> list[Result]:
        """What was answered or given up, after which the rules are as the results say."""
        cdef RuleResult results[PULL_MOST]
        cdef int i, n = min(most, PULL_MOST)
        cdef int64_t at_ms = now_ms
        with nogil:
            n = engine_pull(&self.engine, results, n, at_ms)
        for i in range(n):
            self.rules[results[i].user] = results[i].rule
        return [Result(results[i].user, bool(results[i].is_destroy), results[i].error, results[i].rule.flow != NULL)
                for i in range(n)]

    def port_gone(self) -> None:
        engine_port_gone(&self.engine)

    def flushed(self) -> int:
        return engine_flushed(&self.engine)

    @property
    def n_waiting(self) -> int:
        return engine_n_waiting(&self.engine)

    @property
    def counts(self) -> dict[str, int]:
        return self.engine.counts
