"""One provider's worker: the only place from which a provider is called."""
from libc.errno cimport EINPROGRESS, EINVAL, EIO, ENODATA, ENOENT, ENOMEM, EOPNOTSUPP, EPERM
from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from ctoffload_dpdk.offload._lane cimport (
    EVENT_TYPE, InFlight, LANE_ADD, LANE_QUERY, N_LANE_CLASSES, Request, STALL_NONE, STALL_QUARANTINED, STALL_RETURNED,
    STALL_SEEN, Told, event_counts)
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_ABI_VERSION, CT_OFFLOAD_CLASS_QUERIES_APART, CT_OFFLOAD_EVENT_LOST, CT_OFFLOAD_ID_SHARD,
    CT_OFFLOAD_N_REASONS, CT_OFFLOAD_OP_ADD, CT_OFFLOAD_OP_DEL, CT_OFFLOAD_OP_EST, CT_OFFLOAD_OP_FLUSH,
    CT_OFFLOAD_OP_POLICY, CT_OFFLOAD_OP_UPD, CT_OFFLOAD_OP_WINDOW, CT_OFFLOAD_R_COUNTED, CT_OFFLOAD_REASON_NONE,
    CT_OFFLOAD_REASON_PROVIDER_REFUSED, ct_offload_counts, ct_offload_event, ct_offload_tcp_peer)
from ctoffload_dpdk.offload.libspsc cimport (
    clock_ms, control_lock_fini, control_lock_give, control_lock_init, control_lock_take, pages_free, pages_new,
    pause_us, shared_add, shared_get, shared_set, shared_swap_if, shared_time_get, shared_time_set, spsc, spsc_at,
    spsc_depth, spsc_publish, spsc_ready, spsc_release, spsc_released, spsc_reserve, thread_self)

cdef extern from "<errno.h>" nogil:
    int EDEADLK
    int ETIMEDOUT

cdef extern from *:
    """
    static _Thread_local int provider_calls;
    """
    int provider_calls

cdef enum:
    IDLE_PAUSE_MAX_US = 1000
    DIRECT_MAX = 65536
    MAX_WINDOW = 65535
    MAX_WSCALE = 14


# --- making ---------------------------------------------------------------------------------------------------------

cdef Worker *worker_new(const ct_offload_class *cls) noexcept nogil:
    cdef Worker *w = <Worker *> pages_new(sizeof(Worker))
    if w == NULL:
        return NULL
    w.cls = cls[0]
    w.host.abi_version = CT_OFFLOAD_ABI_VERSION
    w.host.size = sizeof(ct_offload_host)
    w.host.cookie = w
    w.host.complete = host_complete
    w.host.event = host_event
    w.host.lost = host_lost
    control_lock_init(&w.lock)
    if cls.flags & CT_OFFLOAD_CLASS_QUERIES_APART and not add_querier(w):
        worker_free(w)
        return NULL
    return w


cdef bint add_querier(Worker *w) noexcept nogil:
    w.querier = <Worker *> pages_new(sizeof(Worker))
    if w.querier == NULL:
        return False
    w.querier.cls = w.cls
    w.querier.main = w
    control_lock_init(&w.querier.lock)
    return True


cdef void worker_free(Worker *w) noexcept nogil:
    if w == NULL:
        return
    worker_free(w.querier)
    control_lock_fini(&w.lock)
    free(w.backlog)
    pages_free(w, sizeof(Worker))


cdef int worker_init(Worker *w) noexcept nogil:
    cdef int rc = 0
    if w.cls.init != NULL:
        enter(w)
        rc = w.cls.init(w.cls.user, &w.host)
        leave(w)
    return rc


cdef void worker_fini(Worker *w) noexcept nogil:
    if w.cls.fini != NULL:
        enter(w)
        w.cls.fini(w.cls.user)
        leave(w)


cdef bint worker_set_lane(Worker *w, uint32_t shard, Lane *lane) noexcept nogil:
    """For the worker and its querier, or for neither: False where one of them does not come back from a call."""
    cdef bint done
    if shard >= MAX_SHARDS or not control_lock_take(&w.lock, 5000):
        return False
    done = w.querier == NULL or worker_set_lane(w.querier, shard, lane)
    if done:
        w.lanes[shard] = lane
        if lane != NULL and shard >= w.n_lanes:
            w.n_lanes = shard + 1
    control_lock_give(&w.lock)
    return done


