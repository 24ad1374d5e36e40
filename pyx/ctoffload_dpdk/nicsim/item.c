/* The pattern of a rule, item by item: which fields of a packet it compares, with which mask. */
#include <errno.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

/* What came before, so that layers are in order and none comes twice. */
struct pattern {
    const struct rte_flow_item *item;
    const void *spec; /* NULL: the item says only that the layer is there */
    const void *mask;
    bool has_port, has_eth, has_vlan, has_l3, has_l4;
    bool has_type; /* ETH named an EtherType */
    uint16_t type; /* that one */
};

static bool
is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

/* A field of the key: compared under the mask. */
static void
match_bytes(void *key, void *key_mask, const void *value, const void *mask, size_t size)
{
    const uint8_t *v = value, *m = mask;

    for (size_t i = 0; i < size; i++) {
        ((uint8_t *) key)[i] = v[i] & m[i];
        ((uint8_t *) key_mask)[i] = m[i];
    }
}

#define MATCH(spec, field, value, with_mask)                                                                           \
    match_bytes(&(spec)->key.field, &(spec)->mask.field, value, with_mask, sizeof(spec)->key.field)

static void
match_bit(struct nicsim_spec *spec, uint8_t bit, bool set)
{
    spec->mask.bits |= bit;
    spec->key.bits = set ? spec->key.bits | bit : spec->key.bits & ~bit;
}

/* A value without a mask, an item without a value: as rte_flow defines them. */
static int
take_item(struct pattern *p, const struct rte_flow_item *item, const void *default_mask, struct rte_flow_error *error)
{
    p->item = item;
    p->spec = item->spec;
    p->mask = item->mask ? item->mask : default_mask;
    if (item->last) {
        return REFUSE(ENOTSUP, ITEM_LAST, item, "ranges of values cannot be matched");
    }
    if (!item->spec && item->mask) {
        return REFUSE(EINVAL, ITEM_MASK, item, "a mask needs a value");
    }
    return 0;
}

static int
parse_port(struct nicsim_port *port, struct pattern *p, uint32_t number, struct nicsim_spec *spec,
           struct rte_flow_error *error)
{
    static const uint16_t all = UINT16_MAX;

    if (!spec->transfer) {
        return REFUSE(ENOTSUP, ITEM, p->item, "a port can be matched in transfer rules only");
    }
    if (p->has_port || p->has_eth || p->has_l3) {
        return REFUSE(EINVAL, ITEM, p->item, "the port comes first and once");
    }
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        const struct nicsim_port *in = port->sw->ports[i];

        if (in && in->port_id == number) {
            MATCH(spec, in_port, &in->uid, &all);
            p->has_port = true;
            return 0;
        }
    }
    return REFUSE(EINVAL, ITEM_SPEC, p->item, "that port is not in this port's switch");
}

static int
parse_represented_port(struct nicsim_port *port, struct pattern *p, struct nicsim_spec *spec,
                       struct rte_flow_error *error)
{
    const struct rte_flow_item_ethdev *value = p->spec, *mask = p->mask;

    if (!value || mask->port_id == 0) {
        return 0;
    }
    if (mask->port_id != UINT16_MAX) {
        return REFUSE(ENOTSUP, ITEM_MASK, p->item, "a port is matched whole");
    }
    return parse_port(port, p, value->port_id, spec, error);
}

static int
parse_port_id(struct nicsim_port *port, struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_port_id *value = p->spec, *mask = p->mask;

    if (!value || mask->id == 0) {
        return 0;
    }
    if ((mask->id & UINT16_MAX) != UINT16_MAX) {
        return REFUSE(ENOTSUP, ITEM_MASK, p->item, "a port is matched whole");
    }
    return parse_port(port, p, value->id, spec, error);
}

static int
parse_eth(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_eth *value = p->spec;
    struct rte_flow_item_eth rest;

    if (p->has_eth || p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "inner headers cannot be matched");
    }
    p->has_eth = true;
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    if (rest.hdr.ether_type != 0 && rest.hdr.ether_type != UINT16_MAX) {
        return REFUSE(ENOTSUP, ITEM_MASK, p->item, "an EtherType is matched whole");
    }
    p->has_type = rest.hdr.ether_type != 0;
    p->type = value->hdr.ether_type;
    if (rest.has_vlan) {
        match_bit(spec, NICSIM_KEY_TAGGED, value->has_vlan);
    }
    rest.hdr.ether_type = 0;
    rest.has_vlan = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "of ETH only the type can be matched");
}

