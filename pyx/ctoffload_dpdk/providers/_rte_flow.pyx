"""The provider that puts connections into a NIC through DPDK rte_flow; registered under the name "dpdk"."""
from cpython.pycapsule cimport PyCapsule_New
from libc.errno cimport EBUSY, EEXIST, ENOENT, ENOMEM
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.providers.plan import Fate, LastUsed, Plan
from ctoffload_dpdk.providers.rte_flow_types import RteFlowStats

from ctoffload_dpdk.dpdk.librte_eal cimport RTE_MAX_ETHPORTS
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION,
    CT_OFFLOAD_CAPSULE,
    CT_OFFLOAD_CLASS_EST_ADDS,
    CT_OFFLOAD_CLASS_QUERIES_APART,
    CT_OFFLOAD_EVENT_AGED,
    CT_OFFLOAD_OP_ADD,
    CT_OFFLOAD_F_NEW,
    CT_OFFLOAD_N_REASONS,
    CT_OFFLOAD_OP_EST,
    CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_R_COUNTED,
    ct_offload_class,
    ct_offload_counts,
    ct_offload_host,
    ct_offload_op,
    ct_offload_port,
)
from ctoffload_dpdk.providers._rte_flow_counted cimport counted_lost
from ctoffload_dpdk.providers._rte_flow_engine cimport ENGINE_ASYNC, ENGINE_SYNC
from ctoffload_dpdk.providers._rte_flow_entry cimport (
    entries_close,
    entry_fetch,
    entry_fetch_new,
    entry_free,
    entry_of,
    prefetch,
)
from ctoffload_dpdk.providers._rte_flow_install cimport reason_of, reinstall, retry_due
from ctoffload_dpdk.providers._rte_flow_last_used cimport (
    LAST_USED_AGE,
    LAST_USED_COUNT,
    LastUsedOwner,
    last_used_close,
    last_used_open,
    last_used_poll,
)
from ctoffload_dpdk.providers._rte_flow_operation cimport op_flush, operate
from ctoffload_dpdk.providers._rte_flow_pipeline cimport MAX_TAGS, ZoneLine, pipeline_rules, zone_map_add
from ctoffload_dpdk.providers._rte_flow_ports cimport (
    ethdev_of,
    kind_of,
    port_add,
    port_del,
    port_of,
    ports_close,
    ports_open,
    ports_quit,
    pull_answers,
    push_all,
    replan,
    retire_idle,
    retry_leaving,
)
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineCounts
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_AGE,
    DOES_CONTEXT,
    DOES_COUNT,
    DOES_MARK,
    DOMAIN_INGRESS,
    DOMAIN_TRANSFER,
    N_FAMILIES,
    N_PROTOS,
)
from ctoffload_dpdk.providers._rte_flow_state cimport (
    N_DOMAINS,
    Counts,
    EngineSlot,
    Entry,
    PlanCell,
    PortSlot,
    pthread_mutex_destroy,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_unlock,
)

cdef enum:
    # How long one poll may sample.
    SAMPLE_BUDGET_US = 500
    N_FINAL_TRIES = 3
    # Operations between fetching what one needs and doing it.
    AHEAD = 16
    VLAN_MOST = 4095
    ZONE_MOST = 65535


# ---- what the layer calls ----------------------------------------------------------------------------------------------

cdef uint64_t handle_in(const ct_offload_op *ops, size_t end) noexcept nogil:
    """The handle that an ADD of the same connection earlier in the batch was given; 0 where there is none."""
    cdef size_t i = end
    while i > 0:
        i -= 1
        if ops[i].conn_id == ops[end].conn_id and ops[i].type == CT_OFFLOAD_OP_ADD:
            return ops[i].handle
    return 0


cdef inline bint is_new(const ct_offload_op *op) noexcept nogil:
    return op.type == CT_OFFLOAD_OP_EST and op.ctx.flags & CT_OFFLOAD_F_NEW


