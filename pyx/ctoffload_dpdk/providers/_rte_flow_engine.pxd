# How rules get into a port and out of it: at once (rte_flow_create), or through templates, a table and a flow queue.
#
# An engine belongs to one port, its calls to one thread at a time. Its owner keeps an EngineRule per rule and is told by
# the number it gave with the operation, so that what the owner keeps may move. Errors are positive errnos.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow,
    rte_flow_action,
    rte_flow_actions_template,
    rte_flow_attr,
    rte_flow_error,
    rte_flow_item,
    rte_flow_pattern_template,
    rte_flow_template_table,
)

cdef enum EngineKind:
    ENGINE_SYNC = 0
    ENGINE_ASYNC = 1

# A rule as its owner keeps it: zeroes where there is none.
cdef struct EngineRule:
    rte_flow *flow
    uint32_t operation       # the engine's: the queued operation that makes it
    uint16_t queue           # the engine's: a queued rule leaves by the queue it came by
    uint16_t reserved

# Rules of one kind in one group: same items, masks and types of actions. Owned by the caller; must not move.
cdef struct RuleTable:
    rte_flow_attr attr
    uint32_t n_rules         # room; 0: as much as the driver has
    uint32_t n_live          # rules in it or on their way in or out
    rte_flow_pattern_template *pattern
    rte_flow_actions_template *actions
    rte_flow_template_table *table
    RuleTable *following     # the engine's tables

# What became of a queued operation.
cdef struct RuleResult:
    uint64_t user            # as given with the operation
    rte_flow *flow           # of a creation that succeeded; NULL otherwise: nothing is left of it
    int error                # 0 or an errno; ETIMEDOUT: never answered, counted lost; ENODEV: the port went
    uint8_t is_destroy

cdef struct EngineCounts:
    uint64_t created
    uint64_t destroyed
    uint64_t failed          # refused at once or later
    uint64_t lost            # never answered in time, or gone with the port
    uint64_t came_late       # answered after they were given up; a rule that exists after all is removed
    uint64_t queue_full      # an operation found no place, before or after a push and a pull

cdef struct Operation        # the engine's own
cdef struct OperationQueue

cdef struct RuleEngine:
    EngineKind kind
    uint16_t ethdev
    uint16_t first_queue
    uint16_t n_queues
    uint16_t next_queue
    uint32_t queue_size
    uint32_t limit_ms        # how long an operation may go unanswered
    bint is_gone             # the port is no longer there: the driver is not called any more
    RuleTable *tables
    OperationQueue *queues
    Operation *operations
    uint32_t n_outstanding   # operations whose result was not pulled yet, lost ones excluded
    EngineCounts counts

# Queues first_queue .. first_queue + n_queues - 1 of a port that rte_flow_configure gave queue_size places each; limit_ms
# bounds how long an operation may go unanswered. A synchronous engine uses neither. 0, ENOMEM, EINVAL.
cdef int engine_open(RuleEngine *engine, uint16_t ethdev, EngineKind kind, uint16_t first_queue, uint16_t n_queues,
                     uint32_t queue_size, uint32_t limit_ms) noexcept nogil
# Gives up what is outstanding (counted lost) and removes the tables. EBUSY: rules are left in a table; close again after
# they were destroyed. Safe on an engine of zeroes.
cdef int engine_close(RuleEngine *engine) noexcept nogil
# The port was stopped, reset or removed: every rule of it is gone. What is outstanding comes out of engine_pull as ENODEV.
cdef void engine_port_gone(RuleEngine *engine) noexcept nogil

# Room for n_rules rules with these items (their masks count) and types of actions. Bit i of `constant`: action i has the
# value it has here in every rule, else each rule brings its own (what MODIFY_FIELD changes is constant in any case;
# INDIRECT stands for a CONNTRACK). DROP and the like have no value. Synchronous: only notes the attributes. 0 or errno.
cdef int engine_table_add(RuleEngine *engine, RuleTable *table, const rte_flow_attr *attr, const rte_flow_item *items,
                          const rte_flow_action *actions, uint32_t constant, uint32_t n_rules,
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
