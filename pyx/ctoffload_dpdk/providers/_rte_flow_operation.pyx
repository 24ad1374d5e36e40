"""The layer's operations on connections: accept, install, ask, remove."""
from libc.errno cimport EINPROGRESS, EINVAL, ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ETIMEDOUT
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_action_conntrack, rte_flow_action_handle, rte_flow_error
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_F_ALG,
    CT_OFFLOAD_F_NEW,
    CT_OFFLOAD_F_STRICT,
    CT_OFFLOAD_ID_SHARD,
    CT_OFFLOAD_OP_ADD,
    CT_OFFLOAD_OP_DEL,
    CT_OFFLOAD_OP_EST,
    CT_OFFLOAD_OP_FLUSH,
    CT_OFFLOAD_OP_POLICY,
    CT_OFFLOAD_OP_UPD,
    CT_OFFLOAD_OP_WINDOW,
    CT_OFFLOAD_R_COUNTED,
    CT_OFFLOAD_REASON_ALG,
    CT_OFFLOAD_REASON_INSERT_FAILED,
    CT_OFFLOAD_REASON_NAT_UNSUPPORTED,
    CT_OFFLOAD_REASON_NO_CAPABILITY,
    CT_OFFLOAD_REASON_NO_LAST_USED,
    CT_OFFLOAD_REASON_NO_PORT,
    CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_REASON_PORT_DOWN,
    CT_OFFLOAD_REASON_PROTO,
    CT_OFFLOAD_REASON_PROVIDER_REFUSED,
    CT_OFFLOAD_REASON_TABLE_FULL,
    CT_OFFLOAD_REASON_ZONE_UNSUPPORTED,
    ct_offload_ctx,
)
from ctoffload_dpdk.providers._rte_flow_context cimport context_create, context_fill, context_read
from ctoffload_dpdk.providers._rte_flow_counted cimport counted, counted_lost
from ctoffload_dpdk.providers._rte_flow_entry cimport entry_free, entry_new, entry_of, handle_of, index_of
from ctoffload_dpdk.providers._rte_flow_install cimport install, installed, note_refusal, refuse, take_out
from ctoffload_dpdk.providers._rte_flow_last_used cimport last_used_answer
from ctoffload_dpdk.providers._rte_flow_pipeline cimport (
    Pipeline,
    ZoneGroup,
    pipeline_check,
    pipeline_shape,
    pipeline_zone,
)
from ctoffload_dpdk.providers._rte_flow_ports cimport drain, ethdev_of, kind_of, pipeline_of, plan_of, port_of
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_CONTEXT,
    DOMAIN_TRANSFER,
    PROTO_ICMP,
    family_index,
    proto_index,
    rewrites_of,
)
from ctoffload_dpdk.providers._rte_flow_state cimport (
    PENDING_DEL,
    PENDING_EST,
    PENDING_NEW,
    Entry,
    PlanCell,
    PortSlot,
    Way,
    pthread_mutex_lock,
    pthread_mutex_unlock,
)

cdef enum:
    # The longest an AGE action can wait: 24 bits of seconds.
    AGE_MAX_S = 0xffffff
    # After ageing out a driver may stop updating a rule, so the NIC's timeout is longer than software's longest.
    AGE_MARGIN_S = 60


# ---- installing --------------------------------------------------------------------------------------------------------

cdef int eligible(Provider *p, const ct_offload_ctx *ctx, uint16_t *reason) noexcept nogil:
    """0, or the errno with which a connection is refused before its way out is known."""
    reason[0] = CT_OFFLOAD_REASON_NONE
    if family_index(ctx.eth_type) < 0 or proto_index(ctx.proto, ctx.eth_type) < 0:
        reason[0] = CT_OFFLOAD_REASON_PROTO
    elif ctx.flags & CT_OFFLOAD_F_ALG:
        reason[0] = CT_OFFLOAD_REASON_ALG
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


cdef uint32_t age_s(const ct_offload_ctx *ctx) noexcept nogil:
    cdef uint32_t seconds = ctx.timeout_max_ms // 1000 + AGE_MARGIN_S
    return seconds if seconds < AGE_MAX_S else AGE_MAX_S


cdef int failed_to(Provider *p, ct_offload_op *op, int error, const rte_flow_error *said) noexcept nogil:
    note_refusal(p, said)
    if error == ENOSPC or error == ENOMEM:
        return refuse(op, error, CT_OFFLOAD_REASON_TABLE_FULL)
    return refuse(op, error, CT_OFFLOAD_REASON_PORT_DOWN if error == ENODEV else CT_OFFLOAD_REASON_INSERT_FAILED)


