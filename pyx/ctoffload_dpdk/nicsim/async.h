/* Rules through templates and queues: what is set aside for them, what they are made of, how they are under way. */
#ifndef NICSIM_ASYNC_H
#define NICSIM_ASYNC_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_flow.h>

#include "match.h"

#define NICSIM_MAX_FLOW_QUEUES 64
#define NICSIM_MAX_QUEUE_SIZE  (1u << 20)
#define NICSIM_TEMPLATE_MOST   32    /* items or actions in a template, with END */
#define NICSIM_MAX_TEMPLATES   16383 /* of a kind; likewise tables: a rule keeps the number of its own in 14 bits */

/* --- what has a handle -------------------------------------------------------------------------------------------- */

/* First member of a template or a table. A handle is a number, so that a stale one is seen. */
struct nicsim_named {
    uint32_t serial; /* never used again on this port */
    uint32_t index;
    uint32_t n_users; /* tables that use a template; rules of a table, those on their way in or out included */
};

struct nicsim_registry {
    struct nicsim_named **entries;
    uint32_t room; /* of `entries` */
    uint32_t n;    /* that are there */
    uint32_t last_serial;
};

/* 0, ENOMEM or ENOSPC. */
int nicsim_registry_add(struct nicsim_registry *registry, struct nicsim_named *entry);
void nicsim_registry_remove(struct nicsim_registry *registry, struct nicsim_named *entry);

struct nicsim_port;
/* Takes an entry out of its registry and frees it. */
typedef void (*nicsim_named_free)(struct nicsim_port *port, struct nicsim_named *entry);

/* Destroys what a handle names, or refuses in words: `gone` where there is no such thing, `used` where it has users. */
int nicsim_named_destroy(struct nicsim_port *port, struct nicsim_registry *registry, const void *handle,
                         nicsim_named_free free_it, const char *gone, const char *used, struct rte_flow_error *error);
/* The port goes: so does all that is in the registry. */
void nicsim_registry_clear(struct nicsim_port *port, struct nicsim_registry *registry, nicsim_named_free free_it);

static inline void *
nicsim_registry_handle(const struct nicsim_named *entry)
{
    return (void *) (uintptr_t) ((uint64_t) entry->serial << 32 | (entry->index + 1));
}

/* NULL where it is gone. */
static inline void *
nicsim_registry_find(const struct nicsim_registry *registry, const void *handle)
{
    uint64_t number = (uintptr_t) handle;
    uint32_t index = (uint32_t) number - 1;
    struct nicsim_named *entry = index < registry->room ? registry->entries[index] : NULL;

    return entry && entry->serial == number >> 32 ? entry : NULL;
}

/* --- templates and tables ----------------------------------------------------------------------------------------- */

/* Which fields are compared: items with their masks. */
struct nicsim_pattern_template {
    struct nicsim_named named;
    struct rte_flow_pattern_template_attr attr;
    uint32_t n;                  /* items, without END */
    struct rte_flow_item *items; /* values that agree with each other, masks of the template; one piece of memory */
};

/* Which actions there are, and which of their values are the same for all rules. */
struct nicsim_actions_template {
    struct nicsim_named named;
    struct rte_flow_actions_template_attr attr;
    uint32_t n;                      /* actions, without END */
    struct rte_flow_action *actions; /* one piece of memory */
    bool is_fixed[NICSIM_TEMPLATE_MOST];
    uint8_t object_type[NICSIM_TEMPLATE_MOST]; /* INDIRECT: what it stands for, 0 where the template does not say */
};

/* Room for rules of some templates in one group. */
struct nicsim_template_table {
    struct nicsim_named named;
    struct rte_flow_attr attr;
    uint32_t room;
    uint8_t n_patterns;
    uint8_t n_actions;
    struct nicsim_subtable **subtables; /* by pattern template: held as long as the table is there */
    struct nicsim_pattern_template **patterns;
    struct nicsim_actions_template **actions;
};

/* --- queues ------------------------------------------------------------------------------------------------------- */

enum nicsim_op_type {
    NICSIM_OP_CREATE = 0, /* of a rule */
    NICSIM_OP_DESTROY,
    NICSIM_OP_OBJECT_CREATE,
    NICSIM_OP_OBJECT_DESTROY,
    NICSIM_OP_OBJECT_UPDATE,
    NICSIM_OP_OBJECT_QUERY,
};

enum nicsim_op_state {
    NICSIM_OP_WAITING = 0, /* put on the queue, not executed */
    NICSIM_OP_OK,
    NICSIM_OP_FAILED,
    NICSIM_OP_UNTOLD, /* executed, its result never comes */
};

struct nicsim_op {
    void *user_data;
    void *data;          /* of a query: where the answer goes */
    int64_t due_ms;      /* set by the push */
    uint32_t index;      /* of the rule or the object */
    uint32_t generation; /* of the object that is changed or asked */
    uint8_t type;        /* enum nicsim_op_type */
    uint8_t state;       /* enum nicsim_op_state */
    bool was_failed;     /* the object that is destroyed never came to be */
};

/* What an update says, kept until it is executed. */
union nicsim_update {
    struct rte_flow_update_age age;
    struct rte_flow_modify_conntrack conntrack;
};

/* A ring of operations: pulled <= executed <= pushed <= enqueued, each only grows. Locked by the switch. */
struct nicsim_flow_queue {
    struct nicsim_op *ops;
    union nicsim_update *updates; /* beside the operations */
    uint32_t mask;
    uint32_t size;
    uint32_t n_untold; /* places that are taken for ever, as their result never came */
    uint32_t n_to_drop;
    bool is_stalled;
    uint64_t enqueued;
    uint64_t pushed;
    uint64_t executed;
    uint64_t pulled;
    uint64_t n_failed;    /* of executed: without effect */
    uint64_t n_dropped;   /* of executed: the result never came */
    uint64_t n_cancelled; /* never executed: the port stopped while the queue was stalled, or was removed */
};

/* --- sizes -------------------------------------------------------------------------------------------------------- */

struct nicsim_room {
    uint32_t room;
    uint32_t used;
    uint32_t n_resting;     /* freed since the last refresh, and not to be used before the next */
    int64_t resting_period; /* they were freed in */
};

/* What rte_flow_configure() set aside, or all there is where it was not called. */
struct nicsim_sizes {
    struct nicsim_room counters; /* of rules that count themselves, and indirect ones; likewise below */
    struct nicsim_room ages;
    struct nicsim_room contexts;
    uint32_t n_queues;
    bool is_configured;
    bool is_strict; /* aged rules are asked for queue by queue */
};

#endif /* NICSIM_ASYNC_H */
