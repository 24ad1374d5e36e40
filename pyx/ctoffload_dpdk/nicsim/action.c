/* The actions of a rule: what is noted of a packet, and what becomes of it. */
#include <errno.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

static int
set_fate(struct nicsim_spec *spec, enum nicsim_fate fate, uint16_t arg, const struct rte_flow_action *action,
         struct rte_flow_error *error)
{
    if (spec->fate != NICSIM_FATE_NONE) {
        return REFUSE(EINVAL, ACTION, action, "a rule has one fate");
    }
    spec->fate = fate;
    spec->fate_arg = arg;
    return 0;
}

static int
parse_count(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    if (spec->flags & NICSIM_RULE_COUNT) {
        return REFUSE(EINVAL, ACTION, action, "a rule has one COUNT");
    }
    spec->flags |= NICSIM_RULE_COUNT;
    return 0;
}

static int
parse_age(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_age *age = action->conf;

    if (spec->flags & NICSIM_RULE_AGE) {
        return REFUSE(EINVAL, ACTION, action, "a rule has one AGE");
    }
    if (!age || (age->timeout == 0 && !(spec->takes & NICSIM_TAKES_AGE_0))) {
        return REFUSE(EINVAL, ACTION_CONF, action, "AGE needs a timeout of at least 1 s");
    }
    spec->flags |= NICSIM_RULE_AGE;
    spec->timeout_s = age->timeout;
    spec->context = age->context;
    return 0;
}

static int
parse_queue(struct nicsim_port *port, struct nicsim_spec *spec, const struct rte_flow_action *action,
            struct rte_flow_error *error)
{
    const struct rte_flow_action_queue *queue = action->conf;

    if (spec->transfer || spec->egress) {
        return REFUSE(ENOTSUP, ACTION, action, "only an ingress rule can choose a queue");
    }
    if (!queue || queue->index >= port->n_rxq) {
        return REFUSE(EINVAL, ACTION_CONF, action, "the port has no such queue");
    }
    return set_fate(spec, NICSIM_FATE_QUEUE, queue->index, action, error);
}

static int
parse_rss(struct nicsim_port *port, struct nicsim_spec *spec, const struct rte_flow_action *action,
          struct rte_flow_error *error)
{
    const struct rte_flow_action_rss *rss = action->conf;

    if (spec->transfer || spec->egress) {
        return REFUSE(ENOTSUP, ACTION, action, "only an ingress rule can choose queues");
    }
    if (!rss || rss->queue_num == 0 || rss->queue_num > NICSIM_MAX_QUEUES || !rss->queue) {
        return REFUSE(EINVAL, ACTION_CONF, action, "RSS needs 1 to 64 queues");
    }
    if (rss->level > 1) {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "RSS over inner headers is not supported");
    }
    for (uint32_t i = 0; i < rss->queue_num; i++) {
        if (rss->queue[i] >= port->n_rxq) {
            return REFUSE(EINVAL, ACTION_CONF, action, "the port has no such queue");
        }
    }
    spec->rss = rss;
    return set_fate(spec, NICSIM_FATE_RSS, 0, action, error);
}

static int
parse_port(struct nicsim_port *port, struct nicsim_spec *spec, uint32_t number, enum nicsim_fate fate,
           const struct rte_flow_action *action, struct rte_flow_error *error)
{
    if (!spec->transfer) {
        return REFUSE(ENOTSUP, ACTION, action, "only a transfer rule can forward to a port");
    }
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        if (port->sw->ports[i] && port->sw->ports[i]->port_id == number) {
            return set_fate(spec, fate, i, action, error);
        }
    }
    return REFUSE(EINVAL, ACTION_CONF, action, "that port is not in this port's switch");
}

static int
parse_ethdev(struct nicsim_port *port, struct nicsim_spec *spec, enum nicsim_fate fate,
             const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_ethdev *to = action->conf;

    return to ? parse_port(port, spec, to->port_id, fate, action, error)
              : REFUSE(EINVAL, ACTION_CONF, action, "no port given");
}

static int
parse_port_id(struct nicsim_port *port, struct nicsim_spec *spec, const struct rte_flow_action *action,
              struct rte_flow_error *error)
{
    const struct rte_flow_action_port_id *to = action->conf;

    return to ? parse_port(port, spec, to->original ? port->port_id : to->id, NICSIM_FATE_WIRE, action, error)
              : REFUSE(EINVAL, ACTION_CONF, action, "no port given");
}

static int
parse_jump(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_jump *jump = action->conf;

    if (!jump || jump->group <= spec->group) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a jump leads to a higher group");
    }
    spec->jump_group = jump->group;
    return set_fate(spec, NICSIM_FATE_JUMP, 0, action, error);
}

