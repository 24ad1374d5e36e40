# What Actions needs to know of an indirect action.
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_action_handle

cdef class IndirectHandle(Owned):
    cdef rte_flow_action_handle *handle
    cdef readonly object kind       # class of the action it stands for
