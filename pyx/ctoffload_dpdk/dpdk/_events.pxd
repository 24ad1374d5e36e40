# What drivers report by themselves, handed to Python.
from libc.stdint cimport uint16_t, uint64_t

from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_ethdev cimport RTE_MAX_ETHPORTS, rte_eth_event_type

# Reports not delivered yet, per port; written by drivers' threads, taken by ours.
cdef struct Reports:
    uint64_t pending[RTE_MAX_ETHPORTS]

cdef class Subscription(Owned):
    cdef Reports *reports
    cdef uint16_t port_id       # RTE_ETH_ALL for every port
    cdef rte_eth_event_type event_c
    cdef readonly object event
    cdef object callback
    cdef readonly uint64_t n_delivered
    cdef uint64_t take(self, int port_id) noexcept nogil
