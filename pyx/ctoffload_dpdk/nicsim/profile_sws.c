/* connectx-sws: a ConnectX-6 Dx or later under the mlx5 driver with software steering (dv_flow_en=1).
 *
 * How each refusal is known stands beside it; profile.h says what the words mean.
 */
#include <errno.h>

#include "nicsim.h"
#include "profile.h"
#include "profile_checks.h"

#define LOWEST_PRIORITY 21843 /* documentation of the driver: 21844 priorities outside the root table */

static bool
is_priority_too_low(const struct nicsim_asked *asked)
{
    return !asked->is_root && asked->attr->priority > LOWEST_PRIORITY;
}

static const struct nicsim_refusal attributes[] = {
    /* driver */
    {.holds = is_priority_too_low, ANSWER(ENOTSUP, ATTR_PRIORITY, "there is no such priority: 0 to 21843")},
    /* driver */
    {.domain = NICSIM_FDB,
     .holds = nicsim_has_no_switch,
     ANSWER(ENOTSUP, UNSPECIFIED, "a transfer rule needs an E-Switch; this port is in none")},
    /* driver */
    {.holds = nicsim_is_no_domain, ANSWER(EINVAL, ATTR, "a rule is one of ingress, egress and transfer")},
    {0},
};

static bool
is_fragment_partly_masked(const struct nicsim_asked *asked)
{
    rte_be16_t value, mask;

    return nicsim_fragment_of(asked, &value, &mask) && (value & mask) && (~mask & RTE_BE16(0x3fff));
}

static bool
is_fragment(const struct nicsim_asked *asked)
{
    rte_be16_t value, mask;

    return nicsim_fragment_of(asked, &value, &mask) && (value & mask);
}

static bool
has_conflicting_flags(const struct nicsim_asked *asked)
{
    const struct rte_flow_item_conntrack *value = asked->item->spec, *mask = asked->item->mask;
    uint32_t flags = value ? value->flags & (mask ? mask->flags : UINT32_MAX) : 0;

    return (flags & RTE_FLOW_CONNTRACK_PKT_STATE_VALID) &&
           (flags & (RTE_FLOW_CONNTRACK_PKT_STATE_INVALID | RTE_FLOW_CONNTRACK_PKT_STATE_BAD |
                     RTE_FLOW_CONNTRACK_PKT_STATE_DISABLED));
}

static bool
has_unknown_flags(const struct nicsim_asked *asked)
{
    const struct rte_flow_item_conntrack *value = asked->item->spec;

    return value && value->flags > 31;
}

