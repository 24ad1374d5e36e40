/* Actions templates: which actions rules have, and which of their values are the same for all of them. */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "nicsim.h"
#include "profile.h"

/* Values that stand for those a rule will bring, while the template is checked. */
struct stand_ins {
    struct rte_flow_action_age age;
    struct rte_flow_action_jump jump;
    struct rte_flow_action_rss rss;
    uint16_t queue;
    struct rte_flow_action_port_id port_id;
    struct rte_flow_action_ethdev ethdev;
    uint8_t nothing[64];
};

static void
stand_ins_init(struct stand_ins *s, const struct nicsim_port *port)
{
    memset(s, 0, sizeof *s);
    s->age.timeout = 1;
    s->jump.group = UINT32_MAX;
    s->rss.queue_num = 1;
    s->rss.queue = &s->queue;
    s->port_id.id = port->port_id;
    s->ethdev.port_id = port->port_id;
}

static const void *
stand_in_for(const struct stand_ins *s, const struct rte_flow_action *action)
{
    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_AGE:
        return &s->age;
    case RTE_FLOW_ACTION_TYPE_JUMP:
        return &s->jump;
    case RTE_FLOW_ACTION_TYPE_RSS:
        return &s->rss;
    case RTE_FLOW_ACTION_TYPE_PORT_ID:
        return &s->port_id;
    case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
    case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
        return &s->ethdev;
    case RTE_FLOW_ACTION_TYPE_INDIRECT:
        return NULL;
    default:
        return action->conf ? action->conf : s->nothing;
    }
}

static bool
is_any_set(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) {
            return true;
        }
    }
    return false;
}

/* Of MODIFY_FIELD all but the value is the template's; the value is, where the mask says so. */
static bool
is_value_fixed(const struct rte_flow_action_modify_field *modify, const struct rte_flow_action_modify_field *mask)
{
    if (modify && modify->src.field == RTE_FLOW_FIELD_VALUE) {
        return is_any_set(mask->src.value, sizeof mask->src.value);
    }
    return !modify || modify->src.field != RTE_FLOW_FIELD_POINTER || mask->src.pvalue;
}

/* Whether the mask, where it is not all zeroes, makes the template's value that of every rule. */
static bool
is_fixed(const struct rte_flow_action *action, const struct rte_flow_action *mask, struct rte_flow_error *error)
{
    static const uint8_t nothing[sizeof(struct rte_flow_action_modify_field)];
    struct rte_flow_action probe = {.type = action->type, .conf = mask->conf ? mask->conf : nothing};
    int n_bytes;

    if (action->type == RTE_FLOW_ACTION_TYPE_INDIRECT || action->type == RTE_FLOW_ACTION_TYPE_RSS) {
        return mask->conf != NULL;
    }
    if (action->type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD) {
        return mask->conf && is_value_fixed(action->conf, mask->conf);
    }
    n_bytes = rte_flow_conv(RTE_FLOW_CONV_OP_ACTION, NULL, 0, &probe, error) - (int) sizeof probe;
    return n_bytes <= 0 || is_any_set(probe.conf, n_bytes);
}

/* What an INDIRECT stands for, if the mask names it. */
static uint8_t
object_type(enum rte_flow_action_type named)
{
    return named == RTE_FLOW_ACTION_TYPE_COUNT       ? NICSIM_RULE_COUNT
           : named == RTE_FLOW_ACTION_TYPE_AGE       ? NICSIM_RULE_AGE
           : named == RTE_FLOW_ACTION_TYPE_CONNTRACK ? NICSIM_RULE_CONNTRACK
                                                     : 0;
}

static int
read_masks(struct nicsim_actions_template *template, const struct rte_flow_action *actions,
           const struct rte_flow_action *masks, struct rte_flow_error *error)
{
    for (uint32_t i = 0; i < template->n; i++) {
        if (actions[i].type == RTE_FLOW_ACTION_TYPE_INDIRECT) {
            template->object_type[i] = object_type(masks[i].type);
        }
        if (masks[i].type != actions[i].type && !template->object_type[i]) {
            return FAIL(EINVAL, ACTION, &masks[i], "the masks are not of the same actions");
        }
        template->is_fixed[i] = is_fixed(&actions[i], &masks[i], error);
    }
    return 0;
}

