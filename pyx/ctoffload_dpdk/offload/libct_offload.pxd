# ct_offload.h as it is declared there; the C compiler lays the structs out.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "stdbool.h" nogil:
    ctypedef bint c_bool "bool"


cdef extern from "ct_offload.h" nogil:
    enum:
        CT_OFFLOAD_ABI_VERSION
        CT_OFFLOAD_MAX_PROVIDERS
        CT_OFFLOAD_ORIG
        CT_OFFLOAD_REPLY
        CT_OFFLOAD_N_REASONS
        CT_OFFLOAD_N_OP_TYPES
        CT_OFFLOAD_F_SNAT
        CT_OFFLOAD_F_DNAT
        CT_OFFLOAD_F_ALG
        CT_OFFLOAD_F_MIDSTREAM
        CT_OFFLOAD_F_STRICT
        CT_OFFLOAD_F_NEW
        CT_OFFLOAD_R_BYPASS
        CT_OFFLOAD_R_CONTEXT
        CT_OFFLOAD_R_COUNTED
        CT_OFFLOAD_CLASS_QUERIES_APART
        CT_OFFLOAD_CLASS_EST_ADDS

    const uint32_t CT_OFFLOAD_NO_PORT
    const char *CT_OFFLOAD_CAPSULE
    const char *DPIF_OFFLOAD_CAPSULE

    enum ct_offload_reason:
        CT_OFFLOAD_REASON_NONE
        CT_OFFLOAD_REASON_PROTO
        CT_OFFLOAD_REASON_ALG
        CT_OFFLOAD_REASON_FRAGMENT
        CT_OFFLOAD_REASON_NOT_ESTABLISHED
        CT_OFFLOAD_REASON_CLOSING
        CT_OFFLOAD_REASON_BACK_OFF
        CT_OFFLOAD_REASON_POLICY
        CT_OFFLOAD_REASON_RATE_LIMITED
        CT_OFFLOAD_REASON_DISABLED
        CT_OFFLOAD_REASON_NO_PROVIDER
        CT_OFFLOAD_REASON_NO_PORT
        CT_OFFLOAD_REASON_PORT_DOWN
        CT_OFFLOAD_REASON_PORT_PAIR
        CT_OFFLOAD_REASON_NO_CAPABILITY
        CT_OFFLOAD_REASON_NO_LAST_USED
        CT_OFFLOAD_REASON_TABLE_FULL
        CT_OFFLOAD_REASON_INSERT_FAILED
        CT_OFFLOAD_REASON_PROVIDER_REFUSED
        CT_OFFLOAD_REASON_PROVIDER_STALLED
        CT_OFFLOAD_REASON_PENDING_DELETE
        CT_OFFLOAD_REASON_NAT_UNSUPPORTED
        CT_OFFLOAD_REASON_ZONE_UNSUPPORTED

    enum ct_offload_op_type:
        CT_OFFLOAD_OP_ADD
        CT_OFFLOAD_OP_DEL
        CT_OFFLOAD_OP_UPD
        CT_OFFLOAD_OP_POLICY
        CT_OFFLOAD_OP_FLUSH
        CT_OFFLOAD_OP_EST
        CT_OFFLOAD_OP_WINDOW

    enum ct_offload_tcp_state:
        CT_OFFLOAD_TCP_CLOSED
        CT_OFFLOAD_TCP_LISTEN
        CT_OFFLOAD_TCP_SYN_SENT
        CT_OFFLOAD_TCP_SYN_RECV
        CT_OFFLOAD_TCP_ESTABLISHED
        CT_OFFLOAD_TCP_CLOSE_WAIT
        CT_OFFLOAD_TCP_FIN_WAIT_1
        CT_OFFLOAD_TCP_CLOSING
        CT_OFFLOAD_TCP_LAST_ACK
        CT_OFFLOAD_TCP_FIN_WAIT_2
        CT_OFFLOAD_TCP_TIME_WAIT

    enum ct_offload_event:
        CT_OFFLOAD_EVENT_AGED
        CT_OFFLOAD_EVENT_LOST

    uint64_t CT_OFFLOAD_ID(uint32_t shard, uint32_t generation, uint32_t slot)
    uint32_t CT_OFFLOAD_ID_SHARD(uint64_t conn_id)
    uint32_t CT_OFFLOAD_ID_GENERATION(uint64_t conn_id)
    uint32_t CT_OFFLOAD_ID_SLOT(uint64_t conn_id)

    struct ct_offload_port:
        uint32_t id
        uint32_t generation

    struct ct_offload_tuple:
        uint8_t src[16]
        uint8_t dst[16]
        uint16_t src_port
        uint16_t dst_port

    struct ct_offload_tcp_peer:
        uint32_t seq_lo
        uint32_t seq_hi
        uint32_t max_win
        uint8_t wscale
        uint8_t state
        uint8_t has_wscale
        uint8_t reserved

    struct ct_offload_ctx:
        uint64_t conn_id
        ct_offload_tuple tuple[2]
        ct_offload_port port[2]
        uint64_t label[2]
        uint32_t mark
        uint32_t timeout_ms
        uint32_t timeout_max_ms
        uint32_t flags
        ct_offload_tcp_peer peer[2]
        uint16_t zone
        uint16_t eth_type
        uint8_t proto
        uint8_t reserved[3]

    struct ct_offload_counts:
        uint64_t packets[2]
        uint64_t bytes[2]

    # ctx, peer and counts are one union
    struct ct_offload_op:
        uint64_t op_id
        uint64_t conn_id
        const ct_offload_ctx *ctx
        ct_offload_tcp_peer *peer
        ct_offload_counts *counts
        uint64_t handle
        int64_t last_used_ms
        int64_t sampled_ms
        int32_t error
        uint16_t type
        uint16_t reason
        uint8_t handled_by
        uint8_t flags
        uint8_t reserved[6]

    struct ct_offload_host:
        uint32_t abi_version
        uint32_t size
        void *cookie
        void (*complete)(void *cookie, uint64_t op_id, const ct_offload_op *result) noexcept nogil
        void (*event)(void *cookie, uint64_t conn_id, ct_offload_event event) noexcept nogil
        void (*lost)(void *cookie, uint64_t conn_id, const ct_offload_op *how) noexcept nogil

    struct ct_offload_class:
        uint32_t abi_version
        uint32_t size
        const char *name
        int32_t priority
        uint32_t flags
        void *user
        int (*init)(void *user, const ct_offload_host *host) noexcept nogil
        void (*fini)(void *user) noexcept nogil
        c_bool (*can_offload)(void *user, const ct_offload_ctx *ctx, uint16_t *reason) noexcept nogil
        int (*conn_add)(void *user, ct_offload_op *op) noexcept nogil
        int (*conn_established)(void *user, ct_offload_op *op) noexcept nogil
        int (*conn_update)(void *user, ct_offload_op *op) noexcept nogil
        int (*conn_del)(void *user, ct_offload_op *op) noexcept nogil
        int (*conn_window)(void *user, ct_offload_op *op) noexcept nogil
        int (*flush)(void *user) noexcept nogil
        void (*batch_submit)(void *user, ct_offload_op *ops, size_t n_ops) noexcept nogil
        int64_t (*poll)(void *user, int64_t now_ms) noexcept nogil

    struct dpif_offload_class:
        uint32_t abi_version
        uint32_t size
        const char *name
        void *user
        int (*set_config)(void *user, const char *key, const char *value) noexcept nogil
        c_bool (*port_add)(void *user, ct_offload_port port, const char *name) noexcept nogil
        void (*port_del)(void *user, ct_offload_port port) noexcept nogil
