"""One flow queue of a port: operations are put on it in bulk, pushed, and their answers pulled in bursts.

What drivers do differently is settled here: what says that a queue is full, that a creation that failed still has to be
removed, that an answer may never come, or after it was given up.
"""
from libc.errno cimport EAGAIN, EBUSY, EINPROGRESS, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, ENOSPC, ETIMEDOUT
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strncmp, strstr

from ctoffload_dpdk.dpdk.librte_eal cimport rte_delay_us_sleep
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_OP_SUCCESS,
    rte_flow_async_create,
    rte_flow_async_destroy,
    rte_flow_op_attr,
    rte_flow_op_result,
    rte_flow_pull,
    rte_flow_push,
)
from ctoffload_dpdk.offload.libspsc cimport clock_ns
from ctoffload_dpdk.providers._rte_flow_template cimport flow_errno

cdef enum:
    PULL_BURST = 64
    AWAIT_STEP_US = 10

cdef enum State:
    IDLE = 0         # on the list of free ones
    WAITING = 1      # the driver has it; in the list by age
    LOST = 2         # the driver has it, its owner was told that nobody knows
    REMOVING = 3     # on the list of removals to be queued
    ANSWERED = 4     # somebody waits for it on the spot

cdef enum Kind:
    CREATE = 0
    DESTROY = 1
    UNDO = 2         # removal of a rule that nobody waits for any more
    SWEEP = 3        # removal of the handle of a creation that failed


# ---- places ------------------------------------------------------------------------------------------------------------

cdef int queue_open(OperationQueue *queue, uint16_t ethdev, uint16_t number, uint32_t n_places, const char *driver,
                    EngineCounts *counts) noexcept nogil:
    cdef uint32_t i
    memset(queue, 0, sizeof(OperationQueue))
    queue.operations = <Operation *> calloc(n_places, sizeof(Operation))
    queue.results = <RuleResult *> calloc(2 * n_places, sizeof(RuleResult))
    if queue.operations == NULL or queue.results == NULL:
        queue_close(queue)
        return ENOMEM
    queue.ethdev = ethdev
    queue.number = number
    queue.n_places = n_places
    queue.counts = counts
    queue.is_pushed = True
    queue.can_push = strncmp(driver, b"net_ntnic", 9) != 0       # its table of functions has a hole there
    queue.forgets_failed = strncmp(driver, b"mlx5", 4) == 0
    for i in range(n_places):
        queue.operations[i].following = i + 2 if i + 1 < n_places else 0
    queue.free = 1
    return 0


cdef void queue_close(OperationQueue *queue) noexcept nogil:
    free(queue.operations)
    free(queue.results)
    memset(queue, 0, sizeof(OperationQueue))


cdef Operation *place_take(OperationQueue *queue) noexcept nogil:
    """NULL where the queue is full, or its owner leaves results behind."""
    cdef Operation *operation
    if queue.free == 0 or queue.n_results + queue.n_used >= 2 * queue.n_places:
        return NULL
    operation = &queue.operations[queue.free - 1]
    queue.free = operation.following
    queue.n_used += 1
    memset(operation, 0, sizeof(Operation))
    return operation


cdef void place_free(OperationQueue *queue, Operation *operation) noexcept nogil:
    operation.state = IDLE
    operation.following = queue.free
    queue.free = number_of(queue, operation)
    queue.n_used -= 1


cdef inline uint32_t number_of(OperationQueue *queue, Operation *operation) noexcept nogil:
    return <uint32_t> (operation - queue.operations) + 1


# ---- the list of those that wait, oldest first -----------------------------------------------------------------------------

cdef void wait_begin(OperationQueue *queue, Operation *operation) noexcept nogil:
    cdef uint32_t number = number_of(queue, operation)
    operation.state = WAITING
    operation.since_ms = -1
    operation.before = queue.newest
    operation.following = 0
    if queue.newest:
        queue.operations[queue.newest - 1].following = number
    else:
        queue.oldest = number
    queue.newest = number
    if queue.new == 0:
        queue.new = number
    queue.n_waiting += 1
    queue.is_pushed = False


cdef void wait_end(OperationQueue *queue, Operation *operation) noexcept nogil:
    cdef uint32_t number = number_of(queue, operation)
    if operation.before:
        queue.operations[operation.before - 1].following = operation.following
    else:
        queue.oldest = operation.following
    if operation.following:
        queue.operations[operation.following - 1].before = operation.before
    else:
        queue.newest = operation.before
    if queue.new == number:
        queue.new = operation.following
    queue.n_waiting -= 1