# --- calling the provider -------------------------------------------------------------------------------------------

cdef void enter(Worker *w) noexcept nogil:
    global provider_calls
    provider_calls += 1
    w.thread = thread_self()
    shared_time_set(&w.call_since, clock_ms())


cdef void leave(Worker *w) noexcept nogil:
    global provider_calls
    shared_time_set(&w.call_since, 0)
    w.thread = 0
    provider_calls -= 1


cdef bint in_provider_call() noexcept nogil:
    return provider_calls > 0


cdef int call_one(const ct_offload_class *cls, ct_offload_op *op) noexcept nogil:
    """One operation through the single members: what a provider without batch_submit does with it."""
    cdef uint16_t reason = CT_OFFLOAD_REASON_NONE
    if op.type == CT_OFFLOAD_OP_ADD or op.type == CT_OFFLOAD_OP_POLICY:
        if cls.can_offload != NULL and not cls.can_offload(cls.user, op.ctx, &reason):
            op.reason = reason or <uint16_t> CT_OFFLOAD_REASON_PROVIDER_REFUSED
            return EPERM
        if op.type == CT_OFFLOAD_OP_POLICY:
            return 0
        return cls.conn_add(cls.user, op) if cls.conn_add != NULL else EOPNOTSUPP
    if op.type == CT_OFFLOAD_OP_EST:
        return cls.conn_established(cls.user, op) if cls.conn_established != NULL else 0
    if op.type == CT_OFFLOAD_OP_UPD:
        return cls.conn_update(cls.user, op) if cls.conn_update != NULL else ENODATA
    if op.type == CT_OFFLOAD_OP_DEL:
        return cls.conn_del(cls.user, op) if cls.conn_del != NULL else 0
    if op.type == CT_OFFLOAD_OP_WINDOW:
        return cls.conn_window(cls.user, op) if cls.conn_window != NULL else EOPNOTSUPP
    if op.type == CT_OFFLOAD_OP_FLUSH:
        return cls.flush(cls.user) if cls.flush != NULL else 0
    return EINVAL


cdef void call(Worker *w, ct_offload_op *ops, uint32_t n) noexcept nogil:
    """All of a batch, through batch_submit or one by one. Operations come in as refused: no answer is a refusal."""
    cdef uint32_t i
    enter(w)
    if w.cls.batch_submit != NULL:
        w.cls.batch_submit(w.cls.user, ops, n)
    else:
        for i in range(n):
            ops[i].error = call_one(&w.cls, &ops[i])
    leave(w)
    w.count.calls += 1
    w.count.operations += n


cdef inline bint can_be(const ct_offload_tcp_peer *peer) noexcept nogil:
    """A window that some TCP peer could have, whatever the connection."""
    return 1 <= peer.max_win <= MAX_WINDOW and peer.seq_hi - peer.seq_lo <= <uint32_t> MAX_WINDOW << MAX_WSCALE


cdef inline bint can_count(const ct_offload_counts *counts) noexcept nogil:
    return counts.packets[0] <= counts.bytes[0] and counts.packets[1] <= counts.bytes[1]


cdef void check_told(Worker *w, int op_type, ct_offload_op *result, const Told *told) noexcept nogil:
    if op_type == CT_OFFLOAD_OP_WINDOW:
        if result.error == 0 and not (can_be(&told.peer[0]) and can_be(&told.peer[1])):
            result.error = EIO
            w.count.nonsense += 1
    elif result.flags & CT_OFFLOAD_R_COUNTED:
        if result.error or (op_type != CT_OFFLOAD_OP_UPD and op_type != CT_OFFLOAD_OP_DEL):
            result.flags &= ~<uint32_t> CT_OFFLOAD_R_COUNTED
        elif not can_count(&told.counts):
            result.flags &= ~<uint32_t> CT_OFFLOAD_R_COUNTED
            w.count.nonsense += 1


