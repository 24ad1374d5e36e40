"""Batches through the providers: ownership, all-or-nothing, and results equal for native batches and single members."""
from libc.errno cimport EALREADY, EINVAL, ENODEV, ENOENT, ENOMEM, EOPNOTSUPP, EPERM
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ctoffload_dpdk.offload._worker cimport UNCERTAIN, in_provider_call, worker_call
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_N_OP_TYPES, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_FLUSH,
    CT_OFFLOAD_OP_POLICY, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW, CT_OFFLOAD_R_COUNTED, CT_OFFLOAD_REASON_DISABLED,
    CT_OFFLOAD_REASON_INSERT_FAILED, CT_OFFLOAD_REASON_NO_LAST_USED, CT_OFFLOAD_REASON_NO_PROVIDER,
    CT_OFFLOAD_REASON_NONE, CT_OFFLOAD_REASON_PROVIDER_REFUSED, CT_OFFLOAD_REASON_PROVIDER_STALLED, ct_offload_counts)

cdef extern from "<errno.h>" nogil:
    int EDEADLK

cdef enum:
    SEGMENT_MAX = 1024
    OPEN = -1                # error of an operation that nobody has settled yet


# --- who holds what -------------------------------------------------------------------------------------------------

cdef void direct_init(Direct *d) noexcept nogil:
    memset(d, 0, sizeof(Direct))


cdef void direct_fini(Direct *d) noexcept nogil:
    free(d.table)
    free(d.part)
    free(d.told)
    free(d.place)


cdef inline uint32_t home(const Direct *d, uint64_t conn_id) noexcept nogil:
    return <uint32_t> ((conn_id * <uint64_t> 0x9E3779B97F4A7C15u) >> 32) & (d.size - 1)


cdef Holding *direct_find(Direct *d, uint64_t conn_id) noexcept nogil:
    cdef uint32_t at
    if d.size == 0:
        return NULL
    at = home(d, conn_id)
    while d.table[at].is_used:
        if d.table[at].conn_id == conn_id:
            return &d.table[at]
        at = (at + 1) & (d.size - 1)
    return NULL


cdef bint make_room(Direct *d, uint32_t n) noexcept nogil:
    """At most half full after n more. Holdings move."""
    cdef Direct bigger
    cdef uint32_t i, at
    if (d.n + n) * 2 <= d.size:
        return True
    bigger = d[0]
    bigger.size = d.size or <uint32_t> 64
    while (d.n + n) * 2 > bigger.size:
        bigger.size *= 2
    bigger.table = <Holding *> calloc(bigger.size, sizeof(Holding))
    if bigger.table == NULL:
        return False
    for i in range(d.size):
        if d.table[i].is_used:
            at = home(&bigger, d.table[i].conn_id)
            while bigger.table[at].is_used:
                at = (at + 1) & (bigger.size - 1)
            bigger.table[at] = d.table[i]
    free(d.table)
    d.table = bigger.table
    d.size = bigger.size
    return True


cdef Holding *hold(Direct *d, uint64_t conn_id) noexcept nogil:
    """The holding of a connection, made where there is none; room was made before."""
    cdef uint32_t at = home(d, conn_id)
    while d.table[at].is_used:
        if d.table[at].conn_id == conn_id:
            return &d.table[at]
        at = (at + 1) & (d.size - 1)
    memset(&d.table[at], 0, sizeof(Holding))
    d.table[at].conn_id = conn_id
    d.table[at].is_used = 1
    d.n += 1
    return &d.table[at]


cdef void forget(Direct *d, Holding *held) noexcept nogil:
    """Removes a holding and closes the gap it leaves in its run."""
    cdef uint32_t gap = <uint32_t> (held - d.table), at = gap, wants
    d.n -= 1
    while True:
        at = (at + 1) & (d.size - 1)
        if not d.table[at].is_used:
            break
        wants = home(d, d.table[at].conn_id)
        if ((at - wants) & (d.size - 1)) >= ((at - gap) & (d.size - 1)):
            d.table[gap] = d.table[at]
            gap = at
    d.table[gap].is_used = 0


cdef uint32_t direct_held_by(Direct *d, int provider) noexcept nogil:
    cdef uint32_t i, n = 0
    for i in range(d.size):
        n += d.table[i].is_used and d.table[i].owners >> provider & 1
    return n