cdef inline void fetch(Provider *p, const ct_offload_op *op) noexcept nogil:
    """What an operation is going to touch, most of which nobody has touched for long."""
    if op.type == CT_OFFLOAD_OP_ADD or (op.type == CT_OFFLOAD_OP_EST and op.handle == 0):
        entry_fetch_new(p, AHEAD)
    else:
        entry_fetch(p, op.handle)
    if op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_EST:
        prefetch(&op.ctx.tuple[0])
        prefetch(&op.ctx.port[0])
        prefetch(&op.ctx.zone)


cdef void submit(void *user, ct_offload_op *ops, size_t n_ops) noexcept nogil:
    cdef Provider *p = <Provider *> user
    cdef size_t i
    pthread_mutex_lock(&p.lock)
    p.is_on_worker = True
    p.way.is_known = False
    for i in range(n_ops):
        if i + AHEAD < n_ops:
            fetch(p, &ops[i + AHEAD])
        if ops[i].type != CT_OFFLOAD_OP_ADD and entry_of(p, ops[i].handle) == NULL and not is_new(&ops[i]):
            ops[i].handle = handle_in(ops, i)
        ops[i].error = operate(p, &ops[i])
    push_all(p)
    note_high_water(p)
    pthread_mutex_unlock(&p.lock)


# ---- the worker's turn -------------------------------------------------------------------------------------------------

cdef void add_counts(EngineCounts *total, const EngineCounts *counts) noexcept nogil:
    total.created += counts.created
    total.destroyed += counts.destroyed
    total.failed += counts.failed
    total.lost += counts.lost
    total.came_late += counts.came_late
    total.queue_full += counts.queue_full


cdef EngineCounts all_counts(Provider *p) noexcept nogil:
    cdef EngineCounts total = p.closed
    cdef uint32_t i
    for i in range(RTE_MAX_ETHPORTS):
        if p.engines[i].is_open:
            add_counts(&total, &p.engines[i].engine.counts)
    return total


cdef void note_high_water(Provider *p) noexcept nogil:
    cdef EngineCounts total = all_counts(p)
    cdef uint64_t live = total.created - total.destroyed - total.lost
    if live > p.counts.rules_high_water:
        p.counts.rules_high_water = live


cdef void aged(void *user, uint32_t index) noexcept nogil:
    cdef Provider *p = <Provider *> user
    if p.is_polling and index < p.n_entries and p.entries[index].in_use:
        p.host.event(p.host.cookie, p.entries[index].conn_id, CT_OFFLOAD_EVENT_AGED)


cdef int replace(void *user, uint32_t index, int direction) noexcept nogil:
    cdef Provider *p = <Provider *> user
    return reinstall(p, &p.entries[index], direction) if index < p.n_entries else ENOENT


cdef void report_lost(Provider *p) noexcept nogil:
    """Says which connections lost their rules. Ports go on the caller's thread, events are made on the worker's."""
    cdef ct_offload_counts counts
    cdef ct_offload_op how
    cdef uint32_t i
    cdef Entry *entry
    memset(&how, 0, sizeof(how))
    how.counts = &counts
    p.some_lost = False
    for i in range(p.n_entries):
        entry = &p.entries[i]
        if not entry.in_use or not entry.lost:
            continue
        entry.lost = 0
        entry.forgotten = 1
        how.error = entry.error
        how.reason = reason_of(entry.error) if entry.error else CT_OFFLOAD_REASON_NONE
        how.flags = CT_OFFLOAD_R_COUNTED if counted_lost(p, entry, &counts) else 0
        p.host.lost(p.host.cookie, entry.conn_id, &how)
        if entry.shape[0] == NULL and not entry.is_due:
            entry_free(p, entry)


cdef int64_t poll(void *user, int64_t now_ms) noexcept nogil:
    cdef Provider *p = <Provider *> user
    cdef int64_t again_ms
    pthread_mutex_lock(&p.lock)
    p.now_ms = now_ms
    p.is_on_worker = p.is_polling = True
    pull_answers(p)
    if p.some_lost:
        report_lost(p)
    if p.due:
        retry_due(p)
    if p.some_leaving:
        retry_leaving(p)
    retire_idle(p)
    again_ms = min(last_used_poll(&p.watch, now_ms, SAMPLE_BUDGET_US), p.next_idle_ms)
    if p.due or p.some_leaving or p.n_unsettled:
        push_all(p)
        again_ms = now_ms + 1
    note_high_water(p)
    p.is_polling = False
    pthread_mutex_unlock(&p.lock)
    return again_ms


