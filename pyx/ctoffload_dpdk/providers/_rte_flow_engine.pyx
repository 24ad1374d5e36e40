"""Rules into a port and out of it, at once or through flow queues: one interface, equal results."""
from libc.errno cimport EBUSY, EINPROGRESS, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, ENOSPC
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_ethdev cimport rte_eth_dev_info, rte_eth_dev_info_get
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_create, rte_flow_destroy
from ctoffload_dpdk.providers._rte_flow_queue cimport (
    queue_await,
    queue_close,
    queue_create,
    queue_destroy,
    queue_expire,
    queue_forget_table,
    queue_give_up,
    queue_open,
    queue_pull,
    queue_push,
    queue_results,
)
from ctoffload_dpdk.providers._rte_flow_template cimport flow_errno, template_make, template_remove


# ---- the engine ----------------------------------------------------------------------------------------------------------

cdef int engine_open(RuleEngine *engine, uint16_t ethdev, EngineKind kind, uint16_t first_queue, uint16_t n_queues,
                     uint32_t queue_size, uint32_t limit_ms) noexcept nogil:
    cdef rte_eth_dev_info info
    cdef uint16_t i
    cdef int failed
    memset(engine, 0, sizeof(RuleEngine))
    engine.ethdev = ethdev
    engine.kind = kind
    engine.limit_ms = limit_ms
    if kind == ENGINE_SYNC:
        return 0
    if n_queues == 0 or queue_size == 0:
        return EINVAL
    failed = rte_eth_dev_info_get(ethdev, &info)
    if failed:
        return -failed
    engine.queues = <OperationQueue *> calloc(n_queues, sizeof(OperationQueue))
    if engine.queues == NULL:
        return ENOMEM
    for i in range(n_queues):
        failed = queue_open(&engine.queues[i], ethdev, first_queue + i, queue_size, info.driver_name, &engine.counts)
        if failed:
            engine_close(engine)
            return failed
        engine.n_queues = i + 1
    return 0


cdef int engine_close(RuleEngine *engine) noexcept nogil:
    cdef rte_flow_error error
    cdef uint16_t i
    cdef int rc, failed = 0
    engine_push(engine)
    pull_all(engine)
    for i in range(engine.n_queues):
        queue_give_up(&engine.queues[i], ENODEV)
    while engine.tables != NULL:
        memset(&error, 0, sizeof(error))
        rc = table_drop(engine, engine.tables, &error)
        failed = rc if rc else failed
    for i in range(engine.n_queues):
        queue_close(&engine.queues[i])
    free(engine.queues)
    engine.queues = NULL
    engine.n_queues = 0
    return failed


cdef void engine_port_gone(RuleEngine *engine) noexcept nogil:
    cdef RuleTable *table = engine.tables
    cdef uint16_t i
    engine.is_gone = True
    for i in range(engine.n_queues):
        queue_give_up(&engine.queues[i], ENODEV)
    while table != NULL:
        engine.counts.lost += table.n_live - table.n_lost
        table.n_live = table.n_lost = 0
        table = table.following


cdef uint32_t engine_n_waiting(const RuleEngine *engine) noexcept nogil:
    cdef uint32_t n = 0
    cdef uint16_t i
    for i in range(engine.n_queues):
        n += engine.queues[i].n_waiting
    return n


cdef bint engine_is_busy(const RuleEngine *engine) noexcept nogil:
    cdef uint16_t i
    for i in range(engine.n_queues):
        if engine.queues[i].n_used or engine.queues[i].n_results:
            return True
    return False


cdef int engine_flushed(RuleEngine *engine) noexcept nogil:
    cdef RuleTable *table = engine.tables
    if engine_n_waiting(engine):
        return EBUSY
    while table != NULL:
        engine.counts.destroyed += table.n_live - table.n_lost
        table.n_live = table.n_lost
        table = table.following
    return 0


# ---- tables --------------------------------------------------------------------------------------------------------------

cdef int engine_table_add(RuleEngine *engine, RuleTable *table, const rte_flow_attr *attr, const rte_flow_item *items,
                          const rte_flow_action *actions, const rte_flow_action *masks, uint32_t n_rules,
                          rte_flow_error *error) noexcept nogil:
    cdef int failed
    if engine.is_gone:
        return ENODEV
    memset(table, 0, sizeof(RuleTable))
    table.attr = attr[0]
    table.n_rules = n_rules
    if engine.kind == ENGINE_ASYNC:
        memset(error, 0, sizeof(rte_flow_error))
        failed = template_make(table, engine.ethdev, items, actions, masks, error)
        if failed:
            return failed
    table.following = engine.tables
    engine.tables = table
    return 0


cdef int engine_table_remove(RuleEngine *engine, RuleTable *table, rte_flow_error *error) noexcept nogil:
    if table.n_live > table.n_lost:
        return EBUSY
    return table_drop(engine, table, error)


