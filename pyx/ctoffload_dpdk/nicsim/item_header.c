/* Headers in a pattern: which of their fields are compared. Outside and inside of a tunnel alike, as far as both can. */
#include "item.h"

#include <errno.h>

#include <rte_byteorder.h>

static const uint8_t all8 = UINT8_MAX;
static const uint16_t all16 = UINT16_MAX;

/* True where nothing but what was taken (and zeroed) is in the mask. */
#define REST_IS_ZERO(rest) nicsim_is_zero(&(rest), sizeof(rest))

static bool
is_vlan_type(uint16_t type)
{
    return type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || type == RTE_BE16(RTE_ETHER_TYPE_QINQ);
}

static int
parse_eth(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_eth *value = p->spec;
    struct rte_flow_item_eth rest;

    if (p->has_eth || p->n_vlans || p->has_l3) {
        return REFUSE(EINVAL, ITEM, p->item, "ETH comes first and once, or behind VXLAN");
    }
    p->has_eth = true;
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    p->types[0] = value->hdr.ether_type & rest.hdr.ether_type;
    p->type_masks[0] = rest.hdr.ether_type;
    if (rest.has_vlan) {
        nicsim_match_bit(p, spec, NICSIM_KEY_TAGGED, value->has_vlan);
    }
    if (p->is_inner) {
        MATCH_WIDE(spec, inner_src_mac, &value->hdr.src_addr, &rest.hdr.src_addr);
        MATCH_WIDE(spec, inner_dst_mac, &value->hdr.dst_addr, &rest.hdr.dst_addr);
    } else {
        MATCH_WIDE(spec, src_mac, &value->hdr.src_addr, &rest.hdr.src_addr);
        MATCH_WIDE(spec, dst_mac, &value->hdr.dst_addr, &rest.hdr.dst_addr);
    }
    memset(&rest.hdr, 0, sizeof rest.hdr);
    rest.has_vlan = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that ETH field cannot be matched");
}

static int
parse_vlan(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_vlan *value = p->spec;
    struct rte_flow_item_vlan rest;

    if (p->has_l3) {
        return REFUSE(EINVAL, ITEM, p->item, "VLAN comes before the IP header");
    }
    if (p->n_vlans == (p->is_inner ? 1 : 2)) {
        return REFUSE(ENOTSUP, ITEM, p->item, "two VLAN tags can be matched, one behind VXLAN");
    }
    p->n_vlans++;
    nicsim_match_bit(p, spec, p->n_vlans == 1 ? NICSIM_KEY_TAGGED : NICSIM_KEY_TWO_TAGS, true);
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    p->types[p->n_vlans] = value->hdr.eth_proto & rest.hdr.eth_proto;
    p->type_masks[p->n_vlans] = rest.hdr.eth_proto;
    if (p->n_vlans == 1) {
        MATCH(p, spec, vlan_tci, &value->hdr.vlan_tci, &rest.hdr.vlan_tci);
    } else {
        MATCH_WIDE(spec, second_tci, &value->hdr.vlan_tci, &rest.hdr.vlan_tci);
    }
    if (rest.has_more_vlan) {
        if (p->n_vlans == 2) {
            return REFUSE(ENOTSUP, ITEM_MASK, p->item, "a third VLAN tag cannot be matched");
        }
        nicsim_match_bit(p, spec, NICSIM_KEY_TWO_TAGS, value->has_more_vlan);
    }
    memset(&rest.hdr, 0, sizeof rest.hdr);
    rest.has_more_vlan = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that VLAN field cannot be matched");
}

/* An IP header of this type follows. False where the pattern said another type before. */
static bool
begin_l3(struct pattern *p, struct nicsim_spec *spec, uint16_t type)
{
    uint8_t last = p->n_vlans;

    if ((type & p->type_masks[last]) != p->types[last]) {
        return false;
    }
    p->type_masks[last] = 0; /* the header says it all */
    MATCH(p, spec, eth_type, &type, &all16);
    p->has_l3 = true;
    return true;
}

/* Its type is compared where only the header's presence is; a mask of 0x3fff with value 0 is the usual way to ask for
 * packets in one piece. */
static void
match_ipv4_fragment(struct pattern *p, struct nicsim_spec *spec, uint16_t value, uint16_t mask)
{
    const uint16_t any = RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG);

    if (mask == any && (value & mask) == 0) {
        nicsim_match_bit(p, spec, NICSIM_KEY_FRAGMENT, false);
    } else {
        MATCH_WIDE(spec, fragment, &value, &mask);
    }
}

