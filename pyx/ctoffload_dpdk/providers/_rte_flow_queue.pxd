# One flow queue of a port: operations put on it, and their results.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow, rte_flow_action, rte_flow_error, rte_flow_item
from ctoffload_dpdk.providers._rte_flow_template cimport RuleTable

# A rule as its owner keeps it: zeroes where there is none.
cdef struct EngineRule:
    rte_flow *flow
    uint32_t operation       # the engine's: the queued operation that makes it
    uint16_t queue           # the engine's: a queued rule leaves by the queue it came by
    uint16_t reserved

# What became of a queued operation.
cdef struct RuleResult:
    uint64_t user            # as given with the operation
    EngineRule rule          # after a creation that succeeded, or a removal that failed and may be tried again; else zeroes
    int error                # 0 or an errno; ETIMEDOUT: never answered, counted lost; ENODEV: the port went
    uint8_t is_destroy

# created = destroyed + lost + live, when nothing is under way.
cdef struct EngineCounts:
    uint64_t created         # answered well, or never answered
    uint64_t destroyed
    uint64_t failed          # refused at once or later
    uint64_t lost            # nobody knows what became of them, or gone with the port
    uint64_t came_late       # answered after they were given up, and not lost any more; what exists after all is removed
    uint64_t queue_full      # an operation found no place, a push and a pull notwithstanding

# Number + 1 of the operation is what the driver hands back, so that an answer never points at what is gone.
cdef struct Operation:
    uint64_t user
    rte_flow *flow
    RuleTable *table
    int64_t since_ms         # of the first pull that did not answer it; -1: none yet
    uint32_t before          # in the list of those that wait; number + 1, 0: none
    uint32_t following       # in that list, or in another that the state tells of
    int error                # of an answer that is waited for
    uint8_t state
    uint8_t kind
    uint8_t is_doomed        # a removal was asked for before the creation was answered
    uint8_t is_awaited       # its answer is waited for on the spot: no result

cdef struct OperationQueue:
    uint16_t ethdev
    uint16_t number
    uint32_t n_places
    Operation *operations
    RuleResult *results      # a ring
    uint32_t n_results
    uint32_t first_result
    uint32_t free            # lists: number + 1, 0: empty
    uint32_t oldest
    uint32_t newest
    uint32_t new             # the oldest that no pull has seen
    uint32_t to_remove       # removals the queue itself wants
    uint32_t n_waiting       # operations that will be answered or given up
    uint32_t n_used          # operations that are not free
    bint can_push
    bint forgets_failed      # a removal that failed has freed the handle all the same (mlx5)
    bint is_pushed           # nothing was put on it since the last push
    bint is_mute             # it let somebody wait in vain, and has not answered since
    EngineCounts *counts

cdef int queue_open(OperationQueue *queue, uint16_t ethdev, uint16_t number, uint32_t n_places, const char *driver,
                    EngineCounts *counts) noexcept nogil
cdef void queue_close(OperationQueue *queue) noexcept nogil
# Both: EINPROGRESS, EAGAIN where the queue is full, another errno where the driver refused.
cdef int queue_create(OperationQueue *queue, RuleTable *table, const rte_flow_item *items, const rte_flow_action *actions,
                      uint64_t user, EngineRule *rule, rte_flow_error *error) noexcept nogil
cdef int queue_destroy(OperationQueue *queue, RuleTable *table, EngineRule *rule, uint64_t user,
                       rte_flow_error *error) noexcept nogil
cdef int queue_push(OperationQueue *queue) noexcept nogil
# Takes in every answer there is. 0, or the driver's errno.
cdef int queue_pull(OperationQueue *queue) noexcept nogil
# Gives up what waits since limit_ms or longer.
cdef void queue_expire(OperationQueue *queue, int64_t now_ms, int64_t limit_ms) noexcept nogil
# Gives up everything that waits, with this errno.
cdef void queue_give_up(OperationQueue *queue, int error) noexcept nogil
cdef int queue_results(OperationQueue *queue, RuleResult *results, int n) noexcept nogil
# Waits for the operation that was queued last: its errno, ETIMEDOUT after limit_ms.
cdef int queue_await(OperationQueue *queue, uint32_t operation, uint32_t limit_ms) noexcept nogil
# The table goes: an answer that comes later must not reach for it.
cdef void queue_forget_table(OperationQueue *queue, RuleTable *table) noexcept nogil
