"""The provider that puts connections into a NIC through DPDK rte_flow; registered under the name "dpdk".

Plan `age`: one rule per direction, matched on the port and the 5-tuple, with COUNT and AGE, forwarded in the NIC's switch.
SYN, FIN and RST never match and reach software. Last-used is an AGE query of both rules.
"""
from cpython.pycapsule cimport PyCapsule_New
from libc.errno cimport EAGAIN, EINPROGRESS, EINVAL, ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset, strncpy

from ctoffload_dpdk.providers.rte_flow_types import Capability, RteFlowStats

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_ethdev cimport rte_eth_dev_get_port_by_name
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_END,
    rte_flow,
    rte_flow_action,
    rte_flow_create,
    rte_flow_destroy,
    rte_flow_error,
    rte_flow_get_aged_flows,
    rte_flow_pick_transfer_proxy,
    rte_flow_query,
    rte_flow_query_age,
)
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION,
    CT_OFFLOAD_CAPSULE,
    CT_OFFLOAD_EVENT_AGED,
    CT_OFFLOAD_EVENT_LOST,
    CT_OFFLOAD_F_ALG,
    CT_OFFLOAD_F_DNAT,
    CT_OFFLOAD_F_SNAT,
    CT_OFFLOAD_OP_ADD,
    CT_OFFLOAD_OP_DEL,
    CT_OFFLOAD_OP_EST,
    CT_OFFLOAD_OP_FLUSH,
    CT_OFFLOAD_OP_POLICY,
    CT_OFFLOAD_OP_UPD,
    CT_OFFLOAD_R_BYPASS,
    CT_OFFLOAD_REASON_ALG,
    CT_OFFLOAD_REASON_INSERT_FAILED,
    CT_OFFLOAD_REASON_NAT_UNSUPPORTED,
    CT_OFFLOAD_REASON_NO_CAPABILITY,
    CT_OFFLOAD_REASON_NO_LAST_USED,
    CT_OFFLOAD_REASON_NO_PORT,
    CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_REASON_PROTO,
    CT_OFFLOAD_REASON_PROVIDER_REFUSED,
    CT_OFFLOAD_REASON_TABLE_FULL,
    CT_OFFLOAD_REASON_ZONE_UNSUPPORTED,
    ct_offload_class,
    ct_offload_ctx,
    ct_offload_host,
    ct_offload_op,
    ct_offload_port,
    ct_offload_tuple,
)
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_AGE,
    DOES_COUNT,
    FATE_PORT,
    RuleShape,
    ShapeKind,
    family_index,
    proto_index,
    shape_init,
    shape_match,
)

# The longest an AGE action can wait: 24 bits of seconds.
cdef uint32_t AGE_MAX_S = 0xffffff
# After ageing out a driver may stop updating a rule, so the NIC's timeout is this much longer than software's longest.
cdef uint32_t AGE_MARGIN_S = 60
# How often the list of aged rules is read, and how much of it at once.
cdef int64_t AGED_PERIOD_MS = 1000
cdef enum:
    AGED_BATCH = 256


# ---- handles -----------------------------------------------------------------------------------------------------------

cdef inline uint64_t handle_of(Provider *p, Entry *entry) noexcept nogil:
    return (<uint64_t> entry.generation << 32) | <uint32_t> (entry - p.entries + 1)


cdef Entry *entry_of(Provider *p, uint64_t handle) noexcept nogil:
    """The entry of a handle; NULL where it is no longer, or never was, one of ours."""
    cdef uint32_t index = <uint32_t> handle
    if index == 0 or index > p.n_entries:
        return NULL
    cdef Entry *entry = &p.entries[index - 1]
    return entry if entry.in_use and entry.generation == <uint32_t> (handle >> 32) else NULL


