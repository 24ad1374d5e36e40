/* Faults on demand: calls that fail or take long, queries that are answered wrongly. Locked by the switch. */
#ifndef NICSIM_FAULT_H
#define NICSIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_flow.h>

#include "nicsim_ctl.h"

/* What is to happen to calls of one kind. */
struct nicsim_fault {
    struct nicsim_fault_plan plan;
    uint64_t n_calls; /* since the plan was made */
    uint64_t n_failed;
    uint64_t dice;
    uint32_t n_slow; /* calls that are to take long */
    uint32_t slow_ms;
    bool is_armed; /* false: there is nothing to do */
};

/* What is to be said to the next queries of one kind. */
struct nicsim_lying {
    struct nicsim_lie lie;
    uint64_t dice;
    bool has_first; /* the answer that is repeated is known */
    union {
        struct rte_flow_query_count count;
        struct rte_flow_query_age age;
        struct rte_flow_action_conntrack conntrack;
    } first;
};

struct nicsim_port;

/* xorshift64*: the same seed gives the same misfortunes. */
static inline uint64_t
nicsim_seed(uint64_t seed)
{
    return (seed + 1) * 0x9e3779b97f4a7c15u | 1;
}

static inline uint64_t
nicsim_dice(uint64_t *dice)
{
    *dice ^= *dice >> 12;
    *dice ^= *dice << 25;
    *dice ^= *dice >> 27;
    return *dice * 0x2545f4914f6cdd1du;
}

/* The errno with which this call is to fail now, 0 for none. A slow call lets the lock go while it waits: look at nothing
 * before. */
int nicsim_fault_take(struct nicsim_port *port, enum nicsim_call call);
/* 0 or EINVAL. */
int nicsim_fault_set(struct nicsim_port *port, enum nicsim_call call, const struct nicsim_fault_plan *plan);
int nicsim_fault_set_slow(struct nicsim_port *port, enum nicsim_call call, uint32_t n, uint32_t ms);
void nicsim_fault_info(const struct nicsim_port *port, enum nicsim_call call, struct nicsim_fault_info *info);
/* Whether a burst is to move nothing; takes the lock itself, and only where a fault of a burst is set. */
bool nicsim_fault_in_burst(struct nicsim_port *port, enum nicsim_call call);

/* lie.c: 0 or EINVAL. */
int nicsim_lie_set(struct nicsim_port *port, enum nicsim_answer answer, const struct nicsim_lie *lie);
/* Makes of the true answer what is to be told instead. */
void nicsim_lie_tell(struct nicsim_port *port, enum nicsim_answer answer, void *data);

#endif /* NICSIM_FAULT_H */