cdef void check_answer(Worker *w, int op_type, ct_offload_op *result, const Told *told) noexcept nogil:
    """Turns what cannot be into an error, so that nonsense does no harm."""
    # EINPROGRESS comes here only from a thread that may not give it.
    if result.error < 0 or result.error > 4095 or result.error == EINPROGRESS:
        result.error = EIO
        result.reserved[0] = UNCERTAIN
        w.count.nonsense += 1
    if result.reason >= CT_OFFLOAD_N_REASONS:
        result.reason = CT_OFFLOAD_REASON_NONE
        w.count.nonsense += 1
    if op_type == CT_OFFLOAD_OP_UPD and result.error == 0 and (result.last_used_ms < 0 or result.sampled_ms < 0
                                                                or result.last_used_ms > w.now_ms + 1000):
        result.error = EIO
        w.count.nonsense += 1
    if told != NULL:
        check_told(w, op_type, result, told)


# --- requests of shards ---------------------------------------------------------------------------------------------

cdef void push(Worker *w, Lane *lane, const InFlight *known, const ct_offload_op *result) noexcept nogil:
    """Brings an answer back under its own name."""
    # Never NULL: the ring has room for all that can be outstanding, and each is answered once.
    cdef spsc *ring = &lane.done[1] if w.main != NULL else &lane.done[0]
    cdef ct_offload_op *out = <ct_offload_op *> spsc_reserve(ring)
    memcpy(out, result, sizeof(ct_offload_op))
    out.op_id = known.op_id
    out.conn_id = known.conn_id
    out.type = known.type
    check_answer(w, known.type, out, &lane.told[known.op_id & 0xffff])
    spsc_publish(ring)


cdef inline bint serves(Lane *lane) noexcept nogil:
    cdef uint32_t stalled = shared_get(&lane.stalled)
    return stalled == STALL_NONE or stalled == STALL_RETURNED


cdef void come_back(Worker *w, Lane *lane) noexcept nogil:
    """After a quarantine that the shard has completed: passes over what was cancelled, and says that it is back."""
    cdef int cls
    for cls in range(N_LANE_CLASSES):
        spsc_release(&lane.request[cls], shared_get(&lane.dead[cls]) - spsc_released(&lane.request[cls]))
    shared_set(&lane.stalled, STALL_RETURNED)


cdef void look_after_lanes(Worker *w) noexcept nogil:
    """Lanes in quarantine come back when both threads are out of their calls."""
    cdef uint32_t i
    if w.querier != NULL and not control_lock_take(&w.querier.lock, 0):
        return
    for i in range(w.n_lanes):
        if w.lanes[i] != NULL and shared_get(&w.lanes[i].stalled) == STALL_QUARANTINED:
            come_back(w, w.lanes[i])
    if w.querier != NULL:
        control_lock_give(&w.querier.lock)


cdef uint32_t gather_lane(Worker *w, Lane *lane, int cls, uint32_t n) noexcept nogil:
    """Copies requests of one lane behind the n already gathered; they stay in the ring until they are answered."""
    cdef uint32_t i, ready = spsc_ready(&lane.request[cls])
    cdef Request *request
    cdef InFlight *known
    if ready > BATCH_MAX - n:
        ready = BATCH_MAX - n
    # Said before the look at `stalled`: either we see the quarantine, or the shard sees what was taken.
    shared_set(&lane.taken[cls], spsc_released(&lane.request[cls]) + ready)
    if not serves(lane):
        shared_set(&lane.taken[cls], spsc_released(&lane.request[cls]))
        return 0
    for i in range(ready):
        request = <Request *> spsc_at(&lane.request[cls], i)
        memcpy(&w.batch[n + i], &request.op, sizeof(ct_offload_op))
        if cls != LANE_ADD:
            w.batch[n + i].peer = lane.told[request.op.op_id & 0xffff].peer
            if request.op.type == CT_OFFLOAD_OP_WINDOW:
                memset(w.batch[n + i].peer, 0, sizeof(Told))
        known = &lane.in_flight[request.op.op_id & 0xffff]
        w.origin[n + i].known = known
        w.origin[n + i].lane = lane
        known.op_id = request.op.op_id
        known.conn_id = request.op.conn_id
        known.type = request.op.type
    return ready