cdef Entry *entry_new(Provider *p, uint64_t conn_id) noexcept nogil:
    """A free entry; NULL without memory. Moves the array: pointers to entries do not outlive it."""
    cdef Entry *entries
    cdef Entry *entry
    cdef uint32_t capacity
    if p.free:
        entry = &p.entries[p.free - 1]
        p.free = entry.next
    else:
        if p.n_entries == p.capacity:
            capacity = p.capacity * 2 if p.capacity else 1024
            entries = <Entry *> realloc(p.entries, capacity * sizeof(Entry))
            if entries == NULL:
                return NULL
            memset(entries + p.capacity, 0, (capacity - p.capacity) * sizeof(Entry))
            p.entries = entries
            p.capacity = capacity
        entry = &p.entries[p.n_entries]
        p.n_entries += 1
    capacity = entry.generation + 1
    memset(entry, 0, sizeof(Entry))
    entry.generation = capacity
    entry.conn_id = conn_id
    entry.in_use = 1
    p.n_accepted += 1
    return entry


cdef void entry_free(Provider *p, Entry *entry) noexcept nogil:
    entry.in_use = 0
    entry.next = p.free
    p.free = <uint32_t> (entry - p.entries) + 1
    p.n_accepted -= 1


# ---- ports -------------------------------------------------------------------------------------------------------------

cdef PortSlot *port_of(Provider *p, const ct_offload_port *port) noexcept nogil:
    """The port as it is now; NULL where it was removed, came back as another, or is not ours."""
    if port.id >= MAX_PORTS:
        return NULL
    cdef PortSlot *slot = &p.ports[port.id]
    return slot if slot.used and slot.generation == port.generation else NULL


cdef Probe *probe_of(Provider *p, uint32_t in_id, uint32_t out_id, int family, int proto) noexcept nogil:
    return &p.probes[((in_id * MAX_PORTS + out_id) * 2 + family) * 2 + proto]


cdef void forget_probes(Provider *p, uint32_t port_id) noexcept nogil:
    """What was found with this port may be different when a port of its number comes back."""
    cdef uint32_t other
    for other in range(MAX_PORTS):
        memset(probe_of(p, port_id, other, 0, 0), 0, 4 * sizeof(Probe))
        memset(probe_of(p, other, port_id, 0, 0), 0, 4 * sizeof(Probe))


cdef Probe *probe(Provider *p, uint32_t in_id, uint32_t out_id, int family, int proto) noexcept nogil:
    """Whether a rule can lead from one port to the other: found by creating and destroying one for documentation addresses.

    rte_flow_validate is not asked: several drivers answer it wrongly.
    """
    cdef Probe *found = probe_of(p, in_id, out_id, family, proto)
    cdef PortSlot *in_port = &p.ports[in_id]
    cdef rte_flow_error error
    cdef ct_offload_tuple scratch
    cdef rte_flow *rule
    if found.state != PROBE_UNKNOWN:
        return found
    memset(&scratch, 0, sizeof(scratch))
    scratch_tuple(&scratch, family)
    rule = shape_create(&p.shapes[family][proto], in_port.proxy, &scratch, in_port.ethdev, p.ports[out_id].ethdev,
                        AGE_MAX_S, NULL, &error)
    if rule == NULL:
        found.error = rte_errno_positive()
        if found.error == EAGAIN or found.error == ENOSPC or found.error == ENOMEM:
            return found                 # says nothing of what the port can do: asked again
        found.state = PROBE_NO
        if error.message != NULL:
            strncpy(found.message, error.message, MESSAGE_BYTES - 1)
        return found
    p.counts.rules_created += 1
    if rte_flow_destroy(in_port.proxy, rule, &error) == 0:
        p.counts.rules_destroyed += 1
        found.state = PROBE_YES
    else:
        p.counts.rules_lost += 1
        found.state = PROBE_NO
        found.error = rte_errno_positive()
        strncpy(found.message, b"the rule of a probe could not be destroyed", MESSAGE_BYTES - 1)
    return found


