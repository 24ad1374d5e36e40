/* nicsim.h: the emulated NIC from inside. One file per feature; this one holds what they share.
 *
 * A switch holds one or more ports and owns the one lock: whatever is not said to be locked otherwise is locked by
 * `nicsim_switch.lock`. DPDK's callbacks are called without it.
 */
#ifndef NICSIM_H
#define NICSIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#include "age.h"
#include "async.h"
#include "far.h"
#include "fault.h"
#include "manners.h"
#include "match.h"
#include "memory.h"
#include "nicsim_ctl.h"
#include "toeplitz.h"

#define NICSIM_NAME       "net_nicsim"
#define NICSIM_MAX_PORTS  64 /* of a switch */
#define NICSIM_MAX_QUEUES 64
#define NICSIM_MAX_RSS    64 /* different sets of queues that rules of a port name */
#define NICSIM_RETA_SIZE  128
#define NICSIM_MAX_RULES  ((1u << 24) - 1) /* of a port */
#define NICSIM_MAX_FRAME  9728
#define NICSIM_NO_INDEX   UINT32_MAX

extern int nicsim_logtype;
#define NICSIM_LOG(level, ...) RTE_LOG_LINE_(level, __VA_ARGS__)
#define RTE_LOG_LINE_(level, format, ...)                                                                              \
    rte_log(RTE_LOG_##level, nicsim_logtype, NICSIM_NAME ": " format "\n", ##__VA_ARGS__)

/* The parameters of one port. */
struct nicsim_config {
    uint32_t capacity; /* rules */
    uint32_t objects;  /* indirect ones */
    uint32_t queues;
    int32_t switch_id; /* -1: one of its own */
    bool mtsafe;
    bool loopback;
    bool manual_clock;
    int32_t manners[NICSIM_N_MANNERS];
    bool prefault;     /* memory for all rules is touched when the port is made */
    uint8_t profile;   /* enum nicsim_profile_id */
    uint32_t counters; /* what rte_flow_configure() may set aside, all of it where it is not called; likewise below */
    uint32_t ages;
    uint32_t contexts;
    uint32_t flow_queues;
    uint32_t queue_size;
    uint32_t completion_delay_ms;
    int template_full_errno; /* what a full template table answers */
};

enum {
    NICSIM_RULE_COUNT = 1,
    NICSIM_RULE_AGE = 2,
    NICSIM_RULE_MARK = 4,
    NICSIM_RULE_LIVE = 8,
    NICSIM_RULE_CONNTRACK = 16,
    NICSIM_RULE_REWRITE = 32,
    NICSIM_RULE_REGISTERS = 64,
    NICSIM_RULE_FLAG = 128, /* a mark without a number */
};

/* How far an operation on a queue has got with a rule or an indirect action. */
enum nicsim_stage {
    NICSIM_STAGE_DONE = 0, /* nothing is under way */
    NICSIM_STAGE_QUEUED,   /* its creation is on a queue */
    NICSIM_STAGE_FAILED,   /* its creation failed; it has to be destroyed all the same */
    NICSIM_STAGE_LEAVING,  /* its removal is on a queue */
};

/* Header fields that a rule writes. */
enum {
    NICSIM_SET_SRC = 1,
    NICSIM_SET_DST = 2,
    NICSIM_SET_SRC_PORT = 4,
    NICSIM_SET_DST_PORT = 8,
    NICSIM_SET_TTL = 16,
    NICSIM_DEC_TTL = 32,
    NICSIM_SET_SRC_MAC = 64,
    NICSIM_SET_DST_MAC = 128,
    NICSIM_POP_VLAN = 256,
    NICSIM_PUSH_VLAN = 512,
    NICSIM_SET_VID = 1024,
    NICSIM_SET_PCP = 2048,
};

#define NICSIM_ANY_VLAN (NICSIM_POP_VLAN | NICSIM_PUSH_VLAN | NICSIM_SET_VID | NICSIM_SET_PCP)

/* What they become, as they stand in a packet. */
struct nicsim_rewrite {
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t src_mac[6];
    uint8_t dst_mac[6];
    uint16_t vlan_type;
    uint16_t vlan_tci; /* VID and PCP, host order */
    uint16_t what;     /* NICSIM_SET_*; 0: nothing */
    uint8_t ttl;
};

/* One write to a register: `width` bits at `offset`, from a value or from another register. */
struct nicsim_register_write {
    uint8_t to;   /* index into struct nicsim_registers as an array */
    uint8_t from; /* likewise; NICSIM_REGISTER_VALUE: `value` */
    uint8_t from_offset;
    uint32_t value; /* in place */
    uint32_t mask;  /* in place */
};

#define NICSIM_REGISTER_MARK   0
#define NICSIM_REGISTER_META   1
#define NICSIM_REGISTER_TAG    2 /* and up */
#define NICSIM_REGISTER_VALUE  UINT8_MAX
#define NICSIM_REGISTER_WRITES 4 /* of one rule */

/* What few rules have: shared objects, a rewrite, registers it writes. */
struct nicsim_extra {
    uint32_t count_object; /* NICSIM_NO_INDEX: the rule's own counter; likewise below */
    uint32_t age_object;
    uint32_t conntrack_object;
    uint32_t next_free;
    bool is_original;        /* which direction of the connection the rule stands for */
    uint8_t conntrack_owner; /* slot of the port whose context it is */
    uint8_t n_writes;
    struct nicsim_rewrite rewrite;
    struct nicsim_register_write writes[NICSIM_REGISTER_WRITES];
};

/* The second part of a rule's key, or the link to the next that is free. */
union nicsim_wide_slot {
    struct nicsim_wide wide;
    uint32_t next_free;
};

/* One rule. Two cache lines: what a lookup reads, what a hit writes. */
struct nicsim_rule {
    struct nicsim_key key; /* masked, with the subtable */
    uint32_t hash;
    uint32_t mark;
    uint32_t generation; /* of this index; part of the handle */
    uint16_t fate_arg;   /* queue, RSS set, slot of a port or index of a group */
    uint8_t fate;        /* enum nicsim_fate */
    uint8_t flags;       /* NICSIM_RULE_* */

    uint64_t packets; /* free: index of the next free one */
    uint64_t bytes;
    struct nicsim_age age;
    uint32_t extra; /* index, NICSIM_NO_INDEX where it has none */
    uint32_t wide;  /* likewise: of the second part of its key */
} __rte_cache_aligned;

_Static_assert(sizeof(struct nicsim_rule) == 128, "a rule is two cache lines");

/* One indirect COUNT, AGE or CONNTRACK. */
struct nicsim_object {
    uint64_t packets;
    uint64_t bytes;
    struct nicsim_age age;
    uint32_t n_rules; /* that use it */
    uint32_t generation;
    uint32_t next_free;
    uint8_t type;      /* 0: free, else NICSIM_RULE_COUNT, NICSIM_RULE_AGE or NICSIM_RULE_CONNTRACK */
    uint8_t stage;     /* enum nicsim_stage */
    uint8_t n_repeats; /* of the connection's last packet, in a row */
    struct rte_flow_action_conntrack conntrack;
    struct nicsim_sampled sampled;
};

/* Queues that one or more rules spread over. */
struct nicsim_rss {
    uint32_t n_rules; /* 0: free */
    uint16_t n;
    uint16_t queues[NICSIM_MAX_QUEUES];
};

/* Half of a hairpin: the NIC hands over from a receive queue to a transmit queue by itself. */
struct nicsim_hairpin {
    bool is_one;   /* false: a queue of the host's */
    bool is_bound; /* packets pass */
    bool manual_bind;
    bool tx_explicit;
    uint16_t port; /* ethdev number of the other half */
    uint16_t queue;
    uint8_t slot; /* of that port, while bound */
};

/* A ring towards the host: one writer (the switch, locked), one reader (the queue's thread). */
struct nicsim_rxq {
    struct nicsim_port *port;
    struct rte_mempool *pool;
    struct rte_mbuf **ring;
    uint32_t mask;
    uint16_t index;
    uint16_t n_desc;
    uint32_t room;    /* bytes of a buffer */
    bool scatter;     /* a packet may take several buffers */
    bool is_deferred; /* does not start with its port */
    bool is_stopped;  /* what is for it is dropped */
    struct nicsim_hairpin hairpin;
    uint64_t offloads;
    _Atomic uint64_t n_packets;
    _Atomic uint64_t n_bytes;
    _Atomic uint32_t head __rte_cache_aligned; /* next to be written */
    _Atomic uint32_t tail __rte_cache_aligned; /* next to be read */
};

struct nicsim_txq {
    struct nicsim_port *port;
    uint16_t index;
    uint16_t n_desc;
    bool is_deferred;
    _Atomic bool is_stopped;
    struct nicsim_hairpin hairpin;
    _Atomic uint64_t n_packets;
    _Atomic uint64_t n_bytes;
};

/* What left by the wire and was not received yet: a growing buffer, read from the front. */
struct nicsim_wire {
    uint64_t max_bytes; /* 0: nothing is kept */
    uint8_t *data;
    uint64_t data_size, data_used, data_read;
    struct nicsim_wire_packet {
        uint64_t offset;
        int64_t time_ms;
        uint32_t length;
    } *packets;
    uint64_t packets_size, n_packets, n_read;
};

struct nicsim_books_of {
    uint64_t live, created, destroyed, lost, most;
};

#define NICSIM_MAX_ADDRESSES       16
#define NICSIM_MAX_GROUP_ADDRESSES 64

/* Beside the port's own. */
struct nicsim_addresses {
    struct rte_ether_addr more[NICSIM_MAX_ADDRESSES - 1]; /* zeroes: none */
    struct rte_ether_addr groups[NICSIM_MAX_GROUP_ADDRESSES];
    uint32_t n_groups;
    bool all_multicast;
};

struct nicsim_port {
    struct nicsim_switch *sw;
    struct rte_eth_dev *dev; /* NULL once removed */
    struct nicsim_config config;
    uint16_t port_id; /* of ethdev */
    uint16_t uid;     /* never used again in this process */
    uint8_t slot;     /* in the switch */
    bool is_started;
    bool is_link_up; /* as far as the administrator says */
    bool is_isolated;
    bool needs_reset;          /* nothing works before the application reset it */
    _Atomic bool is_unplugged; /* the device is gone, its ethdev port is still there */
    bool is_promiscuous;
    bool is_event_due;  /* the aged list got new entries since the last event */
    bool is_event_sent; /* no further one before the list is read */
    uint16_t mtu;
    uint16_t n_rxq;
    uint8_t mac[6];
    struct nicsim_addresses addresses;
    uint32_t n_references; /* the driver's and the controls' */

    struct nicsim_rule *rules;
    struct nicsim_sampled *sampled; /* as many as rules; NULL where nothing is sampled */
    struct nicsim_extra *extras;    /* as many as rules */
    uint32_t extras_top, free_extra;
    union nicsim_wide_slot *wides; /* as many as rules; the second parts of keys */
    uint32_t wides_top, free_wide;
    uint32_t top, free_rule; /* indices from `top` were never used */
    uint32_t last_removed;
    struct nicsim_books_of rule_books;
    struct nicsim_object *objects;
    uint32_t objects_top, free_object;
    uint32_t n_objects; /* those whose creation is under way or failed included */
    struct nicsim_books_of object_books;
    struct nicsim_rss rss[NICSIM_MAX_RSS];
    uint16_t reta[NICSIM_RETA_SIZE];
    uint8_t rss_key[NICSIM_RSS_KEY_SIZE];
    uint64_t rss_hf;
    struct nicsim_toeplitz toeplitz; /* of that key */
    struct nicsim_wheel wheel;

    struct nicsim_sizes sizes;
    struct nicsim_flow_queue *flow_queues; /* sizes.n_queues of them */
    int64_t completion_delay_ms;           /* from the push to the execution */
    uint32_t n_failed_rules;               /* in NICSIM_STAGE_FAILED */
    struct nicsim_registry patterns, actions, tables;

    struct nicsim_rxq *rxq[NICSIM_MAX_QUEUES];
    struct nicsim_txq *txq[NICSIM_MAX_QUEUES];
    int meta_offset; /* of META in an mbuf; -1: the application did not ask for it */
    uint64_t meta_flag;
    struct nicsim_counters counters;
    struct nicsim_counters counters_base; /* where ethdev's statistics start */
    struct nicsim_wire wire;
    struct nicsim_far far;
    struct nicsim_fault faults[NICSIM_N_CALLS];
    struct nicsim_lying lies[NICSIM_N_ANSWERS];
    _Atomic uint32_t n_burst_faults; /* 0: rx and tx need not look */
};

/* The clock: real, or moved by hand. Read without the lock. */
struct nicsim_clock {
    _Atomic bool is_manual;
    _Atomic int64_t manual_ms;
    int64_t start_ms; /* the real one counts from here */
};

struct nicsim_switch {
    pthread_mutex_t lock;
    int32_t id; /* -1: of one port alone */
    uint32_t n_ports;
    uint32_t n_references; /* ports, with or without a device; locked by the list of switches */
    struct nicsim_switch *next;
    struct nicsim_clock clock;
    struct nicsim_match match;
    struct nicsim_port *ports[NICSIM_MAX_PORTS]; /* by slot */
    uint32_t n_from_host;                        /* rules for what hosts send */
    uint8_t scratch[NICSIM_MAX_FRAME];           /* the packet that is being rewritten */
};

/* What ethdev keeps for the driver. */
struct nicsim_private {
    struct nicsim_port *port;
};

static inline struct nicsim_port *
nicsim_port_of(const struct rte_eth_dev *dev)
{
    return ((struct nicsim_private *) dev->data->dev_private)->port;
}

static inline void
nicsim_lock(struct nicsim_port *port)
{
    pthread_mutex_lock(&port->sw->lock);
}

static inline void
nicsim_unlock(struct nicsim_port *port)
{
    pthread_mutex_unlock(&port->sw->lock);
}

/* A rule is named by its port's slot and its index; 0 names none. */
static inline uint32_t
nicsim_rule_ref(const struct nicsim_port *port, uint32_t index)
{
    return (uint32_t) port->slot << 24 | (index + 1);
}

static inline struct nicsim_rule *
nicsim_rule_at(const struct nicsim_switch *sw, uint32_t ref)
{
    return &sw->ports[ref >> 24]->rules[(ref & 0xffffff) - 1];
}

/* driver.c */
/* True where the process runs the DPDK this driver was built for. */
bool nicsim_version_fits(void);

/* The template table a rule belongs to, from 1; 0: it was made the synchronous way. */
static inline uint16_t
nicsim_rule_table(const struct nicsim_rule *rule)
{
    return rule->age.tag >> 2;
}

static inline enum nicsim_stage
nicsim_rule_stage(const struct nicsim_rule *rule)
{
    return rule->age.tag & 3;
}

static inline void
nicsim_rule_set_stage(struct nicsim_rule *rule, enum nicsim_stage stage, uint16_t table)
{
    rule->age.tag = (uint16_t) (table << 2 | stage);
}

/* The port a rule was made on. */
static inline struct nicsim_port *
nicsim_rule_port(const struct nicsim_switch *sw, const struct nicsim_rule *rule)
{
    return sw->ports[rule->age.owner];
}

/* devargs.c */
int nicsim_config_parse(const char *name, const char *args, struct nicsim_config *config, struct nicsim_far *far);

/* switch.c */
int nicsim_port_new(const struct nicsim_config *config, struct rte_eth_dev *dev, struct nicsim_port **port);
void nicsim_port_leave(struct nicsim_port *port);
void nicsim_port_unref(struct nicsim_port *port);
/* The port of an ethdev number with one reference more, or NULL. */
struct nicsim_port *nicsim_port_get(uint16_t port_id);
/* The port with this DPDK port at the far end of its wire, with a reference, or NULL. */
struct nicsim_port *nicsim_port_by_far(uint16_t port_id);
/* Of the ring at the far end of the port's wire: how many other ports are on it, and the first one with a reference, or
 * NULL. */
uint32_t nicsim_ring_ports(const struct nicsim_port *port);
struct nicsim_port *nicsim_ring_peer(const struct nicsim_port *port);
/* The ethdev numbers of all emulated ports, at most RTE_MAX_ETHPORTS, in order. Returns how many. */
uint16_t nicsim_port_ids(uint16_t *ids);

/* clock.c */
void nicsim_clock_init(struct nicsim_clock *clock, bool manual);
int64_t nicsim_clock_ms(const struct nicsim_clock *clock);
int nicsim_clock_set(struct nicsim_clock *clock, int64_t now_ms);
void nicsim_clock_make_manual(struct nicsim_clock *clock, bool manual);

/* ethdev.c */
extern const struct eth_dev_ops nicsim_dev_ops;
/* Up, started and there: packets may pass. */
bool nicsim_port_passes(const struct nicsim_port *port);
/* Writes the link's state where ethdev reads it. */
void nicsim_publish_link(struct rte_eth_dev *dev, const struct nicsim_port *port);
/* Takes the lock itself. 0 or -ENODEV. */
int nicsim_port_set_link(struct nicsim_port *port, bool up);

/* mishap.c: what happens to a port without its host's doing. Both take the lock themselves, send the event, and return 0
 * or -ENODEV. */
/* It fails and waits to be reset. */
int nicsim_port_break(struct nicsim_port *port);
/* It is pulled out. */
int nicsim_port_unplug(struct nicsim_port *port);

struct nicsim_packet;

/* address.c */
/* Whether the port takes a packet that no rule took. */
bool nicsim_is_ours(const struct nicsim_port *port, const struct nicsim_packet *packet);
int nicsim_promiscuous_enable(struct rte_eth_dev *dev);
int nicsim_promiscuous_disable(struct rte_eth_dev *dev);
int nicsim_allmulticast_enable(struct rte_eth_dev *dev);
int nicsim_allmulticast_disable(struct rte_eth_dev *dev);
int nicsim_mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac);
int nicsim_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *mac, uint32_t index, uint32_t pool);
void nicsim_mac_remove(struct rte_eth_dev *dev, uint32_t index);
int nicsim_groups_set(struct rte_eth_dev *dev, struct rte_ether_addr *groups, uint32_t n);

