# The ct() action of a burst, as Python says it.
from ctoffload_dpdk.conntrack._packet cimport Action, HelperChoice, NatAction

# The ranges of a Nat.
cdef NatAction make_nat(nat) except *
# What a HelperRule says.
cdef HelperChoice make_helper(rule) except *


cdef class Ct:
    cdef Action action
    cdef NatAction translation
    # Raises UsageError where packets that are to be translated cannot be written to.
    cdef object may_write(self, packets)
