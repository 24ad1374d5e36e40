/* A rule as the caller asks for it, understood: attributes here, items in item.c, actions in action.c. */
#include <errno.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

static int
parse_attributes(const struct rte_flow_attr *attr, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    if (!attr) {
        return REFUSE(EINVAL, ATTR, NULL, "no attributes given");
    }
    if (attr->ingress + attr->egress + attr->transfer != 1) {
        return REFUSE(EINVAL, ATTR, attr, "a rule is one of ingress, egress and transfer");
    }
    spec->group = attr->group;
    spec->priority = attr->priority;
    spec->transfer = attr->transfer;
    spec->egress = attr->egress;
    return 0;
}

int
nicsim_rule_parse(struct nicsim_port *port, const struct rte_flow_attr *attr, const struct rte_flow_item *items,
                  const struct rte_flow_action *actions, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    int rc;

    /* The second parts of the key are cleared where they are used. */
    memset(spec, 0, offsetof(struct nicsim_spec, wide));
    spec->takes = nicsim_profile_of(port)->takes;
    spec->extra.count_object = NICSIM_NO_INDEX;
    spec->extra.age_object = NICSIM_NO_INDEX;
    spec->extra.conntrack_object = NICSIM_NO_INDEX;
    if (!items) {
        return REFUSE(EINVAL, ITEM_NUM, NULL, "no pattern given");
    }
    if (!actions) {
        return REFUSE(EINVAL, ACTION_NUM, NULL, "no actions given");
    }
    rc = parse_attributes(attr, spec, error);
    if (rc == 0) {
        rc = nicsim_items_parse(port, items, spec, error);
    }
    if (rc == 0) {
        rc = nicsim_actions_parse(port, actions, spec, error);
    }
    return rc;
}