cdef int init(void *user, const ct_offload_host *host) noexcept nogil:
    """One layer at a time: EBUSY while another has it."""
    cdef Provider *p = <Provider *> user
    if p.host != NULL:
        return EBUSY
    p.host = host
    return 0


cdef void fini(void *user) noexcept nogil:
    """What refuses to leave is tried a few times, then counted as lost."""
    cdef Provider *p = <Provider *> user
    cdef int i
    pthread_mutex_lock(&p.lock)
    p.is_on_worker = False
    for i in range(N_FINAL_TRIES):
        if op_flush(p) == 0:
            break
    ports_quit(p)
    p.host = NULL
    pthread_mutex_unlock(&p.lock)


# ---- Python's view -----------------------------------------------------------------------------------------------------

cdef class RteFlowProvider:
    """The provider "dpdk": OffloadLayer.register takes it, one layer at a time. Must outlive that layer."""

    def __cinit__(self, refresh_ms: int = 1000, limit_ms: int = 1000):
        """refresh_ms: how old a count or an age of these NICs can be; limit_ms: how long a queued operation may take."""
        cdef Provider *p = <Provider *> calloc(1, sizeof(Provider))
        cdef LastUsedOwner owner
        if p == NULL:
            raise MemoryError
        self.provider = p
        owner.user, owner.aged, owner.reinstall = p, aged, replace
        last_used_open(&p.watch, owner)
        if ports_open(p):
            raise MemoryError
        pthread_mutex_init(&p.lock, NULL)
        p.refresh_ms = refresh_ms
        p.limit_ms = limit_ms
        fill_class(p)

    def __dealloc__(self):
        if self.provider != NULL:
            pthread_mutex_destroy(&self.provider.lock)
            last_used_close(&self.provider.watch)
            ports_close(self.provider)
            entries_close(self.provider)
            free(self.provider.told)
            free(self.provider)

    def __ct_offload_class__(self) -> object:
        """The ct_offload_class in a PyCapsule: what OffloadLayer.register takes."""
        return PyCapsule_New(&self.provider.klass, CT_OFFLOAD_CAPSULE, NULL)

    def port_add(self, port_id: int, generation: int, name: str, n_queues: int = 0) -> int | None:
        """Uses the port if DPDK has one of that name: its number there, or None. Nothing is planned for it yet.

        n_queues: its receive queues that software reads, from 0; 0: all, which a port with hairpin queues has not.
        """
        cdef ct_offload_port port
        cdef bytes encoded = name.encode()
        cdef const char *text = encoded
        cdef uint16_t queues = n_queues
        cdef int failed
        port.id = port_id
        port.generation = generation
        with nogil:
            pthread_mutex_lock(&self.provider.lock)
            failed = port_add(self.provider, port, text, queues)
            pthread_mutex_unlock(&self.provider.lock)
        if failed == ENOMEM:
            raise MemoryError
        return None if failed else ethdev_of(self.provider, port_of(self.provider, &port))

    def set_misses(self, ethdev: int, reach_software: bool) -> None:
        """Whether the port's host gets what no rule of the switch matches, without a rule that says so."""
        cdef uint16_t number = checked(ethdev)
        cdef bint reach = reach_software
        with nogil:
            pthread_mutex_lock(&self.provider.lock)
            self.provider.ports[number].misses_reach_software = reach
            pthread_mutex_unlock(&self.provider.lock)

    def set_one_group(self, ethdev: int, has_one_group: bool) -> None:
        """Whether the port's rules cannot jump: connections that end in software then stand in group 0, of one zone."""
        cdef uint16_t number = checked(ethdev)
        cdef bint one = has_one_group
        with nogil:
            pthread_mutex_lock(&self.provider.lock)
            self.provider.ports[number].has_one_group = one
            pthread_mutex_unlock(&self.provider.lock)

    def port_del(self, port_id: int, generation: int) -> None:
        """Takes out every rule that leads from or to the port; the connections go on in software."""
        cdef ct_offload_port port
        port.id = port_id
        port.generation = generation
        with nogil:
            pthread_mutex_lock(&self.provider.lock)
            port_del(self.provider, port)
            note_high_water(self.provider)
            pthread_mutex_unlock(&self.provider.lock)

    def set_engine(self, ethdev: int, is_queued: bool, n_queues: int = 0, queue_size: int = 0, n_rules: int = 0) -> None:
        """How rules get into a port: at once, or through its first n_queues flow queues of queue_size places each.

        n_rules: room in each table of connections, for queues. Before the port has any, else UsageError; and for sizes
        that do not fit DPDK's members.
        """
        cdef EngineSlot *engine = &self.provider.engines[checked(ethdev)]
        if engine.is_open:
            raise UsageError(f"port {ethdev} has rules already", op="set_engine", port=str(ethdev))
        whole(n_queues, 0, 0xffff, "set_engine: n_queues")
        whole(queue_size, 0, 0xffffffff, "set_engine: queue_size")
        whole(n_rules, 0, 0xffffffff, "set_engine: n_rules")
        engine.kind = ENGINE_ASYNC if is_queued else ENGINE_SYNC
        engine.n_queues, engine.queue_size, engine.n_rules = n_queues, queue_size, n_rules

    def has_rules(self, ethdev: int) -> bool:
        """Whether rules are in a port, or were a moment ago."""
        return self.provider.engines[checked(ethdev)].is_open

    def set_plan(self, in_ethdev: int, out_ethdev: int, kind: tuple[int, int, bool], plan: Plan, fate: Fate,
                 last_used: LastUsed, *, counts: bool = True, queue: int = 0, reason: int = 0) -> bool:
        """What is done with connections from one port to another. kind: protocol, family (by index), NAT or not.

        counts: COUNT stands beside AGE. queue: the hairpin's of in_ethdev. reason: why, where the plan is NONE.
        Returns whether that is new. Connections that are in by what held before come out; they go on in software.
        Raises UsageError where in_ethdev was not added, or there is no such kind.
        """
        cdef PlanCell cell
        cdef uint16_t towards = checked(out_ethdev)
        cdef bint is_new
        proto, family, nat = kind
        if not 0 <= proto < N_PROTOS or not 0 <= family < N_FAMILIES:
            raise UsageError(f"no connections of protocol {proto} and family {family}", op="set_plan",
                             hint=f"a protocol is 0 to {N_PROTOS - 1}, a family 0 to {N_FAMILIES - 1}")
        if self.provider.ports[checked(in_ethdev)].plans == NULL:
            raise UsageError(f"port {in_ethdev} was not added", op="set_plan", port=str(in_ethdev))
        memset(&cell, 0, sizeof(cell))
        cell.is_planned = plan != Plan.NONE
        cell.domain = DOMAIN_TRANSFER if fate == Fate.TRANSFER else DOMAIN_INGRESS
        cell.queue = whole(queue, 0, 0xffff, "set_plan: queue")
        cell.reason = whole(reason, 0, CT_OFFLOAD_N_REASONS - 1, "set_plan: reason")
        if last_used == LastUsed.AGE:
            cell.source = LAST_USED_AGE | (LAST_USED_COUNT if counts else 0)
        elif last_used == LastUsed.COUNT:
            cell.source = LAST_USED_COUNT
        cell.does = (DOES_AGE if cell.source & LAST_USED_AGE else 0) | (DOES_COUNT if cell.source & LAST_USED_COUNT else 0)
        cell.does |= DOES_CONTEXT if plan == Plan.CT else DOES_MARK if plan == Plan.MARK else 0
        pthread_mutex_lock(&self.provider.lock)
        is_new = replan(self.provider, in_ethdev, towards, kind_of(proto, family, nat), &cell)
        pthread_mutex_unlock(&self.provider.lock)
        return is_new

    def set_zone(self, ethdev: int, tags: tuple[int, ...], zone: int) -> None:
        """Packets of a port with these VLAN ids, outer first, are in a zone. Raises UsageError where they are in another,
        the port has rules already, or there are no such VLAN ids or zone.
        """
        cdef ZoneLine line
        cdef PortSlot *slot = &self.provider.ports[checked(ethdev)]
        if slot.has_pipeline[0] or slot.has_pipeline[1]:
            raise UsageError(f"port {ethdev} has rules already; set its zones before its first connection",
                             op="set_zone", port=str(ethdev))
        if len(tags) > MAX_TAGS or not all(0 <= tag <= VLAN_MOST for tag in tags) or not 0 <= zone <= ZONE_MOST:
            raise UsageError(f"port {ethdev}: VLAN {tags} cannot be in zone {zone}", op="set_zone", port=str(ethdev),
                             hint=f"at most {MAX_TAGS} VLAN ids of 0 to {VLAN_MOST}, a zone of 0 to {ZONE_MOST}")
        memset(&line, 0, sizeof(line))
        line.zone, line.n_tags = zone, len(tags)
        for i, tag in enumerate(tags):
            line.tags[i] = tag
        failed = zone_map_add(&slot.zones, &line)
        if failed == EEXIST:
            raise UsageError(f"port {ethdev}: VLAN {tags} is in another zone", op="set_zone", port=str(ethdev))
        if failed:
            raise MemoryError

    def stats(self) -> RteFlowStats:
        """What it did since it was made, and what it holds now."""
        cdef Provider *p = self.provider
        cdef Counts c = p.counts
        cdef EngineCounts e
        cdef uint32_t n_static = 0
        pthread_mutex_lock(&p.lock)
        e = all_counts(p)
        for i in range(RTE_MAX_ETHPORTS):
            for domain in range(N_DOMAINS):
                if p.ports[i].has_pipeline[domain]:
                    n_static += pipeline_rules(&p.ports[i].pipelines[domain])
        pthread_mutex_unlock(&p.lock)
        return RteFlowStats(
            connections=p.n_accepted,
            unsettled=p.n_unsettled,
            rules_live=e.created - e.destroyed - e.lost,
            rules_static=n_static,
            rules_high_water=c.rules_high_water,
            rules_created=e.created,
            rules_destroyed=e.destroyed,
            rules_lost=e.lost,
            rules_failed=e.failed,
            contexts_live=c.contexts_created - c.contexts_destroyed - c.contexts_lost,
            contexts_high_water=c.contexts_high_water,
            contexts_created=c.contexts_created,
            contexts_destroyed=c.contexts_destroyed,
            contexts_lost=c.contexts_lost,
            contexts_failed=c.contexts_failed,
            windows_read=c.windows_read,
            queries=p.watch.counts.queries,
            queries_failed=p.watch.counts.queries_failed,
            aged_hints=p.watch.counts.aged_hints,
            reinstalls=p.watch.counts.reinstalls,
            removals_retried=c.removals_retried,
            installs_retried=c.installs_retried,
            queue_full=e.queue_full,
            came_late=e.came_late,
            refusal=p.refusal.decode(errors="replace"),
        )


cdef uint16_t checked(object ethdev) except? 0xffff:
    if not 0 <= ethdev < RTE_MAX_ETHPORTS:
        raise UsageError(f"no DPDK port {ethdev}; numbers go to {RTE_MAX_ETHPORTS - 1}", port=str(ethdev))
    return ethdev


cdef void fill_class(Provider *p) noexcept:
    p.klass.abi_version = CT_OFFLOAD_ABI_VERSION
    p.klass.size = sizeof(ct_offload_class)
    p.klass.name = b"dpdk"
    p.klass.flags = CT_OFFLOAD_CLASS_QUERIES_APART | CT_OFFLOAD_CLASS_EST_ADDS
    p.klass.user = p
    p.klass.init = init
    p.klass.fini = fini
    p.klass.batch_submit = submit
    p.klass.poll = poll
