/* ct_offload.h: the contract between the generic layer and a conntrack offload provider.
 *
 * The only header a compiled provider needs. A provider is a `struct ct_offload_class`; the layer calls it from that
 * provider's one worker, never from the packet path, never from two threads at once.
 *
 * Times are milliseconds of the monotonic clock the caller passes in. Addresses and ports are in network byte order, all
 * else in host byte order. An errno is positive. Structures are filled with zeroes before use; a reserved member is 0.
 *
 * ABI version 0: may still change between releases.
 */
#ifndef CT_OFFLOAD_H
#define CT_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI that this header describes, and how many providers a layer has room for. */
#define CT_OFFLOAD_ABI_VERSION   0
#define CT_OFFLOAD_MAX_PROVIDERS 8

/* The names under which a compiled module hands its classes over in PyCapsules. */
#define CT_OFFLOAD_CAPSULE   "ctoffload_dpdk.offload.ct_offload_class"
#define DPIF_OFFLOAD_CAPSULE "ctoffload_dpdk.offload.dpif_offload_class"

/* Why a connection is not in hardware. Closed list; 0 means none. */
enum ct_offload_reason {
    CT_OFFLOAD_REASON_NONE = 0,
    CT_OFFLOAD_REASON_PROTO,            /* no plan or no permission for this protocol */
    CT_OFFLOAD_REASON_ALG,              /* a helper has to see its packets */
    CT_OFFLOAD_REASON_FRAGMENT,         /* its packets come in fragments */
    CT_OFFLOAD_REASON_NOT_ESTABLISHED,  /* not established in software yet */
    CT_OFFLOAD_REASON_CLOSING,          /* FIN, RST or SYN was seen */
    CT_OFFLOAD_REASON_BACK_OFF,         /* a flag proved false; it may go in again later */
    CT_OFFLOAD_REASON_POLICY,           /* the settings keep it out */
    CT_OFFLOAD_REASON_RATE_LIMITED,     /* no token; tried again */
    CT_OFFLOAD_REASON_DISABLED,         /* hw-offload is off, globally, for the provider or for the port */
    CT_OFFLOAD_REASON_NO_PROVIDER,      /* no provider is active */
    CT_OFFLOAD_REASON_NO_PORT,          /* a direction has no port yet */
    CT_OFFLOAD_REASON_PORT_DOWN,        /* a port was stopped, reset or removed */
    CT_OFFLOAD_REASON_PORT_PAIR,        /* no fate leads from one port to the other */
    CT_OFFLOAD_REASON_NO_CAPABILITY,    /* the port cannot do what any plan needs */
    CT_OFFLOAD_REASON_NO_LAST_USED,     /* the provider could not say when it was used */
    CT_OFFLOAD_REASON_TABLE_FULL,       /* no room in the NIC; retried when rules are freed */
    CT_OFFLOAD_REASON_INSERT_FAILED,    /* the NIC refused a rule */
    CT_OFFLOAD_REASON_PROVIDER_REFUSED, /* can_offload or conn_add said no */
    CT_OFFLOAD_REASON_PROVIDER_STALLED, /* the provider does not answer */
    CT_OFFLOAD_REASON_PENDING_DELETE,   /* the old rules of this tuple are not gone yet */
    CT_OFFLOAD_REASON_NAT_UNSUPPORTED,  /* no plan translates these addresses */
    CT_OFFLOAD_REASON_ZONE_UNSUPPORTED, /* no plan tells this zone from another */
    CT_OFFLOAD_N_REASONS
};

/* What one operation asks for. */
enum ct_offload_op_type {
    CT_OFFLOAD_OP_ADD = 0, /* a connection was committed: accept or refuse; nothing enters the NIC */
    CT_OFFLOAD_OP_DEL,     /* it ends: take it out of the NIC and forget it */
    CT_OFFLOAD_OP_UPD,     /* when was it last used */
    CT_OFFLOAD_OP_POLICY,  /* would it be accepted */
    CT_OFFLOAD_OP_FLUSH,   /* take everything out */
    CT_OFFLOAD_OP_EST,     /* it is established and eligible: put both directions into the NIC */
    CT_OFFLOAD_OP_WINDOW,  /* read the TCP window back from the NIC's context; its rules stay */
    CT_OFFLOAD_N_OP_TYPES
};