/* xstats.c */
/* The counters beside nic_dropped. */
#define NICSIM_N_COUNTERS 10
struct nicsim_counter_field {
    const char *name;
    size_t offset; /* in struct nicsim_counters */
};
extern const struct nicsim_counter_field nicsim_counter_fields[NICSIM_N_COUNTERS];
uint64_t nicsim_counter(const struct nicsim_counters *counters, uint32_t i);
int nicsim_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);
int nicsim_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *stats, unsigned int n);

/* queue_state.c */
void nicsim_queues_start(struct rte_eth_dev *dev);
int nicsim_rx_queue_start(struct rte_eth_dev *dev, uint16_t index);
int nicsim_rx_queue_stop(struct rte_eth_dev *dev, uint16_t index);
int nicsim_tx_queue_start(struct rte_eth_dev *dev, uint16_t index);
int nicsim_tx_queue_stop(struct rte_eth_dev *dev, uint16_t index);
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int nicsim_rx_queue_count(void *queue);
#else
uint32_t nicsim_rx_queue_count(void *queue);
#endif
int nicsim_rx_descriptor_status(void *queue, uint16_t offset);
int nicsim_tx_descriptor_status(void *queue, uint16_t offset);
void nicsim_rxq_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_rxq_info *info);
void nicsim_txq_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_txq_info *info);
int nicsim_burst_mode(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode);
#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
const uint32_t *nicsim_ptypes(struct rte_eth_dev *dev, size_t *n);
#else
const uint32_t *nicsim_ptypes(struct rte_eth_dev *dev);
#endif
int nicsim_firmware_version(struct rte_eth_dev *dev, char *text, size_t size);