# --- what each operation is before anybody is asked -----------------------------------------------------------------

cdef inline bint speaks_of_rules(const ct_offload_op *op) noexcept nogil:
    return op.type == CT_OFFLOAD_OP_DEL or op.type == CT_OFFLOAD_OP_UPD or op.type == CT_OFFLOAD_OP_WINDOW


cdef void settle(ct_offload_op *op, int error, uint16_t reason) noexcept nogil:
    op.error = error
    op.reason = reason


cdef void check_new(const Route *route, ct_offload_op *op, const Holding *held) noexcept nogil:
    if not route.is_enabled:
        settle(op, EPERM, CT_OFFLOAD_REASON_DISABLED)
    elif op.type == CT_OFFLOAD_OP_EST:
        if held == NULL or held.owners == 0:
            settle(op, ENOENT, CT_OFFLOAD_REASON_NONE)
        elif held.is_established:
            settle(op, EALREADY, CT_OFFLOAD_REASON_NONE)
    elif route.active == 0:
        settle(op, ENODEV, CT_OFFLOAD_REASON_NO_PROVIDER)
    elif op.type == CT_OFFLOAD_OP_ADD and held != NULL and held.owners:
        settle(op, EALREADY, CT_OFFLOAD_REASON_NONE)


cdef void check(const Route *route, ct_offload_op *op, const Holding *held) noexcept nogil:
    """Settles what needs no provider; the rest stays OPEN."""
    settle(op, OPEN, CT_OFFLOAD_REASON_NONE)
    if op.type >= CT_OFFLOAD_N_OP_TYPES:
        settle(op, EINVAL, CT_OFFLOAD_REASON_NONE)
    elif speaks_of_rules(op):
        if held == NULL or held.owners == 0:
            settle(op, ENOENT, CT_OFFLOAD_REASON_NONE)
    elif op.type != CT_OFFLOAD_OP_FLUSH:
        check_new(route, op, held)


# --- one provider's part --------------------------------------------------------------------------------------------

cdef inline bint concerns(const Route *route, int p, const ct_offload_op *op, const Holding *held) noexcept nogil:
    if op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_POLICY:
        return route.active >> p & 1
    if op.type == CT_OFFLOAD_OP_FLUSH:
        return True
    return held != NULL and held.owners >> p & 1


cdef void merge_add(ct_offload_op *op, Holding *held, int p, const ct_offload_op *answer) noexcept nogil:
    if answer.error == 0 or answer.reserved[0] == UNCERTAIN:
        held.owners |= 1 << p
        held.handle[p] = answer.handle
    if answer.error == 0:
        op.handled_by |= 1 << p
        if op.handled_by == 1 << p:
            op.handle = answer.handle
    elif answer.error != EPERM and answer.error != EOPNOTSUPP:
        settle(op, answer.error, answer.reason or <uint16_t> CT_OFFLOAD_REASON_PROVIDER_REFUSED)
    elif op.reason == CT_OFFLOAD_REASON_NONE:
        op.reason = answer.reason or <uint16_t> CT_OFFLOAD_REASON_PROVIDER_REFUSED


cdef void merge_upd(ct_offload_op *op, int p, const ct_offload_op *answer) noexcept nogil:
    if answer.error:
        settle(op, answer.error, answer.reason or <uint16_t> CT_OFFLOAD_REASON_NO_LAST_USED)
        return
    op.last_used_ms = max(op.last_used_ms, answer.last_used_ms)
    op.sampled_ms = min(op.sampled_ms, answer.sampled_ms) if op.handled_by else answer.sampled_ms
    op.handled_by |= 1 << p


cdef void merge_window(ct_offload_op *op, int p, const ct_offload_op *answer, const Told *told) noexcept nogil:
    if answer.error == 0:
        memcpy(op.peer, told.peer, sizeof(told.peer))
        op.handled_by = 1 << p
        settle(op, OPEN, CT_OFFLOAD_REASON_NONE)
    else:
        settle(op, answer.error, answer.reason)


