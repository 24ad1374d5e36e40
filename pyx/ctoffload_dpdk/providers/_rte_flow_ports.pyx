"""The provider's ports: which of DPDK's they are, whose engine makes their rules, what happens when one goes."""
from libc.errno cimport ENODEV, ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ctoffload_dpdk.dpdk.librte_eal cimport RTE_MAX_ETHPORTS
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    rte_eth_dev_get_port_by_name,
    rte_eth_dev_info,
    rte_eth_dev_info_get,
    rte_eth_dev_is_removed,
    rte_eth_dev_is_valid_port,
)
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_error, rte_flow_pick_transfer_proxy
from ctoffload_dpdk.providers._rte_flow_counted cimport counted_at_loss
from ctoffload_dpdk.providers._rte_flow_engine cimport (
    RuleEngine,
    engine_close,
    engine_n_waiting,
    engine_open,
    engine_port_gone,
    engine_pull,
    engine_push,
)
from ctoffload_dpdk.providers._rte_flow_entry cimport entry_free, try_again
from ctoffload_dpdk.providers._rte_flow_install cimport answered, take_out, went_with_port
from ctoffload_dpdk.providers._rte_flow_last_used cimport last_used_port_add, last_used_port_del
from ctoffload_dpdk.providers._rte_flow_pipeline cimport (
    pipeline_close,
    pipeline_forget_way,
    pipeline_has_users,
    pipeline_init,
    zone_map_free,
)
from ctoffload_dpdk.providers._rte_flow_queue cimport RuleResult
from ctoffload_dpdk.providers._rte_flow_rule cimport DOMAIN_INGRESS, DOMAIN_TRANSFER
from ctoffload_dpdk.providers._rte_flow_state cimport (
    MAX_PORTS,
    N_DOMAINS,
    N_KINDS,
    NO_ETHDEV,
    PENDING_EST,
    PENDING_NEW,
    PENDING_NONE,
    RULE_IN,
    EngineSlot,
    Entry,
)


cdef extern from "sched.h" nogil:
    int sched_yield()


cdef enum:
    PULL_BATCH = 64
    # How long, in real time, a call waits for answers that do not come before it leaves them to later polls.
    DRAIN_LIMIT_MS = 500
    IDLE_CHECK_MS = 1000
    # How long a pipeline without connections stays.
    IDLE_MS = 10_000


cdef int ports_open(Provider *p) noexcept nogil:
    p.ports = <PortSlot *> calloc(RTE_MAX_ETHPORTS, sizeof(PortSlot))
    p.engines = <EngineSlot *> calloc(RTE_MAX_ETHPORTS, sizeof(EngineSlot))
    memset(p.ethdev_of, 0xff, sizeof(p.ethdev_of))
    return 0 if p.ports != NULL and p.engines != NULL else ENOMEM


cdef void ports_close(Provider *p) noexcept nogil:
    cdef uint32_t i
    if p.ports != NULL:
        for i in range(RTE_MAX_ETHPORTS):
            free(p.ports[i].plans)
            zone_map_free(&p.ports[i].zones)
    free(p.ports)
    free(p.engines)


# ---- coming ------------------------------------------------------------------------------------------------------------

cdef int port_add(Provider *p, ct_offload_port port, const char *name, uint16_t n_queues) noexcept nogil:
    cdef rte_eth_dev_info info
    cdef rte_flow_error error
    cdef uint16_t ethdev = 0, proxy = 0
    cdef PortSlot *slot
    if port.id >= MAX_PORTS or rte_eth_dev_get_port_by_name(name, &ethdev) != 0:
        return ENODEV
    if rte_eth_dev_info_get(ethdev, &info) != 0:
        return ENODEV
    memset(&error, 0, sizeof(error))
    if rte_flow_pick_transfer_proxy(ethdev, &proxy, &error) != 0:
        proxy = ethdev
    slot = &p.ports[ethdev]
    if slot.plans == NULL:
        slot.plans = <PlanCell *> calloc(RTE_MAX_ETHPORTS * N_KINDS, sizeof(PlanCell))
        if slot.plans == NULL:
            return ENOMEM
    slot.used = True
    slot.id = port.id
    slot.generation = port.generation
    slot.proxy = proxy
    slot.n_queues = n_queues if n_queues else info.nb_rx_queues
    slot.misses_reach_software = slot.has_one_group = False
    p.ethdev_of[port.id] = ethdev
    forget_plans(p, ethdev)
    return 0


