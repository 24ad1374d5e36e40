/* The pattern of a rule, item by item: where a packet came in, what earlier rules noted of it. Headers: item_header.c. */
#include "item.h"

#include <errno.h>

bool
nicsim_is_zero(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

static void
match_bytes(void *key, void *key_mask, const void *value, const void *mask, size_t size)
{
    const uint8_t *v = value, *m = mask;

    for (size_t i = 0; i < size; i++) {
        ((uint8_t *) key)[i] = v[i] & m[i];
        ((uint8_t *) key_mask)[i] = m[i];
    }
}

static void
begin_wide(struct nicsim_spec *spec)
{
    if (!spec->is_wide) {
        memset(&spec->wide, 0, sizeof spec->wide);
        memset(&spec->wide_mask, 0, sizeof spec->wide_mask);
        spec->is_wide = true;
    }
}

void
nicsim_match_wide(struct nicsim_spec *spec, size_t offset, const void *value, const void *mask, size_t size)
{
    if (!nicsim_is_zero(mask, size)) {
        begin_wide(spec);
        match_bytes((uint8_t *) &spec->wide + offset, (uint8_t *) &spec->wide_mask + offset, value, mask, size);
    }
}

void
nicsim_match_key(const struct pattern *p, struct nicsim_spec *spec, size_t offset, const void *value, const void *mask,
                 size_t size)
{
    if (p->is_inner) {
        nicsim_match_wide(spec, offsetof(struct nicsim_wide, inner) + offset, value, mask, size);
    } else {
        match_bytes((uint8_t *) &spec->key + offset, (uint8_t *) &spec->mask + offset, value, mask, size);
    }
}

void
nicsim_match_bit(const struct pattern *p, struct nicsim_spec *spec, uint8_t bit, bool set)
{
    struct nicsim_key *key = &spec->key, *mask = &spec->mask;

    if (p->is_inner) {
        begin_wide(spec);
        key = &spec->wide.inner;
        mask = &spec->wide_mask.inner;
    }
    mask->bits |= bit;
    key->bits = set ? key->bits | bit : key->bits & ~bit;
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

/* A port's wire, or its host. */
static int
parse_port(struct nicsim_port *port, struct pattern *p, uint32_t number, uint16_t side, struct nicsim_spec *spec,
           struct rte_flow_error *error)
{
    static const uint16_t all = UINT16_MAX;

    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        const struct nicsim_port *in = port->sw->ports[i];

        if (in && in->port_id == number) {
            uint16_t in_port = in->uid | side;

            MATCH(p, spec, in_port, &in_port, &all);
            return 0;
        }
    }
    return REFUSE(EINVAL, ITEM_SPEC, p->item, "that port is not in this port's switch");
}

/* Any wire, any host. */
static int
parse_side(struct pattern *p, uint16_t side, struct nicsim_spec *spec)
{
    static const uint16_t mask = NICSIM_FROM_HOST;

    MATCH(p, spec, in_port, &side, &mask);
    return 0;
}

static int
begin_port(struct pattern *p, const struct nicsim_spec *spec, struct rte_flow_error *error)
{
    if (!spec->transfer) {
        return REFUSE(ENOTSUP, ITEM, p->item, "a port can be matched in transfer rules only");
    }
    if (p->has_port || p->has_eth || p->has_l3 || p->is_inner) {
        return REFUSE(EINVAL, ITEM, p->item, "the port comes first and once");
    }
    p->has_port = true;
    return 0;
}

static int
parse_ethdev(struct nicsim_port *port, struct pattern *p, uint16_t side, struct nicsim_spec *spec,
             struct rte_flow_error *error)
{
    const struct rte_flow_item_ethdev *value = p->spec, *mask = p->mask;
    int rc = begin_port(p, spec, error);

    if (rc) {
        return rc;
    }
    if (!value || mask->port_id == 0) {
        return parse_side(p, side, spec);
    }
    if (mask->port_id != UINT16_MAX) {
        return REFUSE(ENOTSUP, ITEM_MASK, p->item, "a port is matched whole");
    }
    return parse_port(port, p, value->port_id, side, spec, error);
}

static int
parse_port_id(struct nicsim_port *port, struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_port_id *value = p->spec, *mask = p->mask;
    int rc = begin_port(p, spec, error);

    if (rc) {
        return rc;
    }
    if (!value || mask->id == 0) {
        return parse_side(p, 0, spec);
    }
    if ((mask->id & UINT16_MAX) != UINT16_MAX) {
        return REFUSE(ENOTSUP, ITEM_MASK, p->item, "a port is matched whole");
    }
    return parse_port(port, p, value->id, 0, spec, error);
}

static int
parse_conntrack(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_conntrack *value = p->spec, *mask = p->mask;

    if (!value) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "CONNTRACK needs flags");
    }
    if (spec->group == 0) {
        return REFUSE(ENOTSUP, ITEM, p->item, "CONNTRACK works in groups above 0");
    }
    if ((value->flags & mask->flags) > UINT8_MAX) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "there is no such CONNTRACK flag");
    }
    spec->key.conntrack = value->flags & mask->flags;
    spec->mask.conntrack = mask->flags;
    return 0;
}

