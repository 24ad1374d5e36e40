# Address translation: which addresses and ports a new connection gets, and who holds them.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Key, Parsed
from ctoffload_dpdk.conntrack._packet cimport NatAction
from ctoffload_dpdk.conntrack._state cimport Expectation, Nat, Shard
from ctoffload_dpdk.conntrack._tuple cimport Tuple

# Where else to look. Of a group's tuples a shard gives away those alone that are at home there: only it knows which are free.
cdef struct Elsewhere:
    bint is_allowed          # the first candidate decides for the other shard, before further addresses are tried here
    uint32_t shards          # where candidates are at home, by bit
    uint32_t first           # the first one's

# Finds a reply tuple that no live connection has, after the action's ranges. False: none is left here.
cdef bint nat_choose(Shard *shard, const Parsed *parsed, const NatAction *action, int64_t now_ms, Elsewhere *elsewhere,
                     Nat *nat) noexcept nogil
# The same for a connection that a helper expected: as it was announced, or not at all.
cdef bint nat_expected(Shard *shard, const Parsed *parsed, const Expectation *expectation, int64_t now_ms,
                       Elsewhere *elsewhere, Nat *nat) noexcept nogil
# True where no live connection answers to this key; one whose time is up makes room.
cdef bint key_is_free(Shard *shard, const Key *key, int64_t now_ms) noexcept nogil
# The tuple of the packets of one direction of a connection, as they arrive.
cdef void conn_tuple(const Shard *shard, uint32_t slot, bint reply, Tuple *out) noexcept nogil