/* queue.c */
uint16_t nicsim_rx_burst(void *queue, struct rte_mbuf **packets, uint16_t n);
uint16_t nicsim_tx_burst(void *queue, struct rte_mbuf **packets, uint16_t n);
int nicsim_rx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc, unsigned int socket,
                          const struct rte_eth_rxconf *conf, struct rte_mempool *pool);
int nicsim_tx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc, unsigned int socket,
                          const struct rte_eth_txconf *conf);
void nicsim_rx_queue_release(struct rte_eth_dev *dev, uint16_t index);
void nicsim_tx_queue_release(struct rte_eth_dev *dev, uint16_t index);
/* Throws away what the host did not read. */
void nicsim_rxq_drain(struct nicsim_rxq *queue);
uint32_t nicsim_rxq_pending(const struct nicsim_rxq *queue);

/* packet.c */
struct nicsim_packet {
    const uint8_t *data;
    uint32_t length;
    uint64_t ol_flags; /* what is known of its checksums */
    uint32_t packet_type;
    uint16_t l3; /* offsets of the headers, 0 where there is none */
    uint16_t l4;
    uint16_t l4_length; /* of header and payload, without padding */
    uint16_t fragment;  /* IPv6's fragment header */
    struct nicsim_key key;
    struct nicsim_wide wide; /* registers always, the rest once nicsim_wide_read() was called */
};
/* Reads the headers into the key; data and length are set. Registers are 0 then. */
void nicsim_packet_dissect(struct nicsim_packet *packet, uint16_t in_port);
/* The same after headers have moved: what rules noted of the packet stays. */
void nicsim_packet_dissect_again(struct nicsim_packet *packet);

