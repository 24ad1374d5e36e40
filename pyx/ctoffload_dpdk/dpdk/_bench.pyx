"""What rates of rules are measured with, of the emulated NIC and in labs: many rules made, queried and destroyed from C."""
import numpy as np

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_DROP,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_ITEM_TYPE_END,
    RTE_FLOW_ITEM_TYPE_ETH,
    RTE_FLOW_ITEM_TYPE_IPV4,
    RTE_FLOW_ITEM_TYPE_UDP,
    rte_flow,
    rte_flow_action,
    rte_flow_attr,
    rte_flow_create,
    rte_flow_destroy,
    rte_flow_error,
    rte_flow_item,
    rte_flow_item_ipv4,
    rte_flow_item_udp,
    rte_flow_query,
    rte_flow_query_count,
)


cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t value)
    uint32_t htonl(uint32_t value)


# This thread's own time: what others do on the machine meanwhile does not count.
cdef inline int64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


# What a caller waits for, the NIC's part included.
cdef inline int64_t wall_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef class UdpRules:
    """Rules of one shape on one port: connection n is 10.0.0.0 + n, port n mod 65536, to 192.0.2.1, port 53; COUNT, DROP.

    group: in which they are made.
    """

    cdef rte_flow_attr attr
    cdef rte_flow_item items[4]
    cdef rte_flow_action actions[3]
    cdef rte_flow_item_ipv4 ip
    cdef rte_flow_item_ipv4 ip_mask
    cdef rte_flow_item_udp udp
    cdef rte_flow_item_udp udp_mask
    cdef uint16_t port_id
    cdef object handles

    def __init__(self, uint16_t port_id, *, uint32_t group=0):
        memset(&self.attr, 0, sizeof(self.attr))
        memset(self.items, 0, sizeof(self.items))
        memset(self.actions, 0, sizeof(self.actions))
        for block, size in ((<size_t> &self.ip, sizeof(self.ip)), (<size_t> &self.ip_mask, sizeof(self.ip_mask)),
                            (<size_t> &self.udp, sizeof(self.udp)), (<size_t> &self.udp_mask, sizeof(self.udp_mask))):
            memset(<void *> <size_t> block, 0, <size_t> size)
        self.port_id = port_id
        self.attr.ingress = 1
        self.attr.group = group
        self.ip.hdr.dst_addr, self.udp.hdr.dst_port = htonl(0xc0000201), htons(53)
        self.ip_mask.hdr.src_addr = self.ip_mask.hdr.dst_addr = 0xffffffff
        self.udp_mask.hdr.src_port = self.udp_mask.hdr.dst_port = 0xffff
        self.items[0].type, self.items[1].type = RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4
        self.items[1].spec, self.items[1].mask = &self.ip, &self.ip_mask
        self.items[2].type = RTE_FLOW_ITEM_TYPE_UDP
        self.items[2].spec, self.items[2].mask = &self.udp, &self.udp_mask
        self.items[3].type = RTE_FLOW_ITEM_TYPE_END
        self.actions[0].type, self.actions[1].type = RTE_FLOW_ACTION_TYPE_COUNT, RTE_FLOW_ACTION_TYPE_DROP
        self.actions[2].type = RTE_FLOW_ACTION_TYPE_END
        self.handles = np.zeros(0, np.uint64)

    def create(self, uint32_t n):
        """Makes rules 0 to n - 1. Returns the nanoseconds it took; RuntimeError where one is refused."""
        cdef size_t[::1] handles
        cdef rte_flow_error error
        cdef int64_t begun
        cdef uint32_t i = 0
        self.handles = np.zeros(n, np.uint64)
        handles = self.handles
        memset(&error, 0, sizeof(error))
        with nogil:
            begun = clock_ns()
            while i < n:
                self.ip.hdr.src_addr = htonl(0x0a000000 + i)
                self.udp.hdr.src_port = htons(<uint16_t> (i & 0xffff))
                handles[i] = <size_t> rte_flow_create(self.port_id, &self.attr, self.items, self.actions, &error)
                if handles[i] == 0:
                    break
                i += 1
            begun = clock_ns() - begun
        if i < n:
            raise RuntimeError(f"rule {i}: {'' if error.message == NULL else error.message.decode()}")
        return begun

    def destroy(self):
        """Destroys all of them, oldest first. Returns the nanoseconds it took."""
        cdef size_t[::1] handles = self.handles
        cdef rte_flow_error error
        cdef int64_t begun
        cdef int failed = 0
        cdef Py_ssize_t i
        with nogil:
            begun = clock_ns()
            for i in range(handles.shape[0]):
                failed |= rte_flow_destroy(self.port_id, <rte_flow *> handles[i], &error)
            begun = clock_ns() - begun
        self.handles = np.zeros(0, np.uint64)
        if failed:
            raise RuntimeError("a rule could not be destroyed")
        return begun

    def create_each(self, uint32_t n):
        """Makes rules 0 to n - 1. Returns what each call took, int64[n] nanoseconds of the wall clock; ends with the first
        that is refused, and the driver's words.
        """
        cdef size_t[::1] handles
        cdef int64_t[::1] took
        cdef rte_flow_error error
        cdef int64_t begun
        cdef uint32_t i = 0
        self.handles = np.zeros(n, np.uint64)
        times = np.zeros(n, np.int64)
        handles, took = self.handles, times
        memset(&error, 0, sizeof(error))
        with nogil:
            while i < n:
                self.ip.hdr.src_addr = htonl(0x0a000000 + i)
                self.udp.hdr.src_port = htons(<uint16_t> (i & 0xffff))
                begun = wall_ns()
                handles[i] = <size_t> rte_flow_create(self.port_id, &self.attr, self.items, self.actions, &error)
                took[i] = wall_ns() - begun
                if handles[i] == 0:
                    break
                i += 1
        self.handles = self.handles[:i]
        words = "" if i == n or error.message == NULL else error.message.decode(errors="replace")
        return times[:i], words

    def query_each(self):
        """Asks every rule's counter once. Returns int64[] nanoseconds of the wall clock."""
        cdef size_t[::1] handles = self.handles
        cdef int64_t[::1] took
        cdef rte_flow_error error
        cdef rte_flow_query_count count
        cdef rte_flow_action[2] asked
        cdef int64_t begun
        cdef int failed = 0
        cdef Py_ssize_t i
        times = np.zeros(handles.shape[0], np.int64)
        took = times
        memset(&error, 0, sizeof(error))
        asked[0], asked[1] = self.actions[0], self.actions[2]
        with nogil:
            for i in range(handles.shape[0]):
                memset(&count, 0, sizeof(count))
                begun = wall_ns()
                failed |= rte_flow_query(self.port_id, <rte_flow *> handles[i], asked, &count, &error)
                took[i] = wall_ns() - begun
        if failed:
            raise RuntimeError("a rule did not answer")
        return times

    def destroy_each(self):
        """Destroys all of them, oldest first. Returns int64[] nanoseconds of the wall clock."""
        cdef size_t[::1] handles = self.handles
        cdef int64_t[::1] took
        cdef rte_flow_error error
        cdef int64_t begun
        cdef int failed = 0
        cdef Py_ssize_t i
        times = np.zeros(handles.shape[0], np.int64)
        took = times
        with nogil:
            for i in range(handles.shape[0]):
                begun = wall_ns()
                failed |= rte_flow_destroy(self.port_id, <rte_flow *> handles[i], &error)
                took[i] = wall_ns() - begun
        self.handles = np.zeros(0, np.uint64)
        if failed:
            raise RuntimeError("a rule could not be destroyed")
        return times
