# The rte_flow provider's own records.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_class, ct_offload_host
from ctoffload_dpdk.providers._rte_flow_rule cimport RuleShape


cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attr)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)


cdef enum:
    MAX_PORTS = 64
    MESSAGE_BYTES = 128

# A port that the dpif-offload class "dpdk" uses, indexed by its id in the layer.
cdef struct PortSlot:
    uint32_t generation
    uint16_t ethdev          # DPDK's number
    uint16_t proxy           # where transfer rules that concern it live
    bint used

cdef enum ProbeState:
    PROBE_UNKNOWN = 0
    PROBE_YES = 1
    PROBE_NO = 2

# What was found when a rule of one family and protocol was tried from one port to another.
cdef struct Probe:
    uint8_t state
    int error
    char message[MESSAGE_BYTES]

# A connection the provider accepted. The handle is {generation, index}.
cdef struct Entry:
    rte_flow *rule[2]        # by direction; NULL where none is
    uint64_t conn_id
    uint64_t op_id           # of a removal that is tried again
    uint32_t generation
    uint32_t next            # of the free list or of the list of removals tried again
    uint16_t on_port[2]      # where each rule was created, hence queried and destroyed
    uint32_t port[2]         # ids in the layer
    uint8_t in_use
    uint8_t hinted           # its ageing was reported since it was last queried
    uint8_t retrying         # a rule could not be destroyed: each poll tries again
    uint8_t lost             # its port went: the worker says so at its next poll
    uint8_t forgotten        # the layer knows of it no more: freed with its last rule

cdef struct Counts:
    uint64_t rules_created
    uint64_t rules_destroyed
    uint64_t rules_lost
    uint64_t rules_failed
    uint64_t rules_high_water
    uint64_t queries
    uint64_t queries_failed
    uint64_t aged_hints
    uint64_t removals_retried

cdef struct Provider:
    pthread_mutex_t lock     # the worker's calls against ports that come and go
    ct_offload_class klass
    const ct_offload_host *host
    int64_t now_ms
    int64_t next_aged_ms
    uint32_t refresh_ms      # age of what an AGE query says
    PortSlot ports[MAX_PORTS]
    Probe *probes            # [in port][out port][family][protocol]
    RuleShape shapes[2][2]   # [family][protocol]
    Entry *entries
    uint32_t n_entries
    uint32_t capacity
    uint32_t free            # index + 1; 0: none
    uint32_t retry           # index + 1; 0: none
    uint32_t n_accepted
    bint some_lost           # an entry is marked lost
    Counts counts