/* pipeline.c */
/* The rule of that key; `wide` is NULL where it has no second part. */
struct nicsim_rule *nicsim_rule_find(const struct nicsim_switch *sw, const struct nicsim_key *key,
                                     const struct nicsim_wide *wide, uint32_t hash);
void nicsim_pipeline(struct nicsim_port *in, struct nicsim_packet *packets, uint32_t n);
/* What the host of a port sends meets egress rules, then transfer rules: true where one took the packet, and its account
 * is kept. Otherwise it leaves by the wire, as egress rules have written it. */
bool nicsim_pipeline_from_host(struct nicsim_port *from, struct nicsim_packet *packet);
#define NICSIM_BURST 64

/* host.c */
/* Hands a packet to a queue of the host. Returns false where it was dropped, and why in *drop. */
bool nicsim_host_deliver(struct nicsim_port *port, const struct nicsim_packet *packet, uint16_t index,
                         enum nicsim_drop *drop);

/* wire.c */
/* Keeps a packet that left, for wire_receive() or the other port on a ring; false where there is no room. */
bool nicsim_wire_keep(struct nicsim_port *port, const uint8_t *data, uint32_t length);
void nicsim_wire_out(struct nicsim_port *port, const uint8_t *data, uint32_t length);
/* Takes the lock itself. 0, or -ENODEV where the port is gone. */
int nicsim_wire_in(struct nicsim_port *port, const uint8_t *data, const uint64_t *offset, const uint32_t *length,
                   uint32_t n);
