/* How many counters, ages, contexts and queues a port has: what it could have, and what was set aside. */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "nicsim.h"

void
nicsim_sizes_init(struct nicsim_port *port)
{
    port->sizes = (struct nicsim_sizes){
        .counters = {.room = port->config.counters, .used = port->sizes.counters.used},
        .ages = {.room = port->config.ages, .used = port->sizes.ages.used},
        .contexts = {.room = port->config.contexts, .used = port->sizes.contexts.used},
    };
}

int
nicsim_flow_info_get(struct rte_eth_dev *dev, struct rte_flow_port_info *port_info,
                     struct rte_flow_queue_info *queue_info, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_INFO);
    nicsim_unlock(port);
    if (injected) {
        return FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    }
    memset(port_info, 0, sizeof *port_info);
    port_info->max_nb_queues = port->config.flow_queues;
    port_info->max_nb_counters = port->config.counters;
    port_info->max_nb_aging_objects = port->config.ages;
    port_info->max_nb_conn_tracks = port->config.contexts;
    port_info->supported_flags = RTE_FLOW_PORT_FLAG_STRICT_QUEUE;
    if (queue_info) {
        queue_info->max_size = port->config.queue_size;
    }
    return 0;
}

static int
check_queues(const struct nicsim_port *port, uint16_t n_queues, const struct rte_flow_queue_attr *queues[],
             struct rte_flow_error *error)
{
    if (n_queues == 0) {
        return FAIL(EINVAL, UNSPECIFIED, NULL, "at least one flow queue is needed");
    }
    if (n_queues > port->config.flow_queues) {
        return FAIL(EINVAL, UNSPECIFIED, NULL, "more flow queues than this NIC has (rte_flow_info_get)");
    }
    for (uint16_t i = 0; i < n_queues; i++) {
        if (!queues[i] || queues[i]->size == 0) {
            return FAIL(EINVAL, UNSPECIFIED, NULL, "a flow queue has to hold at least one operation");
        }
        if (queues[i]->size > port->config.queue_size) {
            return FAIL(EINVAL, UNSPECIFIED, NULL, "a flow queue larger than this NIC's (rte_flow_info_get)");
        }
    }
    return 0;
}

static int
check_sizes(const struct nicsim_port *port, const struct rte_flow_port_attr *attr, struct rte_flow_error *error)
{
    if (attr->nb_meters) {
        return FAIL(ENOTSUP, UNSPECIFIED, NULL, "this NIC has no meters");
    }
    if (attr->flags & ~RTE_FLOW_PORT_FLAG_STRICT_QUEUE) {
        return FAIL(ENOTSUP, UNSPECIFIED, NULL, "of the flags only STRICT_QUEUE is supported");
    }
    if (attr->nb_counters > port->config.counters) {
        return FAIL(ENOSPC, UNSPECIFIED, NULL, "more counters than this NIC has (rte_flow_info_get)");
    }
    if (attr->nb_aging_objects > port->config.ages) {
        return FAIL(ENOSPC, UNSPECIFIED, NULL, "more ageing objects than this NIC has (rte_flow_info_get)");
    }
    if (attr->nb_conn_tracks > port->config.contexts) {
        return FAIL(ENOSPC, UNSPECIFIED, NULL, "more connection contexts than this NIC has (rte_flow_info_get)");
    }
    if (attr->nb_counters < port->sizes.counters.used || attr->nb_aging_objects < port->sizes.ages.used ||
        attr->nb_conn_tracks < port->sizes.contexts.used) {
        return FAIL(EBUSY, STATE, NULL, "indirect actions exist already, more than are asked for");
    }
    return 0;
}

static uint32_t
contexts_for(const struct nicsim_port *port, const struct rte_flow_port_attr *attr)
{
    return port->config.manners[NICSIM_ROUND_CONTEXTS] && attr->nb_conn_tracks ? rte_align32pow2(attr->nb_conn_tracks)
                                                                               : attr->nb_conn_tracks;
}

/* True where the port is configured just so already. */
static bool
is_the_same(const struct nicsim_port *port, const struct rte_flow_port_attr *attr, uint16_t n_queues,
            const struct rte_flow_queue_attr *queues[])
{
    const struct nicsim_sizes *sizes = &port->sizes;

    if (sizes->counters.room != attr->nb_counters || sizes->ages.room != attr->nb_aging_objects ||
        sizes->contexts.room != contexts_for(port, attr) || sizes->n_queues != n_queues ||
        sizes->is_strict != ((attr->flags & RTE_FLOW_PORT_FLAG_STRICT_QUEUE) != 0)) {
        return false;
    }
    for (uint16_t i = 0; i < n_queues; i++) {
        if (port->flow_queues[i].size != queues[i]->size) {
            return false;
        }
    }
    return true;
}

static int
configure(struct nicsim_port *port, const struct rte_flow_port_attr *attr, uint16_t n_queues,
          const struct rte_flow_queue_attr *queues[], struct rte_flow_error *error)
{
    int rc = check_queues(port, n_queues, queues, error);

    if (rc == 0) {
        rc = check_sizes(port, attr, error);
    }
    if (rc) {
        return rc;
    }
    if (port->sizes.is_configured) {
        return is_the_same(port, attr, n_queues, queues)
                   ? 0
                   : FAIL(ENOTSUP, STATE, NULL, "configured already: other sizes need the port closed and made anew");
    }
    if (nicsim_flow_queues_init(port, n_queues, queues)) {
        return FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the flow queues");
    }
    port->sizes.counters.room = attr->nb_counters;
    port->sizes.ages.room = attr->nb_aging_objects;
    port->sizes.contexts.room = contexts_for(port, attr);
    port->sizes.n_queues = n_queues;
    port->sizes.is_strict = (attr->flags & RTE_FLOW_PORT_FLAG_STRICT_QUEUE) != 0;
    port->sizes.is_configured = true;
    nicsim_aged_set_room(port);
    return 0;
}

