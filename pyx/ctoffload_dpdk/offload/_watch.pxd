# The watch over providers' calls: a thread that needs no GIL, so that one that keeps the GIL is seen as well.
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.offload._worker cimport Worker
from ctoffload_dpdk.offload.libspsc cimport control_lock, shared_word

cdef struct Watched:
    control_lock lock        # of the table of workers
    Worker *worker[8]
    uint32_t limit_ms        # a call that takes longer is reported, its provider quarantined
    shared_word stop

cdef void watched_init(Watched *watched, uint32_t limit_ms) noexcept nogil
cdef void watched_fini(Watched *watched) noexcept nogil
cdef void watched_set(Watched *watched, int index, Worker *worker) noexcept nogil
# One look at every worker; how many have just gone over the limit.
cdef int watched_look(Watched *watched, int64_t now_ms) noexcept nogil
cdef void watched_loop(Watched *watched) noexcept nogil