cdef rte_flow *shape_create(RuleShape *shape, uint16_t on_port, const ct_offload_tuple *match, uint16_t in_port,
                            uint16_t out_port, uint32_t age_s, void *context, rte_flow_error *error) noexcept nogil:
    """Creates the rule on `on_port` for packets with this tuple that enter at in_port: out at out_port. NULL: see error."""
    memset(error, 0, sizeof(rte_flow_error))
    shape.in_port.port_id = in_port
    shape.fate_port.port_id = out_port
    shape.age.timeout = age_s
    shape.age.context = context
    shape_match(shape, match, match)
    return rte_flow_create(on_port, &shape.attr, shape.items, shape.actions, error)


cdef void scratch_tuple(ct_offload_tuple *scratch, int family) noexcept nogil:
    """192.0.2.1 -> 192.0.2.2 or 2001:db8::1 -> 2001:db8::2, port 9: reserved for documentation, no real traffic."""
    cdef uint8_t *src = scratch.src
    cdef uint8_t *dst = scratch.dst
    if family == 0:
        src[0] = 192; src[2] = 2; src[3] = 1
        dst[0] = 192; dst[2] = 2; dst[3] = 2
    else:
        src[0] = 0x20; src[1] = 0x01; src[2] = 0x0d; src[3] = 0xb8; src[15] = 1
        dst[0] = 0x20; dst[1] = 0x01; dst[2] = 0x0d; dst[3] = 0xb8; dst[15] = 2
    scratch.src_port = scratch.dst_port = 0x0900


cdef int rte_errno_positive() noexcept nogil:
    cdef int error = rte_errno
    return error if error > 0 else -error if error < 0 else EINVAL


# ---- operations --------------------------------------------------------------------------------------------------------

cdef int refuse(ct_offload_op *op, int error, int reason) noexcept nogil:
    op.error = error
    op.reason = <uint16_t> reason
    return error


cdef int eligible(Provider *p, const ct_offload_ctx *ctx, uint16_t *reason) noexcept nogil:
    """0, or the errno with which a connection is refused before its ports are known."""
    reason[0] = CT_OFFLOAD_REASON_NONE
    if family_index(ctx.eth_type) < 0 or not 0 <= proto_index(ctx.proto, ctx.eth_type) < 2:
        reason[0] = CT_OFFLOAD_REASON_PROTO
    elif ctx.flags & CT_OFFLOAD_F_ALG:
        reason[0] = CT_OFFLOAD_REASON_ALG
    elif ctx.flags & (CT_OFFLOAD_F_SNAT | CT_OFFLOAD_F_DNAT):
        reason[0] = CT_OFFLOAD_REASON_NAT_UNSUPPORTED
    elif ctx.zone != 0:
        reason[0] = CT_OFFLOAD_REASON_ZONE_UNSUPPORTED
    elif port_of(p, &ctx.port[0]) == NULL:
        reason[0] = CT_OFFLOAD_REASON_NO_PORT
        return ENODEV
    return EOPNOTSUPP if reason[0] != CT_OFFLOAD_REASON_NONE else 0


cdef int op_add(Provider *p, ct_offload_op *op) noexcept nogil:
    cdef uint16_t reason
    cdef int error = eligible(p, op.ctx, &reason)
    cdef Entry *entry
    if error:
        return refuse(op, error, reason)
    entry = entry_new(p, op.conn_id)
    if entry == NULL:
        return refuse(op, ENOMEM, CT_OFFLOAD_REASON_TABLE_FULL)
    op.handle = handle_of(p, entry)
    return 0


cdef int install_failed(ct_offload_op *op, int error) noexcept nogil:
    if error == ENOSPC or error == ENOMEM:
        return refuse(op, error, CT_OFFLOAD_REASON_TABLE_FULL)
    return refuse(op, error, CT_OFFLOAD_REASON_INSERT_FAILED)