cdef void remove_later(OperationQueue *queue, Operation *operation, int kind) noexcept nogil:
    operation.state = REMOVING
    operation.kind = kind
    operation.is_doomed = 0
    operation.following = queue.to_remove
    queue.to_remove = number_of(queue, operation)


# ---- putting operations on it ------------------------------------------------------------------------------------------

cdef bint is_full(OperationQueue *queue, int error) noexcept nogil:
    """Whether this refusal may pass with an answer that is still to come. mlx5 says ENOMEM or EBUSY of a full queue."""
    return error == EAGAIN or (error in (ENOMEM, EBUSY) and queue.n_used > 1)


cdef int why_refused(OperationQueue *queue, RuleTable *table, const rte_flow_error *error) noexcept nogil:
    """The errno of a creation that was refused, as it should have been.

    mlx5 says EINVAL of everything it could not find while it put a rule together, 25.11 without a word of what; a table
    that took rules of this kind shows that the rule is not what is wrong.
    """
    cdef int failed = flow_errno()
    if is_full(queue, failed):
        return EAGAIN
    if failed != EINVAL or not queue.forgets_failed:
        return failed
    if error.message != NULL and strstr(error.message, b"flow counter") != NULL:
        return EAGAIN        # none is left, or those that were freed are read once more first
    return ENOSPC if table.n_created or table.n_live else EINVAL


cdef rte_flow *create_once(OperationQueue *queue, RuleTable *table, const rte_flow_item *items,
                           const rte_flow_action *actions, Operation *operation, rte_flow_error *error) noexcept nogil:
    cdef rte_flow_op_attr attr
    memset(&attr, 0, sizeof(attr))
    attr.postpone = queue.can_push
    return rte_flow_async_create(queue.ethdev, queue.number, &attr, table.table, items, 0, actions, 0,
                                 <void *> <uintptr_t> number_of(queue, operation), error)


cdef int destroy_once(OperationQueue *queue, Operation *operation, rte_flow_error *error) noexcept nogil:
    cdef rte_flow_op_attr attr
    cdef int rc
    memset(&attr, 0, sizeof(attr))
    attr.postpone = queue.can_push
    rc = rte_flow_async_destroy(queue.ethdev, queue.number, &attr, operation.flow,
                                <void *> <uintptr_t> number_of(queue, operation), error)
    return 0 if rc == 0 else -rc if rc < 0 else flow_errno()


cdef Operation *place_find(OperationQueue *queue) noexcept nogil:
    """A place, after a push and a pull where there was none."""
    cdef Operation *operation = place_take(queue)
    if operation == NULL:
        queue_push(queue)
        queue_pull(queue)
        operation = place_take(queue)
        if operation == NULL:
            queue.counts.queue_full += 1
    return operation


cdef int queue_create(OperationQueue *queue, RuleTable *table, const rte_flow_item *items, const rte_flow_action *actions,
                      uint64_t user, EngineRule *rule, rte_flow_error *error) noexcept nogil:
    cdef Operation *operation = place_find(queue)
    cdef int failed
    if operation == NULL:
        return EAGAIN
    operation.flow = create_once(queue, table, items, actions, operation, error)
    if operation.flow == NULL:
        failed = why_refused(queue, table, error)
        if failed == EAGAIN and queue.n_used > 1:
            queue_push(queue)
            queue_pull(queue)
            operation.flow = create_once(queue, table, items, actions, operation, error)
            failed = why_refused(queue, table, error)
    if operation.flow == NULL:
        place_free(queue, operation)
        queue.counts.queue_full += failed == EAGAIN
        queue.counts.failed += failed != EAGAIN
        return failed
    operation.kind = CREATE
    operation.user = user
    operation.table = table
    table.n_live += 1
    wait_begin(queue, operation)
    rule.flow = operation.flow
    rule.operation = number_of(queue, operation)
    rule.queue = queue.number
    return EINPROGRESS


cdef Operation *creation_of(OperationQueue *queue, const EngineRule *rule) noexcept nogil:
    """The operation that still makes this rule; NULL where it was answered."""
    cdef Operation *operation
    if rule.operation == 0 or rule.operation > queue.n_places:
        return NULL
    operation = &queue.operations[rule.operation - 1]
    return operation if (operation.state == WAITING and operation.kind == CREATE
                         and operation.flow == rule.flow) else NULL


