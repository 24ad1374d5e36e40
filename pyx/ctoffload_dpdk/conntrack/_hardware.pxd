# What the offload layer is told of connections, and what it tells of them.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport HW_INSTALLED, HW_PUSHED, CONN_HARDWARE, Shard
from ctoffload_dpdk.offload._shard cimport OffloadShard

# Joins a shard with its shard of the layer.
cdef void hardware_attach(Shard *shard, OffloadShard *offload) noexcept nogil
# Everything is wanted out, and the layer asks this shard nothing any more.
cdef void hardware_detach(Shard *shard) noexcept nogil
# A connection was committed.
cdef void hardware_begin(Shard *shard, uint32_t slot) noexcept nogil
# A packet was judged: it may establish the connection, close it, or prove a close false.
cdef void hardware_packet(Shard *shard, uint32_t slot, const Parsed *parsed, uint8_t update, bint reply,
                          int64_t now_ms) noexcept nogil
# Its software timeout ran out: True where the NIC has to be asked before it may end.
cdef bint hardware_defers_expiry(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil
# Asks the NIC of a connection that is in it: when it was used, what was carried. False where that is under way or is not so.
cdef bint hardware_ask(Shard *shard, uint32_t slot) noexcept nogil
# Offers a connection that is not in hardware: one that was refused may be taken now, as after a port of its came back.
cdef void hardware_offer(Shard *shard, uint32_t slot) noexcept nogil
# After a switching, offers the connections it did not offer while the gate was shut: n_slots slots a call.
cdef void hardware_offer_again(Shard *shard, uint32_t n_slots) noexcept nogil


# Packets may pass software by, so that idleness in software proves nothing.
cdef inline bint is_in_nic(const Shard *shard, uint32_t slot) noexcept nogil:
    return (shard.conns[slot].flags & CONN_HARDWARE
            and shard.hardware[slot].flags & (HW_PUSHED | HW_INSTALLED)) != 0


# Whether packets and users find it: its time is not up, or only the NIC can say so.
cdef inline bint is_visible(const Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    return shard.conns[slot].expires_ms > now_ms or is_in_nic(shard, slot)