static const struct nicsim_refusal items[] = {
    /* recorded: in/3/from-port/queue */
    {.what = NICSIM_I_PORT,
     .domain = NICSIM_IN | NICSIM_OUT,
     ANSWER(EINVAL, ITEM, "a port can be matched in transfer rules only")},
    /* recorded: fdb/3/from-port/port */
    {.what = NICSIM_I_PORT, .items = NICSIM_I_PORT, ANSWER(ENOTSUP, ITEM, "a rule matches one port")},
    /* recorded: in/3/mark/queue */
    {.what = NICSIM_I_MARK, ANSWER(ENOTSUP, ITEM, "MARK cannot be matched without extended metadata")},
    /* recorded: in/3/meta/queue, fdb/3/meta/port */
    {.what = NICSIM_I_META,
     .domain = NICSIM_IN | NICSIM_FDB,
     ANSWER(ENOTSUP, ITEM, "META can be matched on egress only, without extended metadata")},
    /* recorded: in/0/v4-first-fragment/jump */
    {.what = NICSIM_I_IPV4,
     .holds = is_fragment_partly_masked,
     ANSWER(EINVAL, ITEM_MASK, "a fragment is matched with the whole of offset and flags, or not at all")},
    /* recorded: in/0/v4-fragment/jump */
    {.what = NICSIM_I_IPV4,
     .holds = is_fragment,
     ANSWER(ENOTSUP, ITEM, "that value of the fragment offset cannot be matched; only \"no fragment\" can")},
    /* recorded: in/3/tcp-without-ip/queue */
    {.what = NICSIM_I_TCP | NICSIM_I_UDP,
     .no_items = NICSIM_I_L3,
     ANSWER(EINVAL, ITEM, "TCP and UDP need an IP item before them")},
    /* recorded: in/3/icmp-of-v6/queue */
    {.what = NICSIM_I_ICMP, .no_items = NICSIM_I_IPV4, ANSWER(EINVAL, ITEM, "ICMP needs an IPV4 item before it")},
    /* recorded: in/3/icmp6-of-v4/queue */
    {.what = NICSIM_I_ICMP6, .no_items = NICSIM_I_IPV6, ANSWER(EINVAL, ITEM, "ICMP6 needs an IPV6 item before it")},
    /* recorded: in/3/tcp-and-udp/queue */
    {.what = NICSIM_I_L4,
     .items = NICSIM_I_L4,
     .no_items = NICSIM_I_VXLAN,
     ANSWER(EINVAL, ITEM, "a packet has one such header")},
    /* recorded: in/3/two-conntracks/queue */
    {.what = NICSIM_I_CONNTRACK, .items = NICSIM_I_CONNTRACK, ANSWER(EINVAL, ITEM, "a pattern has one CONNTRACK")},
    /* recorded: in/3/valid-and-invalid/queue */
    {.what = NICSIM_I_CONNTRACK,
     .holds = has_conflicting_flags,
     ANSWER(EINVAL, ITEM, "a packet is not valid and invalid at once")},
    /* driver */
    {.what = NICSIM_I_CONNTRACK, .holds = has_unknown_flags, ANSWER(EINVAL, ITEM, "there is no such CONNTRACK flag")},
    {0},
};

static bool
is_age_in_root(const struct nicsim_asked *asked)
{
    return asked->is_root && (asked->kind & NICSIM_A_SHARED);
}

static bool
is_direct(const struct nicsim_asked *asked)
{
    return !(asked->kind & NICSIM_A_SHARED);
}

static bool
touches_meta(const struct nicsim_asked *asked)
{
    const struct rte_flow_action_modify_field *modify = asked->action->conf;

    if (asked->action->type == RTE_FLOW_ACTION_TYPE_SET_META) {
        return true;
    }
    return asked->action->type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD && modify &&
           (modify->dst.field == RTE_FLOW_FIELD_META || modify->src.field == RTE_FLOW_FIELD_META);
}

static bool
writes_mark(const struct nicsim_asked *asked)
{
    const struct rte_flow_action_modify_field *modify = asked->action->conf;

    return modify && modify->dst.field == RTE_FLOW_FIELD_MARK;
}

static bool
leads_to_root(const struct nicsim_asked *asked)
{
    const struct rte_flow_action_jump *jump = asked->action->conf;

    return !asked->attr->transfer && jump && jump->group == 0;
}

#define NIC_FATE    (NICSIM_A_JUMP | NICSIM_A_QUEUE | NICSIM_A_RSS | NICSIM_A_DROP)
#define SWITCH_FATE (NICSIM_A_JUMP | NICSIM_A_PORT | NICSIM_A_DROP)