static int
parse_vlan(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_vlan *value = p->spec;
    struct rte_flow_item_vlan rest;

    if (p->has_vlan || p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "one VLAN tag can be matched, before the IP header");
    }
    p->has_vlan = true;
    match_bit(spec, NICSIM_KEY_TAGGED, true);
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(spec, vlan_tci, &value->hdr.vlan_tci, &rest.hdr.vlan_tci);
    if (rest.hdr.eth_proto) {
        MATCH(spec, eth_type, &value->hdr.eth_proto, &rest.hdr.eth_proto);
    }
    if (rest.has_more_vlan) {
        match_bit(spec, NICSIM_KEY_TWO_TAGS, value->has_more_vlan);
    }
    rest.hdr.vlan_tci = 0;
    rest.hdr.eth_proto = 0;
    rest.has_more_vlan = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that VLAN field cannot be matched");
}

/* An IP header of this type follows. False where the pattern said another type before. */
static bool
begin_l3(struct pattern *p, struct nicsim_spec *spec, uint16_t type)
{
    static const uint16_t all = UINT16_MAX;

    if (spec->mask.eth_type && spec->key.eth_type != (type & spec->mask.eth_type)) {
        return false;
    }
    if (p->has_type && !p->has_vlan && p->type != type) {
        return false;
    }
    MATCH(spec, eth_type, &type, &all);
    p->has_l3 = true;
    return true;
}

static int
parse_ipv4(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_ipv4 *value = p->spec;
    struct rte_flow_item_ipv4 rest;

    if (p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "inner headers cannot be matched");
    }
    if (!begin_l3(p, spec, RTE_BE16(RTE_ETHER_TYPE_IPV4))) {
        return REFUSE(EINVAL, ITEM, p->item, "the EtherType before says it is not IPv4");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    match_bytes(spec->key.src, spec->mask.src, &value->hdr.src_addr, &rest.hdr.src_addr, 4);
    match_bytes(spec->key.dst, spec->mask.dst, &value->hdr.dst_addr, &rest.hdr.dst_addr, 4);
    MATCH(spec, proto, &value->hdr.next_proto_id, &rest.hdr.next_proto_id);
    if (rest.hdr.fragment_offset) {
        if (value->hdr.fragment_offset & rest.hdr.fragment_offset) {
            return REFUSE(ENOTSUP, ITEM_SPEC, p->item, "only packets in one piece can be matched by their offset");
        }
        match_bit(spec, NICSIM_KEY_FRAGMENT, false);
    }
    memset(&rest.hdr.src_addr, 0, 4);
    memset(&rest.hdr.dst_addr, 0, 4);
    rest.hdr.next_proto_id = 0;
    rest.hdr.fragment_offset = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that IPv4 field cannot be matched");
}

static int
parse_ipv6(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_ipv6 *value = p->spec;
    struct rte_flow_item_ipv6 rest;

    if (p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "inner headers cannot be matched");
    }
    if (!begin_l3(p, spec, RTE_BE16(RTE_ETHER_TYPE_IPV6))) {
        return REFUSE(EINVAL, ITEM, p->item, "the EtherType before says it is not IPv6");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(spec, src, &value->hdr.src_addr, &rest.hdr.src_addr);
    MATCH(spec, dst, &value->hdr.dst_addr, &rest.hdr.dst_addr);
    MATCH(spec, proto, &value->hdr.proto, &rest.hdr.proto);
    if (rest.has_frag_ext) {
        match_bit(spec, NICSIM_KEY_FRAGMENT, value->has_frag_ext);
    }
    memset(&rest.hdr.src_addr, 0, 16);
    memset(&rest.hdr.dst_addr, 0, 16);
    rest.hdr.proto = 0;
    rest.has_frag_ext = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that IPv6 field cannot be matched");
}

/* A TCP or UDP header follows. False where the pattern said another protocol before. */
static bool
begin_l4(struct pattern *p, struct nicsim_spec *spec, uint8_t proto)
{
    static const uint8_t all = UINT8_MAX;

    if (spec->key.proto != (proto & spec->mask.proto)) {
        return false;
    }
    MATCH(spec, proto, &proto, &all);
    match_bit(spec, NICSIM_KEY_L4, true);
    p->has_l4 = true;
    return true;
}

