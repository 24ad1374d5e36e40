# The actions of a rule, in C's form.
from ctoffload_dpdk.dpdk._pattern cimport Block
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_action, rte_flow_action_conntrack

cdef class Actions:
    cdef rte_flow_action *actions   # ends with END
    cdef list kept
    cdef list wanted                # the Python actions, in order
    cdef bint has(self, object kind)

cdef int write_conntrack(rte_flow_action_conntrack *out, object state) except -1
cdef object read_conntrack(const rte_flow_action_conntrack *ct)
# The masks of an actions template: an action whose value the template fixes has all bits set.
cdef Actions template_masks(list wanted, list fixed)
