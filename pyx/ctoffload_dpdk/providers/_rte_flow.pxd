# The provider's operations, between the layer's batches and its entries.
from ctoffload_dpdk.providers._rte_flow_state cimport Provider


cdef class RteFlowProvider:
    cdef Provider *provider
