# Timing wheel: what it costs follows what is due. A packet writes only expires_ms; a connection found too early is put
# back for its real time.
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.conntrack._state cimport Shard

cdef void wheel_open(Shard *shard, int64_t now_ms) noexcept nogil
cdef void wheel_put(Shard *shard, uint32_t slot, int64_t check_ms) noexcept nogil
cdef void list_put(Shard *shard, uint32_t slot, uint32_t list_number) noexcept nogil
cdef void list_append(Shard *shard, uint32_t slot, uint32_t list_number) noexcept nogil
cdef void list_remove(Shard *shard, uint32_t slot) noexcept nogil
# Takes every bucket whose time has come off the wheel, onto the due list.
cdef void wheel_turn(Shard *shard, int64_t now_ms) noexcept nogil
# The next slot of a list, unlinked; 0 where it is empty.
cdef uint32_t list_pop(Shard *shard, uint32_t list_number) noexcept nogil
