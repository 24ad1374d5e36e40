/* nicsim_ctl.h: the wire side, the clock and the books of the emulated NIC, as a test or a demo reaches them.
 *
 * The driver exports one function, nicsim_ctl_get(), found with dlsym(). All calls of the table may be made from any
 * thread, at any time; each returns 0 or a negative errno unless it says otherwise.
 */
#ifndef NICSIM_CTL_H
#define NICSIM_CTL_H

#include <stddef.h>
#include <stdint.h>

#define NICSIM_CTL_VERSION 3

/* How far a clock can be moved by hand, milliseconds: more than a century, and in nanoseconds still a number. */
#define NICSIM_CLOCK_MAX_MS INT64_C(4000000000000)

/* Why the NIC dropped a packet that came in from the wire. */
enum nicsim_drop {
    NICSIM_DROP_RULE = 0,      /* a rule said so */
    NICSIM_DROP_RX_FULL,       /* the host did not take its packets from the ring in time */
    NICSIM_DROP_NO_MBUF,       /* the queue's mempool was empty */
    NICSIM_DROP_LINK_DOWN,     /* the link was taken down */
    NICSIM_DROP_NOT_STARTED,   /* the port was not started, or stopped before the host read the packet */
    NICSIM_DROP_TOO_LONG,      /* longer than the MTU, or than a buffer without scattering */
    NICSIM_DROP_NOT_OURS,      /* for another MAC address, and not promiscuous */
    NICSIM_DROP_ISOLATED,      /* no rule matched an isolated port */
    NICSIM_DROP_OUT_PORT_DOWN, /* to be forwarded to a port that is stopped, down or gone */
    NICSIM_DROP_LOOP,          /* too many jumps from group to group */
    NICSIM_DROP_HAIRPIN,       /* to a hairpin queue that is not bound */
    NICSIM_N_DROPS
};

/* At every moment wire_in + host_switched + nic_received = nic_forwarded + sum(nic_dropped) + host_rx, and over the ports
 * of a switch sum(host_tx - host_switched) + sum(nic_forwarded) = sum(wire_out + wire_out_dropped + nic_received). */
struct nicsim_counters {
    uint64_t wire_in;
    uint64_t nic_forwarded; /* sent to the wire of a port, or to the host of another port, by a rule */
    uint64_t nic_received;  /* came to this port's host by a rule of another port */
    uint64_t nic_dropped[NICSIM_N_DROPS];
    uint64_t host_rx;      /* handed to a host queue */
    uint64_t host_pending; /* of host_rx: still waiting in a ring */
    uint64_t host_tx;      /* taken from the host */
    uint64_t wire_out;
    uint64_t wire_out_dropped; /* the link was down, or what is kept for reading was full */
    uint64_t host_switched;    /* of host_tx: a transfer rule took it */
    uint64_t hairpinned;       /* of nic_forwarded: through a hairpin queue */
};

struct nicsim_books {
    uint64_t live;
    uint64_t created;
    uint64_t destroyed;
    uint64_t lost; /* gone with the port's stop or removal, nobody asked for it */
    uint64_t most; /* high-water mark of live */
    uint64_t capacity;
};

struct nicsim_audit {
    struct nicsim_books rules;
    struct nicsim_books objects;
    uint64_t bytes_per_rule;
    uint64_t aged; /* length of the aged list */
};

/* What a rule does with a packet in the end. */
enum nicsim_fate {
    NICSIM_FATE_NONE = 0,
    NICSIM_FATE_QUEUE, /* fate_arg: the queue */
    NICSIM_FATE_RSS,   /* fate_arg: number of queues */
    NICSIM_FATE_DROP,
    NICSIM_FATE_WIRE,    /* fate_arg: the port whose wire it leaves by */
    NICSIM_FATE_HOST,    /* fate_arg: the port whose host gets it */
    NICSIM_FATE_JUMP,    /* fate_arg: the group */
    NICSIM_FATE_GONE,    /* its port is no longer there: packets are dropped */
    NICSIM_FATE_PASSTHRU /* on to the next rule of the group that matches */
};

