# nicsim_ctl.h as it is declared there; the C compiler lays the structs out.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "nicsim_ctl.h" nogil:
    enum:
        NICSIM_CTL_VERSION
        NICSIM_N_DROPS
        NICSIM_N_CALLS

    const int64_t NICSIM_CLOCK_MAX_MS

    struct nicsim_counters:
        uint64_t wire_in
        uint64_t nic_forwarded
        uint64_t nic_received
        uint64_t nic_dropped[11]
        uint64_t host_rx
        uint64_t host_pending
        uint64_t host_tx
        uint64_t wire_out
        uint64_t wire_out_dropped
        uint64_t host_switched
        uint64_t hairpinned

    struct nicsim_books:
        uint64_t live
        uint64_t created
        uint64_t destroyed
        uint64_t lost
        uint64_t most
        uint64_t capacity

    struct nicsim_audit:
        nicsim_books rules
        nicsim_books objects
        uint64_t bytes_per_rule
        uint64_t aged

    struct nicsim_rule_info:
        pass

    struct nicsim_room_info:
        uint64_t used
        uint64_t room

    struct nicsim_flow_audit:
        nicsim_room_info counters
        nicsim_room_info ages
        nicsim_room_info contexts
        uint32_t pattern_templates
        uint32_t actions_templates
        uint32_t tables
        uint32_t queues
        uint8_t is_configured
        uint8_t is_strict

    struct nicsim_table_info:
        uint32_t number
        uint32_t group
        uint32_t priority
        uint32_t room
        uint32_t n_rules
        uint8_t n_patterns
        uint8_t n_actions
        uint8_t transfer
        uint8_t egress

    struct nicsim_queue_info:
        uint64_t enqueued
        uint64_t waiting
        uint64_t executed
        uint64_t failed
        uint64_t results
        uint64_t told
        uint64_t dropped
        uint64_t cancelled
        uint32_t size
        uint32_t is_stalled

    enum nicsim_call:
        pass

    enum:
        NICSIM_FAULT_NEVER
        NICSIM_FAULT_NEXT
        NICSIM_FAULT_EVERY
        NICSIM_FAULT_RANDOM

    struct nicsim_fault_plan:
        uint32_t when
        uint32_t n
        uint64_t seed
        int32_t error

    struct nicsim_fault_info:
        uint64_t left
        uint64_t failed
        uint64_t slow_left

    enum nicsim_answer:
        pass

    enum:
        NICSIM_LIE_NONE
        NICSIM_LIE_GIVEN
        NICSIM_LIE_STALE
        NICSIM_LIE_GARBAGE

    struct nicsim_lie:
        uint32_t kind
        uint32_t n
        uint64_t seed
        uint64_t packets
        uint64_t bytes
        uint32_t idle_s
        uint32_t is_aged

    struct nicsim_port:
        pass

    struct nicsim_ctl:
        uint32_t version
        uint32_t size
        int (*open)(uint16_t port_id, nicsim_port **port) noexcept nogil
        void (*close)(nicsim_port *port) noexcept nogil
        int (*wire_send)(nicsim_port *port, const uint8_t *data, const uint64_t *offset, const uint32_t *length, uint32_t n) noexcept nogil
        int (*wire_keep)(nicsim_port *port, uint64_t max_bytes) noexcept nogil
        int (*wire_pending)(nicsim_port *port, uint64_t *n_packets, uint64_t *n_bytes) noexcept nogil
        int64_t (*wire_receive)(nicsim_port *port, uint8_t *data, uint64_t n_bytes, uint64_t *offset, uint32_t *length,
                                int64_t *time_ms, uint64_t n_packets) noexcept nogil
        int64_t (*wire_poll)(nicsim_port *port) noexcept nogil
        int (*counters)(nicsim_port *port, nicsim_counters *counters) noexcept nogil
        int (*audit)(nicsim_port *port, nicsim_audit *audit) noexcept nogil
        int64_t (*rules)(nicsim_port *port, nicsim_rule_info *info, uint64_t max) noexcept nogil
        int (*flow_audit)(nicsim_port *port, nicsim_flow_audit *audit) noexcept nogil
        int64_t (*tables)(nicsim_port *port, nicsim_table_info *info, uint64_t max) noexcept nogil
        int64_t (*flow_queues)(nicsim_port *port, nicsim_queue_info *info, uint64_t max) noexcept nogil
        int (*fail)(nicsim_port *port, nicsim_call call, const nicsim_fault_plan *plan) noexcept nogil
        int (*slow)(nicsim_port *port, nicsim_call call, uint32_t n, uint32_t ms) noexcept nogil
        int (*fault_info)(nicsim_port *port, nicsim_call call, nicsim_fault_info *info) noexcept nogil
        int (*lie)(nicsim_port *port, nicsim_answer answer, const nicsim_lie *lie) noexcept nogil
        int (*queue_stall)(nicsim_port *port, uint32_t queue, int on) noexcept nogil
        int (*queue_drop)(nicsim_port *port, uint32_t queue, uint32_t n) noexcept nogil
        int (*completion_delay)(nicsim_port *port, uint32_t ms) noexcept nogil
        int (*link)(nicsim_port *port, int up) noexcept nogil
        int (*demand_reset)(nicsim_port *port) noexcept nogil
        int (*unplug)(nicsim_port *port) noexcept nogil
        int (*clock_now)(nicsim_port *port, int64_t *now_ms) noexcept nogil
        int (*clock_set)(nicsim_port *port, int64_t now_ms) noexcept nogil
        int (*clock_manual)(nicsim_port *port, int manual) noexcept nogil

    ctypedef const nicsim_ctl *nicsim_ctl_get_function(uint32_t version) noexcept nogil
    ctypedef void nicsim_versions_function(const char **built_for, const char **running) noexcept nogil