cdef void add_counts(ct_offload_op *op, const ct_offload_op *answer, const Told *told) noexcept nogil:
    cdef int i
    if answer.flags & CT_OFFLOAD_R_COUNTED:
        op.flags |= CT_OFFLOAD_R_COUNTED
        for i in range(2):
            op.counts.packets[i] += told.counts.packets[i]
            op.counts.bytes[i] += told.counts.bytes[i]


cdef void merge(ct_offload_op *op, Holding *held, int p, const ct_offload_op *answer, const Told *told) noexcept nogil:
    """Adds one provider's answer to what the others said."""
    if op.type == CT_OFFLOAD_OP_ADD:
        merge_add(op, held, p, answer)
    elif op.type == CT_OFFLOAD_OP_EST:
        if answer.error:
            settle(op, answer.error, answer.reason or <uint16_t> CT_OFFLOAD_REASON_INSERT_FAILED)
            return
        op.handled_by |= 1 << p
        op.flags |= answer.flags
        held.handle[p] = answer.handle or held.handle[p]
    elif op.type == CT_OFFLOAD_OP_DEL:
        add_counts(op, answer, told)
        if answer.error == 0 or answer.error == ENOENT:
            op.handled_by |= 1 << p
            held.owners &= ~(1 << p)
        else:
            settle(op, answer.error, answer.reason)
    elif op.type == CT_OFFLOAD_OP_UPD:
        add_counts(op, answer, told)
        merge_upd(op, p, answer)
    elif op.type == CT_OFFLOAD_OP_WINDOW:
        merge_window(op, p, answer, told)
    elif answer.error == 0:
        op.handled_by |= 1 << p
    elif op.type == CT_OFFLOAD_OP_FLUSH:
        settle(op, answer.error, answer.reason)
    elif op.reason == CT_OFFLOAD_REASON_NONE:
        op.reason = answer.reason or <uint16_t> CT_OFFLOAD_REASON_PROVIDER_REFUSED


cdef inline bint is_offer(const ct_offload_op *op) noexcept nogil:
    return op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_EST or op.type == CT_OFFLOAD_OP_POLICY


cdef void ask(Direct *d, const Route *route, int which, ct_offload_op *ops, uint32_t n) noexcept nogil:
    """Hands one provider the part of a segment that concerns it."""
    cdef uint32_t i, n_part = 0
    cdef int p = route.index[which], rc
    cdef Holding *held
    for i in range(n):
        held = direct_find(d, ops[i].conn_id)
        # Nobody is asked to take what failed already; other operations go to every owner, whatever another one said.
        if not concerns(route, p, &ops[i], held) or (ops[i].error != OPEN and is_offer(&ops[i])):
            continue
        if ops[i].type == CT_OFFLOAD_OP_WINDOW and ops[i].handled_by:
            continue                       # one window is enough
        d.part[n_part] = ops[i]
        if speaks_of_rules(&ops[i]):
            memset(&d.told[n_part], 0, sizeof(Told))
            d.part[n_part].peer = d.told[n_part].peer
        d.part[n_part].handle = held.handle[p] if held != NULL else 0
        d.place[n_part] = i
        n_part += 1
    if n_part == 0:
        return
    rc = worker_call(route.worker[which], d.part, n_part, route.now_ms, route.limit_ms)
    for i in range(n_part):
        if rc:
            settle(&d.part[i], rc, CT_OFFLOAD_REASON_PROVIDER_STALLED)
        merge(&ops[d.place[i]], direct_find(d, ops[d.place[i]].conn_id), p, &d.part[i], &d.told[i])


# --- a segment: no connection appears twice -------------------------------------------------------------------------

cdef void undo(Direct *d, const Route *route, Holding *held) noexcept nogil:
    """Out of every provider that accepted it. One that fails keeps its bit, so that a later DEL tries again."""
    cdef ct_offload_op op
    cdef ct_offload_counts unheard
    cdef int which, p
    for which in range(route.n):
        p = route.index[which]
        if held.owners >> p & 1:
            memset(&op, 0, sizeof(op))
            op.type = CT_OFFLOAD_OP_DEL
            op.counts = &unheard
            op.conn_id = held.conn_id
            op.handle = held.handle[p]
            if worker_call(route.worker[which], &op, 1, route.now_ms, route.limit_ms) == 0 and (
                    op.error == 0 or op.error == ENOENT):
                held.owners &= ~(1 << p)
    held.is_established = 0