static int
parse_tcp(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_tcp *value = p->spec;
    struct rte_flow_item_tcp rest;

    if (p->has_l4) {
        return REFUSE(ENOTSUP, ITEM, p->item, "inner headers cannot be matched");
    }
    if (!begin_l4(p, spec, IPPROTO_TCP)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not TCP");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(spec, src_port, &value->hdr.src_port, &rest.hdr.src_port);
    MATCH(spec, dst_port, &value->hdr.dst_port, &rest.hdr.dst_port);
    MATCH(spec, tcp_flags, &value->hdr.tcp_flags, &rest.hdr.tcp_flags);
    rest.hdr.src_port = 0;
    rest.hdr.dst_port = 0;
    rest.hdr.tcp_flags = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that TCP field cannot be matched");
}

static int
parse_udp(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_udp *value = p->spec;
    struct rte_flow_item_udp rest;

    if (p->has_l4) {
        return REFUSE(ENOTSUP, ITEM, p->item, "inner headers cannot be matched");
    }
    if (!begin_l4(p, spec, IPPROTO_UDP)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not UDP");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(spec, src_port, &value->hdr.src_port, &rest.hdr.src_port);
    MATCH(spec, dst_port, &value->hdr.dst_port, &rest.hdr.dst_port);
    rest.hdr.src_port = 0;
    rest.hdr.dst_port = 0;
    return is_zero(&rest, sizeof rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that UDP field cannot be matched");
}

static int
parse_conntrack(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_conntrack *value = p->spec, *mask = p->mask;
    uint8_t flags, flags_mask;

    if (!value) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "CONNTRACK needs flags");
    }
    if (spec->group == 0) {
        return REFUSE(ENOTSUP, ITEM, p->item, "CONNTRACK works in groups above 0");
    }
    if ((value->flags & mask->flags) > UINT8_MAX) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "there is no such CONNTRACK flag");
    }
    flags = value->flags;
    flags_mask = mask->flags;
    MATCH(spec, conntrack, &flags, &flags_mask);
    return 0;
}

/* What ETH's type and the absence of a VLAN item mean in the end. */
static int
finish(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    static const uint16_t all = UINT16_MAX;
    bool names_tag =
        p->has_type && (p->type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || p->type == RTE_BE16(RTE_ETHER_TYPE_QINQ));

    if (p->has_vlan) {
        if (p->has_type && !names_tag) {
            return REFUSE(EINVAL, ITEM, p->item, "the EtherType before VLAN says there is no tag");
        }
        if (p->has_l3 && !(spec->mask.bits & NICSIM_KEY_TWO_TAGS)) {
            match_bit(spec, NICSIM_KEY_TWO_TAGS, false);
        }
    } else if (names_tag) {
        match_bit(spec, NICSIM_KEY_TAGGED, true);
    } else if (p->has_type) {
        MATCH(spec, eth_type, &p->type, &all);
    }
    /* A header right behind ETH, or its type in ETH, is that of an untagged packet. */
    if (!p->has_vlan && !names_tag && (p->has_l3 || p->has_type)) {
        match_bit(spec, NICSIM_KEY_TAGGED, false);
    }
    return 0;
}

static const void *
default_mask(enum rte_flow_item_type type)
{
    switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH:
        return &rte_flow_item_eth_mask;
    case RTE_FLOW_ITEM_TYPE_VLAN:
        return &rte_flow_item_vlan_mask;
    case RTE_FLOW_ITEM_TYPE_IPV4:
        return &rte_flow_item_ipv4_mask;
    case RTE_FLOW_ITEM_TYPE_IPV6:
        return &rte_flow_item_ipv6_mask;
    case RTE_FLOW_ITEM_TYPE_TCP:
        return &rte_flow_item_tcp_mask;
    case RTE_FLOW_ITEM_TYPE_UDP:
        return &rte_flow_item_udp_mask;
    case RTE_FLOW_ITEM_TYPE_CONNTRACK:
        return &rte_flow_item_conntrack_mask;
    case RTE_FLOW_ITEM_TYPE_PORT_ID:
        return &rte_flow_item_port_id_mask;
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
        return &rte_flow_item_ethdev_mask;
    default:
        return NULL;
    }
}

static int
parse_item(struct nicsim_port *port, struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    switch (p->item->type) {
    case RTE_FLOW_ITEM_TYPE_ETH:
        return parse_eth(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_VLAN:
        return parse_vlan(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_IPV4:
        return parse_ipv4(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_IPV6:
        return parse_ipv6(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_TCP:
        return parse_tcp(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_UDP:
        return parse_udp(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_CONNTRACK:
        return parse_conntrack(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_PORT_ID:
        return parse_port_id(port, p, spec, error);
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
        return parse_represented_port(port, p, spec, error);
    case RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR:
        return REFUSE(ENOTSUP, ITEM, p->item, "only what arrives by a wire can be matched: REPRESENTED_PORT");
    default:
        return REFUSE(ENOTSUP, ITEM, p->item, "item not supported");
    }
}

int
nicsim_items_parse(struct nicsim_port *port, const struct rte_flow_item *items, struct nicsim_spec *spec,
                   struct rte_flow_error *error)
{
    struct pattern p = {0};

    for (const struct rte_flow_item *item = items; item->type != RTE_FLOW_ITEM_TYPE_END; item++) {
        int rc;

        if (item->type == RTE_FLOW_ITEM_TYPE_VOID) {
            continue;
        }
        rc = take_item(&p, item, default_mask(item->type), error);
        if (rc == 0) {
            rc = parse_item(port, &p, spec, error);
        }
        if (rc) {
            return rc;
        }
    }
    return finish(&p, spec, error);
}
