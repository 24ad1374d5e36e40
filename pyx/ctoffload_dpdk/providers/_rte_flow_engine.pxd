# How rules get into a port and out of it: at once (rte_flow_create), or through templates, a table and a flow queue.
#
# An engine belongs to one port, its calls to one thread at a time. Its owner keeps an EngineRule per rule and is told by
# the number it gave with the operation, so that what the owner keeps may move. Errors are positive errnos.
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_action, rte_flow_attr, rte_flow_error, rte_flow_item
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineCounts, EngineRule, OperationQueue, RuleResult
from ctoffload_dpdk.providers._rte_flow_template cimport RuleTable

cdef enum EngineKind:
    ENGINE_SYNC = 0
    ENGINE_ASYNC = 1

cdef struct RuleEngine:
    EngineKind kind
    uint16_t ethdev
    uint16_t n_queues
    uint16_t next_queue
    uint32_t limit_ms        # how long an operation may go unanswered
    bint is_gone             # the port is no longer there: the driver is not called any more
    RuleTable *tables
    OperationQueue *queues
    EngineCounts counts

# EngineRule, RuleResult, EngineCounts: see _rte_flow_queue.pxd. RuleTable: see _rte_flow_template.pxd.

# Queues first_queue .. first_queue + n_queues - 1 of a port that rte_flow_configure gave queue_size places each; limit_ms
# bounds how long an operation may go unanswered. A synchronous engine uses neither. 0, ENOMEM, EINVAL.
cdef int engine_open(RuleEngine *engine, uint16_t ethdev, EngineKind kind, uint16_t first_queue, uint16_t n_queues,
                     uint32_t queue_size, uint32_t limit_ms) noexcept nogil
# Pulls what is there, gives up the rest (counted lost) and removes the tables; the engine is closed in any case. 0, or the
# errno with which the driver kept a table that still holds rules. Safe on an engine of zeroes.
cdef int engine_close(RuleEngine *engine) noexcept nogil
# The port was stopped, reset or removed: every rule of it is gone. What is outstanding comes out of engine_pull as ENODEV.
cdef void engine_port_gone(RuleEngine *engine) noexcept nogil

# Room for n_rules rules with these items (their masks count) and types of actions. An action whose mask has a configuration
# has the value it has here in every rule, else each rule brings its own. Synchronous: only notes the attributes. 0 or errno.
cdef int engine_table_add(RuleEngine *engine, RuleTable *table, const rte_flow_attr *attr, const rte_flow_item *items,
                          const rte_flow_action *actions, const rte_flow_action *masks, uint32_t n_rules,
                          rte_flow_error *error) noexcept nogil
# EBUSY while rules are in it.
cdef int engine_table_remove(RuleEngine *engine, RuleTable *table, rte_flow_error *error) noexcept nogil

# 0: the rule is in. EINPROGRESS: rule.flow is set, a RuleResult follows. EAGAIN: the queue is full or a counter is not
# free yet: try again after a pull, later. ENOSPC: the table is full. Any other errno: refused, see error.
cdef int engine_create(RuleEngine *engine, RuleTable *table, const rte_flow_item *items, const rte_flow_action *actions,
                       uint64_t user, EngineRule *rule, rte_flow_error *error) noexcept nogil
# 0: it is out. EINPROGRESS: a RuleResult follows; rule is zeroed in both cases. EAGAIN: as above. A rule whose creation
# is outstanding leaves as soon as that was answered: only the removal's result comes.
cdef int engine_destroy(RuleEngine *engine, RuleTable *table, EngineRule *rule, uint64_t user,
                        rte_flow_error *error) noexcept nogil
# The same and waits: 0 or errno, never EINPROGRESS. For the few rules of a pipeline, not for those of connections.
cdef int engine_create_now(RuleEngine *engine, RuleTable *table, const rte_flow_item *items,
                           const rte_flow_action *actions, EngineRule *rule, rte_flow_error *error) noexcept nogil
cdef int engine_destroy_now(RuleEngine *engine, RuleTable *table, EngineRule *rule,
                            rte_flow_error *error) noexcept nogil

# Hands what was queued to the NIC; once after each batch. 0 or errno.
cdef int engine_push(RuleEngine *engine) noexcept nogil
# At most n results, pushed before; gives up what went unanswered for limit_ms. The clock of an operation starts with the
# first pull after it. Call until it returns less than n.
cdef int engine_pull(RuleEngine *engine, RuleResult *results, int n, int64_t now_ms) noexcept nogil
# Operations that were neither answered nor given up.
cdef uint32_t engine_n_waiting(const RuleEngine *engine) noexcept nogil
# Whether a queue has operations or answers that still take room in it.
cdef bint engine_is_busy(const RuleEngine *engine) noexcept nogil
# The port was flushed: no rule is left in any table. EBUSY while operations wait: pull them first, a flush eats answers.
cdef int engine_flushed(RuleEngine *engine) noexcept nogil
