# One generic layer: its shards, its providers, and what the control thread says to both.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ctoffload_dpdk.offload._direct cimport Direct, Route
from ctoffload_dpdk.offload._eligibility cimport Policy
from ctoffload_dpdk.offload._lane cimport Lane
from ctoffload_dpdk.offload._provider cimport Provider
from ctoffload_dpdk.offload._shard cimport Control, OffloadShard
from ctoffload_dpdk.offload._watch cimport Watched

cdef struct RetiredLane:
    Lane *lane
    uint32_t shard
    uint32_t turns           # of its shard when it was retired


cdef class OffloadLayer:
    cdef Control *control
    cdef OffloadShard *_shards[255]
    cdef RetiredLane *retired
    cdef uint32_t n_retired
    cdef uint32_t _n_shards
    cdef uint32_t budget[3]
    cdef object _slots       # Provider or None, by index
    cdef object _standing    # names that are active without a port
    cdef object _leaving     # names that are being unregistered
    cdef object _builtins    # factories by name
    cdef Policy **_policies  # all that were ever published: a shard may still read an older one
    cdef uint32_t _n_policies
    cdef readonly object eligibility
    cdef Direct direct
    cdef Watched *watched
    cdef object _watch       # its thread
    cdef readonly uint64_t n_direct_aged
    cdef readonly object ports
    cdef readonly object classes
    cdef readonly object switch
    cdef readonly bint is_threaded
    cdef readonly bint is_closed
    cdef int64_t now_ms
    cdef object __weakref__

    # The shard of that number; NULL where there is none. Valid until the layer is closed.
    cdef OffloadShard *shard(self, uint32_t shard) noexcept
    cdef bint attach_lane(self, uint32_t shard, Provider provider) except False
    cdef void drop_shard(self, uint32_t number)
    cdef void retire_lane(self, uint32_t shard, int provider)
    cdef void free_retired(self, bint all_)
    cdef void forget(self, Provider provider)
    cdef void fill_route(self, Route *route, object now_ms)
    cdef void take_direct_events(self, Route *route)