/* Which fields a rule matches. */
enum nicsim_match_field {
    NICSIM_MATCH_SRC = 1,
    NICSIM_MATCH_DST = 2,
    NICSIM_MATCH_SRC_PORT = 4,
    NICSIM_MATCH_DST_PORT = 8,
    NICSIM_MATCH_PROTO = 16,
    NICSIM_MATCH_ETH_TYPE = 32,
    NICSIM_MATCH_VLAN = 64,
    NICSIM_MATCH_IN_PORT = 128,
    NICSIM_MATCH_TCP_FLAGS = 256,
    NICSIM_MATCH_FRAGMENT = 512,
    NICSIM_MATCH_MORE = 1024 /* registers, tunnels, MAC addresses, second tags and the like */
};

/* One live rule. Host byte order, except addresses. 128 bytes. */
struct nicsim_rule_info {
    uint64_t handle; /* the rte_flow pointer, as a number */
    uint64_t context;
    uint64_t packets;
    uint64_t bytes;
    int64_t last_hit_ms; /* on the NIC's clock; the creation where no packet came yet */
    uint8_t src[16];
    uint8_t dst[16];
    uint32_t fields; /* NICSIM_MATCH_* */
    uint32_t group;
    uint32_t priority;
    uint32_t timeout_s;
    uint32_t mark;
    uint32_t fate_arg;
    uint16_t src_port;
    uint16_t dst_port;
    uint16_t eth_type;
    uint16_t vlan_tci;
    uint16_t in_port; /* ethdev number */
    uint8_t proto;
    uint8_t fate;
    uint8_t transfer;
    uint8_t has_count;
    uint8_t has_age;
    uint8_t is_aged;
    uint8_t has_mark;
    uint8_t reserved[3];
    uint32_t table; /* the template table it belongs to, from 1; 0: it was made the synchronous way */
    uint8_t reserved_too[8];
};

/* Counters, ages or contexts: what was set aside, and what of it is in use. */
struct nicsim_room_info {
    uint64_t used;
    uint64_t room;
};

struct nicsim_flow_audit {
    struct nicsim_room_info counters;
    struct nicsim_room_info ages;
    struct nicsim_room_info contexts;
    uint32_t pattern_templates;
    uint32_t actions_templates;
    uint32_t tables;
    uint32_t queues;
    uint8_t is_configured; /* rte_flow_configure() was called */
    uint8_t is_strict;     /* with STRICT_QUEUE */
    uint8_t reserved[6];
};

/* A template table. */
struct nicsim_table_info {
    uint32_t number; /* as in nicsim_rule_info */
    uint32_t group;
    uint32_t priority;
    uint32_t room;
    uint32_t n_rules; /* those whose creation or removal is under way included */
    uint8_t n_patterns;
    uint8_t n_actions;
    uint8_t transfer;
    uint8_t egress;
};

/* A flow queue. At every moment enqueued = waiting + executed + cancelled and executed = results + told + dropped. */
struct nicsim_queue_info {
    uint64_t enqueued;
    uint64_t waiting;   /* not executed yet */
    uint64_t executed;  /* with success or without */
    uint64_t failed;    /* of executed: without */
    uint64_t results;   /* to be pulled */
    uint64_t told;      /* pulled */
    uint64_t dropped;   /* results that nobody gets: told to be lost, or of before a stop or a flush */
    uint64_t cancelled; /* never executed: the queue was stalled when the port stopped, or the port was lost */
    uint32_t size;
    uint32_t is_stalled;
};

