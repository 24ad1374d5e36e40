"""What a connection's rules carried past software: read from COUNT when somebody asks, and before they leave.

What was told already is kept beside the entries, in memory that is touched by none of those who are never asked.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    rte_flow_action,
    rte_flow_error,
    rte_flow_query,
    rte_flow_query_count,
)
from ctoffload_dpdk.providers._rte_flow_entry cimport index_of
from ctoffload_dpdk.providers._rte_flow_rule cimport DOES_COUNT, RuleShape
from ctoffload_dpdk.providers._rte_flow_state cimport RULE_IN


cdef bint read_count(Entry *entry, int direction, rte_flow_query_count *count) noexcept nogil:
    cdef RuleShape *shape = entry.shape[direction]
    cdef rte_flow_action action[2]
    cdef rte_flow_error error
    if shape == NULL or entry.state[direction] != RULE_IN or shape.engine.is_gone or not shape.kind.does & DOES_COUNT:
        return False
    memset(action, 0, sizeof(action))
    memset(count, 0, sizeof(rte_flow_query_count))
    action[0].type = RTE_FLOW_ACTION_TYPE_COUNT
    action[1].type = RTE_FLOW_ACTION_TYPE_END
    error.message = NULL
    if rte_flow_query(shape.engine.ethdev, entry.rule[direction].flow, action, count, &error) != 0:
        return False
    return count.hits_set and count.bytes_set


cdef Told *told_of(Provider *p, Entry *entry) noexcept nogil:
    """NULL without memory."""
    cdef uint32_t index = index_of(p, entry)
    cdef Told *grown
    if index >= p.n_told:
        grown = <Told *> realloc(p.told, p.capacity * sizeof(Told))
        if grown == NULL:
            return NULL
        p.told, p.n_told = grown, p.capacity
    if not entry.has_told:
        memset(&(<Told *> p.told)[index], 0, sizeof(Told))
        entry.has_told = 1
    return &(<Told *> p.told)[index]


cdef inline uint64_t since(int64_t *told, uint64_t now) noexcept nogil:
    """What came since it was told. A counter that became less was reset: what it says came since."""
    cdef int64_t more = <int64_t> now - told[0]
    told[0] = <int64_t> now
    return <uint64_t> more if more >= 0 else now


cdef bint counted(Provider *p, Entry *entry, ct_offload_counts *counts) noexcept nogil:
    cdef rte_flow_query_count now[2]
    cdef Told *told
    cdef int direction
    if counts == NULL or not read_count(entry, 0, &now[0]) or not read_count(entry, 1, &now[1]):
        return False
    if not entry.has_told and now[0].hits == 0 and now[1].hits == 0:
        return False
    told = told_of(p, entry)
    if told == NULL:
        return False
    for direction in range(2):
        counts.packets[direction] = since(&told.packets[direction], now[direction].hits)
        counts.bytes[direction] = since(&told.bytes[direction], now[direction].bytes)
    return (counts.packets[0] | counts.packets[1]) != 0


cdef void counted_at_loss(Provider *p, Entry *entry, int direction, const rte_flow_query_count *last) noexcept nogil:
    cdef rte_flow_query_count now[2]
    cdef bint is_known[2]
    cdef Told *told
    cdef int i
    for i in range(2):
        is_known[i] = read_count(entry, i, &now[i])
        if i == direction and last != NULL:
            now[i], is_known[i] = last[0], True
    told = told_of(p, entry) if is_known[0] or is_known[1] else NULL
    if told == NULL:
        return
    for i in range(2):
        told.packets[i] = <int64_t> since(&told.packets[i], now[i].hits) if is_known[i] else 0
        told.bytes[i] = <int64_t> since(&told.bytes[i], now[i].bytes) if is_known[i] else 0
    entry.is_counted = (told.packets[0] | told.packets[1]) != 0


cdef bint counted_lost(Provider *p, const Entry *entry, ct_offload_counts *counts) noexcept nogil:
    cdef const Told *told
    cdef int i
    if not entry.is_counted or counts == NULL:
        return False
    told = &(<const Told *> p.told)[index_of(p, entry)]
    for i in range(2):
        counts.packets[i] = <uint64_t> told.packets[i]
        counts.bytes[i] = <uint64_t> told.bytes[i]
    return True


cdef void counted_replaced(Provider *p, Entry *entry, int direction, const rte_flow_query_count *last) noexcept nogil:
    cdef Told *told = told_of(p, entry)
    if told != NULL:
        told.packets[direction] -= <int64_t> last.hits
        told.bytes[direction] -= <int64_t> last.bytes
