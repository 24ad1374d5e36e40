# Ports that come and go, their engines and pipelines, and the plan for each pair of them.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.offload.libct_offload cimport ct_offload_port
from ctoffload_dpdk.providers._rte_flow_pipeline cimport Pipeline
from ctoffload_dpdk.providers._rte_flow_state cimport MAX_PORTS, N_KINDS, NO_ETHDEV, PlanCell, PortSlot, Provider

cdef int ports_open(Provider *p) noexcept nogil
cdef void ports_close(Provider *p) noexcept nogil
# The port as it is now; NULL where it was removed, came back as another, or is not ours.
cdef inline PortSlot *port_of(Provider *p, const ct_offload_port *port) noexcept nogil:
    cdef PortSlot *slot
    if port.id >= MAX_PORTS or p.ethdev_of[port.id] == NO_ETHDEV:
        return NULL
    slot = &p.ports[p.ethdev_of[port.id]]
    return slot if slot.used and slot.generation == port.generation else NULL
cdef inline uint16_t ethdev_of(Provider *p, const PortSlot *slot) noexcept nogil:
    return <uint16_t> (slot - p.ports)
cdef inline uint8_t kind_of(int proto, int family, bint nat) noexcept nogil:
    return <uint8_t> ((proto * 2 + family) * 2 + nat)
cdef inline PlanCell *plan_of(Provider *p, uint16_t in_ethdev, uint16_t out_ethdev, int proto, int family,
                              bint nat) noexcept nogil:
    return &p.ports[in_ethdev].plans[out_ethdev * N_KINDS + kind_of(proto, family, nat)]
# Sets a plan. Whether it is another; then connections that are in by the old one come out, marked lost.
cdef bint replan(Provider *p, uint16_t in_ethdev, uint16_t out_ethdev, uint8_t kind, const PlanCell *cell) noexcept nogil
# n_queues: receive queues of software, 0: all. 0, ENODEV where DPDK has no port of this name, or ENOMEM.
cdef int port_add(Provider *p, ct_offload_port port, const char *name, uint16_t n_queues) noexcept nogil
# Takes out what leads from or to this port and marks it lost; its connections go on in software.
cdef void port_del(Provider *p, ct_offload_port port) noexcept nogil
# The pipeline of a port in a domain, not ready yet. NULL: *failed says why.
cdef inline Pipeline *pipeline_of(Provider *p, uint16_t ethdev, int domain, int *failed) noexcept nogil:
    if p.ports[ethdev].has_pipeline[domain]:
        return &p.ports[ethdev].pipelines[domain]
    return pipeline_new(p, ethdev, domain, failed)
cdef Pipeline *pipeline_new(Provider *p, uint16_t ethdev, int domain, int *failed) noexcept nogil
# Takes the answers of all engines.
cdef void pull_answers(Provider *p) noexcept nogil
cdef void push_all(Provider *p) noexcept nogil
# Pulls until nothing is on its way, or the limit of an operation is over.
cdef void drain(Provider *p) noexcept nogil
# Pipelines of ports that went and could not be taken out.
cdef void retry_leaving(Provider *p) noexcept nogil
# Takes out pipelines that no connection has used for a while: a NIC that carries nothing holds nothing.
cdef void retire_idle(Provider *p) noexcept nogil
# Everything out of every port, which stay in use; what does not leave is counted lost. No entry is left.
cdef void ports_quit(Provider *p) noexcept nogil