static int
parse_ipv4(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_ipv4 *value = p->spec;
    struct rte_flow_item_ipv4 rest;

    if (p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "an IP header inside another cannot be matched, except behind VXLAN");
    }
    if (!begin_l3(p, spec, RTE_BE16(RTE_ETHER_TYPE_IPV4))) {
        return REFUSE(EINVAL, ITEM, p->item, "the EtherType before says it is not IPv4");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    nicsim_match_key(p, spec, offsetof(struct nicsim_key, src), &value->hdr.src_addr, &rest.hdr.src_addr, 4);
    nicsim_match_key(p, spec, offsetof(struct nicsim_key, dst), &value->hdr.dst_addr, &rest.hdr.dst_addr, 4);
    MATCH(p, spec, proto, &value->hdr.next_proto_id, &rest.hdr.next_proto_id);
    memset(&rest.hdr.src_addr, 0, 4);
    memset(&rest.hdr.dst_addr, 0, 4);
    rest.hdr.next_proto_id = 0;
    if (!p->is_inner) {
        MATCH_WIDE(spec, tos, &value->hdr.type_of_service, &rest.hdr.type_of_service);
        MATCH_WIDE(spec, ttl, &value->hdr.time_to_live, &rest.hdr.time_to_live);
        match_ipv4_fragment(p, spec, value->hdr.fragment_offset, rest.hdr.fragment_offset);
        rest.hdr.type_of_service = 0;
        rest.hdr.time_to_live = 0;
        rest.hdr.fragment_offset = 0;
    }
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that IPv4 field cannot be matched");
}

/* The traffic class lies across two bytes of the first word. */
static void
match_traffic_class(struct nicsim_spec *spec, uint32_t value, struct rte_flow_item_ipv6 *rest)
{
    uint8_t class = rte_be_to_cpu_32(value) >> 20, mask = rte_be_to_cpu_32(rest->hdr.vtc_flow) >> 20;

    MATCH_WIDE(spec, tos, &class, &mask);
    rest->hdr.vtc_flow &= ~RTE_BE32(RTE_IPV6_HDR_TC_MASK);
}