cdef int table_drop(RuleEngine *engine, RuleTable *table, rte_flow_error *error) noexcept nogil:
    """Takes the table off the engine's list and out of the driver; what the driver keeps goes with the port."""
    cdef RuleTable **link = &engine.tables
    cdef uint16_t i
    while link[0] != NULL and link[0] != table:
        link = &link[0].following
    if link[0] == NULL:
        return ENOENT
    link[0] = table.following
    for i in range(engine.n_queues):
        queue_forget_table(&engine.queues[i], table)
    return 0 if engine.is_gone else template_remove(table, engine.ethdev, error)


# ---- rules ---------------------------------------------------------------------------------------------------------------

cdef int engine_create(RuleEngine *engine, RuleTable *table, const rte_flow_item *items, const rte_flow_action *actions,
                       uint64_t user, EngineRule *rule, rte_flow_error *error) noexcept nogil:
    error.message = NULL
    if engine.is_gone:
        return ENODEV
    if table.n_rules and table.n_live >= table.n_rules:
        return ENOSPC
    if engine.kind == ENGINE_ASYNC:
        return queue_create(queue_next(engine), table, items, actions, user, rule, error)
    rule.flow = rte_flow_create(engine.ethdev, &table.attr, items, actions, error)
    if rule.flow == NULL:
        engine.counts.failed += 1
        return flow_errno()
    table.n_live += 1
    engine.counts.created += 1
    return 0


cdef OperationQueue *queue_next(RuleEngine *engine) noexcept nogil:
    """A queue with room, in turn; they fill one after the other, so that each push hands over many."""
    cdef OperationQueue *queue = &engine.queues[engine.next_queue]
    cdef uint16_t i
    for i in range(1, engine.n_queues):
        if queue.n_used < queue.n_places:
            break
        engine.next_queue = (engine.next_queue + 1) % engine.n_queues
        queue = &engine.queues[engine.next_queue]
    return queue


cdef int engine_destroy(RuleEngine *engine, RuleTable *table, EngineRule *rule, uint64_t user,
                        rte_flow_error *error) noexcept nogil:
    cdef int rc
    error.message = NULL
    if engine.is_gone:
        return ENODEV
    if engine.kind == ENGINE_ASYNC:
        return queue_destroy(queue_of(engine, rule), table, rule, user, error)
    rc = rte_flow_destroy(engine.ethdev, rule.flow, error)
    if rc != 0:
        return -rc if rc < 0 else EIO
    table.n_live -= 1
    engine.counts.destroyed += 1
    memset(rule, 0, sizeof(EngineRule))
    return 0


cdef OperationQueue *queue_of(RuleEngine *engine, const EngineRule *rule) noexcept nogil:
    return &engine.queues[rule.queue - engine.queues[0].number]


cdef int engine_create_now(RuleEngine *engine, RuleTable *table, const rte_flow_item *items,
                           const rte_flow_action *actions, EngineRule *rule, rte_flow_error *error) noexcept nogil:
    cdef int failed = engine_create(engine, table, items, actions, 0, rule, error)
    if failed == EINPROGRESS:
        failed = queue_await(queue_of(engine, rule), rule.operation, engine.limit_ms)
        if failed:
            memset(rule, 0, sizeof(EngineRule))
    return failed


cdef int engine_destroy_now(RuleEngine *engine, RuleTable *table, EngineRule *rule, rte_flow_error *error) noexcept nogil:
    cdef EngineRule kept = rule[0]
    cdef OperationQueue *queue
    cdef int failed = engine_destroy(engine, table, rule, 0, error)
    if failed != EINPROGRESS:
        return failed
    queue = queue_of(engine, &kept)
    failed = queue_await(queue, queue.newest, engine.limit_ms)
    if failed == EIO and not queue.forgets_failed:
        rule[0] = kept
        rule.operation = 0
    return failed


# ---- turns ---------------------------------------------------------------------------------------------------------------

cdef int engine_push(RuleEngine *engine) noexcept nogil:
    cdef uint16_t i
    cdef int rc, failed = 0
    if engine.is_gone:
        return 0
    for i in range(engine.n_queues):
        rc = queue_push(&engine.queues[i])
        failed = rc if rc else failed
    if engine.n_queues:
        engine.next_queue = (engine.next_queue + 1) % engine.n_queues
    return failed


cdef void pull_all(RuleEngine *engine) noexcept nogil:
    cdef uint16_t i
    for i in range(engine.n_queues):
        if engine.is_gone:
            return
        if queue_pull(&engine.queues[i]) == ENODEV:
            engine_port_gone(engine)


cdef int engine_pull(RuleEngine *engine, RuleResult *results, int n, int64_t now_ms) noexcept nogil:
    cdef uint16_t i
    cdef int found = 0
    pull_all(engine)
    for i in range(engine.n_queues):
        if not engine.is_gone:
            queue_expire(&engine.queues[i], now_ms, engine.limit_ms)
        found += queue_results(&engine.queues[i], results + found, n - found)
    return found
