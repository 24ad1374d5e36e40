/* Rules that are made and destroyed through a queue. */
#include <errno.h>

#include <rte_flow_driver.h>

#include "nicsim.h"

static bool
is_of(const struct nicsim_subtable *subtable, const struct nicsim_spec *spec)
{
    return nicsim_key_equal(&subtable->mask, &spec->mask) && subtable->is_wide == spec->is_wide &&
           (!spec->is_wide || memcmp(&subtable->wide_mask, &spec->wide_mask, sizeof spec->wide_mask) == 0);
}

/* The table's own where the masks agree, as they do but for an EtherType that names a tag. */
static int
use_subtable(struct nicsim_port *port, const struct nicsim_template_table *table, uint8_t pattern,
             const struct nicsim_spec *spec, struct nicsim_subtable **subtable, struct rte_flow_error *error)
{
    int rc;

    *subtable = table->subtables[pattern];
    if (is_of(*subtable, spec)) {
        (*subtable)->n_rules++;
        return 0;
    }
    rc = nicsim_subtable_use(&port->sw->match, nicsim_domain_of(port, spec), spec->group, spec->priority, &spec->mask,
                             spec->is_wide ? &spec->wide_mask : NULL, subtable);
    return rc ? FAIL(rc, UNSPECIFIED, NULL, "too many groups, or too many masks") : 0;
}

static struct nicsim_template_table *
table_of(struct nicsim_port *port, const struct rte_flow_template_table *handle, uint8_t pattern, uint8_t actions,
         struct rte_flow_error *error)
{
    struct nicsim_template_table *table = nicsim_registry_find(&port->tables, handle);

    if (!table) {
        FAIL(EINVAL, HANDLE, handle, "no such template table on this port");
        return NULL;
    }
    if (pattern >= table->n_patterns || actions >= table->n_actions) {
        FAIL(EINVAL, UNSPECIFIED, handle, "the table has no such template");
        return NULL;
    }
    if (table->named.n_users >= table->room) {
        FAIL(port->config.template_full_errno, UNSPECIFIED, handle, "the template table is full");
        return NULL;
    }
    return table;
}

/* The rule with all it needs; NULL where it was refused. */
static struct nicsim_rule *
make(struct nicsim_port *port, struct nicsim_template_table *table, uint8_t pattern, struct nicsim_spec *spec,
     uint32_t *index, struct rte_flow_error *error)
{
    struct nicsim_subtable *subtable;
    struct nicsim_rule *rule;

    if (use_subtable(port, table, pattern, spec, &subtable, error)) {
        return NULL;
    }
    if (nicsim_rule_new(port, spec, subtable->id, index, error)) {
        nicsim_subtable_unuse(&port->sw->match, subtable->id);
        return NULL;
    }
    rule = &port->rules[*index];
    nicsim_rule_set_stage(rule, NICSIM_STAGE_QUEUED, table->named.index + 1);
    table->named.n_users++;
    return rule;
}

struct rte_flow *
nicsim_async_create(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                    struct rte_flow_template_table *handle, const struct rte_flow_item items[], uint8_t pattern_index,
                    const struct rte_flow_action actions[], uint8_t actions_index, void *user_data,
                    struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_template_table *table;
    struct nicsim_flow_queue *queue;
    struct nicsim_rule *rule = NULL;
    struct nicsim_spec spec;
    uint32_t index;
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_ASYNC_CREATE);
    if (injected) {
        FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else if (!items || !actions) {
        FAIL(EINVAL, UNSPECIFIED, NULL, "a rule of a template table brings its items and actions");
    } else if ((queue = nicsim_flow_queue_use(port, number, error)) &&
               (table = table_of(port, handle, pattern_index, actions_index, error)) &&
               nicsim_template_rule_parse(port, table, pattern_index, items, actions_index, actions, &spec, error) ==
                   0 &&
               (rule = make(port, table, pattern_index, &spec, &index, error))) {
        rule->age.list = port->sizes.is_strict ? number : 0;
        nicsim_flow_queue_put(queue, NICSIM_OP_CREATE, index, user_data);
        if (!attr || !attr->postpone) {
            nicsim_flow_queue_push(port, queue);
        }
    }
    nicsim_unlock(port);
    return rule ? nicsim_rule_handle(rule, index) : NULL;
}

static int
may_destroy(const struct nicsim_rule *rule, const struct rte_flow *handle, struct rte_flow_error *error)
{
    if (!rule) {
        return FAIL(ENOENT, HANDLE, handle, NICSIM_NO_RULE);
    }
    if (!nicsim_rule_table(rule)) {
        return FAIL(EINVAL, HANDLE, handle, "the rule was not made through a queue (rte_flow_destroy)");
    }
    if (nicsim_rule_stage(rule) == NICSIM_STAGE_QUEUED) {
        return FAIL(EBUSY, HANDLE, handle, "the rule's creation was not executed yet: push, and pull its result");
    }
    if (nicsim_rule_stage(rule) == NICSIM_STAGE_LEAVING) {
        return FAIL(EALREADY, HANDLE, handle, "the rule's removal is on a queue already");
    }
    return 0;
}

int
nicsim_async_destroy(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                     struct rte_flow *handle, void *user_data, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_flow_queue *queue;
    struct nicsim_rule *rule;
    uint32_t index;
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_ASYNC_DESTROY);
    if (injected) {
        rc = FAIL(injected, HANDLE, handle, NICSIM_INJECTED);
    } else if (!(queue = nicsim_flow_queue_use(port, number, error))) {
        rc = -rte_errno;
    } else {
        rule = nicsim_rule_of(port, handle, &index);
        rc = may_destroy(rule, handle, error);
        if (rc == 0) {
            nicsim_rule_set_stage(rule, NICSIM_STAGE_LEAVING, nicsim_rule_table(rule));
            nicsim_flow_queue_put(queue, NICSIM_OP_DESTROY, index, user_data);
            if (!attr || !attr->postpone) {
                nicsim_flow_queue_push(port, queue);
            }
        }
    }
    nicsim_unlock(port);
    return rc;
}
