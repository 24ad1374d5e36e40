/* tap: a kernel's TAP device under net_tap, whose rules are those of the kernel's traffic control. It forwards to
 * queues and drops; it neither counts nor ages.
 *
 * Nothing of it is recorded: what is marked `driver` was read in the source of net_tap of DPDK 22.11.11. Such a rule
 * needs a kernel with sch_multiq, sch_ingress and cls_flower.
 */
#include <errno.h>

#include "nicsim.h"
#include "profile.h"
#include "profile_checks.h"

#define LAST_GROUP    15
#define LAST_PRIORITY 4094

static bool
is_group_too_high(const struct nicsim_asked *asked)
{
    return asked->attr->group > LAST_GROUP;
}

static bool
is_priority_too_low(const struct nicsim_asked *asked)
{
    return asked->attr->priority > LAST_PRIORITY;
}

static const struct nicsim_refusal attributes[] = {
    /* driver */
    {.domain = NICSIM_FDB, ANSWER(ENOTSUP, ATTR_TRANSFER, "there is no E-Switch: no transfer rules")},
    /* driver */
    {.holds = is_group_too_high, ANSWER(EINVAL, ATTR_GROUP, "there is no such group: 0 to 15")},
    /* driver */
    {.holds = is_priority_too_low, ANSWER(EINVAL, ATTR_PRIORITY, "there is no such priority: 0 to 4094")},
    {0},
};

/* driver: the fields that can be matched; ports and EtherTypes whole or not at all */
static const struct rte_flow_item_eth eth = {
    .hdr.dst_addr.addr_bytes = {255, 255, 255, 255, 255, 255},
    .hdr.src_addr.addr_bytes = {255, 255, 255, 255, 255, 255},
    .hdr.ether_type = UINT16_MAX,
};
static const struct rte_flow_item_vlan vlan = {.hdr.vlan_tci = 0xffef, .hdr.eth_proto = UINT16_MAX};

static const struct nicsim_field fields[] = {
    {NICSIM_I_ETH, &eth, sizeof eth},
    {NICSIM_I_VLAN, &vlan, sizeof vlan},
    {NICSIM_I_IPV4, &nicsim_whole_ipv4, sizeof nicsim_whole_ipv4},
    {NICSIM_I_IPV6, &nicsim_whole_ipv6, sizeof nicsim_whole_ipv6},
    {NICSIM_I_TCP, &nicsim_whole_tcp, sizeof nicsim_whole_tcp},
    {NICSIM_I_UDP, &nicsim_whole_udp, sizeof nicsim_whole_udp},
    {0, NULL, 0},
};

static bool
is_mask_too_wide(const struct nicsim_asked *asked)
{
    return !nicsim_is_mask_within(asked, fields);
}

static bool
has_partial_port(const struct nicsim_asked *asked)
{
    return nicsim_has_partial_port(asked);
}

static bool
is_unknown_item(const struct nicsim_asked *asked)
{
    const uint32_t known = NICSIM_I_ETH | NICSIM_I_VLAN | NICSIM_I_IPV4 | NICSIM_I_IPV6 | NICSIM_I_TCP | NICSIM_I_UDP;

    return asked->kind && !(asked->kind & known);
}

#define WRONG_ITEM ANSWER(ENOTSUP, ITEM, "the item, its mask or its place is not supported")

static const struct nicsim_refusal items[] = {
    /* driver: ETH [VLAN] IPV4|IPV6 TCP|UDP, from the front */
    {.holds = is_unknown_item, WRONG_ITEM},
    {.what = NICSIM_I_ETH, .items = NICSIM_I_ETH, WRONG_ITEM},
    {.what = NICSIM_I_VLAN, .items = NICSIM_I_VLAN | NICSIM_I_L3, WRONG_ITEM},
    {.what = NICSIM_I_VLAN | NICSIM_I_L3, .no_items = NICSIM_I_ETH, WRONG_ITEM},
    {.what = NICSIM_I_L3, .items = NICSIM_I_L3, WRONG_ITEM},
    {.what = NICSIM_I_TCP | NICSIM_I_UDP, .no_items = NICSIM_I_L3, WRONG_ITEM},
    {.what = NICSIM_I_TCP | NICSIM_I_UDP, .items = NICSIM_I_L4, WRONG_ITEM},
    {.holds = is_mask_too_wide, WRONG_ITEM},
    {.what = NICSIM_I_TCP | NICSIM_I_UDP, .holds = has_partial_port, WRONG_ITEM},
    {0},
};

#define FATE (NICSIM_A_DROP | NICSIM_A_PASSTHRU | NICSIM_A_QUEUE | NICSIM_A_RSS)

static bool
is_unknown_action(const struct nicsim_asked *asked)
{
    return asked->kind && !(asked->kind & FATE);
}

static const struct nicsim_refusal actions[] = {
    /* driver */
    {.holds = is_unknown_action, ANSWER(ENOTSUP, ACTION, "of actions there are DROP, QUEUE, PASSTHRU and RSS")},
    /* driver */
    {.what = FATE, .actions = FATE, ANSWER(ENOTSUP, ACTION, "a rule has one action")},
    /* driver */
    {.what = NICSIM_A_QUEUE, .holds = nicsim_is_no_queue, ANSWER(ERANGE, ACTION, "the port has no such queue")},
    {0},
};

const struct nicsim_profile nicsim_tap = {
    .has_flow = true,
    .has_only = NICSIM_HAS_ISOLATE,
    .attributes = attributes,
    .items = items,
    .actions = actions,
};
