# State machines of everything but TCP: phases, and what a packet of each direction makes of them.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Shard

# What a state machine says of a packet.
cdef enum Update:
    UPDATE_INVALID = 0
    UPDATE_VALID = 1
    UPDATE_VALID_NEW = 2     # fits, but nothing is established by it
    UPDATE_NEW = 3           # the old connection is over; this begins another
    UPDATE_EXCUSED = 4       # outside the window, let through because the NIC may have carried what is missing

# FIRST until a second packet, MULTIPLE until a reply. ICMP knows FIRST and BOTH only.
cpdef enum Phase:
    PHASE_FIRST = 0
    PHASE_MULTIPLE = 1
    PHASE_BOTH = 2

# Whether a packet may begin a connection.
cdef bint others_may_begin(const Parsed *parsed) noexcept nogil
cdef void others_begin(Shard *shard, uint32_t slot, uint8_t proto, int64_t now_ms) noexcept nogil
cdef uint8_t others_update(Shard *shard, uint32_t slot, uint8_t proto, bint reply, int64_t now_ms) noexcept nogil
