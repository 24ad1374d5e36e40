# A port as its user sees it.
from ctoffload_dpdk.dpdk._flow_async cimport AsyncDevice

cdef class Port(AsyncDevice):
    pass
