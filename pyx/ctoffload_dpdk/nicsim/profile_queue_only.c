/* queue-only: an older NIC with one table of flow director filters, like Intel's 700 series (i40e) and 82599 (ixgbe):
 * it sends to a queue, marks or drops, and can tell nothing of a rule afterwards.
 *
 * Nothing of it is recorded: what is marked `driver` was read in the source of i40e of DPDK 22.11; that driver takes
 * fewer patterns yet, and its order of looking differs between kinds of filters.
 */
#include <errno.h>

#include "nicsim.h"
#include "profile.h"
#include "profile_checks.h"

static bool
is_not_ingress(const struct nicsim_asked *asked)
{
    return !asked->attr->ingress;
}

static bool
is_egress_too(const struct nicsim_asked *asked)
{
    return asked->attr->egress;
}

static bool
has_priority(const struct nicsim_asked *asked)
{
    return asked->attr->priority != 0;
}

static bool
has_group(const struct nicsim_asked *asked)
{
    return asked->attr->group != 0;
}

static const struct nicsim_refusal attributes[] = {
    /* driver */
    {.holds = is_not_ingress, ANSWER(EINVAL, ATTR_INGRESS, "there are ingress rules only")},
    /* driver */
    {.holds = is_egress_too, ANSWER(EINVAL, ATTR_EGRESS, "there are ingress rules only")},
    /* driver */
    {.holds = has_priority, ANSWER(EINVAL, ATTR_PRIORITY, "there is one priority")},
    /* driver */
    {.holds = has_group, ANSWER(EINVAL, ATTR_GROUP, "there is one group")},
    {0},
};

/* driver (i40e): addresses and ports, each whole or not at all */
static const struct rte_flow_item_vlan vlan = {.hdr.vlan_tci = UINT16_MAX};
static const struct rte_flow_item_eth eth = {.hdr.ether_type = UINT16_MAX};

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
is_unknown_item(const struct nicsim_asked *asked)
{
    const uint32_t known = NICSIM_I_ETH | NICSIM_I_VLAN | NICSIM_I_IPV4 | NICSIM_I_IPV6 | NICSIM_I_TCP | NICSIM_I_UDP;

    return asked->kind && !(asked->kind & known);
}

static bool
has_partial_address(const struct nicsim_asked *asked)
{
    return nicsim_has_partial_address(asked);
}

static const struct nicsim_refusal items[] = {
    /* driver: one list of patterns, of which ETH [VLAN] IPV4|IPV6 [TCP|UDP] is known here */
    {.holds = is_unknown_item, ANSWER(EINVAL, ITEM, "the pattern is not supported")},
    /* driver */
    {.what = NICSIM_I_L3, .items = NICSIM_I_L3, ANSWER(EINVAL, ITEM, "the pattern is not supported")},
    /* driver */
    {.what = NICSIM_I_L4, .no_items = NICSIM_I_L3, ANSWER(EINVAL, ITEM, "the pattern is not supported")},
    /* driver */
    {.holds = is_mask_too_wide, ANSWER(EINVAL, ITEM, "a field that cannot be matched")},
    /* driver */
    {.what = NICSIM_I_L3, .holds = has_partial_address, ANSWER(EINVAL, ITEM, "an address is matched whole")},
    /* driver */
    {.what = NICSIM_I_TCP | NICSIM_I_UDP,
     .holds = nicsim_has_partial_port,
     ANSWER(EINVAL, ITEM, "a port is matched whole")},
    {0},
};

#define FATE (NICSIM_A_QUEUE | NICSIM_A_DROP | NICSIM_A_PASSTHRU)

static bool
is_unknown_action(const struct nicsim_asked *asked)
{
    return asked->kind && !(asked->kind & (FATE | NICSIM_A_MARK | NICSIM_A_RSS));
}

static const struct nicsim_refusal actions[] = {
    /* driver */
    {.holds = is_unknown_action, ANSWER(EINVAL, ACTION, "of actions there are QUEUE, DROP, PASSTHRU, MARK and RSS")},
    /* driver */
    {.what = FATE | NICSIM_A_RSS, .actions = FATE, ANSWER(EINVAL, ACTION, "a rule has one fate, and MARK")},
    /* driver */
    {.what = NICSIM_A_MARK, .actions = NICSIM_A_MARK, ANSWER(EINVAL, ACTION, "a rule has one MARK")},
    /* driver */
    {.what = NICSIM_A_QUEUE, .holds = nicsim_is_no_queue, ANSWER(EINVAL, ACTION, "the port has no such queue")},
    {0},
};

const struct nicsim_profile nicsim_queue_only = {
    .has_flow = true,
    .has_only = NICSIM_HAS_QUERY,
    .attributes = attributes,
    .items = items,
    .actions = actions,
};