void nicsim_wire_free(struct nicsim_wire *wire);
int64_t nicsim_wire_receive(struct nicsim_port *port, uint8_t *data, uint64_t n_bytes, uint64_t *offset,
                            uint32_t *length, int64_t *time_ms, uint64_t n_packets);

/* rule.c: what a caller asks for, understood */
struct nicsim_spec {
    struct nicsim_key key;
    struct nicsim_key mask;
    bool is_wide; /* the second part of the key is there */
    uint32_t group;
    uint32_t priority;
    uint32_t jump_group;
    uint32_t mark;
    uint32_t timeout_s;
    void *context;
    struct nicsim_extra extra;
    const struct rte_flow_action_rss *rss;
    uint16_t fate_arg;
    uint8_t fate;
    uint8_t flags;
    bool transfer;
    bool egress;             /* for what the port's own host sends */
    uint32_t takes;          /* NICSIM_TAKES_* */
    struct nicsim_wide wide; /* set where is_wide; last, since few rules need them cleared */
    struct nicsim_wide wide_mask;
};
/* Whose groups the rule is in: those of the switch, of the port, or of what its host sends. */
static inline uint16_t
nicsim_domain_of(const struct nicsim_port *port, const struct nicsim_spec *spec)
{
    return spec->transfer ? 0 : spec->egress ? port->uid | NICSIM_FROM_HOST : port->uid;
}
int nicsim_rule_parse(struct nicsim_port *port, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
                      const struct rte_flow_action *actions, struct nicsim_spec *spec, struct rte_flow_error *error);
/* item.c, action.c */
int nicsim_items_parse(struct nicsim_port *port, const struct rte_flow_item *items, struct nicsim_spec *spec,
                       struct rte_flow_error *error);
int nicsim_actions_parse(struct nicsim_port *port, const struct rte_flow_action *actions, struct nicsim_spec *spec,
                         struct rte_flow_error *error);

/* Fills the `error` at hand; its value is -errno. */
#define FAIL(number, type, cause, message) rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

#define NICSIM_INJECTED "failed as it was told to"
#define NICSIM_NO_RULE  "no such rule: it was destroyed, flushed, or lost when the port stopped"

/* flow.c */
extern const struct rte_flow_ops nicsim_flow_ops;
/* The rule behind a handle, or NULL where it is gone. Packets meet it only where it is NICSIM_RULE_LIVE. */
struct nicsim_rule *nicsim_rule_of(struct nicsim_port *port, const struct rte_flow *handle, uint32_t *index);
/* Takes all that a rule needs; the caller holds the subtable, and gives it back where this fails. */
int nicsim_rule_new(struct nicsim_port *port, struct nicsim_spec *spec, uint16_t subtable, uint32_t *index,
                    struct rte_flow_error *error);
/* From now on packets meet it. 0, or EEXIST where there is one of the same key: then drop it. */
int nicsim_rule_enter(struct nicsim_port *port, uint32_t index, int64_t now_ms);
/* Gives back what nicsim_rule_new() took, and the subtable. */
void nicsim_rule_drop(struct nicsim_port *port, uint32_t index);
/* The same for one that packets meet. */
void nicsim_rule_remove(struct nicsim_port *port, uint32_t index, bool lost);
/* All rules of the port go; lost: nobody asked for it. */
void nicsim_rules_clear(struct nicsim_port *port, bool lost);
/* A port leaves the switch: rules of other ports that send to it send nowhere. */
void nicsim_rules_forget_port(struct nicsim_switch *sw, const struct nicsim_port *gone);
struct rte_flow *nicsim_rule_handle(const struct nicsim_rule *rule, uint32_t index);

/* count.c */
/* A packet met the rule: its counter and its age, or those of the objects it uses. */
void nicsim_rule_hit(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t length, int64_t now_ms);
void nicsim_rule_count_query(struct nicsim_port *port, struct nicsim_rule *rule, struct rte_flow_query_count *out);
void nicsim_object_count_query(struct nicsim_port *port, struct nicsim_object *object,
                               struct rte_flow_query_count *out);

/* aged.c */
void nicsim_rule_age_query(struct nicsim_port *port, struct nicsim_rule *rule, struct rte_flow_query_age *out);
void nicsim_object_age_query(struct nicsim_port *port, const struct nicsim_object *object,
                             struct rte_flow_query_age *out);
/* The room of the aged list, after the number of counters changed. */
void nicsim_aged_set_room(struct nicsim_port *port);
int nicsim_aged_get(struct rte_eth_dev *dev, void **contexts, uint32_t n, struct rte_flow_error *error);
int nicsim_aged_get_of_queue(struct rte_eth_dev *dev, uint32_t queue, void **contexts, uint32_t n,
                             struct rte_flow_error *error);
