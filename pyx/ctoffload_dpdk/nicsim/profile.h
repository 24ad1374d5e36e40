/* profile.h: what a real NIC refuses, as tables. Each profile lists its refusals in the order in which the real driver
 * looks; the first that holds is the answer. What no list names is left to the emulated NIC's own parser.
 *
 * Beside each refusal stands what it is known by:
 *   recorded    a shape of tests/standin/verdicts-<version>.json got this answer from the real driver
 *   driver      read in the source of the driver of DPDK 22.11.11, not recorded
 *   unverified  from documentation or experience of others
 */
#ifndef NICSIM_PROFILE_H
#define NICSIM_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_flow.h>

struct nicsim_port;

enum nicsim_profile_id {
    NICSIM_FREE = 0, /* refuses nothing but what the emulated NIC cannot do */
    NICSIM_CONNECTX_SWS,
    NICSIM_CONNECTX_HWS,
    NICSIM_TAP,
    NICSIM_QUEUE_ONLY,
    NICSIM_NO_FLOW,
    NICSIM_N_PROFILES
};

/* By number, joined by '|', as the parameter takes them. */
#define NICSIM_PROFILE_NAMES "free|connectx-sws|connectx-hws|tap|queue-only|no-flow"

/* Where a rule belongs. */
enum {
    NICSIM_IN = 1,
    NICSIM_OUT = 2,
    NICSIM_FDB = 4, /* transfer: the E-Switch */
};

enum {
    NICSIM_I_ETH = 1,
    NICSIM_I_VLAN = 2,
    NICSIM_I_IPV4 = 4,
    NICSIM_I_IPV6 = 8,
    NICSIM_I_FRAGMENT = 16, /* IPV6_FRAG_EXT */
    NICSIM_I_TCP = 32,
    NICSIM_I_UDP = 64,
    NICSIM_I_ICMP = 128,
    NICSIM_I_ICMP6 = 256,
    NICSIM_I_MARK = 512,
    NICSIM_I_META = 1024,
    NICSIM_I_TAG = 2048,
    NICSIM_I_CONNTRACK = 4096,
    NICSIM_I_PORT = 8192,
    NICSIM_I_VXLAN = 16384,
    NICSIM_I_OTHER = 32768,
};
#define NICSIM_I_L3 (NICSIM_I_IPV4 | NICSIM_I_IPV6)
#define NICSIM_I_L4 (NICSIM_I_TCP | NICSIM_I_UDP | NICSIM_I_ICMP | NICSIM_I_ICMP6)

enum {
    NICSIM_A_MARK = 1,
    NICSIM_A_COUNT = 2,
    NICSIM_A_AGE = 4,
    NICSIM_A_CONNTRACK = 8,
    NICSIM_A_SET = 16,    /* SET_* and DEC_TTL */
    NICSIM_A_MODIFY = 32, /* MODIFY_FIELD */
    NICSIM_A_PUSH_VLAN = 64,
    NICSIM_A_POP_VLAN = 128,
    NICSIM_A_SET_VLAN = 256,
    NICSIM_A_DECAP = 512,
    NICSIM_A_ENCAP = 1024,
    NICSIM_A_JUMP = 2048,
    NICSIM_A_QUEUE = 4096,
    NICSIM_A_RSS = 8192,
    NICSIM_A_DROP = 16384,
    NICSIM_A_PORT = 32768, /* REPRESENTED_PORT, PORT_ID */
    NICSIM_A_HOST = 65536, /* PORT_REPRESENTOR */
    NICSIM_A_PASSTHRU = 131072,
    NICSIM_A_METER = 262144,
    NICSIM_A_OTHER = 524288,
    NICSIM_A_SHARED = 1 << 20, /* beside its kind: an indirect one */
};
#define NICSIM_A_REWRITE (NICSIM_A_SET | NICSIM_A_MODIFY)
#define NICSIM_A_FATE                                                                                                  \
    (NICSIM_A_JUMP | NICSIM_A_QUEUE | NICSIM_A_RSS | NICSIM_A_DROP | NICSIM_A_PORT | NICSIM_A_HOST | NICSIM_A_PASSTHRU)

