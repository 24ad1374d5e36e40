"""Installing and removing one connection: a small state machine per direction, driven by answers and by poll.

A rule is asked for, comes, is in, is asked to leave, leaves. Whatever the driver refuses or delays, an operation of the
layer is answered when both rules are in, or when nothing is left.
"""
from libc.errno cimport EAGAIN, EBUSY, EEXIST, EINPROGRESS, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, ENOSPC
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset, strncpy

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_query_count
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ID_SLOT,
    CT_OFFLOAD_OP_DEL,
    CT_OFFLOAD_OP_EST,
    CT_OFFLOAD_R_BYPASS,
    CT_OFFLOAD_R_CONTEXT,
    CT_OFFLOAD_R_COUNTED,
    CT_OFFLOAD_REASON_INSERT_FAILED,
    CT_OFFLOAD_REASON_PORT_DOWN,
    CT_OFFLOAD_REASON_TABLE_FULL,
)
from ctoffload_dpdk.providers._rte_flow_context cimport context_destroy, context_turn
from ctoffload_dpdk.providers._rte_flow_counted cimport counted_at_loss, counted_replaced, read_count
from ctoffload_dpdk.providers._rte_flow_engine cimport (
    RuleEngine,
    engine_create,
    engine_create_now,
    engine_destroy,
    engine_destroy_now,
    engine_is_busy,
)
from ctoffload_dpdk.providers._rte_flow_entry cimport entry_free, handle_of, index_of, next_due, try_again
from ctoffload_dpdk.providers._rte_flow_last_used cimport (
    WatchedRule,
    last_used_forget,
    last_used_replaced,
    last_used_watch,
)
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineRule
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_CONTEXT,
    FATE_JUMP,
    FATE_PORT,
    RuleShape,
    shape_context,
    shape_match,
)
from ctoffload_dpdk.providers._rte_flow_state cimport (
    MESSAGE_BYTES,
    PENDING_DEL,
    PENDING_EST,
    PENDING_NEW,
    PENDING_NONE,
    RULE_COMING,
    RULE_IN,
    RULE_LEAVING,
    RULE_NONE,
)

cdef enum:
    # A counter that was freed can be had again after a refresh cycle; a NIC whose counters are all used says the same.
    MAX_TRIES = 5
    MARKS = 0xffffef         # 24 bits, less what mlx5 keeps for itself


cdef uint64_t user_of(Provider *p, Entry *entry, int direction) noexcept nogil:
    return <uint64_t> index_of(p, entry) << 1 | direction


cdef int refuse(ct_offload_op *op, int error, int reason) noexcept nogil:
    op.error = error
    op.reason = <uint16_t> reason
    return error


cdef void note_refusal(Provider *p, const rte_flow_error *error) noexcept nogil:
    if error.message != NULL:
        strncpy(p.refusal, error.message, MESSAGE_BYTES - 1)


# ---- one rule ----------------------------------------------------------------------------------------------------------

cdef void fill(Provider *p, Entry *entry, int direction) noexcept nogil:
    """The values of one direction's rule, into its shape."""
    cdef RuleShape *shape = entry.shape[direction]
    cdef uint32_t number = index_of(p, entry) + 1
    shape_match(shape, &entry.tuple[direction], &entry.tuple[1 - direction])
    shape.age.timeout = entry.age_s
    shape.age.context = <void *> <uintptr_t> number
    # Where software looks first; a slot is not used again before its removal was answered.
    shape.mark.id = CT_OFFLOAD_ID_SLOT(entry.conn_id) if CT_OFFLOAD_ID_SLOT(entry.conn_id) < MARKS else 0
    if shape.kind.fate == FATE_PORT:
        shape.fate_port.port_id = entry.fate[direction]
    elif shape.kind.fate == FATE_JUMP:
        shape.jump.group = entry.fate[direction]
    else:
        shape.queue.index = entry.fate[direction]
    if shape.kind.does & DOES_CONTEXT:
        shape_context(shape, entry.context)


