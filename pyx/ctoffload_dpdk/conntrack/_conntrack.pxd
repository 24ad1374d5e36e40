# The software engine as a loop uses it: a burst of packets in, a verdict each out.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.offload._shard cimport OffloadShard

# ct_state bits, with OVS's names and values.
cpdef enum CtState:
    CS_NEW = 0x01
    CS_ESTABLISHED = 0x02
    CS_RELATED = 0x04
    CS_REPLY_DIR = 0x08
    CS_INVALID = 0x10
    CS_TRACKED = 0x20
    CS_SRC_NAT = 0x40
    CS_DST_NAT = 0x80

# What the receiver knows of the checksums. None of a pair: unknown, verified in software.
cpdef enum PacketFlags:
    PKT_L3_GOOD = 1
    PKT_L3_BAD = 2
    PKT_L4_GOOD = 4
    PKT_L4_BAD = 8

# One received packet. `data` starts at the Ethernet header and is contiguous.
cdef struct Packet:
    const uint8_t *data
    uint32_t length
    uint32_t flags
    uint32_t port_id         # where it arrived, CT_OFFLOAD_NO_PORT if nowhere
    uint32_t port_generation
    uint16_t zone

# The ct() action applied to a burst.
cdef struct Action:
    bint commit
    bint force
    uint32_t mark
    uint32_t mark_mask
    uint64_t label[2]
    uint64_t label_mask[2]
    uint32_t timeout_policy

cdef struct Verdict:
    uint64_t conn_id         # 0 where no connection was found or made
    uint32_t mark
    uint8_t state            # CS_*
    uint8_t reason           # why no connection was made: 0, or one of the engine's refusals

cdef struct Shard

cdef void ct_burst(Shard *shard, const Packet *packets, uint32_t n, const Action *action, int64_t now_ms,
                   Verdict *verdicts) noexcept nogil
# One slice of expiry, at most budget_us long. Returns how many connections were looked at.
cdef uint32_t ct_expire(Shard *shard, int64_t now_ms, uint32_t budget_us) noexcept nogil

cdef class Conntrack:
    """Owns one shard. Python's view of it is in _conntrack.pyi."""
    cdef Shard *shard
