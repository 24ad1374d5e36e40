/* Questions that several profiles ask of a rule: what kind of thing is this, which value has it. */
#include "nicsim.h"
#include "profile_checks.h"

static const uint32_t item_kinds[] = {
    [RTE_FLOW_ITEM_TYPE_ETH] = NICSIM_I_ETH,
    [RTE_FLOW_ITEM_TYPE_VLAN] = NICSIM_I_VLAN,
    [RTE_FLOW_ITEM_TYPE_IPV4] = NICSIM_I_IPV4,
    [RTE_FLOW_ITEM_TYPE_IPV6] = NICSIM_I_IPV6,
    [RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT] = NICSIM_I_FRAGMENT,
    [RTE_FLOW_ITEM_TYPE_TCP] = NICSIM_I_TCP,
    [RTE_FLOW_ITEM_TYPE_UDP] = NICSIM_I_UDP,
    [RTE_FLOW_ITEM_TYPE_ICMP] = NICSIM_I_ICMP,
    [RTE_FLOW_ITEM_TYPE_ICMP6] = NICSIM_I_ICMP6,
    [RTE_FLOW_ITEM_TYPE_MARK] = NICSIM_I_MARK,
    [RTE_FLOW_ITEM_TYPE_META] = NICSIM_I_META,
    [RTE_FLOW_ITEM_TYPE_TAG] = NICSIM_I_TAG,
    [RTE_FLOW_ITEM_TYPE_CONNTRACK] = NICSIM_I_CONNTRACK,
    [RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT] = NICSIM_I_PORT,
    [RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR] = NICSIM_I_PORT,
    [RTE_FLOW_ITEM_TYPE_PORT_ID] = NICSIM_I_PORT,
    [RTE_FLOW_ITEM_TYPE_VXLAN] = NICSIM_I_VXLAN,
};

static const uint32_t action_kinds[] = {
    [RTE_FLOW_ACTION_TYPE_MARK] = NICSIM_A_MARK,
    [RTE_FLOW_ACTION_TYPE_COUNT] = NICSIM_A_COUNT,
    [RTE_FLOW_ACTION_TYPE_AGE] = NICSIM_A_AGE,
    [RTE_FLOW_ACTION_TYPE_CONNTRACK] = NICSIM_A_CONNTRACK,
    [RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_IPV4_DST] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_IPV6_DST] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_TP_SRC] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_TP_DST] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_TTL] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_DEC_TTL] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_MAC_SRC] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_MAC_DST] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_TAG] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_SET_META] = NICSIM_A_SET,
    [RTE_FLOW_ACTION_TYPE_MODIFY_FIELD] = NICSIM_A_MODIFY,
    [RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN] = NICSIM_A_PUSH_VLAN,
    [RTE_FLOW_ACTION_TYPE_OF_POP_VLAN] = NICSIM_A_POP_VLAN,
    [RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID] = NICSIM_A_SET_VLAN,
    [RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP] = NICSIM_A_SET_VLAN,
    [RTE_FLOW_ACTION_TYPE_VXLAN_DECAP] = NICSIM_A_DECAP,
    [RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP] = NICSIM_A_ENCAP,
    [RTE_FLOW_ACTION_TYPE_RAW_DECAP] = NICSIM_A_DECAP,
    [RTE_FLOW_ACTION_TYPE_RAW_ENCAP] = NICSIM_A_ENCAP,
    [RTE_FLOW_ACTION_TYPE_JUMP] = NICSIM_A_JUMP,
    [RTE_FLOW_ACTION_TYPE_QUEUE] = NICSIM_A_QUEUE,
    [RTE_FLOW_ACTION_TYPE_RSS] = NICSIM_A_RSS,
    [RTE_FLOW_ACTION_TYPE_DROP] = NICSIM_A_DROP,
    [RTE_FLOW_ACTION_TYPE_PORT_ID] = NICSIM_A_PORT,
    [RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT] = NICSIM_A_PORT,
    [RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR] = NICSIM_A_HOST,
    [RTE_FLOW_ACTION_TYPE_PASSTHRU] = NICSIM_A_PASSTHRU,
    [RTE_FLOW_ACTION_TYPE_METER] = NICSIM_A_METER,
};

uint32_t
nicsim_item_kind(const struct rte_flow_item *item)
{
    uint32_t type = item->type;

    if (type == RTE_FLOW_ITEM_TYPE_VOID) {
        return 0;
    }
    return type < RTE_DIM(item_kinds) && item_kinds[type] ? item_kinds[type] : NICSIM_I_OTHER;
}

/* An indirect action is what it was made of. */
static uint32_t
shared_kind(struct nicsim_port *port, const struct rte_flow_action *action)
{
    uint32_t index;
    const struct nicsim_object *object = action->conf ? nicsim_object_of(port, action->conf, &index) : NULL;

    switch (object ? object->type : 0) {
    case NICSIM_RULE_COUNT:
        return NICSIM_A_SHARED | NICSIM_A_COUNT;
    case NICSIM_RULE_AGE:
        return NICSIM_A_SHARED | NICSIM_A_AGE;
    case NICSIM_RULE_CONNTRACK:
        return NICSIM_A_SHARED | NICSIM_A_CONNTRACK;
    default:
        return NICSIM_A_SHARED | NICSIM_A_OTHER;
    }
}

uint32_t
nicsim_action_kind(struct nicsim_port *port, const struct rte_flow_action *action)
{
    uint32_t type = action->type;

    if (type == RTE_FLOW_ACTION_TYPE_VOID) {
        return 0;
    }
    if (type == RTE_FLOW_ACTION_TYPE_INDIRECT) {
        return shared_kind(port, action);
    }
    return type < RTE_DIM(action_kinds) && action_kinds[type] ? action_kinds[type] : NICSIM_A_OTHER;
}

