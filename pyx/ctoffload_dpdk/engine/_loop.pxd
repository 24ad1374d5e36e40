# One loop: receive on its ports, track, apply the policy, transmit, turn the layer, expire a slice.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._conntrack cimport Action, NatAction, Packet, Shard, Verdict
from ctoffload_dpdk.conntrack._fragments cimport Fragments, Line
from ctoffload_dpdk.conntrack._group cimport Group
from ctoffload_dpdk.conntrack._packet cimport HelperChoice
from ctoffload_dpdk.conntrack._policy cimport Policy
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mbuf
from ctoffload_dpdk.engine._classify cimport N_UNTRACKED
from ctoffload_dpdk.engine._tap cimport PacketTap, Tap
from ctoffload_dpdk.engine._zones cimport PortZones
from ctoffload_dpdk.offload._shard cimport OffloadShard
from ctoffload_dpdk.offload.libspsc cimport shared_word

cdef enum:
    MAX_ENDS = 16
    MAX_HELPERS = 16
    BURST = 32
    DATAGRAMS = 16          # whose time is up, dropped in one turn at most

cpdef enum Drop:
    DROP_INVALID = 0        # ct_state inv, where the settings say drop
    DROP_TX_FULL = 1        # the other port took no more
    DROP_NO_PEER = 2        # the port has no other side to send to
    DROP_NOT_LINEAR = 3     # a chain of buffers that could not be made one
    DROP_FRAGMENT = 4       # where the settings say drop
    DROP_INCOMPLETE = 5     # a fragment whose datagram never became whole
    DROP_EVICTED = 6        # a fragment that made room for others: as many were held as may be
    DROP_DENIED = 7         # of a connection that the policy denies
    DROP_HAND_OVER = 8      # it is for another loop, and the ring to that is full
    N_DROPS = 9
    GONE = 255              # in Work.drop: another loop has it

# What becomes of fragments.
cpdef enum FragmentPolicy:
    FRAGMENTS_TRACK = 0     # held, judged as the whole datagram, sent on as they came
    FRAGMENTS_PASS = 1      # untracked
    FRAGMENTS_DROP = 2

# One port as the loop uses it.
cdef struct End:
    uint16_t ethdev
    uint16_t index
    uint16_t queue          # of software, each way
    bint receives           # False: the queue is the first loop's
    bint shares_queue       # all loops send by that one
    int32_t peer            # index of the port packets leave by; -1: none; its own: hairpin
    uint32_t port_id        # in the layer
    uint32_t port_generation
    PortZones zones
    NatAction nat           # of connections that begin here
    bint up

cdef struct LoopCounts:
    uint64_t host_rx
    uint64_t host_tx
    uint64_t tracked
    uint64_t dropped[9]
    uint64_t untracked[5]

# Packets of a burst that are judged together; indexes are those of the buffers.
cdef struct Work:
    Packet packets[BURST]
    Verdict verdicts[BURST]
    uint8_t tracked_at[BURST]
    uint8_t drop[BURST]     # Drop + 1; 0: sent on
    uint32_t n_tracked


cdef class Loop:
    cdef Shard *shard
    cdef Group *group           # NULL: this loop is alone
    cdef OffloadShard *offload
    cdef End ends[MAX_ENDS]
    cdef int n_ends
    cdef Action action
    cdef HelperChoice helpers[MAX_HELPERS]
    cdef bint translates        # some port has a translation, so packets of all are translated where their connection is
    cdef Policy policy          # keeps the rules alive that `action` points to
    cdef bint drop_invalid
    cdef int fragment_policy    # FragmentPolicy
    cdef Fragments *fragments   # the shard's; what it holds are buffers, known by their address
    cdef Line *lines            # what the fragment tracker says of one packet
    cdef uint32_t expire_budget_us
    cdef LoopCounts counts
    cdef Tap *tap               # NULL: nobody captures
    cdef PacketTap tapped       # keeps it alive
    cdef object conntrack       # keeps the shard alive
    cdef object layer
    cdef shared_word stopping
    cdef shared_word is_eager   # turns without a nap also where nothing comes
    cdef uint32_t turn(self, int64_t now_ms) noexcept nogil
    cdef int require_open(self, str op) except -1
    cdef void turns(self) noexcept nogil
    cdef uint32_t take_over(self, int64_t now_ms) noexcept nogil
    cdef void take_from(self, const Packet *packets, uint32_t n, int64_t now_ms) noexcept nogil
    cdef void burst(self, End *end, rte_mbuf **mbufs, uint16_t n, int64_t now_ms) noexcept nogil
    cdef void judge(self, End *end, rte_mbuf **mbufs, uint16_t n, Work *work, int64_t now_ms) noexcept nogil
    cdef void fragment(self, End *end, rte_mbuf *mbuf, const Packet *packet, int64_t now_ms) noexcept nogil
    cdef void finish(self, End *end, rte_mbuf **mbufs, uint16_t n, Work *work, int64_t now_ms) noexcept nogil
    cdef bint fragment_goes(self, End *end, rte_mbuf *mbuf, const Packet *packet) noexcept nogil
    cdef uint32_t datagram_goes(self, uint32_t first, uint32_t n) noexcept nogil
    cdef void let_go(self, uint32_t n, int64_t now_ms) noexcept nogil
    cdef uint8_t verdict_drop(self, const Verdict *verdict) noexcept nogil
    cdef bint is_gone(self, const Line *line) noexcept nogil
    cdef uint8_t drop_of(self, const Line *line) noexcept nogil
    cdef End *end_of(self, uint16_t ethdev) noexcept nogil
    cdef void send(self, End *end, rte_mbuf **mbufs, uint16_t n, const uint8_t *drop) noexcept nogil
