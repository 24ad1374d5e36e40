/* connectx-hws: a ConnectX-6 Dx or later under the mlx5 driver of DPDK 22.11 with hardware steering (dv_flow_en=2).
 *
 * Rules are made of templates only. How each refusal is known stands beside it; profile.h says what the words mean.
 */
#include <errno.h>

#include "nicsim.h"
#include "profile.h"
#include "profile_checks.h"

static bool
is_other_domain(const struct nicsim_asked *asked)
{
    return nicsim_is_no_domain(asked);
}

static bool
is_not_the_proxy(const struct nicsim_asked *asked)
{
    return !nicsim_is_first_of_switch(asked->port);
}

#define SUPPORTED_ITEMS                                                                                                \
    (NICSIM_I_ETH | NICSIM_I_VLAN | NICSIM_I_L3 | NICSIM_I_L4 | NICSIM_I_META | NICSIM_I_TAG | NICSIM_I_CONNTRACK |    \
     NICSIM_I_VXLAN)

static bool
is_represented_port(const struct nicsim_asked *asked)
{
    return asked->item->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT;
}

static bool
is_unknown_item(const struct nicsim_asked *asked)
{
    return asked->kind && !(asked->kind & SUPPORTED_ITEMS) && !is_represented_port(asked);
}

static bool
has_no_value(const struct nicsim_asked *asked)
{
    return !asked->item->spec;
}

static const struct nicsim_refusal templates[] = {
    /* driver */
    {.holds = is_other_domain, ANSWER(EINVAL, ATTR, "a template is for one of ingress, egress and transfer")},
    /* driver */
    {.domain = NICSIM_FDB,
     .holds = nicsim_has_no_switch,
     ANSWER(EINVAL, ATTR_TRANSFER, "a transfer template needs an E-Switch; this port is in none")},
    /* driver */
    {.domain = NICSIM_FDB,
     .holds = is_not_the_proxy,
     ANSWER(EINVAL, ATTR_TRANSFER, "transfer templates belong to the transfer proxy, the first port of the switch")},
    {0},
};

static const struct nicsim_refusal pattern_templates[] = {
    /* driver */
    {.what = NICSIM_I_TAG, .holds = has_no_value, ANSWER(EINVAL, UNSPECIFIED, "TAG needs a value in the template")},
    /* recorded: in/3/from-port/queue */
    {.what = NICSIM_I_PORT,
     .domain = NICSIM_IN | NICSIM_OUT,
     .holds = is_represented_port,
     ANSWER(EINVAL, ITEM, "a port can be matched in transfer rules only")},
    /* recorded: in/3/meta/queue */
    {.what = NICSIM_I_META,
     .domain = NICSIM_IN,
     ANSWER(EINVAL, ITEM, "META cannot be matched on ingress without extended metadata")},
    /* recorded: in/0/v6-fragment-header/jump, in/3/mark/queue */
    {.holds = is_unknown_item, ANSWER(EINVAL, UNSPECIFIED, "the item cannot be matched")},
    {0},
};

static bool
is_port_id(const struct nicsim_asked *asked)
{
    return asked->action->type == RTE_FLOW_ACTION_TYPE_PORT_ID;
}

static const struct nicsim_refusal actions_templates[] = {
    /* recorded: in/2/limits/count+count+queue */
    {.what = NICSIM_A_COUNT, .actions = NICSIM_A_COUNT, ANSWER(EINVAL, ACTION, "a rule has one COUNT")},
    /* recorded: in/2/limits/age+age+queue */
    {.what = NICSIM_A_AGE, .actions = NICSIM_A_AGE, ANSWER(EINVAL, ACTION, "a rule has one AGE")},
    /* recorded: in/2/v4-tcp/set-v4-src+count+jump */
    {.what = NICSIM_A_SET, ANSWER(ENOTSUP, ACTION, "SET_* and DEC_TTL are not for templates; MODIFY_FIELD is")},
    /* recorded: in/2/limits/host-out, in/2/limits/passthru; METER: driver */
    {.what = NICSIM_A_HOST | NICSIM_A_PASSTHRU | NICSIM_A_METER,
     ANSWER(ENOTSUP, ACTION, "the driver has no such action for templates")},
    /* driver */
    {.what = NICSIM_A_PORT, .holds = is_port_id, ANSWER(ENOTSUP, ACTION, "PORT_ID is not for templates")},
    /* recorded: in/2/limits/port-out */
    {.what = NICSIM_A_PORT,
     .holds = nicsim_has_no_switch,
     ANSWER(EINVAL, UNSPECIFIED, "forwarding to a port needs an E-Switch; this port is in none")},
    {0},
};

/* The one order of actions, by domain; each stands at its place or not at all. COUNT and AGE share one counter, where
 * the first of them stands; all rewrites are one, where the first stands.
 * recorded: the shapes domain/2/order/...; those with VLAN and tunnels: driver */