/* Directions: index of two-element arrays. */
enum { CT_OFFLOAD_ORIG = 0, CT_OFFLOAD_REPLY = 1 };

/* A connection id, made and taken apart: {shard, generation, slot}. A reused slot has another generation. */
#define CT_OFFLOAD_ID(shard, generation, slot)                                                                         \
    (((uint64_t) ((shard) & 0xffu) << 56) | ((uint64_t) ((generation) & 0xffffffu) << 32) | (uint32_t) (slot))
#define CT_OFFLOAD_ID_SHARD(id)      ((uint32_t) ((id) >> 56))
#define CT_OFFLOAD_ID_GENERATION(id) ((uint32_t) ((id) >> 32) & 0xffffffu)
#define CT_OFFLOAD_ID_SLOT(id)       ((uint32_t) (id))

/* A port as its dpif-offload class knows it. A port that was removed and came back has another generation. */
struct ct_offload_port {
    uint32_t id; /* CT_OFFLOAD_NO_PORT where unknown */
    uint32_t generation;
};
#define CT_OFFLOAD_NO_PORT UINT32_MAX /* the id of no port */

/* Addresses and ports as packets of one direction carry them when they arrive, before any translation.
 * A packet leaves with the other direction's tuple reversed, so two tuples say all of NAT. */
struct ct_offload_tuple {
    uint8_t src[16]; /* IPv4: the first four bytes, the others 0 */
    uint8_t dst[16];
    uint16_t src_port; /* ICMP: the identifier */
    uint16_t dst_port; /* ICMP: type << 8 | code */
};

/* One TCP peer, in OVS's terms, as software knows it or WINDOW reads it back. A source that keeps windows scaled shifts
 * max_win by the peer's scale in either direction (rounding up on the way back), so that it fits into 16 bits here. */
struct ct_offload_tcp_peer {
    uint32_t seq_lo;    /* highest sequence end it sent */
    uint32_t seq_hi;    /* highest sequence end the other side allows it; not before seq_lo */
    uint32_t max_win;   /* largest window it announced, as carried in the header, not scaled; at least 1 */
    uint8_t wscale;     /* 0 to 14; 0xff: unknown, picked up mid-stream */
    uint8_t state;      /* CT_OFFLOAD_TCP_* */
    uint8_t has_wscale; /* 1: it announced a scale */
    uint8_t reserved;
};

/* States of one TCP peer, with OVS's numbers. */
enum ct_offload_tcp_state {
    CT_OFFLOAD_TCP_CLOSED = 0,
    CT_OFFLOAD_TCP_LISTEN = 1,
    CT_OFFLOAD_TCP_SYN_SENT = 2,
    CT_OFFLOAD_TCP_SYN_RECV = 3,
    CT_OFFLOAD_TCP_ESTABLISHED = 4,
    CT_OFFLOAD_TCP_CLOSE_WAIT = 5,
    CT_OFFLOAD_TCP_FIN_WAIT_1 = 6,
    CT_OFFLOAD_TCP_CLOSING = 7,
    CT_OFFLOAD_TCP_LAST_ACK = 8,
    CT_OFFLOAD_TCP_FIN_WAIT_2 = 9,
    CT_OFFLOAD_TCP_TIME_WAIT = 10
};

/* Properties of a connection. */
enum {
    CT_OFFLOAD_F_SNAT = 1,
    CT_OFFLOAD_F_DNAT = 2,
    CT_OFFLOAD_F_ALG = 4,
    CT_OFFLOAD_F_MIDSTREAM = 8, /* picked up without its handshake: scales are unknown */
    CT_OFFLOAD_F_STRICT = 16,   /* EST: a context checks windows; without it, a context is made liberal */
    CT_OFFLOAD_F_NEW = 32       /* EST: it was not added before; see CT_OFFLOAD_CLASS_EST_ADDS */
};

