/* rte_flow: rules made, destroyed, flushed and asked about. */
#include <errno.h>

#include <ethdev_driver.h>
#include <rte_flow_driver.h>

#include "nicsim.h"
#include "profile.h"

#define FAIL(number, type, cause, message) rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

#define INJECTED "failed as it was told to"

/* A handle is a number: the index, and how often it was used before, so that a stale one is seen. */
struct rte_flow *
nicsim_rule_handle(const struct nicsim_rule *rule, uint32_t index)
{
    return (struct rte_flow *) (uintptr_t) ((uint64_t) rule->generation << 32 | (index + 1));
}

/* The rule behind a handle, or NULL where it is gone. */
static struct nicsim_rule *
rule_of(struct nicsim_port *port, const struct rte_flow *handle, uint32_t *index)
{
    uint64_t number = (uintptr_t) handle;

    *index = (uint32_t) number - 1;
    if (*index >= port->top || !(port->rules[*index].flags & NICSIM_RULE_LIVE) ||
        port->rules[*index].generation != number >> 32) {
        return NULL;
    }
    return &port->rules[*index];
}

static struct nicsim_rule *
rule_alloc(struct nicsim_port *port, uint32_t *index)
{
    if (port->free_rule != NICSIM_NO_INDEX) {
        *index = port->free_rule;
        port->free_rule = (uint32_t) port->rules[*index].packets;
    } else if (port->top < port->config.capacity) {
        *index = port->top++;
    } else {
        return NULL;
    }
    return &port->rules[*index];
}

static void
rule_release(struct nicsim_port *port, uint32_t index)
{
    struct nicsim_rule *rule = &port->rules[index];

    rule->flags = 0;
    rule->generation++;
    rule->packets = port->free_rule;
    port->free_rule = index;
}

static bool
exists(const struct nicsim_switch *sw, const struct nicsim_spec *spec, uint32_t hash)
{
    return nicsim_rule_find(sw, &spec->key, spec->is_wide ? &spec->wide : NULL, hash) != NULL;
}

/* Transfer rules for what a host sends: where there is none, hosts' packets need no look. */
static bool
is_from_host(const struct nicsim_key *key, const struct nicsim_subtable *subtable)
{
    return (key->in_port & subtable->mask.in_port & NICSIM_FROM_HOST) != 0;
}

/* What the rule's fate holds on to. */
static int
fate_use(struct nicsim_port *port, struct nicsim_spec *spec)
{
    uint32_t group;
    int error = 0;

    if (spec->fate == NICSIM_FATE_RSS) {
        error = nicsim_rss_use(port, spec->rss, &spec->fate_arg);
    } else if (spec->fate == NICSIM_FATE_JUMP) {
        error = nicsim_group_use(&port->sw->match, spec->transfer ? 0 : port->uid, spec->jump_group, &group);
        spec->fate_arg = error ? 0 : group;
    }
    return error;
}

static void
fate_unuse(struct nicsim_port *port, uint8_t fate, uint16_t arg)
{
    if (fate == NICSIM_FATE_RSS) {
        nicsim_rss_unuse(port, arg);
    } else if (fate == NICSIM_FATE_JUMP) {
        nicsim_group_unuse(&port->sw->match, arg);
    }
}

static void
rule_fill(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t index, const struct nicsim_spec *spec,
          uint32_t hash, uint32_t extra, uint32_t wide)
{
    rule->key = spec->key;
    rule->hash = hash;
    rule->mark = spec->mark;
    rule->fate = spec->fate;
    rule->fate_arg = spec->fate_arg;
    rule->flags = spec->flags | NICSIM_RULE_LIVE;
    rule->packets = 0;
    rule->bytes = 0;
    rule->extra = extra;
    rule->wide = wide;
    rule->age.last_ms = nicsim_clock_ms(&port->sw->clock);
    rule->age.timeout_s = spec->timeout_s;
    rule->age.context = spec->context ? spec->context : nicsim_rule_handle(rule, index);
    rule->age.state = NICSIM_AGE_OFF;
    rule->age.owner = port->slot;
    if ((spec->flags & NICSIM_RULE_AGE) && spec->extra.age_object == NICSIM_NO_INDEX) {
        nicsim_wheel_add(&port->wheel, &rule->age);
    }
}

