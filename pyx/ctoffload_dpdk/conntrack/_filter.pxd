# Conditions over a connection, as the filters of conntrack(8) have them: over the table itself, and over records of it.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._state cimport Record, Shard

# Which conditions count.
cdef enum:
    WANTS_PROTO = 1
    WANTS_ZONE = 2
    WANTS_OFFLOAD = 4
    WANTS_REASON = 8
    WANTS_SRC_PORT = 16
    WANTS_DST_PORT = 32
    WANTS_MARK = 64
    WANTS_STATE = 128
    WANTS_LABEL = 256

# Places of the four addresses: of the original direction, and of the replies.
cdef enum:
    ADDRESS_SRC = 0
    ADDRESS_DST = 1
    ADDRESS_REPLY_SRC = 2
    ADDRESS_REPLY_DST = 3
    N_ADDRESSES = 4

cdef struct Network:
    uint8_t family           # 0: any address
    uint8_t address[16]
    uint8_t mask[16]

# Conditions that all hold.
cdef struct Wanted:
    uint32_t conditions      # WANTS_*
    Network networks[N_ADDRESSES]
    uint64_t label[2]        # under the mask
    uint64_t label_mask[2]
    uint32_t mark
    uint32_t mark_mask
    uint16_t zone
    uint16_t reason
    uint16_t src_port
    uint16_t dst_port
    uint8_t proto
    uint8_t offload
    uint8_t tcp_state
    bint is_empty            # every connection fits

cdef bint record_fits(const Wanted *wanted, const Record *record) noexcept nogil
# The same of a connection in the table, without making a record of it.
cdef bint slot_fits(const Wanted *wanted, Shard *shard, uint32_t slot) noexcept nogil
# Conditions by name, as Conditions has them.
cdef int set_wanted(Wanted *wanted, dict conditions) except -1


cdef class Conditions:
    cdef Wanted wanted
