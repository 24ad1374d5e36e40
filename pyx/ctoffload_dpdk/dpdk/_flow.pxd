# Rules and indirect actions of a port, one call each.
from libc.stdint cimport uint64_t

from ctoffload_dpdk.dpdk._actions cimport Actions
from ctoffload_dpdk.dpdk._device cimport Device
from ctoffload_dpdk.dpdk._indirect_handle cimport IndirectHandle
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk._pattern cimport Pattern
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow, rte_flow_attr, rte_flow_error

cdef int to_attr(object attr, rte_flow_attr *out) except -1
# Whether that removal, if there is one, has taken it out.
cdef bint await_removal(Owned it, object removal) except -1
cdef object read_query(object kind, const void *data)

cdef class FlowDevice(Device):
    cdef bint keeps_objects
    # What rte_flow_configure was given, None before it.
    cdef readonly object flow_sizes
    cdef int check_flow(self, int rc, str op, rte_flow_error *error, str what=*) except -1
    cdef int require_harmless(self, Actions actions) except -1
    cdef list all_rules(self)
    cdef void rules_are_gone(self)

cdef class Rule(Owned):
    cdef rte_flow *flow
    cdef readonly FlowDevice port
    cdef uint64_t epoch
    cdef Actions actions_c
    cdef readonly object attr
    cdef readonly list pattern
    cdef int require_there(self, object kind) except -1

cdef class IndirectAction(IndirectHandle):
    cdef readonly FlowDevice port
    cdef object removal             # (FlowQueue, token) while it is under way
    cdef int require_value(self) except -1
    cdef int update_with(self, const void *update) except -1
