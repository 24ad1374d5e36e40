/* Template tables: room for rules of some templates, in one group at one priority. */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "nicsim.h"
#include "profile.h"

/* The same place in what the caller gave: what was merged is gone when the caller reads the error. */
static void
point_at(struct rte_flow_error *error, const void *merged, const void *own, size_t n, size_t size)
{
    uintptr_t at, from = (uintptr_t) merged;

    if (!error) {
        return;
    }
    at = (uintptr_t) error->cause;
    if (at >= from && at < from + n * size) {
        error->cause = own ? (const uint8_t *) own + (at - from) : NULL;
    }
}

int
nicsim_template_rule_parse(struct nicsim_port *port, const struct nicsim_template_table *table, uint8_t pattern,
                           const struct rte_flow_item *own_items, uint8_t actions,
                           const struct rte_flow_action *own_actions, struct nicsim_spec *spec,
                           struct rte_flow_error *error)
{
    struct rte_flow_item items[NICSIM_TEMPLATE_MOST];
    struct rte_flow_action merged[NICSIM_TEMPLATE_MOST];
    int rc = nicsim_pattern_merge(table->patterns[pattern], own_items, items, error);

    if (rc == 0) {
        rc = nicsim_actions_merge(port, table->actions[actions], own_actions, merged, error);
    }
    if (rc) {
        return rc;
    }
    if (!own_items) {
        rc = nicsim_profile_table(port, &table->attr, items, merged, error);
        nicsim_leave_out_contexts(merged);
    }
    if (rc == 0) {
        rc = nicsim_rule_parse(port, &table->attr, items, merged, spec, error);
    }
    if (rc) {
        point_at(error, items, own_items, RTE_DIM(items), sizeof items[0]);
        point_at(error, merged, own_actions, RTE_DIM(merged), sizeof merged[0]);
    }
    return rc;
}

static int
check_attributes(const struct nicsim_port *port, const struct rte_flow_template_table_attr *attr,
                 struct rte_flow_error *error)
{
    if (attr->flow_attr.ingress + attr->flow_attr.egress + attr->flow_attr.transfer != 1) {
        return FAIL(EINVAL, ATTR, attr, "a table is either for ingress, for egress or for transfer");
    }
    if (attr->nb_flows == 0) {
        return FAIL(EINVAL, ATTR, attr, "a table needs room for at least one rule");
    }
    if (attr->nb_flows > port->config.capacity) {
        return FAIL(ENOSPC, ATTR, attr, "a table for more rules than this NIC holds");
    }
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    if (attr->insertion_type != RTE_FLOW_TABLE_INSERTION_TYPE_PATTERN) {
        return FAIL(ENOTSUP, ATTR, attr, "rules are put in by their pattern, not by an index");
    }
#endif
    return 0;
}

/* A template may be for several directions; the table's has to be among them. Actions without any are for all, as with
 * mlx5: testpmd cannot give them one. */
#define IS_FOR(wish, of)                                                                                               \
    (((wish)->ingress && (of)->ingress) || ((wish)->egress && (of)->egress) || ((wish)->transfer && (of)->transfer))

static bool
has_direction(const struct rte_flow_actions_template_attr *attr)
{
    return attr->ingress || attr->egress || attr->transfer;
}

static int
find_templates(struct nicsim_port *port, struct nicsim_template_table *table,
               struct rte_flow_pattern_template *patterns[], struct rte_flow_actions_template *actions[],
               struct rte_flow_error *error)
{
    for (uint8_t i = 0; i < table->n_patterns; i++) {
        table->patterns[i] = nicsim_registry_find(&port->patterns, patterns[i]);
        if (!table->patterns[i]) {
            return FAIL(EINVAL, UNSPECIFIED, patterns[i], "no such pattern template on this port");
        }
        if (!IS_FOR(&table->patterns[i]->attr, &table->attr)) {
            return FAIL(EINVAL, ATTR, patterns[i], "a pattern template is for another direction than the table");
        }
    }
    for (uint8_t i = 0; i < table->n_actions; i++) {
        table->actions[i] = nicsim_registry_find(&port->actions, actions[i]);
        if (!table->actions[i]) {
            return FAIL(EINVAL, UNSPECIFIED, actions[i], "no such actions template on this port");
        }
        if (has_direction(&table->actions[i]->attr) && !IS_FOR(&table->actions[i]->attr, &table->attr)) {
            return FAIL(EINVAL, ATTR, actions[i], "an actions template is for another direction than the table");
        }
    }
    return 0;
}

static bool
has_context(const struct nicsim_actions_template *actions)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        if (actions->object_type[i] == NICSIM_RULE_CONNTRACK) {
            return true;
        }
    }
    return false;
}