cdef int op_est(Provider *p, ct_offload_op *op) noexcept nogil:
    """Both rules or none."""
    cdef const ct_offload_ctx *ctx = op.ctx
    cdef Entry *entry = entry_of(p, op.handle)
    cdef PortSlot *ports[2]
    cdef rte_flow_error error
    cdef Probe *found
    cdef int direction, failed, family = family_index(ctx.eth_type), proto = proto_index(ctx.proto, ctx.eth_type)
    if entry == NULL or entry.rule[0] != NULL:
        return refuse(op, ENOENT if entry == NULL else EINVAL, CT_OFFLOAD_REASON_PROVIDER_REFUSED)
    for direction in range(2):
        ports[direction] = port_of(p, &ctx.port[direction])
        if ports[direction] == NULL:
            return refuse(op, ENODEV, CT_OFFLOAD_REASON_NO_PORT)
    for direction in range(2):
        found = probe(p, ctx.port[direction].id, ctx.port[1 - direction].id, family, proto)
        if found.state != PROBE_YES:
            return install_failed(op, found.error) if found.state == PROBE_UNKNOWN else refuse(
                op, found.error, CT_OFFLOAD_REASON_NO_CAPABILITY)
    for direction in range(2):
        entry.port[direction] = ctx.port[direction].id
        entry.on_port[direction] = ports[direction].proxy
        entry.rule[direction] = shape_create(
            &p.shapes[family][proto], ports[direction].proxy, &ctx.tuple[direction], ports[direction].ethdev,
            ports[1 - direction].ethdev, age_s(ctx), <void *> <uintptr_t> (entry - p.entries + 1), &error)
        if entry.rule[direction] == NULL:
            failed = rte_errno_positive()
            p.counts.rules_failed += 1
            if direction == 1 and destroy_rules(p, entry) != 0:
                retry_later(p, entry, 0)
                return refuse(op, failed, CT_OFFLOAD_REASON_INSERT_FAILED)
            return install_failed(op, failed)
        rule_counted(p)
    op.flags = CT_OFFLOAD_R_BYPASS
    return 0


cdef uint32_t age_s(const ct_offload_ctx *ctx) noexcept nogil:
    cdef uint32_t seconds = ctx.timeout_max_ms // 1000 + AGE_MARGIN_S
    return seconds if seconds < AGE_MAX_S else AGE_MAX_S


cdef void rule_counted(Provider *p) noexcept nogil:
    cdef uint64_t live
    p.counts.rules_created += 1
    live = p.counts.rules_created - p.counts.rules_destroyed - p.counts.rules_lost
    if live > p.counts.rules_high_water:
        p.counts.rules_high_water = live


cdef int destroy_rules(Provider *p, Entry *entry) noexcept nogil:
    """Destroys what is left of a connection in the NIC. 0, or the errno of the rule that stays."""
    cdef rte_flow_error error
    cdef int direction, rc, failed = 0
    for direction in range(2):
        if entry.rule[direction] == NULL:
            continue
        memset(&error, 0, sizeof(error))
        rc = rte_flow_destroy(entry.on_port[direction], entry.rule[direction], &error)
        if rc == 0:
            p.counts.rules_destroyed += 1
        elif rc == -ENODEV or rc == -ENOENT:
            p.counts.rules_lost += 1         # the port or the rule went before us
        else:
            failed = -rc
            continue
        entry.rule[direction] = NULL
    return failed


cdef void retry_later(Provider *p, Entry *entry, uint64_t op_id) noexcept nogil:
    """Puts an entry whose rules could not be destroyed on the list that each poll tries again."""
    if entry.retrying:
        entry.op_id = op_id if op_id else entry.op_id
        return
    entry.retrying = 1
    entry.op_id = op_id
    entry.next = p.retry
    p.retry = <uint32_t> (entry - p.entries) + 1


cdef int op_del(Provider *p, ct_offload_op *op) noexcept nogil:
    cdef Entry *entry = entry_of(p, op.handle)
    if entry == NULL:
        return ENOENT
    entry.lost = 0           # asked to remove it before it was said: the answer says it all
    if entry.retrying or destroy_rules(p, entry) != 0:
        retry_later(p, entry, op.op_id)
        return EINPROGRESS
    entry_free(p, entry)
    return 0