/* One connection as software knew it when the operation was made. Valid during the call only. */
struct ct_offload_ctx {
    uint64_t conn_id;
    struct ct_offload_tuple tuple[2]; /* by direction */
    struct ct_offload_port port[2];   /* by direction: where packets of that direction arrive */
    uint64_t label[2];                /* 128 bits, low half first */
    uint32_t mark;
    uint32_t timeout_ms;                /* of the current state */
    uint32_t timeout_max_ms;            /* longest of any state of this connection */
    uint32_t flags;                     /* CT_OFFLOAD_F_* */
    struct ct_offload_tcp_peer peer[2]; /* by direction: who sends in it; zeroes unless proto is TCP */
    uint16_t zone;
    uint16_t eth_type; /* 0x0800 or 0x86dd */
    uint8_t proto;     /* IP protocol number */
    uint8_t reserved[3];
};

/* Packets and bytes that rules of a connection forwarded past software, by direction. */
struct ct_offload_counts {
    uint64_t packets[2];
    uint64_t bytes[2];
};

/* What a provider says with an answer. */
enum {
    CT_OFFLOAD_R_BYPASS = 1,  /* EST: its packets pass software by */
    CT_OFFLOAD_R_CONTEXT = 2, /* EST: WINDOW can read a window back */
    CT_OFFLOAD_R_COUNTED = 4  /* UPD, DEL, lost(): `counts` holds what no earlier answer told */
};

/* One operation and its result. 64 bytes: one cache line. */
struct ct_offload_op {
    uint64_t op_id;   /* of the layer; complete() names it */
    uint64_t conn_id; /* 0 for FLUSH */
    union {
        const struct ct_offload_ctx *ctx; /* ADD, EST, POLICY; valid during the call only */
        struct ct_offload_tcp_peer *peer; /* WINDOW: two, by direction, to be written; valid until answered */
        struct ct_offload_counts *counts; /* UPD, DEL: to be written with R_COUNTED; valid until answered */
    };
    uint64_t handle;      /* the provider's own: written by ADD or EST, handed back by EST, UPD, WINDOW, DEL */
    int64_t last_used_ms; /* UPD: when a packet last used it */
    int64_t sampled_ms;   /* UPD: collection time of that answer: query time less the source's refresh */
    int32_t error;        /* 0, a positive errno, or EINPROGRESS: complete() follows */
    uint16_t type;        /* enum ct_offload_op_type */
    uint16_t reason;      /* enum ct_offload_reason, where error is neither 0 nor EINPROGRESS */
    uint8_t handled_by;   /* bit per provider that did the work; set by the layer */
    uint8_t flags;        /* CT_OFFLOAD_R_* */
    uint8_t reserved[6];
};

/* Results by operation. ADD: 0; EPERM or EOPNOTSUPP (with the reason) where it is not for this provider and others may
 * have it; any other errno is a failure and takes it out of all. EST: 0 when both directions are in the NIC, else nothing
 * is left in it; `handle` 0 keeps the one of ADD. DEL: 0; ENOENT counts as done; any other errno is tried again. UPD: 0
 * with both times, neither later than the time poll was given; ENODATA where the source has none now. POLICY: 0 or EPERM.
 * WINDOW: 0 with seq_lo, seq_hi and max_win of both peers (the other members are not looked at); ENODATA or EOPNOTSUPP
 * where nothing can be read. It is asked at most once per removal, of an owner that answered EST with R_CONTEXT, and its
 * rules forward on until the DEL that follows.
 *
 * In a batch, an operation comes in with error EOPNOTSUPP: one that is not answered is refused. */

/* What a provider tells of a connection by itself. */
enum ct_offload_event { CT_OFFLOAD_EVENT_AGED = 1, CT_OFFLOAD_EVENT_LOST = 2 };

/* What the layer offers a provider. Valid from init to fini; all calls are made on the provider's worker. A layer of an
 * older release ends before members that came later: `size` tells. */