int
nicsim_flow_configure(struct rte_eth_dev *dev, const struct rte_flow_port_attr *attr, uint16_t n_queues,
                      const struct rte_flow_queue_attr *queues[], struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_FLOW_CONFIGURE);
    rc = injected ? FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED) : configure(port, attr, n_queues, queues, error);
    nicsim_unlock(port);
    return rc;
}

/* --- one counter, age or context ---------------------------------------------------------------------------------- */

/* Counters that were freed since the last refresh; afterwards they can be used again. */
static uint32_t
n_resting(struct nicsim_port *port)
{
    int64_t period;

    if (!port->config.manners[NICSIM_COUNTER_REST]) {
        return 0;
    }
    period = nicsim_clock_ms(&port->sw->clock) / RTE_MAX(port->config.manners[NICSIM_COUNTER_REFRESH_MS], 1);
    if (period != port->sizes.counters.resting_period) {
        port->sizes.counters.resting_period = period;
        port->sizes.counters.n_resting = 0;
    }
    return port->sizes.counters.n_resting;
}

static int
take_counter(struct nicsim_port *port, struct rte_flow_error *error)
{
    struct nicsim_room *room = &port->sizes.counters;
    int full = port->config.manners[NICSIM_COUNTERS_FULL] ? ENOENT : ENOSPC;
    uint32_t resting = n_resting(port);

    if (__builtin_expect(room->used + resting < room->room, 1)) {
        room->used++;
        return 0;
    }
    if (resting) {
        return FAIL(EAGAIN, ACTION, NULL, "a freed counter can be used again after the next refresh");
    }
    return room->room ? FAIL(full, ACTION, NULL, "all counters are in use")
                      : FAIL(EINVAL, ACTION, NULL, "no counters were set aside (rte_flow_configure: nb_counters)");
}

static void
give_counter(struct nicsim_port *port)
{
    n_resting(port);
    port->sizes.counters.used--;
    port->sizes.counters.n_resting += port->config.manners[NICSIM_COUNTER_REST] != 0;
}

static int
take(struct nicsim_room *room, const char *none, const char *full, struct rte_flow_error *error)
{
    if (__builtin_expect(room->used < room->room, 1)) {
        room->used++;
        return 0;
    }
    /* Nothing set aside is a mistake of the caller, all in use is not. */
    return room->room ? FAIL(ENOSPC, ACTION, NULL, full) : FAIL(EINVAL, ACTION, NULL, none);
}

static struct nicsim_room *
room_of(struct nicsim_port *port, uint8_t type)
{
    return type == NICSIM_RULE_AGE ? &port->sizes.ages : &port->sizes.contexts;
}

int
nicsim_sizes_take(struct nicsim_port *port, uint8_t type, struct rte_flow_error *error)
{
    switch (type) {
    case NICSIM_RULE_COUNT:
        return take_counter(port, error);
    case NICSIM_RULE_AGE:
        return take(&port->sizes.ages, "no ages were set aside (rte_flow_configure: nb_aging_objects)",
                    "all ages are in use", error);
    default:
        return take(&port->sizes.contexts, "no contexts were set aside (rte_flow_configure: nb_conn_tracks)",
                    "all connection contexts are in use", error);
    }
}

void
nicsim_sizes_give(struct nicsim_port *port, uint8_t type)
{
    if (type == NICSIM_RULE_COUNT) {
        give_counter(port);
    } else {
        room_of(port, type)->used--;
    }
}

/* What a rule takes for itself alone. */
static uint8_t
own_types(const struct nicsim_port *port, uint8_t flags, const struct nicsim_extra *extra)
{
    uint8_t own = (extra && extra->count_object != NICSIM_NO_INDEX ? 0 : flags & NICSIM_RULE_COUNT) |
                  (extra && extra->age_object != NICSIM_NO_INDEX ? 0 : flags & NICSIM_RULE_AGE);

    if (port->config.manners[NICSIM_AGE_TAKES_COUNTER] && (own & NICSIM_RULE_AGE) && !(flags & NICSIM_RULE_COUNT)) {
        own |= NICSIM_RULE_COUNT;
    }
    return own;
}

int
nicsim_sizes_take_for(struct nicsim_port *port, const struct nicsim_spec *spec, struct rte_flow_error *error)
{
    uint8_t own = own_types(port, spec->flags, &spec->extra);
    int rc = own & NICSIM_RULE_COUNT ? nicsim_sizes_take(port, NICSIM_RULE_COUNT, error) : 0;

    if (rc == 0 && (own & NICSIM_RULE_AGE)) {
        rc = nicsim_sizes_take(port, NICSIM_RULE_AGE, error);
        if (rc && (own & NICSIM_RULE_COUNT)) {
            nicsim_sizes_give(port, NICSIM_RULE_COUNT);
        }
    }
    return rc;
}

void
nicsim_sizes_give_of(struct nicsim_port *port, uint8_t flags, const struct nicsim_extra *extra)
{
    uint8_t own = own_types(port, flags, extra);

    if (own & NICSIM_RULE_COUNT) {
        give_counter(port);
    }
    port->sizes.ages.used -= (own & NICSIM_RULE_AGE) != 0;
}