/* Turns the wheels of all ports of the switch; the events that follow are due. */
void nicsim_aged_turn(struct nicsim_switch *sw);
/* Sends the events that are due; called without the lock. */
void nicsim_aged_notify(struct nicsim_switch *sw);
/* Sees to it that a timer turns the wheels while the clock is real and a port is started. Called without the lock. */
void nicsim_aged_set_timer(struct nicsim_switch *sw);

/* extra.c */
/* 0 where the rule has what it needs, ENOSPC otherwise. */
int nicsim_extra_use(struct nicsim_port *port, const struct nicsim_spec *spec, uint32_t *index);
void nicsim_extra_unuse(struct nicsim_port *port, uint32_t index);
/* NULL where it has none. */
const struct nicsim_extra *nicsim_rule_extra(const struct nicsim_port *port, const struct nicsim_rule *rule);
/* The context it asks; NULL where it asks none, or its port is gone. */
struct nicsim_object *nicsim_extra_context(const struct nicsim_switch *sw, const struct nicsim_extra *extra);
/* The rule's own, or the object's that it shares. */
struct nicsim_age *nicsim_rule_age(const struct nicsim_port *port, struct nicsim_rule *rule);
/* NULL: the rule counts itself, ages by itself. */
struct nicsim_object *nicsim_rule_counter(const struct nicsim_port *port, const struct nicsim_rule *rule);
struct nicsim_object *nicsim_rule_ager(const struct nicsim_port *port, const struct nicsim_rule *rule);

/* conntrack.c */
/* 0, or EINVAL where a value cannot be. */
int nicsim_conntrack_check(const struct rte_flow_action_conntrack *conntrack);
/* What the connection's context says of this packet: RTE_FLOW_CONNTRACK_PKT_STATE_*. Updates the context. */
uint8_t nicsim_conntrack_judge(struct nicsim_object *object, bool is_original, const struct nicsim_packet *packet);

/* wide.c */
/* Reads what the second parts of keys compare. The packet was dissected. */
void nicsim_wide_read(struct nicsim_packet *packet);
/* A place for the second part of a rule's key, NICSIM_NO_INDEX where it has none. 0 or ENOMEM. */
int nicsim_wide_use(struct nicsim_port *port, const struct nicsim_spec *spec, uint32_t *index);
void nicsim_wide_unuse(struct nicsim_port *port, uint32_t index);
/* The port goes. */
void nicsim_wide_free(struct nicsim_port *port);

/* register.c */
/* Takes MARK, FLAG, SET_META or SET_TAG, or a MODIFY_FIELD of one of these. 0, or what rte_flow_error_set() returned. */
int nicsim_register_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error);
/* True where a MODIFY_FIELD writes a register. */
bool nicsim_register_is_field(enum rte_flow_field_id field);
void nicsim_register_apply(const struct nicsim_extra *extra, struct nicsim_packet *packet);

/* vlan.c */
int nicsim_vlan_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error);
/* Pops, pushes and sets tags of a packet that lies in the scratch. */
void nicsim_vlan_apply(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *scratch);

/* hairpin.c */
int nicsim_hairpin_cap_get(struct rte_eth_dev *dev, struct rte_eth_hairpin_cap *cap);
int nicsim_hairpin_rx_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc,
                            const struct rte_eth_hairpin_conf *conf);
int nicsim_hairpin_tx_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc,
                            const struct rte_eth_hairpin_conf *conf);
int nicsim_hairpin_bind(struct rte_eth_dev *dev, uint16_t rx_port);
int nicsim_hairpin_unbind(struct rte_eth_dev *dev, uint16_t rx_port);
int nicsim_hairpin_peer_ports(struct rte_eth_dev *dev, uint16_t *peers, size_t n, uint32_t is_tx);
/* The port starts: halves that bind by themselves do, and packets no rule chose a queue for avoid them. 0 or an errno. */
int nicsim_hairpin_start(struct nicsim_port *port);
/* The port stops or goes: whatever is bound to it is not any more. */
void nicsim_hairpin_stop(struct nicsim_port *port);

/* rewrite.c */
/* Takes a SET_* or DEC_TTL action, or a MODIFY_FIELD of a header. 0, or what rte_flow_error_set() returned. */
int nicsim_rewrite_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error);
/* Writes into a copy of the packet, keeps its checksums as right as they were, and its key. False where the packet would
 * become longer than any can be. */
bool nicsim_rewrite_apply(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *scratch);

/* rss.c */
/* The port's default: all types, a key with which both directions of a connection reach the same queue. */
void nicsim_rss_init(struct nicsim_port *port);
void nicsim_rss_key_set(struct nicsim_port *port, const uint8_t *key);
/* The packet's hash on this port; 0 for what its types of RSS do not name. */
uint32_t nicsim_packet_rss(const struct nicsim_port *port, const struct nicsim_packet *packet);
int nicsim_rss_use(struct nicsim_port *port, const struct rte_flow_action_rss *rss, uint16_t *index);
void nicsim_rss_unuse(struct nicsim_port *port, uint16_t index);
/* Spread over all queues, or all to the first. */
void nicsim_reta_reset(struct nicsim_port *port, bool spread);
int nicsim_reta_update(struct rte_eth_dev *dev, struct rte_eth_rss_reta_entry64 *conf, uint16_t size);
int nicsim_reta_query(struct rte_eth_dev *dev, struct rte_eth_rss_reta_entry64 *conf, uint16_t size);
int nicsim_rss_hash_update(struct rte_eth_dev *dev, struct rte_eth_rss_conf *conf);
int nicsim_rss_hash_get(struct rte_eth_dev *dev, struct rte_eth_rss_conf *conf);

