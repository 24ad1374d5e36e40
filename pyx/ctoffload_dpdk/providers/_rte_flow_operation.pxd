# The layer's operations.
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_op
from ctoffload_dpdk.providers._rte_flow_state cimport Provider

# Does what is asked and fills in the results but `error`, which it returns. The provider's lock is held.
cdef int operate(Provider *p, ct_offload_op *op) noexcept nogil
cdef int op_flush(Provider *p) noexcept nogil
