# The software engine as a loop uses it: a burst of packets in, a verdict each out.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._fragments cimport Fragments
from ctoffload_dpdk.conntrack._packet cimport (
    CS_DST_NAT, CS_ESTABLISHED, CS_INVALID, CS_NEW, CS_RELATED, CS_REPLY_DIR, CS_SRC_NAT, CS_TRACKED, PKT_L3_BAD,
    PKT_L3_GOOD, PKT_L4_BAD, PKT_L4_GOOD, Action, CtState, NatAction, Packet, PacketFlags, Refusal, Verdict,
)
from ctoffload_dpdk.conntrack._state cimport Shard
from ctoffload_dpdk.offload._shard cimport OffloadShard

cdef void ct_burst(Shard *shard, const Packet *packets, uint32_t n, const Action *action, int64_t now_ms,
                   Verdict *verdicts) noexcept nogil
# One slice of expiry, at most budget_us long. Returns how many connections were looked at.
cdef uint32_t ct_expire(Shard *shard, int64_t now_ms, uint32_t budget_us) noexcept nogil
# Tells the time. Notices of the offload layer are taken at the latest time told: call it, or ct_expire, before shard_turn.
cdef void ct_now(Shard *shard, int64_t now_ms) noexcept nogil
# Joins the shard with its shard of the offload layer, while no connection is there.
cdef void ct_attach(Shard *shard, OffloadShard *offload) noexcept nogil
# Makes what fragments_track (_fragments.pxd) needs; False without memory. A loop that wants datagrams put together asks
# is_fragment of each packet, sends the others through ct_burst as before, and calls fragments_expire now and then.
cdef bint ct_hold_fragments(Shard *shard) noexcept nogil


cdef class Conntrack:
    """Owns one shard. Python's view of it is in _conntrack.pyi."""
    cdef Shard *shard
    cdef readonly bint is_closed
    cdef object layer        # keeps the offload shard alive
    cdef object group        # and the group
    cdef readonly uint64_t n_tracked
    cdef list borrowed       # (token of its first, Packets) whose fragments are held where they are
    cdef uint32_t n_holds    # by the one visitor, who may hold what it holds already
    cdef object __weakref__
    cdef Shard *opened(self) except NULL
    cdef Fragments *_fragments(self) except NULL
    cdef object _give_back(self, Fragments *fragments)
