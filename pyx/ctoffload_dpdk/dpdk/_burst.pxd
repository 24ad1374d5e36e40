# Bursts of packets between queues and Python's arrays.
from libc.stdint cimport uint16_t

from ctoffload_dpdk.dpdk._mempool cimport Mempool

cdef object receive(uint16_t port_id, uint16_t queue, int max_packets)
cdef int transmit(uint16_t port_id, uint16_t queue, object packets, Mempool mempool, str label) except -1