cdef uint32_t run_class(Worker *w, int cls) noexcept nogil:
    """One batch of one class, over all shards."""
    cdef uint32_t taken[255]
    cdef uint32_t i, at, n = 0
    cdef InFlight *known
    for i in range(w.n_lanes):
        at = (w.first_lane + i) % w.n_lanes
        # Where events wait, no new request is taken: what it brings may not overtake them.
        taken[at] = 0
        if w.lanes[at] != NULL and not w.is_behind[at] and n < BATCH_MAX:
            taken[at] = gather_lane(w, w.lanes[at], cls, n)
        n += taken[at]
    if n == 0:
        return 0
    call(w, w.batch, n)
    for i in range(w.n_lanes):
        if w.lanes[i] != NULL and taken[i]:
            spsc_release(&w.lanes[i].request[cls], taken[i])
    for i in range(n):
        known = w.origin[i].known
        if w.batch[i].error == EINPROGRESS and w.main == NULL:
            continue
        if known.op_id == 0:
            w.count.nonsense += 1      # completed within the call and answered as well
            continue
        push(w, w.origin[i].lane, known, &w.batch[i])
        known.op_id = 0
    return n


cdef void poll(Worker *w) noexcept nogil:
    if w.cls.poll == NULL:
        w.next_ms = w.now_ms + 1000
        return
    enter(w)
    w.next_ms = w.cls.poll(w.cls.user, w.now_ms)
    leave(w)
    w.count.polls += 1


cdef uint32_t worker_run_once(Worker *w, int64_t now_ms) noexcept nogil:
    cdef uint32_t n = 0
    cdef int cls
    if provider_calls > 0 or not control_lock_take(&w.lock, 100):
        return 0
    shared_set(&w.stalled, 0)
    w.now_ms = now_ms
    if w.main != NULL:
        n = run_class(w, LANE_QUERY)
    else:
        flush_backlog(w)
        look_after_lanes(w)
        poll(w)
        for cls in range(N_LANE_CLASSES):
            if cls != LANE_QUERY or w.querier == NULL:
                n += run_class(w, cls)
    if w.n_lanes:
        w.first_lane = (w.first_lane + 1) % w.n_lanes
    control_lock_give(&w.lock)
    return n


cdef void worker_loop(Worker *w) noexcept nogil:
    cdef uint32_t idle_us = 0
    while not shared_get(&w.stop):
        if worker_run_once(w, clock_ms()):
            idle_us = 0
        else:
            idle_us = min(idle_us + 20, <uint32_t> IDLE_PAUSE_MAX_US)
            pause_us(idle_us)


# --- what a provider says by itself ---------------------------------------------------------------------------------

cdef void host_complete(void *cookie, uint64_t op_id, const ct_offload_op *result) noexcept nogil:
    worker_complete(<Worker *> cookie, op_id, result)


cdef void host_event(void *cookie, uint64_t conn_id, ct_offload_event event) noexcept nogil:
    worker_event(<Worker *> cookie, conn_id, <int> event, NULL)


cdef void host_lost(void *cookie, uint64_t conn_id, const ct_offload_op *how) noexcept nogil:
    worker_event(<Worker *> cookie, conn_id, CT_OFFLOAD_EVENT_LOST, how)


cdef int worker_complete(Worker *w, uint64_t op_id, const ct_offload_op *result) noexcept nogil:
    cdef uint32_t shard = CT_OFFLOAD_ID_SHARD(op_id), index = <uint32_t> (op_id & 0xffff)
    cdef Lane *lane
    if w.thread != thread_self():
        w.count.misplaced += 1
        return EPERM
    if shard == DIRECT_SHARD:
        return complete_direct(w, op_id, index, result)
    lane = w.lanes[shard]
    if (lane == NULL or index >= lane.n_tags or lane.in_flight[index].op_id != op_id or result == NULL
            or result.error == EINPROGRESS):
        w.count.nonsense += 1
        return ENOENT
    take_told(lane.in_flight[index].type, &lane.told[index], result)
    push(w, lane, &lane.in_flight[index], result)
    lane.in_flight[index].op_id = 0
    return 0


cdef void take_told(int op_type, void *told, const ct_offload_op *result) noexcept nogil:
    """What a completion says beyond its operation; one that says nothing leaves what was written before."""
    if result.peer != NULL and (op_type == CT_OFFLOAD_OP_WINDOW or op_type == CT_OFFLOAD_OP_UPD
                                or op_type == CT_OFFLOAD_OP_DEL):
        memcpy(told, result.peer, sizeof(Told))