/* 0, EEXIST, ENOSPC or ENOMEM. */
static int
rule_add(struct nicsim_port *port, struct nicsim_spec *spec, struct rte_flow **handle)
{
    struct nicsim_match *match = &port->sw->match;
    struct nicsim_subtable *subtable;
    struct nicsim_rule *rule;
    uint32_t hash, index, extra, wide;
    int error = nicsim_subtable_use(match, spec->transfer ? 0 : port->uid, spec->group, spec->priority, &spec->mask,
                                    spec->is_wide ? &spec->wide_mask : NULL, &subtable);

    if (error) {
        return error;
    }
    spec->key.subtable = subtable->id;
    hash = nicsim_key_hash(&spec->key);
    if (spec->is_wide) {
        hash = nicsim_wide_hash(&spec->wide, hash);
    }
    error = exists(port->sw, spec, hash) ? EEXIST : fate_use(port, spec);
    if (error) {
        goto no_fate;
    }
    error = nicsim_extra_use(port, spec, &extra);
    if (error) {
        goto no_extra;
    }
    error = nicsim_wide_use(port, spec, &wide);
    if (error) {
        goto no_wide;
    }
    rule = rule_alloc(port, &index);
    if (!rule) {
        error = ENOSPC;
        goto no_rule;
    }
    rule_fill(port, rule, index, spec, hash, extra, wide);
    port->sw->n_from_host += is_from_host(&rule->key, subtable);
    nicsim_table_add(&match->table, hash, nicsim_rule_ref(port, index));
    nicsim_books_add(&port->rule_books);
    *handle = nicsim_rule_handle(rule, index);
    return 0;

no_rule:
    nicsim_wide_unuse(port, wide);
no_wide:
    nicsim_extra_unuse(port, extra);
no_extra:
    fate_unuse(port, spec->fate, spec->fate_arg);
no_fate:
    nicsim_subtable_unuse(match, subtable->id);
    return error;
}

static void
rule_remove(struct nicsim_port *port, uint32_t index, bool lost)
{
    struct nicsim_rule *rule = &port->rules[index];

    nicsim_table_del(&port->sw->match.table, rule->hash, nicsim_rule_ref(port, index));
    port->sw->n_from_host -= is_from_host(&rule->key, port->sw->match.subtables[rule->key.subtable]);
    nicsim_subtable_unuse(&port->sw->match, rule->key.subtable);
    fate_unuse(port, rule->fate, rule->fate_arg);
    if (rule->age.state != NICSIM_AGE_OFF) {
        nicsim_wheel_remove(&port->wheel, &rule->age);
    }
    nicsim_extra_unuse(port, rule->extra);
    nicsim_wide_unuse(port, rule->wide);
    rule_release(port, index);
    nicsim_books_remove(&port->rule_books, lost);
}

void
nicsim_rules_clear(struct nicsim_port *port, bool lost)
{
    for (uint32_t i = 0; i < port->top && port->rule_books.live; i++) {
        if (port->rules[i].flags & NICSIM_RULE_LIVE) {
            rule_remove(port, i, lost);
        }
    }
}

void
nicsim_rules_forget_port(struct nicsim_switch *sw, const struct nicsim_port *gone)
{
    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        struct nicsim_port *port = sw->ports[slot];

        for (uint32_t i = 0; port && port != gone && i < port->top; i++) {
            struct nicsim_rule *rule = &port->rules[i];

            if ((rule->flags & NICSIM_RULE_LIVE) && rule->fate_arg == gone->slot &&
                (rule->fate == NICSIM_FATE_WIRE || rule->fate == NICSIM_FATE_HOST)) {
                rule->fate = NICSIM_FATE_GONE;
            }
        }
    }
}

static const char *
why_not_added(int error)
{
    switch (error) {
    case EEXIST:
        return "there is such a rule already";
    case ENOSPC:
        return "the table is full";
    default:
        return "no memory for the rule";
    }
}

/* Checks that come before any rule is looked at. */
static int
may_change(struct nicsim_port *port, enum nicsim_call call, struct rte_flow_error *error)
{
    int injected = nicsim_fault_take(port, call);

    if (injected) {
        return FAIL(injected, UNSPECIFIED, NULL, INJECTED);
    }
    if (!port->is_started) {
        return FAIL(ENODEV, STATE, NULL, "the port is not started");
    }
    return 0;
}

static int
flow_validate(struct rte_eth_dev *dev, const struct rte_flow_attr *attr, const struct rte_flow_item items[],
              const struct rte_flow_action actions[], struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_spec spec;
    bool lies = false;
    int rc;

    nicsim_lock(port);
    rc = may_change(port, NICSIM_CALL_VALIDATE, error);
    if (rc == 0) {
        rc = nicsim_profile_rule(port, NICSIM_ASK_VALIDATE, attr, items, actions, &lies, error);
    }
    if (rc == 0 && !lies) {
        rc = nicsim_rule_parse(port, attr, items, actions, &spec, error);
    }
    nicsim_unlock(port);
    return rc;
}

static struct rte_flow *
flow_create(struct rte_eth_dev *dev, const struct rte_flow_attr *attr, const struct rte_flow_item items[],
            const struct rte_flow_action actions[], struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct rte_flow *handle = NULL;
    struct nicsim_spec spec;
    bool lies;
    int rc;

    nicsim_lock(port);
    rc = may_change(port, NICSIM_CALL_CREATE, error);
    if (rc == 0) {
        rc = nicsim_profile_rule(port, NICSIM_ASK_CREATE, attr, items, actions, &lies, error);
    }
    if (rc == 0) {
        rc = nicsim_rule_parse(port, attr, items, actions, &spec, error);
    }
    if (rc == 0) {
        rc = rule_add(port, &spec, &handle);
        if (rc) {
            FAIL(rc, UNSPECIFIED, NULL, why_not_added(rc));
        }
    }
    nicsim_unlock(port);
    return handle;
}