struct ct_offload_host {
    uint32_t abi_version;
    uint32_t size;
    void *cookie; /* handed back as first argument */
    /* The result of an operation that answered EINPROGRESS. `result` is copied, and what its `peer` or `counts` points
     * to; NULL there leaves what was written into the operation's own. */
    void (*complete)(void *cookie, uint64_t op_id, const struct ct_offload_op *result);
    /* AGED: a hint that a connection went idle. LOST: its rules are gone without a DEL, because its port is. */
    void (*event)(void *cookie, uint64_t conn_id, enum ct_offload_event event);
    /* As LOST, and how: `error` and `reason` as of an EST that failed, for which it is offered again by itself, after a
     * time that doubles; both 0: its port is gone. With R_COUNTED, `counts` holds what no earlier answer told. All of it
     * is copied, the other members are not looked at. */
    void (*lost)(void *cookie, uint64_t conn_id, const struct ct_offload_op *how);
};

/* Properties of a provider. */
enum {
    /* Batches of UPD and WINDOW alone may be handed over by a second thread while the worker is in another call, so that
     * slow queries hold up nothing; they are answered at once, never with EINPROGRESS. */
    CT_OFFLOAD_CLASS_QUERIES_APART = 1,
    /* A connection that is established already when it is offered may come with EST alone, marked CT_OFFLOAD_F_NEW in its
     * context, with handle 0: added and installed in one. 0: both, with the handle written. Any error is one of ADD, and
     * nothing is left of it, neither rules nor handle. */
    CT_OFFLOAD_CLASS_EST_ADDS = 2
};

/* A provider. Mandatory: abi_version, size, name, and either batch_submit or all of can_offload, conn_add, conn_del.
 * A NULL member is skipped; a NULL conn_established accepts, a NULL conn_update answers ENODATA, a NULL conn_window
 * EOPNOTSUPP. */
struct ct_offload_class {
    uint32_t abi_version; /* CT_OFFLOAD_ABI_VERSION */
    uint32_t size;        /* sizeof(struct ct_offload_class) of the compiler that built it */
    const char *name;     /* unique; active where a dpif-offload class of that name is */
    int32_t priority;     /* lower is asked first; equal: order of registration */
    uint32_t flags;       /* CT_OFFLOAD_CLASS_* */
    void *user;           /* handed back as first argument */
    /* Before all other calls. What it returns, if not 0, is why the provider is not registered. */
    int (*init)(void *user, const struct ct_offload_host *host);
    /* After all other calls; nothing of the host may be used any more. */
    void (*fini)(void *user);
    /* ADD and POLICY: whether it would take the connection; if not, `reason` says why (0: PROVIDER_REFUSED). */
    bool (*can_offload)(void *user, const struct ct_offload_ctx *ctx, uint16_t *reason);
    /* One operation each: ADD, EST, UPD, DEL, WINDOW. Returns what stands under "Results by operation". */
    int (*conn_add)(void *user, struct ct_offload_op *op);
    int (*conn_established)(void *user, struct ct_offload_op *op);
    int (*conn_update)(void *user, struct ct_offload_op *op);
    int (*conn_del)(void *user, struct ct_offload_op *op);
    int (*conn_window)(void *user, struct ct_offload_op *op);
    /* FLUSH: takes everything out. Returns 0 or an errno. */
    int (*flush)(void *user);
    /* All of a batch at once: fills each op's results itself. The batch belongs to the layer. */
    void (*batch_submit)(void *user, struct ct_offload_op *ops, size_t n_ops);
    /* Called in each turn of the worker: pull completions, sample, age. Returns when it wants to be called next. */
    int64_t (*poll)(void *user, int64_t now_ms);
};

/* A dpif-offload class: who owns ports and their hardware. port_add, which is mandatory, returns true where it uses the
 * port; set_config returns 0 or a positive errno. Called on the layer's control thread. `name` stays valid. */
struct dpif_offload_class {
    uint32_t abi_version; /* CT_OFFLOAD_ABI_VERSION */
    uint32_t size;        /* sizeof(struct dpif_offload_class) of the compiler that built it */
    const char *name;     /* the provider of this name is active while it uses a port */
    void *user;           /* handed back as first argument */
    /* A setting of the layer changed. */
    int (*set_config)(void *user, const char *key, const char *value);
    /* A port came, and left. */
    bool (*port_add)(void *user, struct ct_offload_port port, const char *name);
    void (*port_del)(void *user, struct ct_offload_port port);
};

#ifdef __cplusplus
}
#endif

#endif /* CT_OFFLOAD_H */