cdef int complete_direct(Worker *w, uint64_t op_id, uint32_t index, const ct_offload_op *result) noexcept nogil:
    if index >= w.n_direct or w.direct[index].op_id != op_id or result == NULL or result.error == EINPROGRESS:
        w.count.nonsense += 1
        return ENOENT
    # Kept apart until the call is over: the provider may answer EINPROGRESS after it has completed.
    take_direct(&w.direct[index], result)
    take_told(w.direct[index].type, w.direct[index].peer, result)
    w.direct[index].op_id = 0
    return 0


cdef int worker_event(Worker *w, uint64_t conn_id, int kind, const ct_offload_op *how) noexcept nogil:
    cdef uint32_t shard = CT_OFFLOAD_ID_SHARD(conn_id)
    cdef ct_offload_op event
    cdef Lane *lane
    if w.thread != thread_self():
        w.count.misplaced += 1
        return EPERM
    w.count.events += 1
    memset(&event, 0, sizeof(event))
    event.conn_id = conn_id
    event.type = EVENT_TYPE | kind
    if how != NULL:
        take_loss(w, &event, how)
    lane = w.lanes[shard] if shard < MAX_SHARDS else NULL
    if lane != NULL and not w.is_behind[shard] and put_event(lane, &event):
        return 0
    if shard != DIRECT_SHARD and (lane == NULL or kind != CT_OFFLOAD_EVENT_LOST):
        w.count.events_dropped += 1    # a hint, or of nobody
        return 0
    return keep_event(w, &event)


cdef void take_loss(Worker *w, ct_offload_op *event, const ct_offload_op *how) noexcept nogil:
    """How a connection was lost; what cannot be does no harm."""
    event.error = how.error
    event.reason = how.reason
    check_answer(w, CT_OFFLOAD_OP_EST, event, NULL)
    if how.flags & CT_OFFLOAD_R_COUNTED and how.counts != NULL:
        if can_count(how.counts):
            event.flags = CT_OFFLOAD_R_COUNTED
            memcpy(event_counts(event), how.counts, sizeof(ct_offload_counts))
        else:
            w.count.nonsense += 1


cdef bint put_event(Lane *lane, const ct_offload_op *event) noexcept nogil:
    # Results keep their room: one per operation that can be outstanding.
    if lane.done[0].size - spsc_depth(&lane.done[0]) <= lane.n_tags:
        return False
    memcpy(spsc_reserve(&lane.done[0]), event, sizeof(ct_offload_op))
    spsc_publish(&lane.done[0])
    return True


cdef int keep_event(Worker *w, const ct_offload_op *event) noexcept nogil:
    cdef uint32_t shard = CT_OFFLOAD_ID_SHARD(event.conn_id)
    cdef ct_offload_op *more
    if w.n_backlog == w.backlog_size:
        more = <ct_offload_op *> realloc(w.backlog, (w.backlog_size + 256) * sizeof(ct_offload_op))
        if more == NULL:
            w.count.events_dropped += 1
            return ENOMEM
        w.backlog = more
        w.backlog_size += 256
    w.backlog[w.n_backlog] = event[0]
    w.n_backlog += 1
    if shard < MAX_SHARDS:
        w.is_behind[shard] = True
    else:
        shared_add(&w.n_direct_events, 1)
    return 0


cdef void flush_backlog(Worker *w) noexcept nogil:
    """What a full ring held up goes first, in order; events of direct connections stay."""
    cdef uint32_t i, kept = 0, shard
    memset(w.is_behind, 0, sizeof(w.is_behind))
    for i in range(w.n_backlog):
        shard = CT_OFFLOAD_ID_SHARD(w.backlog[i].conn_id)
        if shard != DIRECT_SHARD:
            if w.lanes[shard] == NULL:
                continue
            if not w.is_behind[shard] and put_event(w.lanes[shard], &w.backlog[i]):
                continue
            w.is_behind[shard] = True
        w.backlog[kept] = w.backlog[i]
        kept += 1
    w.n_backlog = kept