/* Each actions template has to go with one pattern of the table at least. */
static int
check_pairs(struct nicsim_port *port, const struct nicsim_template_table *table, struct rte_flow_error *error)
{
    for (uint8_t a = 0; a < table->n_actions; a++) {
        int rc = -1;

        if (table->attr.group == 0 && !table->attr.transfer && !nicsim_profile_of(port)->judges_late &&
            has_context(table->actions[a])) {
            return FAIL(ENOTSUP, ACTION, NULL, "CONNTRACK works in groups above 0");
        }
        for (uint8_t p = 0; p < table->n_patterns && rc; p++) {
            struct nicsim_spec spec;

            rc = nicsim_template_rule_parse(port, table, p, NULL, a, NULL, &spec, error);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* Holds a subtable for each pattern: packets are compared with the table's masks as long as it is there. */
static int
hold_subtables(struct nicsim_port *port, struct nicsim_template_table *table, struct rte_flow_error *error)
{
    struct nicsim_match *match = &port->sw->match;
    struct rte_flow_item items[NICSIM_TEMPLATE_MOST];
    int rc = 0;

    for (uint8_t i = 0; i < table->n_patterns && rc == 0; i++) {
        struct nicsim_spec spec = {
            .group = table->attr.group, .transfer = table->attr.transfer, .egress = table->attr.egress};

        nicsim_pattern_merge(table->patterns[i], NULL, items, error);
        rc = nicsim_items_parse(port, items, &spec, error);
        point_at(error, items, NULL, RTE_DIM(items), sizeof items[0]);
        if (rc == 0) {
            rc = nicsim_subtable_use(match, nicsim_domain_of(port, &spec), spec.group, table->attr.priority, &spec.mask,
                                     spec.is_wide ? &spec.wide_mask : NULL, &table->subtables[i]);
            if (rc) {
                table->subtables[i] = NULL;
                rc = FAIL(rc, UNSPECIFIED, NULL,
                          rc == ENOSPC ? "too many groups, or too many masks" : "no memory for the table");
            }
        }
    }
    return rc;
}

static void
table_free(struct nicsim_port *port, struct nicsim_template_table *table)
{
    for (uint8_t i = 0; i < table->n_patterns && table->subtables; i++) {
        if (table->subtables[i]) {
            nicsim_subtable_unuse(&port->sw->match, table->subtables[i]->id);
        }
    }
    free(table->subtables);
    free(table->patterns);
    free(table->actions);
    free(table);
}

static struct nicsim_template_table *
table_alloc(const struct rte_flow_template_table_attr *attr, uint8_t n_patterns, uint8_t n_actions)
{
    struct nicsim_template_table *table = calloc(1, sizeof *table);

    if (!table) {
        return NULL;
    }
    table->attr = attr->flow_attr;
    table->room = attr->nb_flows;
    table->n_patterns = n_patterns;
    table->n_actions = n_actions;
    table->subtables = calloc(n_patterns, sizeof *table->subtables);
    table->patterns = calloc(n_patterns, sizeof *table->patterns);
    table->actions = calloc(n_actions, sizeof *table->actions);
    return table;
}

static void
hold_templates(struct nicsim_template_table *table, int by)
{
    for (uint8_t i = 0; i < table->n_patterns; i++) {
        table->patterns[i]->named.n_users += by;
    }
    for (uint8_t i = 0; i < table->n_actions; i++) {
        table->actions[i]->named.n_users += by;
    }
}

static struct nicsim_template_table *
create(struct nicsim_port *port, const struct rte_flow_template_table_attr *attr,
       struct rte_flow_pattern_template *patterns[], uint8_t n_patterns, struct rte_flow_actions_template *actions[],
       uint8_t n_actions, struct rte_flow_error *error)
{
    struct nicsim_template_table *table;
    int failure;

    if (check_attributes(port, attr, error)) {
        return NULL;
    }
    if (n_patterns == 0 || n_actions == 0) {
        FAIL(EINVAL, UNSPECIFIED, NULL, "a table needs a pattern template and an actions template");
        return NULL;
    }
    table = table_alloc(attr, n_patterns, n_actions);
    if (!table || !table->subtables || !table->patterns || !table->actions) {
        FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the table");
    } else if (find_templates(port, table, patterns, actions, error) == 0 && check_pairs(port, table, error) == 0 &&
               hold_subtables(port, table, error) == 0) {
        failure = nicsim_registry_add(&port->tables, &table->named);
        if (!failure) {
            hold_templates(table, 1);
            return table;
        }
        FAIL(failure, UNSPECIFIED, NULL, "no room for further tables");
    }
    if (table) {
        table_free(port, table);
    }
    return NULL;
}

struct rte_flow_template_table *
nicsim_template_table_create(struct rte_eth_dev *dev, const struct rte_flow_template_table_attr *attr,
                             struct rte_flow_pattern_template *patterns[], uint8_t n_patterns,
                             struct rte_flow_actions_template *actions[], uint8_t n_actions,
                             struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_template_table *table = NULL;
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_TEMPLATE_TABLE);
    if (injected) {
        FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else {
        table = create(port, attr, patterns, n_patterns, actions, n_actions, error);
    }
    nicsim_unlock(port);
    return table ? nicsim_registry_handle(&table->named) : NULL;
}

static void
table_remove(struct nicsim_port *port, struct nicsim_named *entry)
{
    struct nicsim_template_table *table = (struct nicsim_template_table *) entry;

    hold_templates(table, -1);
    nicsim_registry_remove(&port->tables, entry);
    table_free(port, table);
}

int
nicsim_template_table_destroy(struct rte_eth_dev *dev, struct rte_flow_template_table *handle,
                              struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    return nicsim_named_destroy(port, &port->tables, handle, table_remove, "no such template table on this port",
                                "there are rules in the table", error);
}

/* The port goes; its rules are gone already. */
void
nicsim_templates_clear(struct nicsim_port *port)
{
    nicsim_registry_clear(port, &port->tables, table_remove);
    nicsim_pattern_templates_clear(port);
    nicsim_actions_templates_clear(port);
}