static const struct nicsim_refusal actions[] = {
    /* recorded: in/2/limits/passthru, in/2/limits/host-out */
    {.what = NICSIM_A_PASSTHRU | NICSIM_A_HOST, ANSWER(ENOTSUP, ACTION, "the driver has no such action")},
    /* driver */
    {.what = NICSIM_A_MARK | NICSIM_A_AGE,
     .holds = nicsim_has_no_conf,
     ANSWER(EINVAL, ACTION, "the action has no configuration")},
    /* recorded: in/2/limits/mark-too-large+queue */
    {.what = NICSIM_A_MARK,
     .holds = nicsim_is_mark_too_large,
     ANSWER(EINVAL, ACTION_CONF, "a mark is at most 0xffffef")},
    /* recorded: in/2/limits/mark+mark+queue */
    {.what = NICSIM_A_MARK, .actions = NICSIM_A_MARK, ANSWER(EINVAL, ACTION, "a rule has one MARK")},
    /* recorded: out/2/v4-tcp/mark+jump */
    {.what = NICSIM_A_MARK, .domain = NICSIM_OUT, ANSWER(ENOTSUP, ATTR_EGRESS, "an egress rule cannot mark")},
    /* recorded: in/2/limits/count+count+queue */
    {.what = NICSIM_A_COUNT, .actions = NICSIM_A_COUNT, ANSWER(EINVAL, ACTION, "a rule has one COUNT")},
    /* driver */
    {.what = NICSIM_A_AGE,
     .holds = is_age_in_root,
     ANSWER(ENOTSUP, UNSPECIFIED, "a shared AGE works in groups above 0")},
    /* recorded: in/2/limits/age-0+queue */
    {.what = NICSIM_A_AGE, .holds = nicsim_is_age_zero, ANSWER(EINVAL, ACTION, "AGE needs a timeout of at least 1 s")},
    /* recorded: in/2/limits/age+age+queue */
    {.what = NICSIM_A_AGE, .actions = NICSIM_A_AGE, ANSWER(EINVAL, ACTION, "a rule has one AGE")},
    /* recorded: in/0/v4-tcp/ct+queue */
    {.what = NICSIM_A_CONNTRACK, .in_root = true, ANSWER(ENOTSUP, UNSPECIFIED, "CONNTRACK works in groups above 0")},
    /* recorded: in/2/limits/queue+ct */
    {.what = NICSIM_A_CONNTRACK, .actions = NIC_FATE, ANSWER(ENOTSUP, ACTION, "CONNTRACK comes before the fate")},
    /* recorded: in/2/order/age+count+ct+jump */
    {.what = NICSIM_A_CONNTRACK,
     .actions = NICSIM_A_AGE | NICSIM_A_METER,
     ANSWER(EINVAL, ACTION, "one of AGE, METER and CONNTRACK before CONNTRACK is too many")},
    /* driver */
    {.what = NICSIM_A_CONNTRACK,
     .actions = NICSIM_A_ENCAP,
     ANSWER(EINVAL, ACTION, "CONNTRACK comes before an encapsulation")},
    /* recorded: in/2/v4-udp/ct+jump */
    {.what = NICSIM_A_CONNTRACK, .no_items = NICSIM_I_TCP, ANSWER(EINVAL, UNSPECIFIED, "CONNTRACK needs a TCP item")},
    /* unverified: documentation wants it indirect, the driver takes whatever lies there for a handle */
    {.what = NICSIM_A_CONNTRACK,
     .holds = is_direct,
     ANSWER(EINVAL, UNSPECIFIED, "CONNTRACK works as an indirect action only")},
    /* driver */
    {.what = NICSIM_A_JUMP | NICSIM_A_PORT,
     .actions = NIC_FATE | SWITCH_FATE,
     ANSWER(EINVAL, ACTION, "a rule has one fate")},
    /* recorded: in/2/limits/jump+queue */
    {.what = NICSIM_A_QUEUE | NICSIM_A_RSS, .actions = NIC_FATE, ANSWER(EINVAL, ACTION, "a rule has one fate")},
    /* recorded: in/2/limits/queue-none */
    {.what = NICSIM_A_QUEUE, .holds = nicsim_is_no_queue, ANSWER(EINVAL, ACTION_CONF, "the port has no such queue")},
    /* driver */
    {.what = NICSIM_A_JUMP, .holds = leads_to_root, ANSWER(EINVAL, ACTION_CONF, "a jump does not lead to group 0")},
    /* recorded: in/2/limits/port-out */
    {.what = NICSIM_A_PORT,
     .domain = NICSIM_IN | NICSIM_OUT,
     ANSWER(ENOTSUP, UNSPECIFIED, "only a transfer rule can forward to a port")},
    /* driver */
    {.what = NICSIM_A_QUEUE | NICSIM_A_RSS,
     .domain = NICSIM_OUT,
     ANSWER(ENOTSUP, ATTR_EGRESS, "an egress rule cannot choose a queue")},
    /* recorded: fdb/2/v4-tcp/modify-meta+count+jump */
    {.what = NICSIM_A_REWRITE,
     .domain = NICSIM_FDB,
     .holds = touches_meta,
     ANSWER(ENOTSUP, ACTION, "META cannot be written in the E-Switch without extended metadata")},
    /* driver */
    {.what = NICSIM_A_MODIFY, .holds = writes_mark, ANSWER(EINVAL, ACTION, "MODIFY_FIELD cannot write a mark")},
    /* driver */
    {.what = NICSIM_A_REWRITE,
     .actions = NICSIM_A_ENCAP,
     ANSWER(EINVAL, ACTION, "a rewrite comes before an encapsulation")},
    /* driver */
    {.what = NICSIM_A_POP_VLAN,
     .actions = NICSIM_A_POP_VLAN | NICSIM_A_PUSH_VLAN,
     ANSWER(ENOTSUP, ACTION, "a rule has one VLAN action before a pop")},
    /* recorded: in/2/limits/pop-vlan+queue */
    {.what = NICSIM_A_POP_VLAN,
     .no_items = NICSIM_I_VLAN,
     .no_actions = NICSIM_A_DECAP,
     ANSWER(ENOTSUP, UNSPECIFIED, "a tag can be popped where the pattern has a VLAN item")},
    /* driver */
    {.what = NICSIM_A_POP_VLAN | NICSIM_A_PUSH_VLAN,
     .actions = NICSIM_A_PORT,
     ANSWER(EINVAL, ACTION, "VLAN actions come before the port")},
    {0},
};