cdef void forget_plans(Provider *p, uint16_t ethdev) noexcept nogil:
    """What was planned with this port may be different when a port of its number comes back."""
    cdef uint32_t i
    memset(p.ports[ethdev].plans, 0, RTE_MAX_ETHPORTS * N_KINDS * sizeof(PlanCell))
    for i in range(RTE_MAX_ETHPORTS):
        if p.ports[i].plans != NULL:
            memset(&p.ports[i].plans[ethdev * N_KINDS], 0, N_KINDS * sizeof(PlanCell))


cdef bint replan(Provider *p, uint16_t in_ethdev, uint16_t out_ethdev, uint8_t kind, const PlanCell *cell) noexcept nogil:
    """Ports are planned for one way at a time, so what is in by the old plan of either direction comes out."""
    cdef PlanCell *plan = &p.ports[in_ethdev].plans[out_ethdev * N_KINDS + kind]
    cdef Entry *entry
    cdef uint32_t i
    if memcmp(plan, cell, sizeof(PlanCell)) == 0:
        return False
    plan[0] = cell[0]
    p.is_on_worker = False
    for i in range(p.n_entries):
        entry = &p.entries[i]
        if entry.in_use and entry.shape[0] != NULL and entry.kind == kind and (
                (entry.ethdev[0] == in_ethdev and entry.ethdev[1] == out_ethdev)
                or (entry.ethdev[0] == out_ethdev and entry.ethdev[1] == in_ethdev)):
            evict(p, entry)
    push_all(p)
    return True


cdef Pipeline *pipeline_new(Provider *p, uint16_t ethdev, int domain, int *failed) noexcept nogil:
    cdef PortSlot *slot = &p.ports[ethdev]
    cdef Pipeline *pl = &slot.pipelines[domain]
    cdef uint16_t owner = slot.proxy if domain == DOMAIN_TRANSFER else ethdev
    cdef EngineSlot *engine = &p.engines[owner]
    if not p.ports[owner].used:
        failed[0] = ENODEV               # rules of the switch wait for the port that owns them
        return NULL
    if not engine.is_open:
        failed[0] = engine_open(&engine.engine, owner, engine.kind, 0, engine.n_queues, engine.queue_size, p.limit_ms)
        if failed[0]:
            return NULL
        engine.is_open = True
        last_used_port_add(&p.watch, owner)
    engine.n_pipelines += 1
    pipeline_init(pl, <uint8_t> domain, ethdev, &engine.engine, &p.groups, &slot.zones)
    pl.n_queues = slot.n_queues
    pl.misses_reach_software = slot.misses_reach_software
    pl.has_one_group = slot.has_one_group and domain == DOMAIN_INGRESS
    pl.n_rules = engine.n_rules
    slot.has_pipeline[domain] = True
    return pl


# ---- answers -----------------------------------------------------------------------------------------------------------

cdef int pull_one(Provider *p, RuleEngine *engine) noexcept nogil:
    cdef RuleResult results[PULL_BATCH]
    cdef int i, n, total = 0
    while True:
        n = engine_pull(engine, results, PULL_BATCH, p.now_ms)
        for i in range(n):
            answered(p, &results[i])
        total += n
        if n < PULL_BATCH:
            return total


cdef int pull_from_all(Provider *p) noexcept nogil:
    cdef uint32_t i
    cdef int total = 0
    for i in range(RTE_MAX_ETHPORTS):
        if p.engines[i].is_open and p.engines[i].engine.n_queues:
            total += pull_one(p, &p.engines[i].engine)
    return total


