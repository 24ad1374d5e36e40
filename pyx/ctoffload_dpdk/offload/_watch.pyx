"""Watches the calls of providers, without the GIL, and says on standard error which one does not come back."""
from libc.stdio cimport fprintf, stderr

from ctoffload_dpdk.offload._worker cimport worker_watch
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_MAX_PROVIDERS
from ctoffload_dpdk.offload.libspsc cimport (
    clock_ms, control_lock_fini, control_lock_give, control_lock_init, control_lock_take, pause_us, shared_get)

cdef enum:
    LOOK_EVERY_US = 10000


cdef void watched_init(Watched *w, uint32_t limit_ms) noexcept nogil:
    control_lock_init(&w.lock)
    w.limit_ms = limit_ms


cdef void watched_fini(Watched *w) noexcept nogil:
    control_lock_fini(&w.lock)


cdef void watched_set(Watched *w, int index, Worker *worker) noexcept nogil:
    while not control_lock_take(&w.lock, 1000):
        pass
    w.worker[index] = worker
    control_lock_give(&w.lock)


cdef int watched_look(Watched *w, int64_t now_ms) noexcept nogil:
    cdef int i, n = 0
    if not control_lock_take(&w.lock, 1000):
        return 0
    for i in range(CT_OFFLOAD_MAX_PROVIDERS):
        if w.worker[i] != NULL and worker_watch(w.worker[i], now_ms, w.limit_ms):
            n += 1
            fprintf(stderr, "ctoffload: provider %s has not come back from a call for more than %u ms; it is "
                    "quarantined, its connections go on in software\n", w.worker[i].cls.name, w.limit_ms)
    control_lock_give(&w.lock)
    return n


cdef void watched_loop(Watched *w) noexcept nogil:
    while not shared_get(&w.stop):
        watched_look(w, clock_ms())
        pause_us(LOOK_EVERY_US)