static int
take_conntrack(struct nicsim_spec *spec, const struct nicsim_object *object, uint32_t index,
               const struct rte_flow_action *action, struct rte_flow_error *error)
{
    if (spec->group == 0 && !spec->transfer) {
        return REFUSE(ENOTSUP, ACTION, action, "CONNTRACK works in groups above 0");
    }
    if (!(spec->takes & NICSIM_TAKES_ANY_CONNTRACK) &&
        (spec->key.proto != IPPROTO_TCP || !(spec->key.bits & NICSIM_KEY_L4))) {
        return REFUSE(EINVAL, ACTION, action, "CONNTRACK needs a TCP item");
    }
    if (spec->fate != NICSIM_FATE_NONE) {
        return REFUSE(ENOTSUP, ACTION, action, "CONNTRACK comes before the fate");
    }
    spec->extra.conntrack_object = index;
    spec->extra.conntrack_owner = object->age.owner;
    spec->extra.is_original = object->conntrack.is_original_dir;
    return 0;
}

static int
parse_indirect(struct nicsim_port *port, struct nicsim_spec *spec, const struct rte_flow_action *action,
               struct rte_flow_error *error)
{
    uint32_t index;
    const struct nicsim_object *object = nicsim_object_for_rule(port, action->conf, &index);
    int rc;

    if (!object) {
        return REFUSE(EINVAL, ACTION_CONF, action, "no such indirect action on this port");
    }
    rc = nicsim_object_ready(object, action, error);
    if (rc) {
        return rc;
    }
    if (spec->flags & object->type) {
        return REFUSE(EINVAL, ACTION, action, "a rule has one COUNT, one AGE, one CONNTRACK");
    }
    spec->flags |= object->type;
    if (object->type == NICSIM_RULE_COUNT) {
        spec->extra.count_object = index;
    } else if (object->type == NICSIM_RULE_AGE) {
        spec->extra.age_object = index;
    } else {
        return take_conntrack(spec, object, index, action, error);
    }
    return 0;
}

static int
parse_modify_field(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_modify_field *modify = action->conf;

    if (!modify) {
        return REFUSE(EINVAL, ACTION_CONF, action, "MODIFY_FIELD needs a field");
    }
    return nicsim_register_is_field(modify->dst.field) ? nicsim_register_parse(action, spec, error)
                                                       : nicsim_rewrite_parse(action, spec, error);
}

static int
parse_action(struct nicsim_port *port, struct nicsim_spec *spec, const struct rte_flow_action *action,
             struct rte_flow_error *error)
{
    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_VOID:
        return 0;
    case RTE_FLOW_ACTION_TYPE_COUNT:
        return parse_count(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_AGE:
        return parse_age(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_MARK:
    case RTE_FLOW_ACTION_TYPE_FLAG:
    case RTE_FLOW_ACTION_TYPE_SET_META:
    case RTE_FLOW_ACTION_TYPE_SET_TAG:
        return nicsim_register_parse(action, spec, error);
    case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN:
    case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN:
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID:
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP:
        return nicsim_vlan_parse(action, spec, error);
    case RTE_FLOW_ACTION_TYPE_INDIRECT:
        return parse_indirect(port, spec, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
    case RTE_FLOW_ACTION_TYPE_SET_TTL:
    case RTE_FLOW_ACTION_TYPE_DEC_TTL:
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
        return nicsim_rewrite_parse(action, spec, error);
    case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD:
        return parse_modify_field(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_CONNTRACK:
        return REFUSE(ENOTSUP, ACTION, action, "CONNTRACK works as an indirect action only");
    case RTE_FLOW_ACTION_TYPE_QUEUE:
        return parse_queue(port, spec, action, error);
    case RTE_FLOW_ACTION_TYPE_RSS:
        return parse_rss(port, spec, action, error);
    case RTE_FLOW_ACTION_TYPE_PASSTHRU:
        return set_fate(spec, NICSIM_FATE_PASSTHRU, 0, action, error);
    case RTE_FLOW_ACTION_TYPE_DROP:
        return set_fate(spec, NICSIM_FATE_DROP, 0, action, error);
    case RTE_FLOW_ACTION_TYPE_JUMP:
        return parse_jump(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_PORT_ID:
        return parse_port_id(port, spec, action, error);
    case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
        return parse_ethdev(port, spec, NICSIM_FATE_WIRE, action, error);
    case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
        return parse_ethdev(port, spec, NICSIM_FATE_HOST, action, error);
    default:
        return REFUSE(ENOTSUP, ACTION, action, "action not supported");
    }
}

int
nicsim_actions_parse(struct nicsim_port *port, const struct rte_flow_action *actions, struct nicsim_spec *spec,
                     struct rte_flow_error *error)
{
    const struct rte_flow_action *action = actions;

    for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        int rc = parse_action(port, spec, action, error);

        if (rc) {
            return rc;
        }
    }
    if (spec->fate == NICSIM_FATE_NONE && !spec->egress) {
        return REFUSE(EINVAL, ACTION, actions, "no fate: the rule does not say what becomes of the packet");
    }
    return 0;
}
