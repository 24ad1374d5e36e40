# The records of the rte_flow provider.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_action_handle, rte_flow_error
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_class, ct_offload_host, ct_offload_port, ct_offload_tuple
from ctoffload_dpdk.providers._rte_flow_engine cimport EngineKind, RuleEngine
from ctoffload_dpdk.providers._rte_flow_last_used cimport LastUsed
from ctoffload_dpdk.providers._rte_flow_pipeline cimport GroupPool, Pipeline, ZoneMap
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineCounts, EngineRule
from ctoffload_dpdk.providers._rte_flow_rule cimport RuleShape


cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attr)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)


cdef enum:
    MAX_PORTS = 1024         # ids of the layer
    NO_ETHDEV = 0xffff
    MESSAGE_BYTES = 160
    N_DOMAINS = 2
    N_KINDS = 12             # protocol, family, NAT or not: kind_of()

# Where a connection's packets go, by the plan for its ports, protocol, family and NAT. Zeroes: nowhere.
cdef struct PlanCell:
    uint8_t is_planned
    uint8_t domain           # of its rules
    uint8_t does             # DOES_* of a rule
    uint8_t source           # LAST_USED_*; 0: software sees every packet
    uint16_t queue           # of the hairpin, where that is the way out
    uint16_t reason          # CT_OFFLOAD_REASON_*, where it is not planned

# One DPDK port.
cdef struct PortSlot:
    bint used
    uint32_t id              # in the layer
    uint32_t generation
    uint16_t proxy           # where rules of the switch that concern it live
    uint16_t n_queues        # of software
    bint misses_reach_software       # what no rule of the switch matches
    bint has_one_group       # rules of what it receives: nothing to jump to
    PlanCell *plans          # [out ethdev][kind]
    Pipeline pipelines[N_DOMAINS]
    bint has_pipeline[N_DOMAINS]
    ZoneMap zones

# The engine of a port that owns rules, its own or those of the switch.
cdef struct EngineSlot:
    RuleEngine engine
    bint is_open
    uint32_t n_pipelines     # that make rules in it
    # How to open it.
    EngineKind kind
    uint16_t n_queues
    uint32_t queue_size
    uint32_t n_rules         # room for connections in each table

cdef enum RuleState:
    RULE_NONE = 0
    RULE_COMING = 1
    RULE_IN = 2
    RULE_LEAVING = 3

cdef enum Pending:
    PENDING_NONE = 0
    PENDING_EST = 1
    PENDING_DEL = 2
    PENDING_NEW = 3          # EST that adds: where it fails, nothing is left

# A connection the provider accepted. The handle is {generation, index}. The first cache line is all of one that has no
# rules, two more are all of one that has, unless something has to be tried again.
cdef struct Entry:
    uint64_t conn_id
    uint64_t op_id           # of the operation that is to be completed
    RuleShape *shape[2]      # by direction, likewise below; NULL where nothing is installed
    rte_flow_action_handle *context
    uint32_t generation
    uint32_t next            # in the list of those to be tried again
    uint8_t state[2]
    uint8_t pending
    uint8_t source           # LAST_USED_*
    uint8_t kind             # kind_of() its plans
    uint8_t in_use
    uint8_t wanted           # rules are to be in the NIC
    uint8_t is_unsettled     # rules are on their way in or out
    uint8_t is_due           # on the list of those to be tried again
    uint8_t is_watched       # its use is watched
    uint8_t is_reading       # its context is being read by the query thread
    uint8_t lost             # its port went, or one of its rules (`error`): the worker says so at its next poll
    uint8_t forgotten        # the layer knows of it no more: freed when its last rule left
    uint8_t has_told         # something of what its rules carried was told: see _rte_flow_counted.pxd
    uint8_t is_counted       # its removal or loss tells what they carried
    # From here on it is written when rules are asked for, and means nothing before.
    EngineRule rule[2]
    int error                # why it could not be installed, or was lost; 0 where its port was
    uint32_t age_s
    uint32_t timeout_ms
    uint16_t ethdev[2]       # where packets of a direction arrive
    uint16_t fate[2]         # the port, queue or group its rule sends them to
    uint16_t context_on      # who owns the context
    uint8_t n_started        # directions whose rule was asked for
    uint8_t n_tries
    ct_offload_tuple tuple[2]
    int64_t due_ms           # not tried again before
    uint64_t to_the_line[7]  # the next one begins with a cache line

# How a connection went, for the next ones of its batch: most of them go the same way. Within a batch no port, plan or
# pipeline goes.
cdef struct Way:
    bint is_known
    ct_offload_port port[2]
    uint16_t zone
    uint16_t eth_type
    uint8_t proto
    uint8_t shard
    uint8_t rewrites[2]
    # what was found
    RuleShape *shape[2]
    uint16_t ethdev[2]
    uint16_t fate[2]
    uint8_t source
    uint8_t kind

cdef struct Counts:
    uint64_t contexts_created
    uint64_t contexts_destroyed
    uint64_t contexts_lost
    uint64_t contexts_failed
    uint64_t windows_read
    uint64_t rules_high_water
    uint64_t contexts_high_water
    uint64_t removals_retried
    uint64_t installs_retried

cdef struct Provider:
    pthread_mutex_t lock     # the worker, the query thread, and ports that come and go
    ct_offload_class klass
    const ct_offload_host *host
    int64_t now_ms
    int64_t next_idle_ms     # when to look for pipelines that nothing uses
    uint32_t refresh_ms      # how old an answer of the NIC can be
    uint32_t limit_ms        # how long a queued operation may go unanswered
    uint16_t ethdev_of[MAX_PORTS]    # by id of the layer; NO_ETHDEV
    PortSlot *ports          # by ethdev; likewise the engines
    EngineSlot *engines
    GroupPool groups
    LastUsed watch
    Way way
    Entry *entries
    void *told               # Told of _rte_flow_counted.pxd, by index; NULL until the first
    uint32_t n_told
    uint32_t n_entries
    uint32_t capacity
    uint32_t *free           # indexes of those that are free, as many as fit into the capacity
    uint32_t n_free
    uint32_t due             # index + 1 of the first to be tried again; 0: none
    uint32_t last_due
    uint32_t n_accepted
    uint32_t n_unsettled     # entries with rules on their way in or out
    bint some_lost           # an entry is marked lost
    bint some_leaving        # a port went whose pipeline could not be taken out
    bint is_polling
    bint is_on_worker        # the host may be called: not where a port comes or goes
    Counts counts
    EngineCounts closed      # what engines counted that are no longer open
    char refusal[MESSAGE_BYTES]      # the driver's last words