cdef void retry_removals(Provider *p) noexcept nogil:
    """Tries each removal that failed once more; completes those that succeed."""
    cdef uint32_t link = p.retry, rest = 0, following
    cdef Entry *entry
    cdef ct_offload_op result
    while link:
        entry = &p.entries[link - 1]
        following = entry.next
        p.counts.removals_retried += 1
        if destroy_rules(p, entry) != 0:
            entry.next = rest
            rest = link
        else:
            entry.retrying = 0
            if entry.forgotten:
                entry_free(p, entry)
            elif entry.op_id:
                memset(&result, 0, sizeof(result))
                result.op_id = entry.op_id
                result.conn_id = entry.conn_id
                result.type = CT_OFFLOAD_OP_DEL
                entry_free(p, entry)
                p.host.complete(p.host.cookie, result.op_id, &result)
        link = following
    p.retry = rest


cdef int op_upd(Provider *p, ct_offload_op *op) noexcept nogil:
    """The later of both directions."""
    cdef Entry *entry = entry_of(p, op.handle)
    cdef rte_flow_action action[2]
    cdef rte_flow_query_age age
    cdef rte_flow_error error
    cdef int direction
    cdef int64_t used
    if entry == NULL or entry.rule[0] == NULL or entry.rule[1] == NULL:
        return refuse(op, ENODATA, CT_OFFLOAD_REASON_NO_LAST_USED)
    memset(action, 0, sizeof(action))
    action[0].type = RTE_FLOW_ACTION_TYPE_AGE
    action[1].type = RTE_FLOW_ACTION_TYPE_END
    entry.hinted = 0
    op.last_used_ms = 0
    op.sampled_ms = p.now_ms - p.refresh_ms
    for direction in range(2):
        memset(&age, 0, sizeof(age))
        memset(&error, 0, sizeof(error))
        p.counts.queries += 1
        if (rte_flow_query(entry.on_port[direction], entry.rule[direction], action, &age, &error) != 0
                or not age.sec_since_last_hit_valid):
            p.counts.queries_failed += 1
            return refuse(op, ENODATA, CT_OFFLOAD_REASON_NO_LAST_USED)
        used = p.now_ms - <int64_t> age.sec_since_last_hit * 1000
        if used > op.last_used_ms:
            op.last_used_ms = used
    return 0


cdef int op_flush(Provider *p) noexcept nogil:
    """Takes every rule out; the entries stay until their DEL. 0, or the errno of a rule that stays."""
    cdef uint32_t i
    cdef int rc, failed = 0
    for i in range(p.n_entries):
        if p.entries[i].in_use:
            rc = destroy_rules(p, &p.entries[i])
            failed = rc if rc else failed
    return failed