/* What is asked for. */
struct nicsim_asked {
    struct nicsim_port *port;
    const struct rte_flow_attr *attr;
    const struct rte_flow_item *pattern;
    const struct rte_flow_action *list;
    uint32_t domain;  /* 0: none, or more than one */
    bool is_root;     /* the group that packets enter by */
    uint32_t items;   /* NICSIM_I_*: all, or those before the one in question */
    uint32_t actions; /* NICSIM_A_*: likewise */
    const struct rte_flow_item *item;
    const struct rte_flow_action *action;
    uint32_t kind; /* of it */
};

/* One refusal. A field that is 0 does not matter. */
struct nicsim_refusal {
    uint32_t what;       /* the item or action in question is one of these */
    uint32_t domain;     /* the rule belongs to one of these */
    bool in_root;        /* only there */
    uint32_t items;      /* the pattern has one of these (for an item: before it) */
    uint32_t no_items;   /* it has none of these */
    uint32_t actions;    /* it has one of these actions (for an action: before it) */
    uint32_t no_actions; /* it has none of these */
    uint32_t beside;     /* it has an action that is none of these */
    bool (*holds)(const struct nicsim_asked *asked);
    int error; /* NICSIM_LEFT_OVER: whatever is in rte_errno */
    enum rte_flow_error_type type;
    const char *message;
};

/* The end of each entry. */
#define ANSWER(number, kind, words) .error = number, .type = RTE_FLOW_ERROR_TYPE_##kind, .message = words

#define NICSIM_LEFT_OVER -1

/* A list that ends with an entry without a message. NULL: an empty one. */
typedef const struct nicsim_refusal *nicsim_refusals;

enum nicsim_has {
    NICSIM_HAS_ALL = 0,
    NICSIM_HAS_ISOLATE, /* validate, create, destroy, flush, isolate */
    NICSIM_HAS_QUERY,   /* validate, create, destroy, flush, and a query that knows nothing */
};

enum {
    NICSIM_TAKES_ANY_CONNTRACK = 1, /* CONNTRACK of what is not TCP */
    NICSIM_TAKES_AGE_0 = 2,         /* AGE that never ends */
};

struct nicsim_profile {
    nicsim_refusals attributes;
    nicsim_refusals items;             /* for each item */
    nicsim_refusals actions;           /* for each action */
    nicsim_refusals rule;              /* once all is read */
    nicsim_refusals on_create;         /* not seen by rte_flow_validate */
    nicsim_refusals templates;         /* the attributes of any template */
    nicsim_refusals pattern_templates; /* for each item */
    nicsim_refusals actions_templates; /* for each action */
    nicsim_refusals tables;            /* for each pair of a pattern and a list of actions */
    uint32_t takes;                    /* NICSIM_TAKES_*: what means nothing, but is not refused */
    bool judges_late;    /* of templates only what is listed here is refused before they meet in a table */
    const char *no_sync; /* why rte_flow_create does not exist; NULL: it does */
    bool has_flow;       /* false: no rte_flow at all */
    bool has_templates;  /* rte_flow_configure and what builds on it */
    enum nicsim_has has_only;
};

extern const struct nicsim_profile nicsim_sws, nicsim_hws, nicsim_tap, nicsim_queue_only;

const struct nicsim_profile *nicsim_profile_of(const struct nicsim_port *port);

enum nicsim_question { NICSIM_ASK_VALIDATE, NICSIM_ASK_CREATE };
/* 0, or what rte_flow_error_set() returned. *lies: the real driver's validate accepts what its create refuses. */
int nicsim_profile_rule(struct nicsim_port *port, enum nicsim_question question, const struct rte_flow_attr *attr,
                        const struct rte_flow_item *items, const struct rte_flow_action *actions, bool *lies,
                        struct rte_flow_error *error);
int nicsim_profile_pattern_template(struct nicsim_port *port, const struct rte_flow_attr *attr,
                                    const struct rte_flow_item *items, struct rte_flow_error *error);
int nicsim_profile_actions_template(struct nicsim_port *port, const struct rte_flow_attr *attr,
                                    const struct rte_flow_action *actions, struct rte_flow_error *error);
int nicsim_profile_table(struct nicsim_port *port, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
                         const struct rte_flow_action *actions, struct rte_flow_error *error);

/* profile_ops.c: what ethdev finds; NULL where there is no rte_flow. */
const struct rte_flow_ops *nicsim_profile_ops(const struct nicsim_port *port);
struct rte_eth_dev;
void nicsim_profile_set_queue_ops(struct rte_eth_dev *dev);

#endif /* NICSIM_PROFILE_H */
