# DPDK's environment layer: the root of everything this room owns.
from ctoffload_dpdk.dpdk._owned cimport Owned

cdef class Eal(Owned):
    cdef readonly tuple args
    cdef readonly str version
    cdef readonly object log
    cdef object pid

    # The lines DPDK has logged so far; what was logged as an error since is part of a failure's message.
    cdef object log_mark(self)
    cdef str log_errors(self, object mark)