static bool
combines_aso(const struct nicsim_asked *asked)
{
    uint32_t kinds = asked->actions & (NICSIM_A_CONNTRACK | NICSIM_A_METER);
    bool is_age_by_counter = asked->is_root || (asked->actions & NICSIM_A_COUNT);

    if ((asked->actions & NICSIM_A_AGE) && !is_age_by_counter) {
        kinds |= NICSIM_A_AGE;
    }
    return __builtin_popcount(kinds) > 1;
}

static const struct nicsim_refusal rule[] = {
    /* recorded: in/2/v4-tcp/mark+drop */
    {.actions = NICSIM_A_DROP,
     .beside = NICSIM_A_DROP | NICSIM_A_COUNT | NICSIM_A_AGE,
     ANSWER(EINVAL, ACTION, "beside DROP a rule may have COUNT and AGE only")},
    /* recorded: fdb/2/v4-tcp/count+queue */
    {.domain = NICSIM_FDB,
     .actions = NICSIM_A_QUEUE | NICSIM_A_RSS,
     ANSWER(ENOTSUP, ACTION, "a transfer rule cannot choose queues")},
    /* recorded: fdb/2/limits/count */
    {.domain = NICSIM_FDB,
     .no_actions = SWITCH_FATE,
     ANSWER(EINVAL, ACTION, "no fate: the rule does not say what becomes of the packet")},
    /* recorded: in/2/limits/count */
    {.domain = NICSIM_IN,
     .no_actions = NIC_FATE,
     ANSWER(EINVAL, ACTION, "no fate: the rule does not say what becomes of the packet")},
    /* driver */
    {.domain = NICSIM_IN,
     .actions = NICSIM_A_PUSH_VLAN,
     ANSWER(ENOTSUP, ATTR_INGRESS, "an ingress rule cannot push a tag")},
    /* driver */
    {.domain = NICSIM_IN, .actions = NICSIM_A_ENCAP, ANSWER(ENOTSUP, ACTION, "an ingress rule cannot encapsulate")},
    /* driver */
    {.domain = NICSIM_OUT,
     .actions = NICSIM_A_POP_VLAN,
     ANSWER(ENOTSUP, ATTR_EGRESS, "an egress rule cannot pop a tag")},
    /* recorded: in/2/limits/ct+age+queue */
    {.holds = combines_aso,
     ANSWER(ENOTSUP, ACTION, "a rule has one of AGE, METER and CONNTRACK, unless it counts as well")},
    {0},
};

