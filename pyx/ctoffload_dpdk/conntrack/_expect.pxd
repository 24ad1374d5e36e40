# Connections that helpers expect: what a control connection announced and has not begun yet.
from libc.stdint cimport uint32_t

from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._state cimport Expectation, Shard

# Adds one for the connection of that slot; one of the same tuple stays as it is. False: there are too many, or no memory.
cdef bint expect(Shard *shard, uint32_t parent, const Expectation *wanted) noexcept nogil
# The one a packet without a connection answers to, NULL for none.
cdef const Expectation *expected(const Shard *shard, const Parsed *parsed) noexcept nogil
# The connection of that slot ends: nothing is expected for it any more.
cdef void expect_no_more(Shard *shard, uint32_t parent) noexcept nogil
cdef void expectations_free(Shard *shard) noexcept nogil