/* indirect.c */
struct nicsim_object *nicsim_object_of(struct nicsim_port *port, const struct rte_flow_action_handle *handle,
                                       uint32_t *index);
/* The same for a rule of the port: a context may also be that of another port which named this one as its peer. */
struct nicsim_object *nicsim_object_for_rule(struct nicsim_port *port, const struct rte_flow_action_handle *handle,
                                             uint32_t *index);
struct rte_flow_action_handle *nicsim_object_handle(const struct nicsim_object *object, uint32_t index);
/* Takes what an indirect action needs; it does nothing before nicsim_object_enter(). */
int nicsim_object_new(struct nicsim_port *port, const struct rte_flow_indir_action_conf *conf,
                      const struct rte_flow_action *action, uint32_t *index, struct rte_flow_error *error);
void nicsim_object_enter(struct nicsim_port *port, uint32_t index, int64_t now_ms);
/* Gives back one that was not entered, or one that was. */
void nicsim_object_drop(struct nicsim_port *port, uint32_t index);
void nicsim_object_remove(struct nicsim_port *port, uint32_t index, bool lost);
/* 0 where it can be asked, changed and used. */
int nicsim_object_ready(const struct nicsim_object *object, const void *cause, struct rte_flow_error *error);
int nicsim_object_check_update(const struct nicsim_port *port, const struct nicsim_object *object, const void *update,
                               const void *cause, struct rte_flow_error *error);
void nicsim_object_update(struct nicsim_port *port, struct nicsim_object *object, const void *update);
void nicsim_object_query(struct nicsim_port *port, struct nicsim_object *object, void *data);
struct rte_flow_action_handle *nicsim_indirect_create(struct rte_eth_dev *dev,
                                                      const struct rte_flow_indir_action_conf *conf,
                                                      const struct rte_flow_action *action,
                                                      struct rte_flow_error *error);
int nicsim_indirect_destroy(struct rte_eth_dev *dev, struct rte_flow_action_handle *handle,
                            struct rte_flow_error *error);
int nicsim_indirect_update(struct rte_eth_dev *dev, struct rte_flow_action_handle *handle, const void *update,
                           struct rte_flow_error *error);
int nicsim_indirect_query(struct rte_eth_dev *dev, const struct rte_flow_action_handle *handle, void *data,
                          struct rte_flow_error *error);
/* The port goes: so do its objects. */
void nicsim_objects_clear(struct nicsim_port *port);

/* sizes.c */
/* As after the probe: all there is, not configured. */
void nicsim_sizes_init(struct nicsim_port *port);
int nicsim_flow_info_get(struct rte_eth_dev *dev, struct rte_flow_port_info *port_info,
                         struct rte_flow_queue_info *queue_info, struct rte_flow_error *error);
int nicsim_flow_configure(struct rte_eth_dev *dev, const struct rte_flow_port_attr *attr, uint16_t n_queues,
                          const struct rte_flow_queue_attr *queues[], struct rte_flow_error *error);
/* One counter, age or context: NICSIM_RULE_COUNT, NICSIM_RULE_AGE, NICSIM_RULE_CONNTRACK. */
int nicsim_sizes_take(struct nicsim_port *port, uint8_t type, struct rte_flow_error *error);
void nicsim_sizes_give(struct nicsim_port *port, uint8_t type);
/* What a rule has of its own. */
int nicsim_sizes_take_for(struct nicsim_port *port, const struct nicsim_spec *spec, struct rte_flow_error *error);
void nicsim_sizes_give_of(struct nicsim_port *port, uint8_t flags, const struct nicsim_extra *extra);

/* pattern_template.c, actions_template.c */
struct rte_flow_pattern_template *nicsim_pattern_template_create(struct rte_eth_dev *dev,
                                                                 const struct rte_flow_pattern_template_attr *attr,
                                                                 const struct rte_flow_item items[],
                                                                 struct rte_flow_error *error);
int nicsim_pattern_template_destroy(struct rte_eth_dev *dev, struct rte_flow_pattern_template *handle,
                                    struct rte_flow_error *error);
/* The values of a rule under the masks of its template, with END; `out` has NICSIM_TEMPLATE_MOST places. */
int nicsim_pattern_merge(const struct nicsim_pattern_template *pattern, const struct rte_flow_item *items,
                         struct rte_flow_item *out, struct rte_flow_error *error);
struct rte_flow_actions_template *nicsim_actions_template_create(struct rte_eth_dev *dev,
                                                                 const struct rte_flow_actions_template_attr *attr,
                                                                 const struct rte_flow_action actions[],
                                                                 const struct rte_flow_action masks[],
                                                                 struct rte_flow_error *error);
int nicsim_actions_template_destroy(struct rte_eth_dev *dev, struct rte_flow_actions_template *handle,
                                    struct rte_flow_error *error);
/* The actions of a rule: the template's where they are fixed, the rule's own otherwise. */
int nicsim_actions_merge(struct nicsim_port *port, const struct nicsim_actions_template *actions,
                         const struct rte_flow_action *own, struct rte_flow_action *out, struct rte_flow_error *error);
/* Contexts that no rule has named yet: nothing that could be read. */
void nicsim_leave_out_contexts(struct rte_flow_action *actions);
void nicsim_pattern_templates_clear(struct nicsim_port *port);
void nicsim_actions_templates_clear(struct nicsim_port *port);

