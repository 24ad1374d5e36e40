# A port as its user sees it.
from ctoffload_dpdk.dpdk._flow cimport FlowDevice

cdef class Port(FlowDevice):
    pass