/* Calls that can be made to fail. */
enum nicsim_call {
    NICSIM_CALL_VALIDATE = 0,
    NICSIM_CALL_CREATE,
    NICSIM_CALL_DESTROY,
    NICSIM_CALL_QUERY,
    NICSIM_CALL_FLUSH,
    NICSIM_CALL_AGED,
    NICSIM_CALL_ISOLATE,
    NICSIM_CALL_INDIRECT_CREATE,
    NICSIM_CALL_INDIRECT_DESTROY,
    NICSIM_CALL_INDIRECT_UPDATE,
    NICSIM_CALL_INDIRECT_QUERY,
    NICSIM_CALL_CONFIGURE,
    NICSIM_CALL_START,
    NICSIM_CALL_STOP,
    NICSIM_CALL_RX, /* a burst that yields nothing */
    NICSIM_CALL_TX, /* a burst of which nothing is taken */
    NICSIM_CALL_INFO,
    NICSIM_CALL_FLOW_CONFIGURE,
    NICSIM_CALL_PATTERN_TEMPLATE,
    NICSIM_CALL_ACTIONS_TEMPLATE,
    NICSIM_CALL_TEMPLATE_TABLE,
    NICSIM_CALL_TEMPLATE_DESTROY, /* of a template or a table */
    NICSIM_CALL_ASYNC_CREATE,
    NICSIM_CALL_ASYNC_DESTROY,
    NICSIM_CALL_PUSH,
    NICSIM_CALL_PULL,
    NICSIM_CALL_ASYNC_INDIRECT_CREATE,
    NICSIM_CALL_ASYNC_INDIRECT_DESTROY,
    NICSIM_CALL_ASYNC_INDIRECT_UPDATE,
    NICSIM_CALL_ASYNC_INDIRECT_QUERY,
    NICSIM_CALL_COMPLETION, /* an operation on a queue is executed without effect: its result says that it failed */
    NICSIM_N_CALLS
};

/* Which calls of a kind fail. */
enum nicsim_fault_when {
    NICSIM_FAULT_NEVER = 0,
    NICSIM_FAULT_NEXT,  /* the next n */
    NICSIM_FAULT_EVERY, /* each nth */
    NICSIM_FAULT_RANDOM /* n of a million, by a generator that starts from the seed */
};

struct nicsim_fault_plan {
    uint32_t when; /* enum nicsim_fault_when */
    uint32_t n;
    uint64_t seed;
    int32_t error; /* positive errno */
    uint32_t reserved;
};

struct nicsim_fault_info {
    uint64_t left;   /* of the next n: still to come */
    uint64_t failed; /* since the plan was made */
    uint64_t slow_left;
};

/* Queries that can be answered wrongly, of rules and of indirect actions alike. */
enum nicsim_answer { NICSIM_ANSWER_COUNT = 0, NICSIM_ANSWER_AGE, NICSIM_ANSWER_CONNTRACK, NICSIM_N_ANSWERS };

enum nicsim_lie_kind {
    NICSIM_LIE_NONE = 0,
    NICSIM_LIE_GIVEN,  /* what is given here; not for CONNTRACK */
    NICSIM_LIE_STALE,  /* the first answer is true, and repeated */
    NICSIM_LIE_GARBAGE /* random bytes, by a generator that starts from the seed */
};

struct nicsim_lie {
    uint32_t kind; /* enum nicsim_lie_kind */
    uint32_t n;    /* queries that get it */
    uint64_t seed;
    uint64_t packets;
    uint64_t bytes;
    uint32_t idle_s;
    uint32_t is_aged;
};

_Static_assert(sizeof(struct nicsim_rule_info) == 128, "numpy reads an array of them");

struct nicsim_port;

struct nicsim_ctl {
    uint32_t version;
    uint32_t size;

    /* The port behind an ethdev number; -ENODEV where it is no port of this driver. The reference stays valid until
     * close(); once the port is removed, what changes it answers -ENODEV, its counters and books can still be read. */
    int (*open)(uint16_t port_id, struct nicsim_port **port);
    void (*close)(struct nicsim_port *port);