cdef int place(Provider *p, Entry *entry, ct_offload_op *op, int direction, const PlanCell *plan,
               int family, int proto, int rewrites) noexcept nogil:
    """Where one direction's rule goes: its group, shape and fate. 0 or the errno of a refusal."""
    cdef const ct_offload_ctx *ctx = op.ctx
    cdef uint16_t in_ethdev = entry.ethdev[direction], out_ethdev = entry.ethdev[1 - direction]
    cdef rte_flow_error error
    cdef ZoneGroup *zone = NULL
    cdef Pipeline *pl
    cdef int failed = 0
    memset(&error, 0, sizeof(error))
    pl = pipeline_of(p, in_ethdev, plan.domain, &failed)
    if pl == NULL:
        return failed_to(p, op, failed, &error)
    failed = pipeline_zone(pl, ctx.zone, family, proto, &zone, &error)
    if failed == EOPNOTSUPP or (failed == EINVAL and zone.n_tags > 0):
        note_refusal(p, &error)          # no such zone on this port, or no such tags for its driver
        return refuse(op, EOPNOTSUPP, CT_OFFLOAD_REASON_ZONE_UNSUPPORTED)
    if failed == 0:
        entry.shape[direction] = pipeline_shape(pl, zone, family, proto, plan.does, rewrites, &failed, &error)
    if entry.shape[direction] == NULL:
        return failed_to(p, op, failed, &error)
    if plan.does & DOES_CONTEXT:
        failed = pipeline_check(pl, out_ethdev, plan.queue, &entry.fate[direction], &error)
        return failed_to(p, op, failed, &error) if failed else 0
    if plan.domain == DOMAIN_TRANSFER:
        entry.fate[direction] = out_ethdev
    elif plan.source:
        entry.fate[direction] = plan.queue
    else:
        entry.fate[direction] = <uint16_t> (CT_OFFLOAD_ID_SHARD(ctx.conn_id) % pl.n_queues) if pl.n_queues else 0
    return 0


cdef int make_context(Provider *p, Entry *entry, ct_offload_op *op) noexcept nogil:
    cdef rte_flow_action_conntrack state
    cdef rte_flow_error error
    cdef uint64_t live
    entry.context_on = entry.shape[0].engine.ethdev
    context_fill(&state, op.ctx, entry.shape[1].engine.ethdev, op.ctx.flags & CT_OFFLOAD_F_STRICT != 0)
    entry.context = context_create(entry.context_on, entry.shape[0].attr.transfer, &state, &error)
    if entry.context == NULL:
        p.counts.contexts_failed += 1
        return failed_to(p, op, rte_errno if rte_errno > 0 else EINVAL, &error)
    p.counts.contexts_created += 1
    live = p.counts.contexts_created - p.counts.contexts_destroyed - p.counts.contexts_lost
    if live > p.counts.contexts_high_water:
        p.counts.contexts_high_water = live
    return 0


cdef int op_new(Provider *p, ct_offload_op *op) noexcept nogil:
    """ADD and EST in one."""
    cdef int failed = op_add(p, op)
    if failed:
        return failed
    failed = op_est(p, op)
    if failed == EINPROGRESS:
        entry_of(p, op.handle).pending = PENDING_NEW
    elif failed:
        entry_free(p, entry_of(p, op.handle))
        op.handle = 0
    return failed


cdef int op_est(Provider *p, ct_offload_op *op) noexcept nogil:
    """Both rules or none."""
    cdef const ct_offload_ctx *ctx = op.ctx
    cdef Entry *entry = entry_of(p, op.handle)
    cdef int failed
    if entry == NULL or entry.shape[0] != NULL or entry.forgotten or entry.lost:
        return refuse(op, ENOENT if entry == NULL else EINVAL, CT_OFFLOAD_REASON_PROVIDER_REFUSED)
    failed = plan_entry(p, entry, op)
    if failed:
        entry.shape[0] = entry.shape[1] = NULL
        return failed
    entry.tuple[0] = ctx.tuple[0]
    entry.tuple[1] = ctx.tuple[1]
    entry.age_s = age_s(ctx)
    entry.timeout_ms = ctx.timeout_ms
    entry.op_id = op.op_id
    if entry.shape[0].kind.does & DOES_CONTEXT:
        failed = make_context(p, entry, op)
        if failed:
            entry.shape[0] = entry.shape[1] = NULL
            return failed
    if install(p, entry) == EINPROGRESS:
        entry.pending = PENDING_EST
        return EINPROGRESS
    return installed(p, entry, op)


