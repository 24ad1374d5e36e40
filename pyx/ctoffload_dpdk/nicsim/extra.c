/* What few rules have beside their two cache lines: shared objects, a rewrite, registers. */
#include <errno.h>

#include "nicsim.h"

struct nicsim_object *
nicsim_extra_context(const struct nicsim_switch *sw, const struct nicsim_extra *extra)
{
    return extra->conntrack_object == NICSIM_NO_INDEX
               ? NULL
               : &sw->ports[extra->conntrack_owner]->objects[extra->conntrack_object];
}

static void
hold(struct nicsim_port *port, uint32_t object, int by)
{
    if (object != NICSIM_NO_INDEX) {
        port->objects[object].n_rules += by;
    }
}

static void
hold_all(struct nicsim_port *port, const struct nicsim_extra *extra, int by)
{
    hold(port, extra->count_object, by);
    hold(port, extra->age_object, by);
    if (nicsim_extra_context(port->sw, extra)) {
        nicsim_extra_context(port->sw, extra)->n_rules += by;
    }
}

static bool
is_needed(const struct nicsim_extra *extra)
{
    return extra->count_object != NICSIM_NO_INDEX || extra->age_object != NICSIM_NO_INDEX ||
           extra->conntrack_object != NICSIM_NO_INDEX || extra->rewrite.what || extra->n_writes;
}

int
nicsim_extra_use(struct nicsim_port *port, const struct nicsim_spec *spec, uint32_t *index)
{
    *index = NICSIM_NO_INDEX;
    if (!is_needed(&spec->extra)) {
        return 0;
    }
    if (port->free_extra != NICSIM_NO_INDEX) {
        *index = port->free_extra;
        port->free_extra = port->extras[*index].next_free;
    } else if (port->extras_top < port->config.capacity) {
        *index = port->extras_top++;
    } else {
        return ENOSPC;
    }
    port->extras[*index] = spec->extra;
    hold_all(port, &spec->extra, 1);
    return 0;
}

void
nicsim_extra_unuse(struct nicsim_port *port, uint32_t index)
{
    if (index != NICSIM_NO_INDEX) {
        hold_all(port, &port->extras[index], -1);
        port->extras[index].next_free = port->free_extra;
        port->free_extra = index;
    }
}

const struct nicsim_extra *
nicsim_rule_extra(const struct nicsim_port *port, const struct nicsim_rule *rule)
{
    return rule->extra == NICSIM_NO_INDEX ? NULL : &port->extras[rule->extra];
}

struct nicsim_object *
nicsim_rule_ager(const struct nicsim_port *port, const struct nicsim_rule *rule)
{
    const struct nicsim_extra *extra = nicsim_rule_extra(port, rule);

    return extra && extra->age_object != NICSIM_NO_INDEX ? &port->objects[extra->age_object] : NULL;
}

struct nicsim_age *
nicsim_rule_age(const struct nicsim_port *port, struct nicsim_rule *rule)
{
    struct nicsim_object *object = nicsim_rule_ager(port, rule);

    return object ? &object->age : &rule->age;
}

struct nicsim_object *
nicsim_rule_counter(const struct nicsim_port *port, const struct nicsim_rule *rule)
{
    const struct nicsim_extra *extra = nicsim_rule_extra(port, rule);

    return extra && extra->count_object != NICSIM_NO_INDEX ? &port->objects[extra->count_object] : NULL;
}