cdef void submit(void *user, ct_offload_op *ops, size_t n_ops) noexcept nogil:
    cdef Provider *p = <Provider *> user
    cdef size_t i
    cdef int rc
    cdef uint16_t reason
    pthread_mutex_lock(&p.lock)
    for i in range(n_ops):
        rc = EINVAL
        if ops[i].type == CT_OFFLOAD_OP_ADD:
            rc = op_add(p, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_EST:
            rc = op_est(p, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_UPD:
            rc = op_upd(p, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_DEL:
            rc = op_del(p, &ops[i])
        elif ops[i].type == CT_OFFLOAD_OP_POLICY:
            rc = EPERM if eligible(p, ops[i].ctx, &reason) else 0
            ops[i].reason = reason if rc else 0
        elif ops[i].type == CT_OFFLOAD_OP_FLUSH:
            rc = op_flush(p)
        ops[i].error = rc
    pthread_mutex_unlock(&p.lock)


# ---- the worker's turn -------------------------------------------------------------------------------------------------

cdef void report_aged(Provider *p, uint16_t ethdev) noexcept nogil:
    """Passes the NIC's aged rules on as hints; once each until the connection is queried, since a list may not consume."""
    cdef void *contexts[AGED_BATCH]
    cdef rte_flow_error error
    cdef uint32_t index
    cdef Entry *entry
    cdef int i, n
    memset(&error, 0, sizeof(error))
    n = rte_flow_get_aged_flows(ethdev, contexts, AGED_BATCH, &error)
    n = n if n < AGED_BATCH else AGED_BATCH      # a driver may return more than it wrote
    for i in range(n):
        index = <uint32_t> <uintptr_t> contexts[i]
        if index == 0 or index > p.n_entries:
            continue
        entry = &p.entries[index - 1]
        if entry.in_use and not entry.hinted and not entry.retrying:
            entry.hinted = 1
            p.counts.aged_hints += 1
            p.host.event(p.host.cookie, entry.conn_id, CT_OFFLOAD_EVENT_AGED)


cdef void report_lost(Provider *p) noexcept nogil:
    """Says which connections lost their port. Ports go on the caller's thread, events are made on the worker's."""
    cdef uint32_t i
    cdef Entry *entry
    p.some_lost = False
    for i in range(p.n_entries):
        entry = &p.entries[i]
        if not entry.in_use or not entry.lost:
            continue
        entry.lost = 0
        entry.forgotten = 1
        p.host.event(p.host.cookie, entry.conn_id, CT_OFFLOAD_EVENT_LOST)
        if not entry.retrying:
            entry_free(p, entry)


cdef int64_t poll(void *user, int64_t now_ms) noexcept nogil:
    cdef Provider *p = <Provider *> user
    cdef uint32_t i
    pthread_mutex_lock(&p.lock)
    p.now_ms = now_ms
    if p.some_lost:
        report_lost(p)
    if p.retry:
        retry_removals(p)
    if now_ms >= p.next_aged_ms:
        p.next_aged_ms = now_ms + AGED_PERIOD_MS
        if p.n_accepted:
            for i in range(MAX_PORTS):
                if p.ports[i].used and p.ports[i].proxy == p.ports[i].ethdev:
                    report_aged(p, p.ports[i].ethdev)
    pthread_mutex_unlock(&p.lock)
    return now_ms + 1 if p.retry else p.next_aged_ms


cdef int init(void *user, const ct_offload_host *host) noexcept nogil:
    (<Provider *> user).host = host
    return 0


cdef void fini(void *user) noexcept nogil:
    cdef Provider *p = <Provider *> user
    pthread_mutex_lock(&p.lock)
    op_flush(p)
    p.host = NULL
    pthread_mutex_unlock(&p.lock)


# ---- ports that come and go ----------------------------------------------------------------------------------------------

cdef bint port_add(Provider *p, ct_offload_port port, const char *name) noexcept nogil:
    """Uses every port that DPDK has under this name; what it can do is found when the first connection asks."""
    cdef uint16_t ethdev = 0, proxy = 0
    cdef rte_flow_error error
    cdef PortSlot *slot
    if port.id >= MAX_PORTS or rte_eth_dev_get_port_by_name(name, &ethdev) != 0:
        return False
    memset(&error, 0, sizeof(error))
    if rte_flow_pick_transfer_proxy(ethdev, &proxy, &error) != 0:
        proxy = ethdev
    pthread_mutex_lock(&p.lock)
    slot = &p.ports[port.id]
    slot.used = True
    slot.generation = port.generation
    slot.ethdev = ethdev
    slot.proxy = proxy
    forget_probes(p, port.id)
    pthread_mutex_unlock(&p.lock)
    return True


cdef void port_del(Provider *p, ct_offload_port port) noexcept nogil:
    """Takes out what leads from or to this port and marks it lost; its connections go on in software."""
    cdef uint32_t i
    cdef Entry *entry
    pthread_mutex_lock(&p.lock)
    if port_of(p, &port) != NULL:
        for i in range(p.n_entries):
            entry = &p.entries[i]
            if not entry.in_use or entry.rule[0] == NULL or (entry.port[0] != port.id and entry.port[1] != port.id):
                continue
            if destroy_rules(p, entry) != 0:
                retry_later(p, entry, 0)
            entry.lost = 1
            p.some_lost = True
        p.ports[port.id].used = False
    pthread_mutex_unlock(&p.lock)


# ---- Python's view -----------------------------------------------------------------------------------------------------

cdef class RteFlowProvider:
    """The provider "dpdk": OffloadLayer.register takes it. Must outlive the layer it is registered in."""

    cdef Provider *provider

    def __cinit__(self, refresh_ms: int = 1000):
        """refresh_ms: how old the answer of an AGE query can be on these NICs."""
        cdef Provider *p = <Provider *> calloc(1, sizeof(Provider))
        cdef ShapeKind kind
        if p == NULL:
            raise MemoryError
        self.provider = p
        p.probes = <Probe *> calloc(MAX_PORTS * MAX_PORTS * 4, sizeof(Probe))
        if p.probes == NULL:
            raise MemoryError
        pthread_mutex_init(&p.lock, NULL)
        p.refresh_ms = refresh_ms
        for family in range(2):
            for proto in range(2):
                memset(&kind, 0, sizeof(kind))
                kind.family, kind.proto, kind.does, kind.fate = family, proto, DOES_COUNT | DOES_AGE, FATE_PORT
                kind.of_connection = True
                shape_init(&p.shapes[family][proto], &kind)
                p.shapes[family][proto].tcp_mask.hdr.tcp_flags = 0x07
        fill_class(p)

    def __dealloc__(self):
        if self.provider != NULL:
            pthread_mutex_destroy(&self.provider.lock)
            free(self.provider.probes)
            free(self.provider.entries)
            free(self.provider)

    def __ct_offload_class__(self) -> object:
        """The ct_offload_class in a PyCapsule: what OffloadLayer.register takes."""
        return PyCapsule_New(&self.provider.klass, CT_OFFLOAD_CAPSULE, NULL)

    def port_add(self, port_id: int, generation: int, name: str) -> bool:
        """Uses the port if DPDK has one of that name. False where it has not, or the id is 64 or more."""
        cdef ct_offload_port port
        cdef bytes encoded = name.encode()
        port.id = port_id
        port.generation = generation
        return port_add(self.provider, port, encoded)

    def port_del(self, port_id: int, generation: int) -> None:
        """Takes out every rule that leads from or to the port; the connections go on in software."""
        cdef ct_offload_port port
        port.id = port_id
        port.generation = generation
        with nogil:
            port_del(self.provider, port)

    def stats(self) -> RteFlowStats:
        """Numbers since creation."""
        cdef Counts c = self.provider.counts
        return RteFlowStats(
            connections=self.provider.n_accepted,
            rules_live=c.rules_created - c.rules_destroyed - c.rules_lost,
            rules_high_water=c.rules_high_water,
            rules_created=c.rules_created,
            rules_destroyed=c.rules_destroyed,
            rules_lost=c.rules_lost,
            rules_failed=c.rules_failed,
            queries=c.queries,
            queries_failed=c.queries_failed,
            aged_hints=c.aged_hints,
            removals_retried=c.removals_retried,
        )

    def capabilities(self) -> list[Capability]:
        """What was probed so far; empty before the first connection between two ports asked."""
        found = []
        cdef Probe *probed
        for in_id in range(MAX_PORTS):
            for out_id in range(MAX_PORTS):
                for family in range(2):
                    for proto in range(2):
                        probed = probe_of(self.provider, in_id, out_id, family, proto)
                        if probed.state != PROBE_UNKNOWN:
                            found.append(Capability(
                                in_id, out_id, ("ipv4", "ipv6")[family], ("tcp", "udp")[proto],
                                probed.state == PROBE_YES, probed.error,
                                probed.message.decode(errors="replace") or "a rule was created and destroyed"))
        return found


cdef void fill_class(Provider *p) noexcept:
    p.klass.abi_version = CT_OFFLOAD_ABI_VERSION
    p.klass.size = sizeof(ct_offload_class)
    p.klass.name = b"dpdk"
    p.klass.user = p
    p.klass.init = init
    p.klass.fini = fini
    p.klass.batch_submit = submit
    p.klass.poll = poll