/* What follows is not the driver's word but that of the library below it, which rte_flow_validate never asks. */

enum state { PLAIN, DECAPPED, POPPED, REWRITTEN, PUSHED, TRACKED, ENCAPPED, ENDED, N_STATES };
enum side { NIC_IN, NIC_OUT, FDB_FROM_WIRE, FDB_FROM_HOST, N_SIDES };

#define END_NIC    (NICSIM_A_JUMP | NICSIM_A_QUEUE | NICSIM_A_RSS)
#define END_SWITCH (NICSIM_A_JUMP | NICSIM_A_PORT)
#define ASO        (NICSIM_A_CONNTRACK | NICSIM_A_METER)
#define MARK       NICSIM_A_MARK
#define DROP       NICSIM_A_DROP
#define POP        NICSIM_A_POP_VLAN
#define PUSH       NICSIM_A_PUSH_VLAN
#define DECAP      NICSIM_A_DECAP
#define ENCAP      NICSIM_A_ENCAP
#define REWRITE    NICSIM_A_REWRITE

/* Which actions may follow, by what was done before; COUNT and AGE may always, before the fate.
 * recorded: the shapes domain/2/order/...; those with VLAN and tunnels: driver (libmlx5 of rdma-core 44). */
static const uint32_t may_follow[N_SIDES][N_STATES] = {
    [NIC_IN] =
        {
            [PLAIN] = MARK | DECAP | POP | REWRITE | PUSH | ASO | ENCAP | DROP | END_NIC,
            [DECAPPED] = MARK | POP | REWRITE | PUSH | ASO | ENCAP | END_NIC,
            [POPPED] = MARK | POP | REWRITE | ASO | ENCAP | END_NIC,
            [REWRITTEN] = MARK | PUSH | ASO | ENCAP | END_NIC,
            [PUSHED] = MARK | PUSH | ENCAP | END_NIC,
            [TRACKED] = ASO | END_NIC,
            [ENCAPPED] = MARK | END_NIC,
        },
    [NIC_OUT] =
        {
            [PLAIN] = POP | REWRITE | PUSH | ASO | ENCAP | DROP | NICSIM_A_JUMP,
            [POPPED] = POP | REWRITE | PUSH | ENCAP | NICSIM_A_JUMP,
            [REWRITTEN] = PUSH | ENCAP | NICSIM_A_JUMP,
            [PUSHED] = PUSH | ENCAP | NICSIM_A_JUMP,
            [TRACKED] = REWRITE | PUSH | ASO | ENCAP | DROP | NICSIM_A_JUMP,
            [ENCAPPED] = NICSIM_A_JUMP,
        },
    [FDB_FROM_WIRE] =
        {
            [PLAIN] = DECAP | POP | REWRITE | PUSH | ASO | ENCAP | DROP | END_SWITCH,
            [DECAPPED] = POP | REWRITE | PUSH | ASO | ENCAP | END_SWITCH,
            [POPPED] = POP | REWRITE | ASO | ENCAP | END_SWITCH,
            [REWRITTEN] = PUSH | ASO | ENCAP | END_SWITCH,
            [PUSHED] = PUSH | NICSIM_A_METER | ENCAP | END_SWITCH,
            [TRACKED] = ASO | END_SWITCH,
            [ENCAPPED] = END_SWITCH,
        },
    [FDB_FROM_HOST] =
        {
            [PLAIN] = POP | REWRITE | PUSH | ASO | ENCAP | DROP | END_SWITCH,
            [POPPED] = POP | REWRITE | PUSH | ENCAP | END_SWITCH,
            [REWRITTEN] = PUSH | ENCAP | END_SWITCH,
            [PUSHED] = PUSH | ENCAP | END_SWITCH,
            [TRACKED] = REWRITE | PUSH | ASO | ENCAP | END_SWITCH,
            [ENCAPPED] = END_SWITCH,
        },
};