    /* n packets arrive on the port's wire; they have run through the NIC on return. Packet i is data + offset[i]. */
    int (*wire_send)(struct nicsim_port *port, const uint8_t *data, const uint64_t *offset, const uint32_t *length,
                     uint32_t n);
    /* Keeps what leaves by the wire, up to so many bytes, for wire_receive(); 0: keeps nothing. */
    int (*wire_keep)(struct nicsim_port *port, uint64_t max_bytes);
    /* How much is there to be received. */
    int (*wire_pending)(struct nicsim_port *port, uint64_t *n_packets, uint64_t *n_bytes);
    /* Takes the oldest packets, as many as fit. Returns their number. time_ms may be NULL. */
    int64_t (*wire_receive)(struct nicsim_port *port, uint8_t *data, uint64_t n_bytes, uint64_t *offset,
                            uint32_t *length, int64_t *time_ms, uint64_t n_packets);
    /* wire=ring or port: takes what has come from the far end, as a receive burst of the host does too. Returns how many
     * packets. Such a wire keeps nothing; wire_pending and wire_receive answer -EOPNOTSUPP. */
    int64_t (*wire_poll)(struct nicsim_port *port);

    int (*counters)(struct nicsim_port *port, struct nicsim_counters *counters);
    int (*audit)(struct nicsim_port *port, struct nicsim_audit *audit);
    /* Live rules of the port. Returns how many there are; writes no more than `max` of them. */
    int64_t (*rules)(struct nicsim_port *port, struct nicsim_rule_info *info, uint64_t max);
    int (*flow_audit)(struct nicsim_port *port, struct nicsim_flow_audit *audit);
    /* Likewise: how many there are, no more than `max` of them. */
    int64_t (*tables)(struct nicsim_port *port, struct nicsim_table_info *info, uint64_t max);
    int64_t (*flow_queues)(struct nicsim_port *port, struct nicsim_queue_info *info, uint64_t max);

    /* Calls of that kind fail from now on as planned; NICSIM_FAULT_NEVER takes it back. -EINVAL for a plan that cannot be. */
    int (*fail)(struct nicsim_port *port, enum nicsim_call call, const struct nicsim_fault_plan *plan);
    /* The next n calls of that kind take so many milliseconds of real time; the NIC's lock is free meanwhile. */
    int (*slow)(struct nicsim_port *port, enum nicsim_call call, uint32_t n, uint32_t ms);
    int (*fault_info)(struct nicsim_port *port, enum nicsim_call call, struct nicsim_fault_info *info);
    /* The next queries of that kind are answered so. */
    int (*lie)(struct nicsim_port *port, enum nicsim_answer answer, const struct nicsim_lie *lie);
    /* A stalled flow queue takes operations and executes none, until it is released. -EINVAL: there is no such queue. */
    int (*queue_stall)(struct nicsim_port *port, uint32_t queue, int on);
    /* The next n operations are executed, but their results never come and their places are never free again. */
    int (*queue_drop)(struct nicsim_port *port, uint32_t queue, uint32_t n);
    /* From the push to the execution, for operations pushed from now on. */
    int (*completion_delay)(struct nicsim_port *port, uint32_t ms);
    int (*link)(struct nicsim_port *port, int up);
    /* The port fails: no packets, no rules, no objects, until the application reset it. RTE_ETH_EVENT_INTR_RESET. */
    int (*demand_reset)(struct nicsim_port *port);
    /* The device is pulled out: the port answers nothing until the application closed it. RTE_ETH_EVENT_INTR_RMV. */
    int (*unplug)(struct nicsim_port *port);

    /* The clock of the port's switch, milliseconds. Going back is -EINVAL, beyond NICSIM_CLOCK_MAX_MS
     * -ERANGE, moving a real clock -EPERM. */
    int (*clock_now)(struct nicsim_port *port, int64_t *now_ms);
    int (*clock_set)(struct nicsim_port *port, int64_t now_ms);
    int (*clock_manual)(struct nicsim_port *port, int manual);
};

/* "nicsim_ctl_get": NULL for another version of the table, or in a process that runs another DPDK. */
typedef const struct nicsim_ctl *nicsim_ctl_get_function(uint32_t version);
/* "nicsim_versions": the DPDK it was built for and the one that runs, as "DPDK 22.11.11". */
typedef void nicsim_versions_function(const char **built_for, const char **running);

#endif /* NICSIM_CTL_H */
