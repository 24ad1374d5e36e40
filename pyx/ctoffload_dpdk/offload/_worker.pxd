# One provider's worker: takes requests from the lanes of all shards, calls the provider, brings the answers back.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ctoffload_dpdk.offload._lane cimport InFlight, Lane
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_class, ct_offload_host, ct_offload_op
from ctoffload_dpdk.offload.libspsc cimport control_lock, shared_time, shared_word

cdef enum:
    BATCH_MAX = 1024         # requests handed to a provider in one call
    MAX_SHARDS = 255
    DIRECT_SHARD = 0xff      # ids of operations that no shard sent
    # op.reserved[0] of an answer: it failed so that nobody knows what is left; removed to be sure.
    UNCERTAIN = 1

# Where an operation of the batch came from, whatever the provider writes into it.
cdef struct Origin:
    InFlight *known
    Lane *lane

# Written by the worker's thread alone.
cdef struct WorkerCount:
    uint64_t calls
    uint64_t operations
    uint64_t polls
    uint64_t nonsense        # answers that name nothing outstanding, negative errnos, impossible times
    uint64_t misplaced       # complete() or event() from another thread, or outside a call
    uint64_t events
    uint64_t events_dropped
    uint64_t stalls

cdef struct Worker:
    ct_offload_class cls
    ct_offload_host host
    Worker *querier          # a second thread for queries, where the class allows one; owned
    Worker *main             # of a querier: the worker it belongs to
    Lane *lanes[255]         # by shard
    uint32_t n_lanes         # highest shard with a lane + 1
    uint32_t first_lane      # where gathering starts: turns, so that no shard is always last
    control_lock lock        # held during a turn; never two threads at once
    shared_time call_since   # monotonic ms when the present call began, 0: none
    shared_word stop
    shared_word stalled      # 1: a call is over its limit; set by the watch, cleared by the worker when it is back
    uint64_t thread          # who is in a call; 0: nobody
    int64_t now_ms
    int64_t next_ms          # when poll wants to be called
    WorkerCount count
    ct_offload_op *backlog       # events that found their ring full, and those of direct connections
    bint is_behind[255]      # by shard: events of it are in the backlog
    uint32_t n_backlog
    shared_word n_direct_events      # of those in the backlog
    uint32_t backlog_size
    ct_offload_op *direct    # answers to the direct call under way; op_id 0: complete() was called
    uint32_t n_direct
    uint64_t direct_seq
    ct_offload_op batch[1024]
    Origin origin[1024]

cdef Worker *worker_new(const ct_offload_class *cls) noexcept nogil
cdef void worker_free(Worker *worker) noexcept nogil
# The provider's own init; 0 or what it returned.
cdef int worker_init(Worker *worker) noexcept nogil
cdef void worker_fini(Worker *worker) noexcept nogil
# Control thread.
cdef bint worker_set_lane(Worker *worker, uint32_t shard, Lane *lane) noexcept nogil
# One turn: poll, then one batch of each class. Returns how many operations were handed over.
cdef uint32_t worker_run_once(Worker *worker, int64_t now_ms) noexcept nogil
# Turns until worker.stop is set. The querier has its own loop.
cdef void worker_loop(Worker *worker) noexcept nogil
# Hands operations over at once, on the caller's thread, and waits for answers that follow, limit_ms at most.
# 0, or EDEADLK from within a provider's call, ETIMEDOUT where the provider does not come back.
cdef int worker_call(Worker *worker, ct_offload_op *ops, uint32_t n, int64_t now_ms, uint32_t limit_ms) noexcept nogil
# The watch: True where a call has just gone over its limit; its lanes are marked then. Any thread, without the GIL.
cdef bint worker_watch(Worker *worker, int64_t now_ms, uint32_t limit_ms) noexcept nogil
# True on a thread that is inside a provider's call.
cdef bint in_provider_call() noexcept nogil
# What complete(), event() and, with how, lost() do, with an answer: 0, EPERM outside a call of this provider, ENOENT for
# nonsense.
cdef int worker_complete(Worker *worker, uint64_t op_id, const ct_offload_op *result) noexcept nogil
cdef int worker_event(Worker *worker, uint64_t conn_id, int kind, const ct_offload_op *how) noexcept nogil
# Takes the next event of a direct connection; False where there is none. Control thread.
cdef bint worker_take_direct_event(Worker *worker, ct_offload_op *event) noexcept nogil