static int
parse_ipv6(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_ipv6 *value = p->spec;
    struct rte_flow_item_ipv6 rest;

    if (p->has_l3) {
        return REFUSE(ENOTSUP, ITEM, p->item, "an IP header inside another cannot be matched, except behind VXLAN");
    }
    if (!begin_l3(p, spec, RTE_BE16(RTE_ETHER_TYPE_IPV6))) {
        return REFUSE(EINVAL, ITEM, p->item, "the EtherType before says it is not IPv6");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(p, spec, src, &value->hdr.src_addr, &rest.hdr.src_addr);
    MATCH(p, spec, dst, &value->hdr.dst_addr, &rest.hdr.dst_addr);
    MATCH(p, spec, proto, &value->hdr.proto, &rest.hdr.proto);
    if (rest.has_frag_ext) {
        nicsim_match_bit(p, spec, NICSIM_KEY_FRAG_EXT, value->has_frag_ext);
    }
    memset(&rest.hdr.src_addr, 0, 16);
    memset(&rest.hdr.dst_addr, 0, 16);
    rest.hdr.proto = 0;
    rest.has_frag_ext = 0;
    if (!p->is_inner) {
        match_traffic_class(spec, value->hdr.vtc_flow, &rest);
        MATCH_WIDE(spec, ttl, &value->hdr.hop_limits, &rest.hdr.hop_limits);
        rest.hdr.hop_limits = 0;
    }
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that IPv6 field cannot be matched");
}

static int
parse_ipv6_frag_ext(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_ipv6_frag_ext *value = p->spec;
    struct rte_flow_item_ipv6_frag_ext rest;

    if (p->is_inner) {
        return REFUSE(ENOTSUP, ITEM, p->item, "a fragment header behind VXLAN cannot be matched");
    }
    if (!p->has_l3 || p->has_l4 || spec->key.eth_type != RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
        return REFUSE(EINVAL, ITEM, p->item, "IPV6_FRAG_EXT comes behind IPV6");
    }
    nicsim_match_bit(p, spec, NICSIM_KEY_FRAG_EXT, true);
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH_WIDE(spec, fragment_next, &value->hdr.next_header, &rest.hdr.next_header);
    MATCH_WIDE(spec, fragment, &value->hdr.frag_data, &rest.hdr.frag_data);
    MATCH_WIDE(spec, fragment_id, &value->hdr.id, &rest.hdr.id);
    rest.hdr.next_header = 0;
    rest.hdr.frag_data = 0;
    rest.hdr.id = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that field of it cannot be matched");
}

/* A header of this protocol follows. False where the pattern said another one before. */
static bool
begin_l4(struct pattern *p, struct nicsim_spec *spec, uint8_t proto)
{
    const struct nicsim_key *key = &spec->key, *mask = &spec->mask;
    uint8_t before = 0, before_mask = 0;

    if (p->is_inner && spec->is_wide) {
        key = &spec->wide.inner;
        mask = &spec->wide_mask.inner;
    }
    if (!p->is_inner || spec->is_wide) {
        before = key->proto;
        before_mask = mask->proto;
    }
    if (before != (proto & before_mask)) {
        return false;
    }
    MATCH(p, spec, proto, &proto, &all8);
    nicsim_match_bit(p, spec, NICSIM_KEY_L4, true);
    p->has_l4 = true;
    return true;
}

static int
refuse_second_l4(const struct pattern *p, struct rte_flow_error *error)
{
    return REFUSE(EINVAL, ITEM, p->item, "one header follows the IP header, except behind VXLAN");
}

static int
parse_tcp(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_tcp *value = p->spec;
    struct rte_flow_item_tcp rest;

    if (p->has_l4) {
        return refuse_second_l4(p, error);
    }
    if (!begin_l4(p, spec, IPPROTO_TCP)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not TCP");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(p, spec, src_port, &value->hdr.src_port, &rest.hdr.src_port);
    MATCH(p, spec, dst_port, &value->hdr.dst_port, &rest.hdr.dst_port);
    MATCH(p, spec, tcp_flags, &value->hdr.tcp_flags, &rest.hdr.tcp_flags);
    rest.hdr.src_port = 0;
    rest.hdr.dst_port = 0;
    rest.hdr.tcp_flags = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that TCP field cannot be matched");
}

static int
parse_udp(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_udp *value = p->spec;
    struct rte_flow_item_udp rest;

    if (p->has_l4) {
        return refuse_second_l4(p, error);
    }
    if (!begin_l4(p, spec, IPPROTO_UDP)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not UDP");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    MATCH(p, spec, src_port, &value->hdr.src_port, &rest.hdr.src_port);
    MATCH(p, spec, dst_port, &value->hdr.dst_port, &rest.hdr.dst_port);
    rest.hdr.src_port = 0;
    rest.hdr.dst_port = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that UDP field cannot be matched");
}

/* Type and code, in this order, are what a key holds as the source port. */
static void
match_icmp_kind(struct pattern *p, struct nicsim_spec *spec, const uint8_t *type, const uint8_t *type_mask,
                const uint8_t *code, const uint8_t *code_mask)
{
    nicsim_match_key(p, spec, offsetof(struct nicsim_key, src_port), type, type_mask, 1);
    nicsim_match_key(p, spec, offsetof(struct nicsim_key, src_port) + 1, code, code_mask, 1);
}

static int
parse_icmp(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_icmp *value = p->spec;
    struct rte_flow_item_icmp rest;

    if (p->has_l4) {
        return refuse_second_l4(p, error);
    }
    if (!begin_l4(p, spec, IPPROTO_ICMP)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not ICMP");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    match_icmp_kind(p, spec, &value->hdr.icmp_type, &rest.hdr.icmp_type, &value->hdr.icmp_code, &rest.hdr.icmp_code);
    MATCH(p, spec, dst_port, &value->hdr.icmp_ident, &rest.hdr.icmp_ident);
    rest.hdr.icmp_type = 0;
    rest.hdr.icmp_code = 0;
    rest.hdr.icmp_ident = 0;
    if (!p->is_inner) {
        MATCH_WIDE(spec, icmp_seq, &value->hdr.icmp_seq_nb, &rest.hdr.icmp_seq_nb);
        rest.hdr.icmp_seq_nb = 0;
    }
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that ICMP field cannot be matched");
}

static int
parse_icmp6(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_icmp6 *value = p->spec;
    struct rte_flow_item_icmp6 rest;

    if (p->has_l4) {
        return refuse_second_l4(p, error);
    }
    if (!begin_l4(p, spec, IPPROTO_ICMPV6)) {
        return REFUSE(EINVAL, ITEM, p->item, "the IP header before says it is not ICMPv6");
    }
    if (!value) {
        return 0;
    }
    memcpy(&rest, p->mask, sizeof rest);
    match_icmp_kind(p, spec, &value->type, &rest.type, &value->code, &rest.code);
    rest.type = 0;
    rest.code = 0;
    return REST_IS_ZERO(rest) ? 0 : REFUSE(ENOTSUP, ITEM_MASK, p->item, "that ICMPv6 field cannot be matched");
}

/* What follows is inside. */
static int
enter_tunnel(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    int rc = nicsim_headers_finish(p, spec, error);

    p->is_inner = true;
    p->has_eth = p->has_l3 = p->has_l4 = false;
    p->n_vlans = 0;
    memset(p->types, 0, sizeof p->types);
    memset(p->type_masks, 0, sizeof p->type_masks);
    return rc;
}

static int
parse_vxlan(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_item_vxlan *value = p->spec, *mask = p->mask;
    uint32_t rest;

    if (p->is_inner) {
        return REFUSE(ENOTSUP, ITEM, p->item, "a tunnel in a tunnel cannot be matched");
    }
    if (p->has_l4 ? spec->key.proto != IPPROTO_UDP : !begin_l4(p, spec, IPPROTO_UDP)) {
        return REFUSE(EINVAL, ITEM, p->item, "VXLAN comes behind UDP");
    }
    nicsim_match_bit(p, spec, NICSIM_KEY_TUNNEL, true);
    if (value) {
        uint8_t flags = rte_be_to_cpu_32(value->hdr.vx_flags) >> 24,
                flags_mask = rte_be_to_cpu_32(mask->hdr.vx_flags) >> 24;

        MATCH_WIDE(spec, vni, &value->hdr.vx_vni, &mask->hdr.vx_vni);
        MATCH_WIDE(spec, vxlan_flags, &flags, &flags_mask);
        rest = mask->hdr.vx_flags & RTE_BE32(0x00ffffff);
        if (rest) {
            return REFUSE(ENOTSUP, ITEM_MASK, p->item, "of VXLAN flags and VNI can be matched");
        }
    }
    return enter_tunnel(p, spec, error);
}

int
nicsim_header_parse(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
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
    case RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT:
        return parse_ipv6_frag_ext(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_TCP:
        return parse_tcp(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_UDP:
        return parse_udp(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_ICMP:
        return parse_icmp(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_ICMP6:
        return parse_icmp6(p, spec, error);
    case RTE_FLOW_ITEM_TYPE_VXLAN:
        return parse_vxlan(p, spec, error);
    default:
        return REFUSE(ENOTSUP, ITEM, p->item, "item not supported");
    }
}

static uint8_t
known_bits(const struct pattern *p, const struct nicsim_spec *spec)
{
    return !p->is_inner ? spec->mask.bits : spec->is_wide ? spec->wide_mask.inner.bits : 0;
}

/* The type in the Ethernet header, where a VLAN item or a mask leaves more than one. */
static int
match_outer_type(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    if (p->is_inner) {
        return REFUSE(ENOTSUP, ITEM, p->item, "behind VXLAN an EtherType is matched whole and names no VLAN");
    }
    MATCH_WIDE(spec, outer_type, &p->types[0], &p->type_masks[0]);
    return 0;
}

/* The type that ETH or the last VLAN names for what follows; with a header behind it there is nothing left to compare. */
static int
finish_last_type(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    uint8_t last = p->n_vlans;
    uint16_t mask = p->type_masks[last], type = p->types[last];
    bool is_whole = mask == UINT16_MAX && !is_vlan_type(type);

    if (mask == 0) {
        return 0;
    }
    if (is_whole || last == 2) {
        MATCH(p, spec, eth_type, &type, &mask);
    } else if (last == 0) {
        if (mask == UINT16_MAX) {
            nicsim_match_bit(p, spec, NICSIM_KEY_TAGGED, true);
        }
        return match_outer_type(p, spec, error);
    } else {
        MATCH_WIDE(spec, second_type, &type, &mask);
    }
    return 0;
}

int
nicsim_headers_finish(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    static const uint8_t tag_bits[] = {NICSIM_KEY_TAGGED, NICSIM_KEY_TWO_TAGS};
    uint8_t last = p->n_vlans;
    bool is_last_named = p->has_l3 || (p->type_masks[last] == UINT16_MAX && !is_vlan_type(p->types[last]));
    int rc = finish_last_type(p, spec, error);

    if (rc == 0 && last > 0 && p->type_masks[0]) {
        if (!is_vlan_type(p->types[0]) && p->type_masks[0] == UINT16_MAX) {
            return REFUSE(EINVAL, ITEM, p->item, "the EtherType before VLAN says there is no tag");
        }
        rc = match_outer_type(p, spec, error);
    }
    if (rc == 0 && last == 2 && p->type_masks[1]) {
        MATCH_WIDE(spec, second_type, &p->types[1], &p->type_masks[1]);
    }
    /* A header right behind ETH, or its type in ETH, is that of an untagged packet; likewise behind a tag. */
    if (last < 2 && is_last_named && !(known_bits(p, spec) & tag_bits[last])) {
        nicsim_match_bit(p, spec, tag_bits[last], false);
    }
    return rc;
}
