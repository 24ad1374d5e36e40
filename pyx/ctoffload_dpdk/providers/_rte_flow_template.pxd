# Templates of rules of one kind, and the table that has room for them.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow_action,
    rte_flow_actions_template,
    rte_flow_attr,
    rte_flow_error,
    rte_flow_item,
    rte_flow_pattern_template,
    rte_flow_template_table,
)

# Rules of one kind in one group: same items, masks and types of actions. Owned by the caller; must not move.
cdef struct RuleTable:
    rte_flow_attr attr
    uint32_t n_rules         # room; 0: as much as the driver has
    uint32_t n_live          # rules in it or on their way in or out
    uint32_t n_lost          # of them: nobody knows what became of them
    uint64_t n_created       # rules it ever took
    rte_flow_pattern_template *pattern
    rte_flow_actions_template *actions
    rte_flow_template_table *table
    RuleTable *following     # the engine's tables

# Fills in the templates and the table, or leaves none of them. 0 or errno.
cdef int template_make(RuleTable *table, uint16_t ethdev, const rte_flow_item *items, const rte_flow_action *actions,
                       const rte_flow_action *masks, rte_flow_error *error) noexcept nogil
# 0, or the errno with which the driver keeps the table; its templates stay with it.
cdef int template_remove(RuleTable *table, uint16_t ethdev, rte_flow_error *error) noexcept nogil
# rte_errno as a positive errno; EIO where a driver failed without saying why.
cdef int flow_errno() noexcept nogil
