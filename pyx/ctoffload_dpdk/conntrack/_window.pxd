# Windows of connections whose packets the NIC may have carried: excused while it may, learnt anew afterwards.
from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.conntrack._segment cimport Segment
from ctoffload_dpdk.conntrack._state cimport Shard

# Takes what both sides say of each other; ends relearning once each acknowledged the other.
cdef void learn_window(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil
# True where a segment outside the window is let through without effect. Remembers FIN, and cuts the timeout on RST.
cdef bint excuse(Shard *shard, uint32_t slot, const Segment *segment, int64_t now_ms) noexcept nogil
# A segment was inside: a window that was read back stands once both sides had one after the removal.
cdef void confirm_window(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil
# An RST that could not be judged was no end: the whole timeout again.
cdef void restore_timeout(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil
# An acknowledgement of a FIN that was remembered makes it count; True where it did.
cdef bint settle_fin(Shard *shard, uint32_t slot, const Segment *segment) noexcept nogil