cdef void pull_answers(Provider *p) noexcept nogil:
    pull_from_all(p)


cdef void push_all(Provider *p) noexcept nogil:
    cdef uint32_t i
    for i in range(RTE_MAX_ETHPORTS):
        if p.engines[i].is_open and p.engines[i].engine.n_queues:
            engine_push(&p.engines[i].engine)


cdef int64_t real_ms() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1000 + now.tv_nsec // 1000000


cdef void drain(Provider *p) noexcept nogil:
    cdef int64_t since_ms = real_ms()
    while has_waiting(p) and real_ms() - since_ms < DRAIN_LIMIT_MS:
        push_all(p)
        if pull_from_all(p):
            since_ms = real_ms()
        else:
            sched_yield()


cdef bint has_waiting(Provider *p) noexcept nogil:
    cdef uint32_t i
    for i in range(RTE_MAX_ETHPORTS):
        if p.engines[i].is_open and engine_n_waiting(&p.engines[i].engine):
            return True
    return False


# ---- going -------------------------------------------------------------------------------------------------------------

cdef void port_del(Provider *p, ct_offload_port port) noexcept nogil:
    cdef PortSlot *slot = port_of(p, &port)
    cdef uint16_t ethdev
    cdef bint gone
    cdef uint32_t i
    if slot == NULL:
        return
    ethdev = ethdev_of(p, slot)
    gone = not rte_eth_dev_is_valid_port(ethdev) or rte_eth_dev_is_removed(ethdev)
    slot.used = False
    p.ethdev_of[port.id] = NO_ETHDEV
    p.is_on_worker = False
    if gone and p.engines[ethdev].is_open:
        engine_port_gone(&p.engines[ethdev].engine)
        lose(p, ethdev)
    for i in range(p.n_entries):
        if p.entries[i].in_use and p.entries[i].shape[0] != NULL and concerns(&p.entries[i], ethdev):
            evict(p, &p.entries[i])
    drain(p)
    for i in range(RTE_MAX_ETHPORTS):
        if p.ports[i].has_pipeline[0]:
            pipeline_forget_way(&p.ports[i].pipelines[0], ethdev)
        if p.ports[i].has_pipeline[1]:
            pipeline_forget_way(&p.ports[i].pipelines[1], ethdev)
    leave(p, ethdev)
    for i in range(RTE_MAX_ETHPORTS):        # those of the switch whose rules the port owned
        if p.ports[i].has_pipeline[<int> DOMAIN_TRANSFER] and p.ports[i].proxy == ethdev:
            leave_domain(p, <uint16_t> i, DOMAIN_TRANSFER)


cdef bint concerns(const Entry *entry, uint16_t ethdev) noexcept nogil:
    """Whether its packets pass the port, or its rules are on it."""
    cdef int direction
    for direction in range(2):
        if entry.ethdev[direction] == ethdev or entry.shape[direction].engine.ethdev == ethdev:
            return True
    return False


cdef void lose(Provider *p, uint16_t ethdev) noexcept nogil:
    """The port vanished: what was on it is no longer there, wherever its connections lead."""
    cdef Entry *entry
    cdef uint32_t i
    cdef int direction
    for i in range(p.n_entries):
        entry = &p.entries[i]
        if not entry.in_use or entry.shape[0] == NULL:
            continue
        for direction in range(2):
            if entry.shape[direction].engine.ethdev == ethdev and entry.state[direction] == RULE_IN:
                went_with_port(p, entry, direction)
        if entry.context != NULL and entry.context_on == ethdev:
            entry.context = NULL
            p.counts.contexts_lost += 1
        if entry.shape[0].engine.ethdev == ethdev or entry.shape[1].engine.ethdev == ethdev:
            evict(p, entry)