cdef int why_not(Provider *p, const Entry *entry, const PlanCell *plan, int proto, int family) noexcept nogil:
    """The reason for a connection without a plan: what would have to be different."""
    if plan != plan_of(p, entry.ethdev[0], entry.ethdev[1], proto, family, False) and (
            plan_of(p, entry.ethdev[0], entry.ethdev[1], proto, family, False).is_planned):
        return CT_OFFLOAD_REASON_NAT_UNSUPPORTED
    if proto == PROTO_ICMP:
        return CT_OFFLOAD_REASON_PROTO
    return plan.reason if plan.reason else CT_OFFLOAD_REASON_NO_CAPABILITY


cdef inline int plan_entry(Provider *p, Entry *entry, ct_offload_op *op) noexcept nogil:
    """The plan for its ports, and with it shapes and fates: those of the connection before where it goes the same way."""
    cdef const ct_offload_ctx *ctx = op.ctx
    cdef Way *way = &p.way
    cdef int proto = proto_index(ctx.proto, ctx.eth_type), failed
    cdef uint8_t forth = rewrites_of(proto, &ctx.tuple[0], &ctx.tuple[1])
    cdef uint8_t back = rewrites_of(proto, &ctx.tuple[1], &ctx.tuple[0])
    if (not way.is_known or memcmp(way.port, ctx.port, sizeof(way.port)) != 0 or way.zone != ctx.zone
            or way.eth_type != ctx.eth_type or way.proto != ctx.proto or way.rewrites[0] != forth
            or way.rewrites[1] != back or way.shard != CT_OFFLOAD_ID_SHARD(ctx.conn_id)):
        way.is_known = False
        way.rewrites[0], way.rewrites[1] = forth, back
        failed = find_way(p, entry, op, proto)
        if failed == 0:
            keep_way(way, entry, ctx)
        return failed
    entry.shape[0], entry.shape[1] = way.shape[0], way.shape[1]
    memcpy(entry.ethdev, way.ethdev, sizeof(entry.ethdev))
    memcpy(entry.fate, way.fate, sizeof(entry.fate))
    entry.source, entry.kind = way.source, way.kind
    return 0


cdef void keep_way(Way *way, const Entry *entry, const ct_offload_ctx *ctx) noexcept nogil:
    memcpy(way.port, ctx.port, sizeof(way.port))
    way.zone, way.eth_type, way.proto = ctx.zone, ctx.eth_type, ctx.proto
    way.shard = <uint8_t> CT_OFFLOAD_ID_SHARD(ctx.conn_id)
    way.shape[0], way.shape[1] = entry.shape[0], entry.shape[1]
    memcpy(way.ethdev, entry.ethdev, sizeof(way.ethdev))
    memcpy(way.fate, entry.fate, sizeof(way.fate))
    way.source, way.kind = entry.source, entry.kind
    way.is_known = True


cdef int find_way(Provider *p, Entry *entry, ct_offload_op *op, int proto) noexcept nogil:
    cdef const ct_offload_ctx *ctx = op.ctx
    cdef const uint8_t *rewrites = p.way.rewrites
    cdef int family = family_index(ctx.eth_type)
    cdef PortSlot *ports[2]
    cdef const PlanCell *plan
    cdef int direction, failed
    for direction in range(2):
        ports[direction] = port_of(p, &ctx.port[direction])
        if ports[direction] == NULL:
            return refuse(op, ENODEV, CT_OFFLOAD_REASON_NO_PORT)
        entry.ethdev[direction] = ethdev_of(p, ports[direction])
    for direction in range(2):
        plan = plan_of(p, entry.ethdev[direction], entry.ethdev[1 - direction], proto, family,
                       (rewrites[0] | rewrites[1]) != 0)
        if not plan.is_planned:
            return refuse(op, EOPNOTSUPP, why_not(p, entry, plan, proto, family))
        entry.source = plan.source
        entry.kind = kind_of(proto, family, (rewrites[0] | rewrites[1]) != 0)
        # A packet that software sees is translated there, and known by what it was.
        failed = place(p, entry, op, direction, plan, family, proto, rewrites[direction] if plan.source else 0)
        if failed:
            return failed
    return 0