cdef int queue_destroy(OperationQueue *queue, RuleTable *table, EngineRule *rule, uint64_t user,
                       rte_flow_error *error) noexcept nogil:
    cdef Operation *operation = creation_of(queue, rule)
    cdef int failed
    if operation != NULL:
        operation.is_doomed = 1
        operation.user = user
        memset(rule, 0, sizeof(EngineRule))
        return EINPROGRESS
    operation = place_find(queue)
    if operation == NULL:
        return EAGAIN
    operation.flow = rule.flow
    failed = destroy_once(queue, operation, error)
    if is_full(queue, failed):
        queue_push(queue)
        queue_pull(queue)
        failed = destroy_once(queue, operation, error)
    if failed != 0:
        failed = EAGAIN if is_full(queue, failed) else failed
        queue.counts.queue_full += failed == EAGAIN
        place_free(queue, operation)
        return failed
    operation.kind = DESTROY
    operation.user = user
    operation.table = table
    wait_begin(queue, operation)
    memset(rule, 0, sizeof(EngineRule))
    return EINPROGRESS


cdef int queue_push(OperationQueue *queue) noexcept nogil:
    cdef rte_flow_error error
    cdef int rc
    if queue.is_pushed or not queue.can_push:
        return 0
    memset(&error, 0, sizeof(error))
    rc = rte_flow_push(queue.ethdev, queue.number, &error)
    queue.is_pushed = rc == 0        # one that failed is tried again
    return 0 if rc == 0 else -rc if rc < 0 else flow_errno()


# ---- answers -------------------------------------------------------------------------------------------------------------

cdef void tell(OperationQueue *queue, Operation *operation, int error, bint keeps_rule) noexcept nogil:
    """Puts a result where the owner finds it; place_take has seen to it that there is room."""
    cdef RuleResult *result = &queue.results[(queue.first_result + queue.n_results) % (2 * queue.n_places)]
    if operation.is_awaited:
        operation.error = error
        return
    memset(result, 0, sizeof(RuleResult))
    result.user = operation.user
    result.error = error
    result.is_destroy = operation.kind == DESTROY or operation.is_doomed
    if keeps_rule:
        result.rule.flow = operation.flow
        result.rule.queue = queue.number
    queue.n_results += 1


cdef void leave(OperationQueue *queue, Operation *operation) noexcept nogil:
    """The operation is over."""
    if operation.is_awaited and operation.state != LOST:
        operation.state = ANSWERED       # whoever waits frees it
    else:
        place_free(queue, operation)


cdef void create_answered(OperationQueue *queue, Operation *operation, bint ok) noexcept nogil:
    cdef bint is_lost = operation.state == LOST
    if not ok:
        queue.counts.failed += 1
        queue.counts.created -= is_lost
        if not is_lost:
            tell(queue, operation, 0 if operation.is_doomed else EIO, False)
        sweep(queue, operation)
        return
    queue.counts.created += not is_lost
    if operation.table != NULL:
        operation.table.n_created += 1
    if is_lost:
        remove_later(queue, operation, UNDO)
    elif operation.is_doomed:
        remove_later(queue, operation, DESTROY)
    else:
        tell(queue, operation, 0, True)
        leave(queue, operation)


cdef void sweep(OperationQueue *queue, Operation *operation) noexcept nogil:
    """DPDK wants the handle of a creation that failed destroyed, too. Whoever waits on the spot has to do that first."""
    if operation.is_awaited and operation.state != LOST:
        operation.state = ANSWERED
    else:
        remove_later(queue, operation, SWEEP)


cdef void destroy_answered(OperationQueue *queue, Operation *operation, bint ok) noexcept nogil:
    cdef bint is_gone = ok or queue.forgets_failed
    cdef bint is_lost = operation.state == LOST
    if ok and operation.kind != SWEEP:
        queue.counts.destroyed += 1
    elif not ok and is_gone and operation.kind != SWEEP:
        queue.counts.lost += 1
    if is_gone and operation.table != NULL:
        operation.table.n_live -= 1
    if operation.kind == DESTROY and not is_lost:
        tell(queue, operation, 0 if ok else EIO, not is_gone)
    elif not is_gone:
        remove_later(queue, operation, SWEEP if operation.kind == SWEEP else UNDO)
        return
    leave(queue, operation)


cdef void answered(OperationQueue *queue, uint32_t number, bint ok) noexcept nogil:
    cdef Operation *operation
    if number == 0 or number > queue.n_places:
        return
    operation = &queue.operations[number - 1]
    queue.is_mute = False
    if operation.state == WAITING:
        wait_end(queue, operation)
    elif operation.state == LOST:
        queue.counts.came_late += 1
        queue.counts.lost -= operation.kind != SWEEP
        if operation.table != NULL:
            operation.table.n_lost -= 1
    else:
        return
    if operation.kind == CREATE:
        create_answered(queue, operation, ok)
    else:
        destroy_answered(queue, operation, ok)


