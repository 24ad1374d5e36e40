# The beginning and the end of connections, what is counted and told of it.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._packet cimport Action
from ctoffload_dpdk.conntrack._state cimport Conn, Nat, Record, Shard

cdef enum EventKind:
    EVENT_NEW = 1
    EVENT_UPDATE = 2
    EVENT_DESTROY = 3
    EVENT_OFFLOADED = 4      # both directions are in the NIC
    EVENT_RETURNED = 5       # out of the NIC again, and goes on in software; the record says why

# A new connection, translated where nat is not NULL; 0 and a Refusal where there is no room.
cdef uint32_t conn_begin(Shard *shard, const Parsed *parsed, const Action *action, const Nat *nat, int64_t now_ms,
                         uint8_t *refusal) noexcept nogil
# Ends it at once: it is found no more. Its slot is free when no provider holds anything of it.
cdef void conn_end(Shard *shard, uint32_t slot, int cause, int64_t now_ms) noexcept nogil
# Which of Zone.of counts a protocol: its place in PROTOCOL_GROUPS of text.py.
cdef int group_of(uint8_t proto) noexcept nogil
# Counts it as one in the state that it came to. before: the state it was counted in.
cdef void count_state(Shard *shard, const Conn *conn, uint8_t before) noexcept nogil
# Whether its time ran out after FIN or RST, or by idleness.
cdef int cause_of_timeout(const Shard *shard, uint32_t slot) noexcept nogil
# Gives slots back that providers let go of; looks at a few of those that wait.
cdef void release_held(Shard *shard, uint32_t at_most) noexcept nogil
cdef void release_one(Shard *shard, uint32_t slot) noexcept nogil
# Where it is: 0 not in hardware, 1 pending, 2 in hardware; why not, and a provider's errno.
cdef uint8_t conn_offload(Shard *shard, uint32_t slot, uint16_t *reason, int *error) noexcept nogil
cdef void conn_record(Shard *shard, uint32_t slot, int64_t now_ms, Record *record) noexcept nogil
cdef void tell(Shard *shard, uint32_t slot, int kind, int cause, int64_t now_ms) noexcept nogil
