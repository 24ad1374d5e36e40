# Connections that helpers expect: what a control connection announced and has not begun yet. The shards of a group have one
# table, under a lock: the connection may come to any of them, and its first packet must find what another one's announced.
from libc.stdint cimport uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Expectation, Expectations, Shard

# Adds one for the connection of that slot; one of the same tuple stays as it is. False: there are too many, or no memory.
cdef bint expect(Shard *shard, uint32_t parent, const Expectation *wanted) noexcept nogil
# Fills in the one a packet without a connection answers to; False: none.
cdef bint expected(const Shard *shard, const Parsed *parsed, Expectation *found) noexcept nogil
# The connection of that slot ends: nothing is expected for it any more.
cdef void expect_no_more(Shard *shard, uint32_t parent) noexcept nogil
cdef Expectations *expectations_new() noexcept nogil
cdef void expectations_free(Expectations *all) noexcept nogil
