# A pool of packet buffers.
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mempool

cdef class Mempool(Owned):
    cdef rte_mempool *pool
    cdef readonly str name
    cdef readonly Eal eal
    cdef list users     # labels of the queues that take buffers from it

    cdef void use(self, str user)
    cdef void unuse(self, str user)