# ---- the other operations ----------------------------------------------------------------------------------------------

cdef int op_del(Provider *p, ct_offload_op *op) noexcept nogil:
    cdef Entry *entry = entry_of(p, op.handle)
    if entry == NULL or entry.forgotten:
        return ENOENT
    if counted_lost(p, entry, op.counts) if entry.lost else counted(p, entry, op.counts):
        op.flags |= CT_OFFLOAD_R_COUNTED
        entry.is_counted = 1
    entry.lost = 0           # asked to remove it before it was said: the answer says it all
    if take_out(p, entry) == EINPROGRESS or entry.is_due:
        entry.op_id = op.op_id
        entry.pending = PENDING_DEL
        return EINPROGRESS
    entry_free(p, entry)
    return 0


cdef int op_upd(Provider *p, ct_offload_op *op) noexcept nogil:
    """The later of both directions. A rule that passes nothing by software adds nothing to what software knows."""
    cdef Entry *entry = entry_of(p, op.handle)
    cdef int failed
    if entry == NULL or entry.forgotten:
        return refuse(op, ENOENT, CT_OFFLOAD_REASON_NO_LAST_USED)
    if entry.shape[0] == NULL or not entry.wanted or entry.pending:
        return refuse(op, ENODATA, CT_OFFLOAD_REASON_NO_LAST_USED)
    op.last_used_ms = 0
    op.sampled_ms = p.now_ms
    if entry.is_watched:
        failed = last_used_answer(&p.watch, index_of(p, entry), p.now_ms, &op.last_used_ms, &op.sampled_ms)
        if failed:
            return refuse(op, failed, CT_OFFLOAD_REASON_NO_LAST_USED)
        op.sampled_ms = op.sampled_ms if op.sampled_ms > 0 else 0        # the clock has just begun
    if counted(p, entry, op.counts):
        op.flags |= CT_OFFLOAD_R_COUNTED
    return 0


cdef int op_window(Provider *p, ct_offload_op *op) noexcept nogil:
    """Called with the lock, which is let go while the NIC is asked: that takes a round trip."""
    cdef Entry *entry = entry_of(p, op.handle)
    cdef rte_flow_action_handle *context
    cdef rte_flow_error error
    cdef uint16_t ethdev
    cdef int failed
    if entry == NULL or entry.context == NULL or entry.is_reading:
        return ENODATA
    context, ethdev = entry.context, entry.context_on
    entry.is_reading = 1
    pthread_mutex_unlock(&p.lock)
    failed = context_read(ethdev, context, op.peer, &error)
    pthread_mutex_lock(&p.lock)
    entry = entry_of(p, op.handle)
    if entry != NULL:
        entry.is_reading = 0
    if failed:
        note_refusal(p, &error)
        return failed
    p.counts.windows_read += 1
    return 0


cdef int op_flush(Provider *p) noexcept nogil:
    """Takes every rule out and forgets every connection. 0, or ETIMEDOUT where some did not leave in time."""
    cdef Entry *entry
    cdef uint32_t i
    for i in range(p.n_entries):
        entry = &p.entries[i]
        if not entry.in_use or entry.forgotten:
            continue
        entry.forgotten = 1
        if entry.pending == PENDING_EST or entry.pending == PENDING_NEW:
            entry.error = ENODEV
        if take_out(p, entry) == 0 and not entry.pending and not entry.is_due:
            entry_free(p, entry)
    drain(p)
    return ETIMEDOUT if p.n_unsettled else 0


cdef int operate(Provider *p, ct_offload_op *op) noexcept nogil:
    cdef uint16_t reason = 0
    cdef int rc
    if op.type == CT_OFFLOAD_OP_ADD:
        return op_add(p, op)
    if op.type == CT_OFFLOAD_OP_EST:
        return op_new(p, op) if op.ctx.flags & CT_OFFLOAD_F_NEW else op_est(p, op)
    p.way.is_known = False
    if op.type == CT_OFFLOAD_OP_UPD:
        return op_upd(p, op)
    if op.type == CT_OFFLOAD_OP_DEL:
        return op_del(p, op)
    if op.type == CT_OFFLOAD_OP_WINDOW:
        return op_window(p, op)
    if op.type == CT_OFFLOAD_OP_POLICY:
        rc = eligible(p, op.ctx, &reason)
        op.reason = reason
        return EPERM if rc else 0
    return op_flush(p) if op.type == CT_OFFLOAD_OP_FLUSH else EINVAL