static int
parse_mark(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_mark *value = p->spec, *mask = p->mask;

    if (spec->transfer) {
        return REFUSE(ENOTSUP, ITEM, p->item, "a transfer rule sees no mark");
    }
    if (p->has_mark) {
        return REFUSE(EINVAL, ITEM, p->item, "a pattern has one MARK");
    }
    p->has_mark = true;
    /* A packet that nobody marked has no mark, not mark 0. */
    spec->key.bits |= NICSIM_KEY_MARKED;
    spec->mask.bits |= NICSIM_KEY_MARKED;
    if (value) {
        MATCH_WIDE(spec, registers.mark, &value->id, &mask->id);
    }
    return 0;
}

static int
parse_meta(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_meta *value = p->spec, *mask = p->mask;

    if (p->has_meta) {
        return REFUSE(EINVAL, ITEM, p->item, "a pattern has one META");
    }
    p->has_meta = true;
    if (value) {
        MATCH_WIDE(spec, registers.meta, &value->data, &mask->data);
    }
    return 0;
}

static int
parse_tag(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_tag *value = p->spec, *mask = p->mask;

    if (!value) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "TAG needs an index");
    }
    if (mask->index != UINT8_MAX) {
        return REFUSE(EINVAL, ITEM_MASK, p->item, "the index of a TAG is given whole");
    }
    if (value->index >= NICSIM_N_TAGS) {
        return REFUSE(EINVAL, ITEM_SPEC, p->item, "there are TAGs 0 to 5");
    }
    if (p->tags & (1u << value->index)) {
        return REFUSE(EINVAL, ITEM, p->item, "a pattern names a TAG once");
    }
    p->tags |= 1u << value->index;
    nicsim_match_wide(spec, offsetof(struct nicsim_wide, registers.tags) + value->index * sizeof(uint32_t),
                      &value->data, &mask->data, sizeof value->data);
    return 0;
}

/* DPDK has none. */
static const struct rte_flow_item_ipv6_frag_ext ipv6_frag_ext_mask = {
    .hdr = {.next_header = UINT8_MAX, .frag_data = RTE_BE16(UINT16_MAX)},
};

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
    case RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT:
        return &ipv6_frag_ext_mask;
    case RTE_FLOW_ITEM_TYPE_TCP:
        return &rte_flow_item_tcp_mask;
    case RTE_FLOW_ITEM_TYPE_UDP:
        return &rte_flow_item_udp_mask;
    case RTE_FLOW_ITEM_TYPE_ICMP:
        return &rte_flow_item_icmp_mask;
    case RTE_FLOW_ITEM_TYPE_ICMP6:
        return &rte_flow_item_icmp6_mask;
    case RTE_FLOW_ITEM_TYPE_VXLAN:
        return &rte_flow_item_vxlan_mask;
    case RTE_FLOW_ITEM_TYPE_MARK:
        return &rte_flow_item_mark_mask;
    case RTE_FLOW_ITEM_TYPE_META:
        return &rte_flow_item_meta_mask;
    case RTE_FLOW_ITEM_TYPE_TAG:
        return &rte_flow_item_tag_mask;
    case RTE_FLOW_ITEM_TYPE_CONNTRACK:
        return &rte_flow_item_conntrack_mask;
    case RTE_FLOW_ITEM_TYPE_PORT_ID:
        return &rte_flow_item_port_id_mask;
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
    case RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR:
        return &rte_flow_item_ethdev_mask;
    default:
        return NULL;
    }
}

static int
parse_item(struct nicsim_port *port, struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    switch (p->item->type) {
    case RTE_FLOW_ITEM_TYPE_CONNTRACK:
        return parse_conntrack(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_MARK:
        return parse_mark(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_META:
        return parse_meta(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_TAG:
        return parse_tag(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_PORT_ID:
        return parse_port_id(port, p, spec, error);
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
        return parse_ethdev(port, p, 0, spec, error);
    case RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR:
        return parse_ethdev(port, p, NICSIM_FROM_HOST, spec, error);
    default:
        return nicsim_header_parse(p, spec, error);
    }
}

int
nicsim_items_parse(struct nicsim_port *port, const struct rte_flow_item *items, struct nicsim_spec *spec,
                   struct rte_flow_error *error)
{
    struct pattern p = {0};

    if (spec->egress) {
        static const uint16_t all = UINT16_MAX;
        uint16_t from = port->uid | NICSIM_FROM_HOST;

        MATCH(&p, spec, in_port, &from, &all);
    }

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
    return nicsim_headers_finish(&p, spec, error);
}