static enum state
state_after(enum state before, uint32_t kind)
{
    static const struct {
        uint32_t kind;
        enum state state;
    } to[] = {
        {DECAP, DECAPPED},
        {POP, POPPED},
        {REWRITE, REWRITTEN},
        {PUSH, PUSHED},
        {ASO, TRACKED},
        {ENCAP, ENCAPPED},
        {END_NIC | END_SWITCH | DROP, ENDED},
    };

    for (size_t i = 0; i < RTE_DIM(to); i++) {
        if (to[i].kind & kind) {
            return to[i].state;
        }
    }
    return before;
}

/* The order in which the driver hands actions down: as they stand, all rewrites where the first was, a fate of the
 * port itself last, counters anywhere. */
static bool
is_order_wrong_on(enum side side, const struct nicsim_asked *asked)
{
    enum state state = PLAIN;
    bool is_rewritten = false;
    const uint32_t last = NICSIM_A_QUEUE | NICSIM_A_RSS | NICSIM_A_DROP;
    const uint32_t free = NICSIM_A_COUNT | NICSIM_A_AGE | NICSIM_A_SET_VLAN;
    uint32_t end = 0;

    for (const struct rte_flow_action *action = asked->list; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        uint32_t kind = nicsim_action_kind(asked->port, action) & ~NICSIM_A_SHARED;

        if (!kind || (kind & free) || ((kind & REWRITE) && is_rewritten)) {
            continue;
        }
        if (kind & last) {
            end = kind;
            continue;
        }
        if (!(may_follow[side][state] & kind)) {
            return true;
        }
        is_rewritten |= (kind & REWRITE) != 0;
        state = state_after(state, kind);
    }
    return end && !(may_follow[side][state] & end);
}

/* From the wire where the port that is matched is the first of the switch (the uplink), from a host where it is
 * another one; a rule without a port is for both. */
static bool
is_order_wrong(const struct nicsim_asked *asked)
{
    if (asked->domain != NICSIM_FDB) {
        return is_order_wrong_on(asked->domain == NICSIM_IN ? NIC_IN : NIC_OUT, asked);
    }
    switch (nicsim_origin_of(asked)) {
    case NICSIM_FROM_UPLINK:
        return is_order_wrong_on(FDB_FROM_WIRE, asked);
    case NICSIM_FROM_OTHER:
        return is_order_wrong_on(FDB_FROM_HOST, asked);
    default:
        return is_order_wrong_on(FDB_FROM_WIRE, asked) || is_order_wrong_on(FDB_FROM_HOST, asked);
    }
}

static bool
leads_back(const struct nicsim_asked *asked)
{
    for (const struct rte_flow_action *action = asked->list; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
        const struct rte_flow_action_jump *jump = action->conf;

        if (action->type == RTE_FLOW_ACTION_TYPE_JUMP && jump && jump->group <= asked->attr->group) {
            return true;
        }
    }
    return false;
}

static const struct nicsim_refusal on_create[] = {
    /* recorded: out/2/v4-tcp/ct+jump, fdb/2/order/mark+... */
    {.domain = NICSIM_OUT | NICSIM_FDB,
     .actions = NICSIM_A_CONNTRACK,
     ANSWER(EINVAL, UNSPECIFIED,
            "a context belongs to the receive side of the NIC: CONNTRACK works in ingress rules only")},
    /* recorded: in/2/limits/jump-back */
    {.holds = leads_back, ANSWER(EINVAL, UNSPECIFIED, "a jump leads to a higher group")},
    /* recorded: in/2/order/..., fdb/2/v4-tcp/mark+port */
    {.holds = is_order_wrong,
     ANSWER(ENOTSUP, UNSPECIFIED, "an action that is not for this domain, or not in this order")},
    {0},
};

const struct nicsim_profile nicsim_sws = {
    .has_flow = true,
    .attributes = attributes,
    .items = items,
    .actions = actions,
    .rule = rule,
    .on_create = on_create,
};
