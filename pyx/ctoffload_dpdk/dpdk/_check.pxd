# The one place of this room where a return code becomes an exception, and a number that cannot be.
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_error

# Each returns rc where it is not negative, else raises: EalError, PortError, FlowError.
cdef int check_eal(int rc, str op, str what=*, str message=*) except -1
cdef int check_port(int rc, str op, str port, str message=*, str hint=*) except -1
cdef int check_flow(int rc, str op, str port, rte_flow_error *error, str what=*, str hint=*) except -1
# The number, where it is least to most; UsageError with its name else.
cdef object fits(object value, str name, object most, object least=*)
# The negative errno of a call that answered NULL.
cdef int last_error() noexcept nogil