cdef int ask_for(Provider *p, Entry *entry, int direction) noexcept nogil:
    """0, EINPROGRESS, EAGAIN, or the errno of a refusal."""
    cdef RuleShape *shape = entry.shape[direction]
    cdef rte_flow_error error
    cdef int rc
    if direction == 1 and entry.context != NULL:
        rc = context_turn(entry.context_on, entry.context, False, &error)
        if rc:
            note_refusal(p, &error)
            return rc
    fill(p, entry, direction)
    rc = engine_create(shape.engine, &shape.table, shape.items, shape.actions, user_of(p, entry, direction),
                       &entry.rule[direction], &error)
    if rc == 0:
        entry.state[direction] = RULE_IN
    elif rc == EINPROGRESS:
        entry.state[direction] = RULE_COMING
    elif rc != EAGAIN:
        note_refusal(p, &error)
    return rc


cdef void left(Entry *entry, int direction) noexcept nogil:
    entry.state[direction] = RULE_NONE
    memset(&entry.rule[direction], 0, sizeof(EngineRule))


cdef void went_with_port(Provider *p, Entry *entry, int direction) noexcept nogil:
    """The engine counted it as lost when the port went."""
    left(entry, direction)


cdef void is_lost(Entry *entry, int direction) noexcept nogil:
    """The driver knows it no more: it went before us."""
    cdef RuleShape *shape = entry.shape[direction]
    if not shape.engine.is_gone:
        shape.table.n_live -= 1
        shape.engine.counts.lost += 1
    left(entry, direction)


# ---- both rules --------------------------------------------------------------------------------------------------------

cdef int install(Provider *p, Entry *entry) noexcept nogil:
    entry.wanted = 1
    entry.error = 0
    entry.n_started = 0
    entry.n_tries = 0
    memset(entry.rule, 0, sizeof(entry.rule))
    entry.shape[0].n_users[0] += 1
    entry.shape[1].n_users[0] += 1
    unsettle(p, entry)
    return go_on(p, entry)


cdef void unsettle(Provider *p, Entry *entry) noexcept nogil:
    p.n_unsettled += not entry.is_unsettled
    entry.is_unsettled = 1


cdef int go_on(Provider *p, Entry *entry) noexcept nogil:
    """Asks for the rules that were not asked for yet."""
    cdef int rc
    while entry.wanted and entry.n_started < 2:
        rc = ask_for(p, entry, entry.n_started)
        if rc == 0 or rc == EINPROGRESS:
            entry.n_started += 1
            entry.n_tries = 0
        elif rc == EAGAIN and wait_for_room(p, entry):
            return EINPROGRESS
        else:
            entry.error = ENOSPC if rc == EAGAIN else rc
            entry.wanted = 0
    return settle(p, entry)


cdef bint wait_for_room(Provider *p, Entry *entry) noexcept nogil:
    """Whether it is worth trying again: a full queue empties, a counter may come free after a refresh cycle. A queue whose
    operations are answered is full as well, until its answers are taken, which the next poll does."""
    entry.due_ms = p.now_ms
    p.counts.installs_retried += 1
    if not engine_is_busy(entry.shape[entry.n_started].engine):
        entry.n_tries += 1
        entry.due_ms += p.refresh_ms
    if entry.n_tries > MAX_TRIES:
        return False
    try_again(p, entry)
    return True


cdef int settle(Provider *p, Entry *entry) noexcept nogil:
    if entry.wanted:
        if entry.state[0] != RULE_IN or entry.state[1] != RULE_IN:
            return EINPROGRESS
    elif entry.shape[0] == NULL:
        return 0
    elif out(p, entry) != 0:
        return EINPROGRESS
    else:
        entry.shape[0].n_users[0] -= 1
        entry.shape[1].n_users[0] -= 1
        entry.shape[0] = entry.shape[1] = NULL
    p.n_unsettled -= entry.is_unsettled
    entry.is_unsettled = 0
    return 0


