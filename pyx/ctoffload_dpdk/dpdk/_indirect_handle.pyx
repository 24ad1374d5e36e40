"""The handle of an indirect action, as the actions of a rule name it."""
from ctoffload_dpdk.dpdk._owned cimport Owned


cdef class IndirectHandle(Owned):
    """Base of IndirectAction."""