cdef void evict(Provider *p, Entry *entry) noexcept nogil:
    """Out of the NIC without being asked by the layer, which is told at the next poll."""
    if entry.lost or entry.forgotten:
        return
    if entry.pending == PENDING_EST or entry.pending == PENDING_NEW:
        entry.error = ENODEV
    elif entry.pending == PENDING_NONE:
        counted_at_loss(p, entry, 0, NULL)
        entry.lost = 1
        entry.error = 0
        p.some_lost = True
    take_out(p, entry)
    if entry.pending != PENDING_NONE:
        entry.due_ms = p.now_ms
        try_again(p, entry)


cdef void leave(Provider *p, uint16_t ethdev) noexcept nogil:
    """Pipelines and engines of a port that is no longer used, as far as they can be closed now."""
    cdef int domain
    for domain in range(N_DOMAINS):
        if p.ports[ethdev].has_pipeline[domain] and leave_domain(p, ethdev, domain) != 0:
            p.some_leaving = True


cdef int leave_domain(Provider *p, uint16_t ethdev, int domain) noexcept nogil:
    """0, or why it could not be closed."""
    cdef PortSlot *slot = &p.ports[ethdev]
    cdef EngineSlot *engine = &p.engines[slot.proxy if domain == DOMAIN_TRANSFER else ethdev]
    cdef int failed = pipeline_close(&slot.pipelines[domain], engine.engine.is_gone)
    if failed:
        return failed
    slot.has_pipeline[domain] = False
    engine.n_pipelines -= 1
    if engine.n_pipelines == 0:
        engine_end(p, engine)
    return 0


cdef void retire_idle(Provider *p) noexcept nogil:
    cdef Pipeline *pl
    cdef uint32_t i
    cdef int domain
    if p.now_ms < p.next_idle_ms:
        return
    p.next_idle_ms = p.now_ms + IDLE_CHECK_MS
    for i in range(RTE_MAX_ETHPORTS):
        for domain in range(N_DOMAINS):
            if not p.ports[i].has_pipeline[domain]:
                continue
            pl = &p.ports[i].pipelines[domain]
            if pipeline_has_users(pl):
                pl.idle_since_ms = 0
            elif pl.idle_since_ms == 0:
                pl.idle_since_ms = p.now_ms
            elif p.now_ms - pl.idle_since_ms >= IDLE_MS:
                leave_domain(p, <uint16_t> i, domain)


cdef void engine_end(Provider *p, EngineSlot *engine) noexcept nogil:
    last_used_port_del(&p.watch, engine.engine.ethdev)
    engine_close(&engine.engine)
    p.closed.created += engine.engine.counts.created
    p.closed.destroyed += engine.engine.counts.destroyed
    p.closed.failed += engine.engine.counts.failed
    p.closed.lost += engine.engine.counts.lost
    p.closed.came_late += engine.engine.counts.came_late
    p.closed.queue_full += engine.engine.counts.queue_full
    memset(&engine.engine, 0, sizeof(RuleEngine))
    engine.is_open = False


cdef void retry_leaving(Provider *p) noexcept nogil:
    cdef uint32_t i
    p.some_leaving = False
    for i in range(RTE_MAX_ETHPORTS):
        if not p.ports[i].used:
            leave(p, <uint16_t> i)


cdef void ports_quit(Provider *p) noexcept nogil:
    cdef uint32_t i
    for i in range(RTE_MAX_ETHPORTS):
        leave(p, <uint16_t> i)
    for i in range(RTE_MAX_ETHPORTS):
        if p.engines[i].is_open:
            engine_port_gone(&p.engines[i].engine)
    for i in range(p.n_entries):
        if p.entries[i].in_use:
            give_up(p, &p.entries[i])
    for i in range(RTE_MAX_ETHPORTS):
        leave(p, <uint16_t> i)
    p.due = 0
    p.n_unsettled = 0
    p.some_lost = p.some_leaving = False


cdef void give_up(Provider *p, Entry *entry) noexcept nogil:
    if entry.context != NULL:
        p.counts.contexts_lost += 1
    entry_free(p, entry)