cdef void conclude(Direct *d, const Route *route, ct_offload_op *op) noexcept nogil:
    """The one result over all providers."""
    cdef Holding *held = direct_find(d, op.conn_id)
    cdef bint is_new = op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_EST
    if op.error == OPEN:
        op.error = 0
        if (op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_POLICY) and op.handled_by == 0:
            op.error = EPERM
        if op.error == 0:
            op.reason = CT_OFFLOAD_REASON_NONE
            if op.type == CT_OFFLOAD_OP_EST:
                held.is_established = 1
    elif is_new and held != NULL and held.owners and op.error != EALREADY and op.reason != CT_OFFLOAD_REASON_DISABLED:
        undo(d, route, held)
        op.handled_by = 0
    if op.type == CT_OFFLOAD_OP_FLUSH:
        flushed(d, op.handled_by)
    elif held != NULL and held.owners == 0:
        forget(d, held)


cdef void flushed(Direct *d, uint8_t providers) noexcept nogil:
    """What a flush emptied holds nothing any more, and nothing counts as offloaded there."""
    cdef uint32_t i = 0
    while i < d.size:
        if d.table[i].is_used and d.table[i].owners & providers:
            d.table[i].owners &= ~providers
            d.table[i].is_established = 0
            if d.table[i].owners == 0:
                forget(d, &d.table[i])
                i = 0 if i == 0 else i - 1     # another may have moved into the gap
                continue
        i += 1


cdef uint32_t segment(Direct *d, ct_offload_op *ops, uint32_t n) noexcept nogil:
    """How many operations from here on name different connections; a FLUSH stands alone."""
    cdef uint32_t i
    cdef Holding *held
    d.stamp += 1
    for i in range(min(n, <uint32_t> SEGMENT_MAX)):
        if ops[i].type == CT_OFFLOAD_OP_FLUSH:
            return i or <uint32_t> 1
        held = hold(d, ops[i].conn_id)
        if held.stamp == d.stamp:
            return i
        held.stamp = d.stamp
    return min(n, <uint32_t> SEGMENT_MAX)


cdef int direct_submit(Direct *d, const Route *route, ct_offload_op *ops, uint32_t n) noexcept nogil:
    cdef uint32_t i, count, at = 0
    cdef int which
    if in_provider_call():
        return EDEADLK
    if d.part == NULL:
        d.part = <ct_offload_op *> calloc(SEGMENT_MAX, sizeof(ct_offload_op))
        d.told = <Told *> calloc(SEGMENT_MAX, sizeof(Told))
        d.place = <uint32_t *> calloc(SEGMENT_MAX, sizeof(uint32_t))
    if d.part == NULL or d.told == NULL or d.place == NULL:
        return ENOMEM
    while at < n:
        if not make_room(d, SEGMENT_MAX):
            return ENOMEM
        count = segment(d, ops + at, n - at)
        for i in range(count):
            check(route, &ops[at + i], direct_find(d, ops[at + i].conn_id))
        for which in range(route.n):
            ask(d, route, which, ops + at, count)
        for i in range(count):
            conclude(d, route, &ops[at + i])
            if ops[at + i].type < CT_OFFLOAD_N_OP_TYPES:
                d.total[ops[at + i].type].submitted += 1
                d.total[ops[at + i].type].failed += ops[at + i].error != 0
        at += count
    return 0


# --- providers that go, rules that went -----------------------------------------------------------------------------

cdef uint32_t direct_drain(Direct *d, const Route *route, int provider) noexcept nogil:
    cdef uint32_t i = 0
    while i < d.size:
        if d.table[i].is_used and d.table[i].owners >> provider & 1:
            undo(d, route, &d.table[i])
            if d.table[i].owners == 0:
                forget(d, &d.table[i])
                continue               # another may have moved into the gap
        i += 1
    return direct_held_by(d, provider)


cdef void direct_lost(Direct *d, const Route *route, uint64_t conn_id, int provider) noexcept nogil:
    cdef Holding *held = direct_find(d, conn_id)
    if held == NULL or not held.owners >> provider & 1:
        return
    held.owners &= ~(1 << provider)
    undo(d, route, held)
    if held.owners == 0:
        forget(d, held)
