# What a connection's rules carried past software, told once: with an answer to UPD, with DEL, when they are lost.
from libc.stdint cimport int64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_query_count
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_counts
from ctoffload_dpdk.providers._rte_flow_state cimport Entry, Provider

# Of one connection: what its rules' counters said when it was last told, by direction. A rule that takes the place of
# another begins at 0, so what the old one carried untold is kept as less than nothing.
cdef struct Told:
    int64_t packets[2]
    int64_t bytes[2]

# Writes what no earlier answer told, and whether that is anything. False where the rules have no COUNT, or one of them
# could not be read: then it is told the next time.
cdef bint counted(Provider *p, Entry *entry, ct_offload_counts *counts) noexcept nogil
# What the counter of one direction's rule says; False where it has none, or its driver does not tell both numbers.
cdef bint read_count(Entry *entry, int direction, rte_flow_query_count *count) noexcept nogil
# Its rules go without being asked for: keeps what no answer told, for whoever is told of it. Where the rule of `direction`
# is gone already, `last` is what its counter said; NULL: neither is.
cdef void counted_at_loss(Provider *p, Entry *entry, int direction, const rte_flow_query_count *last) noexcept nogil
# What was kept; False where there is nothing to tell.
cdef bint counted_lost(Provider *p, const Entry *entry, ct_offload_counts *counts) noexcept nogil
# A rule was replaced by one like it, whose counter begins at 0; `last` was the old one's.
cdef void counted_replaced(Provider *p, Entry *entry, int direction, const rte_flow_query_count *last) noexcept nogil