enum { N_PLACES = 10 };
static const uint32_t order[][N_PLACES] = {
    [NICSIM_IN] = {NICSIM_A_MARK, NICSIM_A_DECAP, NICSIM_A_POP_VLAN, NICSIM_A_COUNT | NICSIM_A_AGE, NICSIM_A_METER,
                   NICSIM_A_CONNTRACK, NICSIM_A_PUSH_VLAN, NICSIM_A_REWRITE, NICSIM_A_ENCAP,
                   NICSIM_A_JUMP | NICSIM_A_QUEUE | NICSIM_A_RSS | NICSIM_A_DROP},
    [NICSIM_OUT] = {0, 0, NICSIM_A_POP_VLAN, NICSIM_A_COUNT | NICSIM_A_AGE, NICSIM_A_METER, NICSIM_A_CONNTRACK,
                    NICSIM_A_PUSH_VLAN, NICSIM_A_REWRITE, NICSIM_A_ENCAP, NICSIM_A_JUMP | NICSIM_A_DROP},
    [NICSIM_FDB] = {0, NICSIM_A_DECAP, NICSIM_A_POP_VLAN, NICSIM_A_COUNT | NICSIM_A_AGE, NICSIM_A_METER,
                    NICSIM_A_CONNTRACK, NICSIM_A_PUSH_VLAN, NICSIM_A_REWRITE, NICSIM_A_ENCAP,
                    NICSIM_A_JUMP | NICSIM_A_PORT | NICSIM_A_DROP},
};

/* Kinds that count as one where they come again. */
static uint32_t
joined(uint32_t kind)
{
    if (kind & (NICSIM_A_COUNT | NICSIM_A_AGE)) {
        return NICSIM_A_COUNT | NICSIM_A_AGE;
    }
    return kind & NICSIM_A_REWRITE ? NICSIM_A_REWRITE : 0;
}

static bool
is_order_wrong(const struct nicsim_asked *asked)
{
    uint32_t done = 0;
    int place = 0;

    for (const struct rte_flow_action *action = asked->list; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        uint32_t kind = nicsim_action_kind(asked->port, action) & ~NICSIM_A_SHARED;

        if (!kind || kind == NICSIM_A_SET_VLAN || (done & joined(kind))) {
            continue;
        }
        while (place < N_PLACES && !(order[asked->domain][place] & kind)) {
            place++;
        }
        if (place == N_PLACES) {
            return true;
        }
        done |= joined(kind);
        /* A tag can be pushed or popped twice. */
        place += !(kind & (NICSIM_A_PUSH_VLAN | NICSIM_A_POP_VLAN));
    }
    return false;
}

/* In group 0 the first of COUNT and AGE is the one that is refused. */
static bool
is_first(const struct nicsim_asked *asked, uint32_t wanted)
{
    for (const struct rte_flow_action *action = asked->list; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        uint32_t kind = nicsim_action_kind(asked->port, action) & (NICSIM_A_COUNT | NICSIM_A_AGE);

        if (kind) {
            return kind == wanted;
        }
    }
    return false;
}

static bool
counts_first(const struct nicsim_asked *asked)
{
    return is_first(asked, NICSIM_A_COUNT);
}

static bool
ages_first(const struct nicsim_asked *asked)
{
    return is_first(asked, NICSIM_A_AGE);
}

static bool
names_no_queue(const struct nicsim_asked *asked)
{
    for (const struct rte_flow_action *action = asked->list; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        const struct rte_flow_action_queue *queue = action->conf;

        if (action->type == RTE_FLOW_ACTION_TYPE_QUEUE && queue && queue->index >= asked->port->n_rxq) {
            return true;
        }
    }
    return false;
}

static const struct nicsim_refusal tables[] = {
    /* driver */
    {.domain = NICSIM_FDB,
     .holds = is_not_the_proxy,
     ANSWER(EINVAL, ATTR_TRANSFER, "transfer tables belong to the transfer proxy, the first port of the switch")},
    /* recorded: in/2/limits/queue-none, fdb/2/limits/queue-none */
    {.holds = names_no_queue, ANSWER(EINVAL, UNSPECIFIED, "the port has no such queue")},
    /* recorded: in/2/order/ct+count+age+jump, fdb/2/v4-tcp/mark+port, fdb/2/v4-tcp/count+queue */
    {.holds = is_order_wrong,
     ANSWER(NICSIM_LEFT_OVER, UNSPECIFIED, "an action that is not for this domain, or not in this order")},
    /* recorded: in/0/v4-tcp/ct+queue */
    {.actions = NICSIM_A_CONNTRACK,
     .in_root = true,
     ANSWER(NICSIM_LEFT_OVER, UNSPECIFIED, "CONNTRACK works in groups above 0")},
    /* recorded: in/0/any/count+jump */
    {.in_root = true, .holds = counts_first, ANSWER(ENOTSUP, ACTION, "COUNT works in groups above 0")},
    /* recorded: in/0/v4-tcp/age+queue */
    {.in_root = true, .holds = ages_first, ANSWER(ENOTSUP, ACTION, "AGE works in groups above 0")},
    {0},
};

const struct nicsim_profile nicsim_hws = {
    .has_flow = true,
    .has_templates = true,
    .judges_late = true,
    /* recorded: in/2/v4-udp/ct+jump, in/2/limits/age-0+queue */
    .takes = NICSIM_TAKES_ANY_CONNTRACK | NICSIM_TAKES_AGE_0,
    .no_sync = "with hardware steering rules are made of templates, on queues",
    .templates = templates,
    .pattern_templates = pattern_templates,
    .actions_templates = actions_templates,
    .tables = tables,
};