static int
flow_destroy(struct rte_eth_dev *dev, struct rte_flow *handle, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    uint32_t index;
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_DESTROY);
    if (injected) {
        rc = FAIL(injected, HANDLE, handle, INJECTED);
    } else if (!rule_of(port, handle, &index)) {
        rc = FAIL(ENOENT, HANDLE, handle, "no such rule: it was destroyed, flushed, or lost when the port stopped");
    } else {
        rule_remove(port, index, false);
    }
    nicsim_unlock(port);
    return rc;
}

static int
flow_flush(struct rte_eth_dev *dev, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_FLUSH);
    if (injected) {
        rc = FAIL(injected, UNSPECIFIED, NULL, INJECTED);
    } else {
        nicsim_rules_clear(port, false);
    }
    nicsim_unlock(port);
    return rc;
}

static int
query_action(struct nicsim_port *port, struct nicsim_rule *rule, const struct rte_flow_action *action, void *data,
             struct rte_flow_error *error)
{
    struct nicsim_object *object;

    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_VOID:
        return 0;
    case RTE_FLOW_ACTION_TYPE_COUNT:
        if (!(rule->flags & NICSIM_RULE_COUNT)) {
            return FAIL(EINVAL, ACTION, action, "the rule has no COUNT");
        }
        object = nicsim_rule_counter(port, rule);
        nicsim_count_query(object ? &object->packets : &rule->packets, object ? &object->bytes : &rule->bytes, data);
        nicsim_lie_tell(port, NICSIM_ANSWER_COUNT, data);
        return 0;
    case RTE_FLOW_ACTION_TYPE_AGE:
        if (!(rule->flags & NICSIM_RULE_AGE)) {
            return FAIL(EINVAL, ACTION, action, "the rule has no AGE");
        }
        nicsim_age_query(port, nicsim_rule_age(port, rule), data);
        nicsim_lie_tell(port, NICSIM_ANSWER_AGE, data);
        return 0;
    default:
        return FAIL(ENOTSUP, ACTION, action, "only COUNT and AGE can be queried");
    }
}

static int
flow_query(struct rte_eth_dev *dev, struct rte_flow *handle, const struct rte_flow_action *actions, void *data,
           struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_rule *rule;
    uint32_t index;
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_QUERY);
    rule = rule_of(port, handle, &index);
    if (injected) {
        rc = FAIL(injected, HANDLE, handle, INJECTED);
    } else if (!rule) {
        rc = FAIL(ENOENT, HANDLE, handle, "no such rule: it was destroyed, flushed, or lost when the port stopped");
    }
    for (; rc == 0 && actions->type != RTE_FLOW_ACTION_TYPE_END; actions++) {
        rc = query_action(port, rule, actions, data, error);
    }
    nicsim_unlock(port);
    return rc;
}

static int
flow_isolate(struct rte_eth_dev *dev, int on, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_ISOLATE);
    if (injected) {
        rc = FAIL(injected, UNSPECIFIED, NULL, INJECTED);
    } else if (port->is_started) {
        rc = FAIL(EBUSY, STATE, NULL, "a port can be isolated only while it is stopped");
    } else {
        port->is_isolated = on != 0;
    }
    nicsim_unlock(port);
    return rc;
}

/* Each port takes the rules of its own switch, transfer ones too. */
static int
flow_pick_transfer_proxy(struct rte_eth_dev *dev, uint16_t *proxy, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    for (int i = NICSIM_MAX_PORTS - 1; i >= 0; i--) {
        if (port->sw->ports[i]) {
            *proxy = port->sw->ports[i]->port_id;
        }
    }
    nicsim_unlock(port);
    return 0;
}

static int
flow_info_get(struct rte_eth_dev *dev, struct rte_flow_port_info *port_info, struct rte_flow_queue_info *queue_info,
              struct rte_flow_error *error)
{
    const struct nicsim_port *port = nicsim_port_of(dev);

    memset(port_info, 0, sizeof *port_info);
    memset(queue_info, 0, sizeof *queue_info);
    /* Each rule has a counter and an age of its own beside the shared ones. */
    port_info->max_nb_counters = port->config.capacity;
    port_info->max_nb_aging_objects = port->config.capacity;
    port_info->max_nb_conn_tracks = port->config.objects;
    return 0;
}

const struct rte_flow_ops nicsim_flow_ops = {
    .validate = flow_validate,
    .create = flow_create,
    .destroy = flow_destroy,
    .flush = flow_flush,
    .query = flow_query,
    .isolate = flow_isolate,
    .get_aged_flows = nicsim_aged_get,
    .action_handle_create = nicsim_indirect_create,
    .action_handle_destroy = nicsim_indirect_destroy,
    .action_handle_update = nicsim_indirect_update,
    .action_handle_query = nicsim_indirect_query,
    .pick_transfer_proxy = flow_pick_transfer_proxy,
    .info_get = flow_info_get,
};