cdef bint worker_take_direct_event(Worker *w, ct_offload_op *event) noexcept nogil:
    cdef uint32_t i
    cdef bint found = False
    if shared_get(&w.n_direct_events) == 0 or not control_lock_take(&w.lock, 100):
        return False
    for i in range(w.n_backlog):
        if CT_OFFLOAD_ID_SHARD(w.backlog[i].conn_id) == DIRECT_SHARD:
            event[0] = w.backlog[i]
            w.n_backlog -= 1
            memmove(&w.backlog[i], &w.backlog[i + 1], (w.n_backlog - i) * sizeof(ct_offload_op))
            shared_add(&w.n_direct_events, <uint32_t> -1)
            found = True
            break
    control_lock_give(&w.lock)
    return found


# --- direct operations ----------------------------------------------------------------------------------------------

cdef bint worker_watch(Worker *w, int64_t now_ms, uint32_t limit_ms) noexcept nogil:
    cdef int64_t since = shared_time_get(&w.call_since)
    cdef uint32_t i
    if w.querier != NULL and worker_watch(w.querier, now_ms, limit_ms):
        return True
    if since == 0 or now_ms - since <= limit_ms or shared_get(&w.stalled):
        return False
    shared_set(&w.stalled, 1)
    w.count.stalls += 1
    for i in range(w.n_lanes):
        if w.lanes[i] != NULL:
            shared_swap_if(&w.lanes[i].stalled, STALL_NONE, STALL_SEEN)
            shared_swap_if(&w.lanes[i].stalled, STALL_RETURNED, STALL_SEEN)
    return True


cdef int worker_call(Worker *w, ct_offload_op *ops, uint32_t n, int64_t now_ms, uint32_t limit_ms) noexcept nogil:
    if provider_calls > 0:
        return EDEADLK
    if shared_get(&w.stalled):
        return ETIMEDOUT
    if n > DIRECT_MAX:
        return EINVAL
    cdef ct_offload_op *answers = <ct_offload_op *> calloc(n or 1, sizeof(ct_offload_op))
    if answers == NULL:
        return ENOMEM
    if not control_lock_take(&w.lock, limit_ms):
        free(answers)
        return ETIMEDOUT
    w.now_ms = now_ms
    w.direct = answers
    w.n_direct = n
    call_direct(w, ops, n)
    wait_direct(w, ops, limit_ms)
    w.n_direct = 0
    w.direct = NULL
    shared_set(&w.stalled, 0)
    control_lock_give(&w.lock)
    free(answers)
    return 0


cdef void call_direct(Worker *w, ct_offload_op *ops, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        w.direct_seq += 1
        ops[i].error = EOPNOTSUPP
        ops[i].op_id = (<uint64_t> DIRECT_SHARD << 56) | ((w.direct_seq & <uint64_t> 0xffffffffff) << 16) | i
        w.direct[i].op_id = ops[i].op_id
        w.direct[i].type = ops[i].type
        w.direct[i].conn_id = ops[i].conn_id
        w.direct[i].peer = ops[i].peer
    call(w, ops, n)
    for i in range(n):
        ops[i].type = w.direct[i].type
        ops[i].conn_id = w.direct[i].conn_id
        ops[i].peer = w.direct[i].peer


cdef void wait_direct(Worker *w, ct_offload_op *ops, uint32_t limit_ms) noexcept nogil:
    """Polls until all that answered EINPROGRESS are complete."""
    cdef int64_t until = 0
    cdef uint32_t i = 0
    while i < w.n_direct:
        if ops[i].error != EINPROGRESS:
            i += 1
        elif w.direct[i].op_id == 0:
            take_direct(&ops[i], &w.direct[i])
            i += 1
        elif until and clock_ms() > until:
            ops[i].error = ETIMEDOUT
            i += 1
        else:
            until = until or clock_ms() + limit_ms
            poll(w)
    for i in range(w.n_direct):
        check_answer(w, ops[i].type, &ops[i], <const Told *> w.direct[i].peer)


cdef void take_direct(ct_offload_op *op, const ct_offload_op *answer) noexcept nogil:
    op.error = answer.error
    op.reason = answer.reason
    op.handle = answer.handle
    op.flags = answer.flags
    op.last_used_ms = answer.last_used_ms
    op.sampled_ms = answer.sampled_ms