/* template_table.c */
struct rte_flow_template_table *nicsim_template_table_create(struct rte_eth_dev *dev,
                                                             const struct rte_flow_template_table_attr *attr,
                                                             struct rte_flow_pattern_template *patterns[],
                                                             uint8_t n_patterns,
                                                             struct rte_flow_actions_template *actions[],
                                                             uint8_t n_actions, struct rte_flow_error *error);
int nicsim_template_table_destroy(struct rte_eth_dev *dev, struct rte_flow_template_table *handle,
                                  struct rte_flow_error *error);
/* A rule of a table, understood; NULL items and actions: one that stands for all of them. */
int nicsim_template_rule_parse(struct nicsim_port *port, const struct nicsim_template_table *table, uint8_t pattern,
                               const struct rte_flow_item *own_items, uint8_t actions,
                               const struct rte_flow_action *own_actions, struct nicsim_spec *spec,
                               struct rte_flow_error *error);
/* The port goes: so do its tables and templates. Its rules are gone already. */
void nicsim_templates_clear(struct nicsim_port *port);
/* By what rules keep of it. */
static inline struct nicsim_template_table *
nicsim_template_table_at(const struct nicsim_port *port, uint16_t number)
{
    return (struct nicsim_template_table *) port->tables.entries[number - 1];
}

/* flow_queue.c */
int nicsim_flow_queues_init(struct nicsim_port *port, uint16_t n, const struct rte_flow_queue_attr *queues[]);
void nicsim_flow_queues_free(struct nicsim_port *port);
/* The queue with room for one more operation, or NULL and the error. */
struct nicsim_flow_queue *nicsim_flow_queue_use(struct nicsim_port *port, uint32_t number,
                                                struct rte_flow_error *error);
/* Puts one on the queue. */
struct nicsim_op *nicsim_flow_queue_put(struct nicsim_flow_queue *queue, enum nicsim_op_type type, uint32_t index,
                                        void *user_data);
/* Hands what is on the queue to the NIC, which executes it at once or after its delay. */
void nicsim_flow_queue_push(struct nicsim_port *port, struct nicsim_flow_queue *queue);
/* What was pushed and is due is executed, on all queues of all ports. */
void nicsim_flow_queues_turn(struct nicsim_switch *sw);
/* The port stops, is flushed, or fails: what is on its queues is executed, but for those that are stalled, or cancelled;
 * no result is kept. */
void nicsim_flow_queues_drain(struct nicsim_port *port, bool executes);
/* 0 or EINVAL where there is no such queue. */
int nicsim_flow_queue_stall(struct nicsim_port *port, uint32_t number, bool on);
int nicsim_flow_queue_drop(struct nicsim_port *port, uint32_t number, uint32_t n);
int nicsim_flow_push(struct rte_eth_dev *dev, uint32_t number, struct rte_flow_error *error);
int nicsim_flow_pull(struct rte_eth_dev *dev, uint32_t number, struct rte_flow_op_result results[], uint16_t n,
                     struct rte_flow_error *error);

/* async_rule.c, async_indirect.c */
struct rte_flow *nicsim_async_create(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                                     struct rte_flow_template_table *handle, const struct rte_flow_item items[],
                                     uint8_t pattern_index, const struct rte_flow_action actions[],
                                     uint8_t actions_index, void *user_data, struct rte_flow_error *error);
int nicsim_async_destroy(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                         struct rte_flow *handle, void *user_data, struct rte_flow_error *error);
struct rte_flow_action_handle *nicsim_async_indirect_create(struct rte_eth_dev *dev, uint32_t number,
                                                            const struct rte_flow_op_attr *attr,
                                                            const struct rte_flow_indir_action_conf *conf,
                                                            const struct rte_flow_action *action, void *user_data,
                                                            struct rte_flow_error *error);
int nicsim_async_indirect_destroy(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                                  struct rte_flow_action_handle *handle, void *user_data, struct rte_flow_error *error);
int nicsim_async_indirect_update(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                                 struct rte_flow_action_handle *handle, const void *update, void *user_data,
                                 struct rte_flow_error *error);
int nicsim_async_indirect_query(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                                const struct rte_flow_action_handle *handle, void *data, void *user_data,
                                struct rte_flow_error *error);

/* audit.c */
void nicsim_books_add(struct nicsim_books_of *books);
void nicsim_books_remove(struct nicsim_books_of *books, bool lost);
void nicsim_audit(const struct nicsim_port *port, struct nicsim_audit *audit);
/* audit_flow.c: as the controls hand them out */
void nicsim_audit_flow(const struct nicsim_port *port, struct nicsim_flow_audit *audit);
int64_t nicsim_audit_tables(const struct nicsim_port *port, struct nicsim_table_info *info, uint64_t max);
int64_t nicsim_audit_queues(const struct nicsim_port *port, struct nicsim_queue_info *info, uint64_t max);
int64_t nicsim_audit_rules(const struct nicsim_port *port, struct nicsim_rule_info *info, uint64_t max);
/* Up to `max` live rules from index `start` on, and where they are. Returns their number. */
uint32_t nicsim_audit_page(const struct nicsim_port *port, uint32_t start, uint32_t max, uint32_t *indices,
                           struct nicsim_rule_info *info);
/* Takes the lock itself. */
void nicsim_counters_read(struct nicsim_port *port, struct nicsim_counters *counters);

/* telemetry.c */
void nicsim_telemetry_register(void);
const char *nicsim_drop_name(enum nicsim_drop drop);

#endif /* NICSIM_H */