bool
nicsim_has_no_switch(const struct nicsim_asked *asked)
{
    return asked->port->sw->id < 0;
}

bool
nicsim_is_no_domain(const struct nicsim_asked *asked)
{
    return asked->domain == 0;
}

static bool
is_first_of_switch(const struct nicsim_switch *sw, uint32_t port_id)
{
    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        if (sw->ports[slot]) {
            return sw->ports[slot]->port_id == port_id;
        }
    }
    return false;
}

bool
nicsim_is_first_of_switch(const struct nicsim_port *port)
{
    return is_first_of_switch(port->sw, port->port_id);
}

enum nicsim_origin
nicsim_origin_of(const struct nicsim_asked *asked)
{
    for (const struct rte_flow_item *item = asked->pattern; item->type != RTE_FLOW_ITEM_TYPE_END; item++) {
        uint32_t port_id;

        if (!item->spec) {
            continue;
        }
        if (item->type == RTE_FLOW_ITEM_TYPE_PORT_ID) {
            port_id = ((const struct rte_flow_item_port_id *) item->spec)->id;
        } else if (item->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) {
            port_id = ((const struct rte_flow_item_ethdev *) item->spec)->port_id;
        } else {
            continue;
        }
        return is_first_of_switch(asked->port->sw, port_id) ? NICSIM_FROM_UPLINK : NICSIM_FROM_OTHER;
    }
    return NICSIM_FROM_ANY;
}

bool
nicsim_fragment_of(const struct nicsim_asked *asked, rte_be16_t *value, rte_be16_t *mask)
{
    const struct rte_flow_item_ipv4 *spec = asked->item->spec;
    const struct rte_flow_item_ipv4 *with = asked->item->mask ? asked->item->mask : &rte_flow_item_ipv4_mask;

    if (!spec) {
        return false;
    }
    *value = spec->hdr.fragment_offset;
    *mask = with->hdr.fragment_offset;
    return *mask != 0;
}

const struct rte_flow_item_ipv4 nicsim_whole_ipv4 = {
    .hdr.src_addr = UINT32_MAX, .hdr.dst_addr = UINT32_MAX, .hdr.next_proto_id = UINT8_MAX};
#ifdef RTE_IPV6_MASK_FULL /* from DPDK 24.11 on, where an address is a structure */
const struct rte_flow_item_ipv6 nicsim_whole_ipv6 = {
    .hdr.src_addr = RTE_IPV6_MASK_FULL, .hdr.dst_addr = RTE_IPV6_MASK_FULL, .hdr.proto = UINT8_MAX};
#else
const struct rte_flow_item_ipv6 nicsim_whole_ipv6 = {
    .hdr.src_addr = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
    .hdr.dst_addr = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
    .hdr.proto = UINT8_MAX,
};
#endif
const struct rte_flow_item_tcp nicsim_whole_tcp = {.hdr.src_port = UINT16_MAX, .hdr.dst_port = UINT16_MAX};
const struct rte_flow_item_udp nicsim_whole_udp = {.hdr.src_port = UINT16_MAX, .hdr.dst_port = UINT16_MAX};

bool
nicsim_is_mask_within(const struct nicsim_asked *asked, const struct nicsim_field *fields)
{
    const uint8_t *mask = asked->item->mask;

    for (const struct nicsim_field *field = fields; mask && field->kind; field++) {
        for (size_t i = 0; field->kind == asked->kind && i < field->size; i++) {
            if (mask[i] & ~((const uint8_t *) field->mask)[i]) {
                return false;
            }
        }
    }
    return true;
}

static bool
is_partial(const void *mask, size_t size)
{
    const uint8_t *bytes = mask;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != bytes[0] || (bytes[i] != 0 && bytes[i] != UINT8_MAX)) {
            return true;
        }
    }
    return false;
}

/* TCP and UDP begin alike. */
bool
nicsim_has_partial_port(const struct nicsim_asked *asked)
{
    const struct rte_flow_item_udp *mask = asked->item->mask;

    return mask && (is_partial(&mask->hdr.src_port, sizeof mask->hdr.src_port) ||
                    is_partial(&mask->hdr.dst_port, sizeof mask->hdr.dst_port));
}

bool
nicsim_has_partial_address(const struct nicsim_asked *asked)
{
    const struct rte_flow_item_ipv4 *ipv4 = asked->item->mask;
    const struct rte_flow_item_ipv6 *ipv6 = asked->item->mask;

    if (asked->kind == NICSIM_I_IPV4) {
        return ipv4 && (is_partial(&ipv4->hdr.src_addr, 4) || is_partial(&ipv4->hdr.dst_addr, 4));
    }
    return ipv6 && (is_partial(&ipv6->hdr.src_addr, 16) || is_partial(&ipv6->hdr.dst_addr, 16));
}

bool
nicsim_has_no_conf(const struct nicsim_asked *asked)
{
    return !asked->action->conf;
}

bool
nicsim_is_mark_too_large(const struct nicsim_asked *asked)
{
    return ((const struct rte_flow_action_mark *) asked->action->conf)->id >= 0xfffff0;
}

bool
nicsim_is_age_zero(const struct nicsim_asked *asked)
{
    return !(asked->kind & NICSIM_A_SHARED) && ((const struct rte_flow_action_age *) asked->action->conf)->timeout == 0;
}

bool
nicsim_is_no_queue(const struct nicsim_asked *asked)
{
    const struct rte_flow_action_queue *queue = asked->action->conf;

    return !queue || queue->index >= asked->port->n_rxq;
}
