/* manners.h: how NICs differ in what they do with rules they take: when they count, age, report and reuse.
 *
 * Each manner is a parameter of the port; the profile gives the value where none is given.
 */
#ifndef NICSIM_MANNERS_H
#define NICSIM_MANNERS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_flow.h>

#include "profile.h"

enum nicsim_manner {
    NICSIM_COUNTER_REFRESH_MS, /* a query of COUNT tells the value of the last refresh; 0: of now */
    NICSIM_AGE_CHECK_MS,       /* hits are seen, and idle seconds counted, at checks; 0: at once */
    NICSIM_AGEING_FINAL,       /* an aged rule stays aged, whatever hits it */
    NICSIM_AGED_CONSUME,       /* reading the aged list empties it */
    NICSIM_AGED_OVERREPORT,    /* the number returned counts some that had no room */
    NICSIM_AGED_PERCENT,       /* room in the aged list, in percent of the counters; 0: for all */
    NICSIM_AGE_UPDATE,         /* a shared AGE can be changed */
    NICSIM_COUNTER_REST,       /* a freed counter can be used again after the next refresh */
    NICSIM_SMALL_HANDLES,      /* handles are small numbers, used again, the same on each port */
    NICSIM_PROXY_ORDER,        /* the first port of a switch starts first and stops last */
    NICSIM_PROXY_NEEDS_SWITCH, /* a port alone has no transfer proxy */
    NICSIM_CONTEXT_PORTS,      /* contexts on ports of lower numbers only; 0: on all */
    NICSIM_ROUND_CONTEXTS,     /* the number of contexts asked for is rounded up to a power of two */
    NICSIM_STOPPED_CONTEXTS,   /* a context cannot be destroyed while the port is stopped */
    NICSIM_AGED_NEEDS_AGES,    /* the aged list is not to be read where no ages were set aside */
    NICSIM_AGE_TAKES_COUNTER,  /* a rule with AGE and without COUNT takes a counter too */
    NICSIM_COUNTERS_FULL,      /* the errno where all counters are in use */
    NICSIM_QUEUE_FULL,         /* the errno of a full flow queue */
    NICSIM_N_MANNERS
};

struct nicsim_manner_of {
    const char *name;
    const char *words; /* of 0, 1, ... joined by '|'; NULL: a number */
    int32_t min, max;
    int32_t by_profile[NICSIM_N_PROFILES];
};

extern const struct nicsim_manner_of nicsim_manners[NICSIM_N_MANNERS];

struct rte_eth_dev;
struct nicsim_port;
struct nicsim_rule;
struct nicsim_object;

static inline int64_t
nicsim_floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

/* What is known of a rule or an object by sampling. Kept beside it, only where a manner needs it. */
struct nicsim_sampled {
    uint64_t packets, bytes;           /* at the refresh that began period `period` */
    uint64_t base_packets, base_bytes; /* at the last reset: subtracted from then on */
    int64_t period;                    /* of the last hit, between two refreshes */
    int64_t check;                     /* of the last hit, between two checks */
    int64_t seen;                      /* the check that saw the last hit before that one */
};

/* sampled.c */
bool nicsim_is_sampled(const struct nicsim_port *port);
/* The rule or object begins, at now_ms, with nothing counted. */
void nicsim_sampled_begin(const struct nicsim_port *port, struct nicsim_sampled *sampled, int64_t now_ms);
/* As nicsim_rule_hit(), where the port samples. */
void nicsim_sampled_hit(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t length, int64_t now_ms);
/* As a refresh found it; a reset is a subtraction, here as there. */
void nicsim_sampled_count(const struct nicsim_port *port, struct nicsim_sampled *sampled, uint64_t packets,
                          uint64_t bytes, struct rte_flow_query_count *out);
/* Idle seconds as the last check found them. */
int64_t nicsim_sampled_idle_s(const struct nicsim_port *port, const struct nicsim_sampled *sampled);

/* proxy.c: the first port of a switch is the transfer proxy of all. 0, or a positive errno. */
int nicsim_proxy_check_start(const struct nicsim_port *port);
int nicsim_proxy_check_stop(const struct nicsim_port *port);
int nicsim_proxy_pick(struct rte_eth_dev *dev, uint16_t *proxy, struct rte_flow_error *error);

#endif /* NICSIM_MANNERS_H */