cdef int out(Provider *p, Entry *entry) noexcept nogil:
    """Asks what is there to leave: both rules, then the context they used. EINPROGRESS while something is left."""
    cdef RuleShape *shape
    cdef rte_flow_error error
    cdef int direction, rc
    for direction in range(2):
        if entry.state[direction] != RULE_IN and entry.state[direction] != RULE_COMING:
            continue
        shape = entry.shape[direction]
        rc = engine_destroy(shape.engine, &shape.table, &entry.rule[direction], user_of(p, entry, direction), &error)
        if rc == 0:
            left(entry, direction)
        elif rc == EINPROGRESS:
            entry.state[direction] = RULE_LEAVING
        elif rc == ENODEV or rc == ENOENT:
            is_lost(entry, direction)
        else:
            note_refusal(p, &error)
            entry.due_ms = p.now_ms
            try_again(p, entry)
    if entry.state[0] != RULE_NONE or entry.state[1] != RULE_NONE:
        return EINPROGRESS
    return drop_context(p, entry)


cdef int drop_context(Provider *p, Entry *entry) noexcept nogil:
    cdef rte_flow_error error
    cdef int rc
    if entry.context == NULL:
        return 0
    rc = EBUSY if entry.is_reading else context_destroy(entry.context_on, entry.context, &error)
    if rc == 0:
        p.counts.contexts_destroyed += 1
    elif rc == ENODEV or rc == ENOENT:
        p.counts.contexts_lost += 1
    else:
        if not entry.is_reading:
            note_refusal(p, &error)
        entry.due_ms = p.now_ms
        try_again(p, entry)
        return EINPROGRESS
    entry.context = NULL
    return 0


cdef int take_out(Provider *p, Entry *entry) noexcept nogil:
    if entry.is_watched:
        last_used_forget(&p.watch, index_of(p, entry))
        entry.is_watched = 0
    if entry.shape[0] == NULL:
        return 0
    entry.wanted = 0
    unsettle(p, entry)
    return settle(p, entry)


# ---- answers -----------------------------------------------------------------------------------------------------------

cdef int reason_of(int error) noexcept nogil:
    # ENOENT: mlx5's word for a port whose counters are all in use.
    if error == ENOSPC or error == ENOMEM or error == EAGAIN or error == ENOENT:
        return CT_OFFLOAD_REASON_TABLE_FULL
    return CT_OFFLOAD_REASON_PORT_DOWN if error == ENODEV else CT_OFFLOAD_REASON_INSERT_FAILED


cdef int installed(Provider *p, Entry *entry, ct_offload_op *op) noexcept nogil:
    cdef WatchedRule rules[2]
    cdef int direction
    if entry.wanted and entry.source:
        for direction in range(2):
            rules[direction].flow = entry.rule[direction].flow
            rules[direction].ethdev = entry.shape[direction].engine.ethdev
        if last_used_watch(&p.watch, index_of(p, entry), rules, entry.source, entry.timeout_ms,
                           p.refresh_ms, p.now_ms) == 0:
            entry.is_watched = 1
        else:
            entry.error = ENOMEM
            if take_out(p, entry) == EINPROGRESS:
                entry.pending = PENDING_EST
                return EINPROGRESS
    if not entry.wanted:
        return refuse(op, entry.error if entry.error else EINVAL, reason_of(entry.error))
    op.flags = CT_OFFLOAD_R_BYPASS if entry.source else 0
    if entry.context != NULL:
        op.flags |= CT_OFFLOAD_R_CONTEXT
    return 0


cdef void finished(Provider *p, Entry *entry) noexcept nogil:
    """It is settled: what waits for it is told. Frees it where nobody does."""
    cdef ct_offload_op result
    cdef uint8_t pending = entry.pending
    cdef int error = 0
    if pending == PENDING_NONE:
        if entry.forgotten and not entry.is_due:
            entry_free(p, entry)
        return
    if not p.is_on_worker:
        entry.due_ms = p.now_ms
        try_again(p, entry)
        return
    memset(&result, 0, sizeof(result))
    result.op_id = entry.op_id
    result.conn_id = entry.conn_id
    entry.pending = PENDING_NONE
    if pending == PENDING_EST or pending == PENDING_NEW:
        result.type = CT_OFFLOAD_OP_EST
        error = installed(p, entry, &result)
        if error == EINPROGRESS:
            entry.pending = pending
            return
        if pending == PENDING_NEW:
            result.handle = 0 if error else handle_of(p, entry)
            entry.forgotten |= error != 0
    else:
        result.type = CT_OFFLOAD_OP_DEL
        result.flags = CT_OFFLOAD_R_COUNTED if entry.is_counted else 0
        entry_free(p, entry)
    result.error = error
    if entry.in_use and entry.forgotten and entry.shape[0] == NULL and not entry.is_due:
        entry_free(p, entry)
    p.host.complete(p.host.cookie, result.op_id, &result)


