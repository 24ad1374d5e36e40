# Templates and the tables made of them.
from libc.stdint cimport uint32_t

from ctoffload_dpdk.dpdk._actions cimport Actions
from ctoffload_dpdk.dpdk._flow cimport FlowDevice
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow_actions_template,
    rte_flow_pattern_template,
    rte_flow_template_table,
)

cdef class PatternTemplate(Owned):
    cdef rte_flow_pattern_template *template
    cdef readonly FlowDevice port

cdef class ActionsTemplate(Owned):
    cdef rte_flow_actions_template *template
    cdef readonly FlowDevice port

cdef class TemplateTable(Owned):
    cdef rte_flow_template_table *table
    cdef readonly FlowDevice port
    cdef readonly object attr
    cdef readonly tuple patterns
    cdef readonly tuple actions

cdef PatternTemplate make_pattern(FlowDevice port, list pattern, object attr, bint relaxed)
cdef ActionsTemplate make_actions(FlowDevice port, list actions, list fixed, object attr)
cdef TemplateTable make_table(FlowDevice port, object attr, tuple patterns, tuple actions, uint32_t n_rules,
                              bint resizable)
