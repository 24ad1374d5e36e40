# The emulated NIC for other compiled rooms: `nic.ctl.wire_send(nic.port, ...)` needs neither Python nor the GIL.
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.nicsim.libnicsim cimport nicsim_ctl, nicsim_fault_info, nicsim_lie, nicsim_port

# The controls, or NULL before load().
cdef const nicsim_ctl *controls() noexcept nogil

cdef class Nic:
    cdef const nicsim_ctl *ctl
    cdef nicsim_port *port      # a reference; NULL once closed
    cdef readonly uint16_t port_id
    cdef int require_open(self) except -1
    cdef int check(self, int rc, str op) except -1
    cdef int plan(self, object call, uint32_t when, uint32_t n, int error, uint64_t seed, str op) except -1
    cdef nicsim_fault_info fault_info(self, object call) except *
    cdef tuple tables(self)
    cdef tuple flow_queues(self)
    cdef int check_queue(self, int rc, uint32_t queue, str op) except -1
    cdef int tell(self, object answer, nicsim_lie *lie, str op) except -1