static struct rte_flow_action *
copy_actions(const struct nicsim_port *port, const struct nicsim_actions_template *template,
             const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    struct rte_flow_action whole[NICSIM_TEMPLATE_MOST] = {{0}}, *copy;
    struct stand_ins stand_ins;
    int n_bytes;

    stand_ins_init(&stand_ins, port);
    for (uint32_t i = 0; i < template->n; i++) {
        whole[i] = actions[i];
        if (!template->is_fixed[i]) {
            whole[i].conf = stand_in_for(&stand_ins, &actions[i]);
        }
    }
    n_bytes = rte_flow_conv(RTE_FLOW_CONV_OP_ACTIONS, NULL, 0, whole, error);
    if (n_bytes < 0) {
        return NULL;
    }
    copy = calloc(1, n_bytes);
    if (!copy) {
        FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the template");
        return NULL;
    }
    rte_flow_conv(RTE_FLOW_CONV_OP_ACTIONS, copy, n_bytes, whole, error);
    return copy;
}

/* A rule's own MODIFY_FIELD brings a value and nothing else. */
static bool
is_same_field(const struct rte_flow_action *action, const struct rte_flow_action *own)
{
    const struct rte_flow_action_modify_field *a = action->conf, *b = own->conf;

    return b && a->operation == b->operation && a->dst.field == b->dst.field && a->dst.offset == b->dst.offset &&
           a->width == b->width && a->src.field == b->src.field;
}

/* The rule's own action in this place, where the template leaves it to the rule. */
static int
merge_own(struct nicsim_port *port, const struct nicsim_actions_template *template, uint32_t i,
          const struct rte_flow_action *own, struct rte_flow_error *error)
{
    const struct nicsim_object *object;
    uint32_t index;

    if (own->type == RTE_FLOW_ACTION_TYPE_INDIRECT && template->object_type[i]) {
        object = nicsim_object_of(port, own->conf, &index);
        if (object && object->type != template->object_type[i]) {
            return FAIL(EINVAL, ACTION_CONF, own, "the template wants another kind of indirect action");
        }
    }
    if (own->type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD && !is_same_field(&template->actions[i], own)) {
        return FAIL(EINVAL, ACTION_CONF, own, "the template modifies another field, or in another way");
    }
    return 0;
}

/* An INDIRECT that no rule has named yet: what can be said of it without one. */
static void
merge_unnamed(const struct nicsim_actions_template *template, uint32_t i, struct rte_flow_action *out)
{
    static const struct rte_flow_action_age age = {.timeout = 1};

    if (out->type != RTE_FLOW_ACTION_TYPE_INDIRECT || template->is_fixed[i]) {
        return;
    }
    *out = template->object_type[i] == NICSIM_RULE_COUNT ? (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_COUNT}
           : template->object_type[i] == NICSIM_RULE_AGE
               ? (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age}
           : template->object_type[i] == NICSIM_RULE_CONNTRACK
               ? (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_CONNTRACK}
               : (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_VOID};
}

int
nicsim_actions_merge(struct nicsim_port *port, const struct nicsim_actions_template *template,
                     const struct rte_flow_action *own, struct rte_flow_action *out, struct rte_flow_error *error)
{
    for (uint32_t i = 0; i < template->n; i++) {
        out[i] = template->actions[i];
        if (!own) {
            merge_unnamed(template, i, &out[i]);
            continue;
        }
        if (own[i].type != out[i].type) {
            return FAIL(EINVAL, ACTION, &own[i], "the actions are not those of the template");
        }
        if (!template->is_fixed[i]) {
            int rc = merge_own(port, template, i, &own[i], error);

            if (rc) {
                return rc;
            }
            out[i].conf = own[i].conf;
        }
    }
    if (own && own[template->n].type != RTE_FLOW_ACTION_TYPE_END) {
        return FAIL(EINVAL, ACTION, &own[template->n], "more actions than the template has");
    }
    out[template->n] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_END};
    return 0;
}

void
nicsim_leave_out_contexts(struct rte_flow_action *actions)
{
    for (; actions->type != RTE_FLOW_ACTION_TYPE_END; actions++) {
        if (actions->type == RTE_FLOW_ACTION_TYPE_CONNTRACK) {
            actions->type = RTE_FLOW_ACTION_TYPE_VOID;
        }
    }
}