cdef void answered(Provider *p, const RuleResult *result) noexcept nogil:
    cdef Entry *entry = &p.entries[result.user >> 1]
    cdef int direction = <int> (result.user & 1)
    entry.rule[direction] = result.rule
    entry.state[direction] = RULE_IN if result.rule.flow != NULL else RULE_NONE
    if result.error != 0 and not result.is_destroy and entry.wanted:
        entry.error = result.error
        entry.wanted = 0
    if result.is_destroy and result.rule.flow != NULL:
        entry.due_ms = p.now_ms
        try_again(p, entry)          # the NIC would not let it go
    elif not entry.is_due and settle(p, entry) == 0:
        finished(p, entry)


cdef void retry_due(Provider *p) noexcept nogil:
    """Each entry of the list once; those that are not due yet, and those that fail again, go back to its end."""
    cdef uint32_t last = p.last_due if p.due else 0
    cdef Entry *entry
    cdef uint32_t number = 0
    while number != last:
        entry = next_due(p)
        number = index_of(p, entry) + 1
        if entry.due_ms > p.now_ms:
            try_again(p, entry)
        elif entry.wanted:
            if go_on(p, entry) == 0:
                finished(p, entry)
        else:
            p.counts.removals_retried += 1
            if settle(p, entry) == 0:
                finished(p, entry)


# ---- a rule that aged out ----------------------------------------------------------------------------------------------

cdef void goes_unreplaced(Provider *p, Entry *entry, int direction, const rte_flow_query_count *last,
                          int error) noexcept nogil:
    """One rule is gone and none took its place: the other one goes too, and the worker says why."""
    left(entry, direction)
    counted_at_loss(p, entry, direction, last)
    entry.lost = 1
    entry.error = error
    p.some_lost = True
    take_out(p, entry)


cdef int reinstall(Provider *p, Entry *entry, int direction) noexcept nogil:
    """The new one first, so that no packet is lost; the other way round where the driver takes no second one like it."""
    cdef RuleShape *shape = entry.shape[direction]
    cdef RuleEngine *engine
    cdef EngineRule fresh
    cdef rte_flow_query_count last
    cdef rte_flow_error error
    cdef bint was_counted
    cdef int rc
    if shape == NULL or not entry.wanted or entry.state[direction] != RULE_IN:
        return ENOENT
    engine = shape.engine
    memset(&fresh, 0, sizeof(fresh))
    if entry.context != NULL:
        rc = context_turn(entry.context_on, entry.context, direction == 0, &error)
        if rc:
            return rc
    fill(p, entry, direction)
    was_counted = read_count(entry, direction, &last)
    rc = engine_create_now(engine, &shape.table, shape.items, shape.actions, &fresh, &error)
    if rc == 0:
        rc = engine_destroy_now(engine, &shape.table, &entry.rule[direction], &error)
        if rc:
            engine_destroy_now(engine, &shape.table, &fresh, &error)
    elif rc == EEXIST or rc == EIO:          # EIO: a queue does not say why
        rc = engine_destroy_now(engine, &shape.table, &entry.rule[direction], &error)
        if rc == 0:
            rc = engine_create_now(engine, &shape.table, shape.items, shape.actions, &fresh, &error)
            if rc:
                goes_unreplaced(p, entry, direction, &last if was_counted else NULL, rc)
    if rc:
        note_refusal(p, &error)
        return rc
    if was_counted:
        counted_replaced(p, entry, direction, &last)
    entry.rule[direction] = fresh
    last_used_replaced(&p.watch, index_of(p, entry), direction, fresh.flow, p.now_ms)
    return 0