cdef void queue_removals(OperationQueue *queue) noexcept nogil:
    """Puts the queue's own removals on it; those it does not take are tried again at the next pull."""
    cdef uint32_t link = queue.to_remove, following
    cdef Operation *operation
    cdef rte_flow_error error
    cdef int failed
    queue.to_remove = 0
    while link:
        operation = &queue.operations[link - 1]
        following = operation.following
        memset(&error, 0, sizeof(error))
        failed = destroy_once(queue, operation, &error)
        if failed == 0:
            wait_begin(queue, operation)
        elif failed == ENOENT or failed == ENODEV:
            destroy_answered(queue, operation, True)
        else:
            remove_later(queue, operation, operation.kind)
        link = following


cdef int queue_pull(OperationQueue *queue) noexcept nogil:
    cdef rte_flow_op_result results[PULL_BURST]
    cdef rte_flow_error error
    cdef int i, n = PULL_BURST
    if queue.n_used == 0:
        return 0
    while n == PULL_BURST:
        memset(&error, 0, sizeof(error))
        n = rte_flow_pull(queue.ethdev, queue.number, results, PULL_BURST, &error)
        for i in range(n):
            answered(queue, <uint32_t> <uintptr_t> results[i].user_data, results[i].status == RTE_FLOW_OP_SUCCESS)
    if queue.to_remove:
        queue_removals(queue)
        queue_push(queue)
    return -n if n < 0 else 0


cdef int queue_results(OperationQueue *queue, RuleResult *results, int n) noexcept nogil:
    cdef int i
    n = n if n < <int> queue.n_results else <int> queue.n_results
    for i in range(n):
        results[i] = queue.results[queue.first_result]
        queue.first_result = (queue.first_result + 1) % (2 * queue.n_places)
    queue.n_results -= n
    return n


# ---- answers that do not come ----------------------------------------------------------------------------------------------

cdef void give_up(OperationQueue *queue, Operation *operation, int error) noexcept nogil:
    wait_end(queue, operation)
    lose(queue, operation)
    # A rule nobody knows of: it may be there.
    queue.counts.created += operation.kind == CREATE
    if operation.kind <= DESTROY:
        tell(queue, operation, error, False)


cdef void lose(OperationQueue *queue, Operation *operation) noexcept nogil:
    operation.state = LOST
    queue.counts.lost += operation.kind != SWEEP
    if operation.table != NULL:
        operation.table.n_lost += 1


cdef void queue_expire(OperationQueue *queue, int64_t now_ms, int64_t limit_ms) noexcept nogil:
    cdef Operation *operation
    while queue.new:
        operation = &queue.operations[queue.new - 1]
        operation.since_ms = now_ms
        queue.new = operation.following
    while queue.oldest:
        operation = &queue.operations[queue.oldest - 1]
        if now_ms - operation.since_ms < limit_ms:
            return
        give_up(queue, operation, ETIMEDOUT)


cdef void queue_give_up(OperationQueue *queue, int error) noexcept nogil:
    cdef Operation *operation
    cdef uint32_t link = queue.to_remove
    while queue.oldest:
        give_up(queue, &queue.operations[queue.oldest - 1], error)
    queue.to_remove = 0
    while link:
        operation = &queue.operations[link - 1]
        link = operation.following
        lose(queue, operation)
        if operation.kind == DESTROY:
            tell(queue, operation, error, False)


cdef void queue_forget_table(OperationQueue *queue, RuleTable *table) noexcept nogil:
    cdef uint32_t i
    for i in range(queue.n_places):
        if queue.operations[i].table == table:
            queue.operations[i].table = NULL


# ---- waiting on the spot -----------------------------------------------------------------------------------------------------

cdef int queue_await(OperationQueue *queue, uint32_t number, uint32_t limit_ms) noexcept nogil:
    """Steps aside between pulls, so that a thread that works the queue gets its turn. A queue that let one wait in vain is
    not waited for again before it answers: a pipeline has many rules."""
    cdef Operation *operation = &queue.operations[number - 1]
    cdef int64_t until_ns = clock_ns() + (0 if queue.is_mute else <int64_t> limit_ms * 1000000)
    operation.is_awaited = 1
    queue_push(queue)
    queue_pull(queue)
    while operation.state == WAITING and clock_ns() < until_ns:
        rte_delay_us_sleep(AWAIT_STEP_US)
        queue_pull(queue)
    if operation.state == WAITING:
        queue.is_mute = True
        give_up(queue, operation, ETIMEDOUT)
        operation.is_awaited = 0
        return ETIMEDOUT
    return await_over(queue, operation)


cdef int await_over(OperationQueue *queue, Operation *operation) noexcept nogil:
    cdef int error = operation.error
    operation.is_awaited = 0
    if operation.kind == CREATE and error:
        remove_later(queue, operation, SWEEP)
        queue_pull(queue)
    else:
        place_free(queue, operation)
    return error