/* Whether any rule could have these actions. What depends on group and pattern is looked at with the table. */
static int
check(struct nicsim_port *port, const struct nicsim_actions_template *template, struct rte_flow_error *error)
{
    struct rte_flow_action actions[NICSIM_TEMPLATE_MOST];
    struct nicsim_spec spec = {.group = 1, .transfer = template->attr.transfer && !template->attr.ingress};
    struct rte_flow_error own;
    int rc;

    spec.key.eth_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
    spec.key.proto = IPPROTO_TCP;
    spec.key.bits = NICSIM_KEY_L4;
    if (nicsim_profile_of(port)->judges_late) {
        return 0;
    }
    rc = nicsim_actions_merge(port, template, NULL, actions, &own);
    if (rc == 0) {
        nicsim_leave_out_contexts(actions);
        rc = nicsim_actions_parse(port, actions, &spec, &own);
    }
    return rc == -ENOTSUP ? rte_flow_error_set(error, ENOTSUP, own.type, NULL, own.message) : 0;
}

static int
check_wish(const struct rte_flow_action *actions, const struct rte_flow_action *masks, uint32_t *n,
           struct rte_flow_error *error)
{
    if (!masks) {
        return FAIL(EINVAL, ACTION, NULL, "no masks given: they say which values are the template's");
    }
    for (*n = 0; actions[*n].type != RTE_FLOW_ACTION_TYPE_END; (*n)++) {
        if (*n == NICSIM_TEMPLATE_MOST - 1) {
            return FAIL(E2BIG, ACTION_NUM, &actions[*n], "too many actions");
        }
        if (masks[*n].type == RTE_FLOW_ACTION_TYPE_END) {
            return FAIL(EINVAL, ACTION, &actions[*n], "fewer masks than actions");
        }
    }
    return 0;
}

static struct nicsim_actions_template *
create(struct nicsim_port *port, const struct rte_flow_actions_template_attr *attr,
       const struct rte_flow_action *actions, const struct rte_flow_action *masks, struct rte_flow_error *error)
{
    struct rte_flow_attr direction = {.ingress = attr->ingress, .egress = attr->egress, .transfer = attr->transfer};
    struct nicsim_actions_template *template;
    uint32_t n = 0;

    if (check_wish(actions, masks, &n, error) || nicsim_profile_actions_template(port, &direction, actions, error)) {
        return NULL;
    }
    template = calloc(1, sizeof *template);
    if (!template) {
        FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the template");
        return NULL;
    }
    template->attr = *attr;
    template->n = n;
    if (read_masks(template, actions, masks, error) == 0) {
        template->actions = copy_actions(port, template, actions, error);
    }
    if (template->actions && check(port, template, error) == 0) {
        int failure = nicsim_registry_add(&port->actions, &template->named);

        if (!failure) {
            return template;
        }
        FAIL(failure, UNSPECIFIED, NULL, "no room for further templates");
    }
    free(template->actions);
    free(template);
    return NULL;
}

struct rte_flow_actions_template *
nicsim_actions_template_create(struct rte_eth_dev *dev, const struct rte_flow_actions_template_attr *attr,
                               const struct rte_flow_action actions[], const struct rte_flow_action masks[],
                               struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_actions_template *template = NULL;
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_ACTIONS_TEMPLATE);
    if (injected) {
        FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else {
        template = create(port, attr, actions, masks, error);
    }
    nicsim_unlock(port);
    return template ? nicsim_registry_handle(&template->named) : NULL;
}

static void
actions_free(struct nicsim_port *port, struct nicsim_named *entry)
{
    struct nicsim_actions_template *template = (struct nicsim_actions_template *) entry;

    nicsim_registry_remove(&port->actions, entry);
    free(template->actions);
    free(template);
}

int
nicsim_actions_template_destroy(struct rte_eth_dev *dev, struct rte_flow_actions_template *handle,
                                struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    return nicsim_named_destroy(port, &port->actions, handle, actions_free, "no such actions template on this port",
                                "template tables still use it", error);
}

void
nicsim_actions_templates_clear(struct nicsim_port *port)
{
    nicsim_registry_clear(port, &port->actions, actions_free);
}
