# A tap on a loop: copies of the packets that software handles, with what it made of them, for a capture.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._conntrack cimport Shard, Verdict
from ctoffload_dpdk.conntrack._filter cimport Wanted
from ctoffload_dpdk.conntrack._state cimport Record
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mbuf
from ctoffload_dpdk.offload.libspsc cimport shared_word

# What stands before the bytes of a packet in the ring. `record` is zero where there is no connection.
cdef struct TapEntry:
    uint32_t size            # of the entry with its bytes, a multiple of 8; 0: the rest of the ring is unused
    uint32_t captured
    int64_t time_ns
    uint32_t length          # on the wire
    uint8_t port             # index in the loop, where it came in
    uint8_t state            # CS_*
    uint8_t refusal          # Refusal
    uint8_t dropped          # 1 + Drop, 0: it was sent on
    uint8_t untracked        # Untracked, 0: it was tracked
    uint8_t reserved[7]
    Record record

# One producer, the loop; one consumer, whoever writes the capture. Positions only grow; they differ by what is in use.
cdef struct Tap:
    uint8_t *ring
    uint32_t ring_bytes      # a power of two
    shared_word head
    shared_word tail
    uint32_t snaplen
    Wanted wanted            # packets without a connection fit where it is empty
    uint64_t captured
    uint64_t dropped         # fitted, but the ring was full

cdef void tap_burst(Tap *tap, Shard *shard, uint8_t port, rte_mbuf **mbufs, uint16_t n, const uint8_t *tracked_at,
                    uint32_t n_tracked, const Verdict *verdicts, const uint8_t *drop, int64_t now_ms) noexcept nogil


cdef class PacketTap:
    cdef Tap tap
