/* Rewriting headers: what SET_*, DEC_TTL and MODIFY_FIELD ask for, done to a copy with the checksums carried along. */
#include <errno.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

/* What a field belongs to, and what the pattern therefore has to name. */
enum layer { LAYER_ETH, LAYER_IPV4, LAYER_IPV6, LAYER_IP, LAYER_TCP, LAYER_UDP, LAYER_L4 };

/* --- what is asked for ------------------------------------------------------------------------------------------ */

static bool
names_layer(const struct nicsim_spec *spec, enum layer layer)
{
    bool v4 = spec->key.eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV4),
         v6 = spec->key.eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
    bool l4 = (spec->key.bits & NICSIM_KEY_L4) != 0;
    bool has_ports = l4 && (spec->key.proto == IPPROTO_TCP || spec->key.proto == IPPROTO_UDP);

    switch (layer) {
    case LAYER_IPV4:
        return v4;
    case LAYER_IPV6:
        return v6;
    case LAYER_IP:
        return v4 || v6;
    case LAYER_TCP:
        return l4 && spec->key.proto == IPPROTO_TCP;
    case LAYER_UDP:
        return l4 && spec->key.proto == IPPROTO_UDP;
    case LAYER_L4:
        return has_ports;
    default:
        return true;
    }
}

/* Where the new value of a field is kept, and its size. */
static void *
place_of(struct nicsim_rewrite *rewrite, uint16_t what, enum layer layer, size_t *size)
{
    *size = layer == LAYER_IPV4 ? 4 : layer == LAYER_IPV6 ? 16 : layer == LAYER_ETH ? 6 : what & NICSIM_SET_TTL ? 1 : 2;
    switch (what) {
    case NICSIM_SET_SRC:
        return rewrite->src;
    case NICSIM_SET_DST:
        return rewrite->dst;
    case NICSIM_SET_SRC_PORT:
        return &rewrite->src_port;
    case NICSIM_SET_DST_PORT:
        return &rewrite->dst_port;
    case NICSIM_SET_SRC_MAC:
        return rewrite->src_mac;
    case NICSIM_SET_DST_MAC:
        return rewrite->dst_mac;
    default:
        return &rewrite->ttl;
    }
}

static int
ask(struct nicsim_spec *spec, uint16_t what, enum layer layer, const void *value, const struct rte_flow_action *action,
    struct rte_flow_error *error)
{
    void *place;
    size_t size;

    if (!names_layer(spec, layer)) {
        return REFUSE(EINVAL, ACTION, action, "the pattern does not name the header whose field is set");
    }
    if (spec->fate != NICSIM_FATE_NONE) {
        return REFUSE(ENOTSUP, ACTION, action, "a field is set before the fate");
    }
    if (what != NICSIM_DEC_TTL) {
        if (!value) {
            return REFUSE(EINVAL, ACTION_CONF, action, "no value given");
        }
        place = place_of(&spec->extra.rewrite, what, layer, &size);
        memcpy(place, value, size);
    }
    spec->extra.rewrite.what |= what;
    spec->flags |= NICSIM_RULE_REWRITE;
    return 0;
}

struct field {
    enum rte_flow_field_id id;
    uint16_t what;
    enum layer layer;
    uint16_t bits;
};

static const struct field fields[] = {
    {RTE_FLOW_FIELD_IPV4_SRC, NICSIM_SET_SRC, LAYER_IPV4, 32},
    {RTE_FLOW_FIELD_IPV4_DST, NICSIM_SET_DST, LAYER_IPV4, 32},
    {RTE_FLOW_FIELD_IPV4_TTL, NICSIM_SET_TTL, LAYER_IP, 8},
    {RTE_FLOW_FIELD_IPV6_SRC, NICSIM_SET_SRC, LAYER_IPV6, 128},
    {RTE_FLOW_FIELD_IPV6_DST, NICSIM_SET_DST, LAYER_IPV6, 128},
    {RTE_FLOW_FIELD_IPV6_HOPLIMIT, NICSIM_SET_TTL, LAYER_IP, 8},
    {RTE_FLOW_FIELD_TCP_PORT_SRC, NICSIM_SET_SRC_PORT, LAYER_TCP, 16},
    {RTE_FLOW_FIELD_TCP_PORT_DST, NICSIM_SET_DST_PORT, LAYER_TCP, 16},
    {RTE_FLOW_FIELD_UDP_PORT_SRC, NICSIM_SET_SRC_PORT, LAYER_UDP, 16},
    {RTE_FLOW_FIELD_UDP_PORT_DST, NICSIM_SET_DST_PORT, LAYER_UDP, 16},
    {RTE_FLOW_FIELD_MAC_SRC, NICSIM_SET_SRC_MAC, LAYER_ETH, 48},
    {RTE_FLOW_FIELD_MAC_DST, NICSIM_SET_DST_MAC, LAYER_ETH, 48},
};

static int
parse_modify_field(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    const struct rte_flow_action_modify_field *modify = action->conf;
    const struct field *field = NULL;
    const void *value;

    for (size_t i = 0; modify && i < RTE_DIM(fields); i++) {
        if (fields[i].id == modify->dst.field) {
            field = &fields[i];
        }
    }
    if (!field) {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "that field cannot be written");
    }
    if (modify->src.field == RTE_FLOW_FIELD_VALUE) {
        value = modify->src.value;
    } else if (modify->src.field == RTE_FLOW_FIELD_POINTER) {
        value = modify->src.pvalue;
    } else {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "only a given value can be written, no other field");
    }
    if (!value) {
        return REFUSE(EINVAL, ACTION_CONF, action, "no value given");
    }
    if (modify->width != field->bits || modify->dst.offset != 0) {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "a field is written whole");
    }
    if (modify->operation == RTE_FLOW_MODIFY_SET) {
        return ask(spec, field->what, field->layer, value, action, error);
    }
    if (modify->operation == RTE_FLOW_MODIFY_SUB && field->what == NICSIM_SET_TTL && *(const uint8_t *) value == 1) {
        return ask(spec, NICSIM_DEC_TTL, LAYER_IP, NULL, action, error);
    }
    return REFUSE(ENOTSUP, ACTION_CONF, action, "fields can be set, and the TTL lowered by 1");
}

int
nicsim_rewrite_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
        return ask(spec, NICSIM_SET_SRC, LAYER_IPV4, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
        return ask(spec, NICSIM_SET_DST, LAYER_IPV4, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
        return ask(spec, NICSIM_SET_SRC, LAYER_IPV6, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
        return ask(spec, NICSIM_SET_DST, LAYER_IPV6, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
        return ask(spec, NICSIM_SET_SRC_PORT, LAYER_L4, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
        return ask(spec, NICSIM_SET_DST_PORT, LAYER_L4, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
        return ask(spec, NICSIM_SET_SRC_MAC, LAYER_ETH, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
        return ask(spec, NICSIM_SET_DST_MAC, LAYER_ETH, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_TTL:
        return ask(spec, NICSIM_SET_TTL, LAYER_IP, action->conf, action, error);
    case RTE_FLOW_ACTION_TYPE_DEC_TTL:
        return ask(spec, NICSIM_DEC_TTL, LAYER_IP, NULL, action, error);
    default:
        return parse_modify_field(action, spec, error);
    }
}

/* --- what is done ----------------------------------------------------------------------------------------------- */

/* What a checksum has to be changed by, as a one's complement sum of 16-bit words. */
static uint32_t
word_change(const uint8_t *before, const uint8_t *after, size_t size)
{
    uint32_t sum = 0;
    uint16_t b, a;

    for (size_t i = 0; i + 1 < size; i += 2) {
        memcpy(&b, before + i, 2);
        memcpy(&a, after + i, 2);
        sum += (uint16_t) ~b + a;
    }
    return sum;
}

/* Carries a change into a checksum; one that was wrong stays wrong. */
static uint16_t
carry(uint16_t checksum, uint32_t change)
{
    uint32_t sum = (uint16_t) ~checksum + change;

    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t) ~sum;
}

/* Writes a field; returns the change for the checksums that cover it. */
static uint32_t
put(uint8_t *field, const void *value, size_t size)
{
    uint32_t change = word_change(field, value, size);

    memcpy(field, value, size);
    return change;
}

static void
carry_at(uint8_t *field, uint32_t change)
{
    uint16_t checksum;

    memcpy(&checksum, field, sizeof checksum);
    checksum = carry(checksum, change);
    memcpy(field, &checksum, sizeof checksum);
}

static void
carry_l4(const struct nicsim_packet *packet, uint8_t *l4, uint32_t change)
{
    uint16_t checksum;

    if (packet->key.proto == IPPROTO_TCP && packet->l4_length >= sizeof(struct rte_tcp_hdr)) {
        carry_at(l4 + offsetof(struct rte_tcp_hdr, cksum), change);
    } else if (packet->key.proto == IPPROTO_ICMPV6 && packet->l4_length >= sizeof(struct rte_icmp_hdr) &&
               packet->key.eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
        carry_at(l4 + offsetof(struct rte_icmp_hdr, icmp_cksum), change);
    } else if (packet->key.proto == IPPROTO_UDP && packet->l4_length >= sizeof(struct rte_udp_hdr)) {
        memcpy(&checksum, l4 + offsetof(struct rte_udp_hdr, dgram_cksum), sizeof checksum);
        if (checksum != 0) {
            /* 0 would say there is none. */
            checksum = carry(checksum, change);
            checksum = checksum == 0 ? UINT16_MAX : checksum;
            memcpy(l4 + offsetof(struct rte_udp_hdr, dgram_cksum), &checksum, sizeof checksum);
        }
    }
}

/* The TTL, and the byte beside it that shares its word in the IPv4 checksum. */
static uint32_t
put_ttl(const struct nicsim_rewrite *rewrite, uint8_t *ttl)
{
    uint8_t word[2] = {ttl[0], ttl[1]};

    if (rewrite->what & NICSIM_SET_TTL) {
        word[0] = rewrite->ttl;
    }
    if ((rewrite->what & NICSIM_DEC_TTL) && word[0]) {
        word[0]--;
    }
    return put(ttl, word, sizeof word);
}

static uint32_t
put_addresses(const struct nicsim_rewrite *rewrite, uint8_t *src, uint8_t *dst, size_t size)
{
    uint32_t change = 0;

    if (rewrite->what & NICSIM_SET_SRC) {
        change += put(src, rewrite->src, size);
    }
    if (rewrite->what & NICSIM_SET_DST) {
        change += put(dst, rewrite->dst, size);
    }
    return change;
}

/* Returns the change of the addresses, which the checksum of the next layer covers too. */
static uint32_t
rewrite_ip(const struct nicsim_rewrite *rewrite, const struct nicsim_packet *packet, uint8_t *l3)
{
    uint32_t change, ttl_change;

    if (packet->key.eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
        ttl_change = put_ttl(rewrite, l3 + offsetof(struct rte_ipv4_hdr, time_to_live));
        change = put_addresses(rewrite, l3 + offsetof(struct rte_ipv4_hdr, src_addr),
                               l3 + offsetof(struct rte_ipv4_hdr, dst_addr), 4);
        carry_at(l3 + offsetof(struct rte_ipv4_hdr, hdr_checksum), change + ttl_change);
        return change;
    }
    uint8_t hops[2] = {l3[offsetof(struct rte_ipv6_hdr, hop_limits)], 0};

    put_ttl(rewrite, hops);
    l3[offsetof(struct rte_ipv6_hdr, hop_limits)] = hops[0];
    return put_addresses(rewrite, l3 + offsetof(struct rte_ipv6_hdr, src_addr),
                         l3 + offsetof(struct rte_ipv6_hdr, dst_addr), 16);
}

static uint32_t
rewrite_ports(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *l4)
{
    uint32_t change = 0;

    if (rewrite->what & NICSIM_SET_SRC_PORT) {
        change += put(l4, &rewrite->src_port, 2);
        packet->key.src_port = rewrite->src_port;
    }
    if (rewrite->what & NICSIM_SET_DST_PORT) {
        change += put(l4 + 2, &rewrite->dst_port, 2);
        packet->key.dst_port = rewrite->dst_port;
    }
    return change;
}

static void
rewrite_macs(const struct nicsim_rewrite *rewrite, uint8_t *eth)
{
    if (rewrite->what & NICSIM_SET_DST_MAC) {
        memcpy(eth, rewrite->dst_mac, 6);
    }
    if (rewrite->what & NICSIM_SET_SRC_MAC) {
        memcpy(eth + 6, rewrite->src_mac, 6);
    }
}

/* Addresses, ports and TTL. */
static void
rewrite_headers(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *scratch)
{
    bool has_ports =
        packet->key.bits & NICSIM_KEY_L4 && (packet->key.proto == IPPROTO_TCP || packet->key.proto == IPPROTO_UDP);
    uint32_t change = 0;

    rewrite_macs(rewrite, scratch);
    if (packet->l3) {
        change = rewrite_ip(rewrite, packet, scratch + packet->l3);
        if (rewrite->what & NICSIM_SET_SRC) {
            memcpy(packet->key.src, rewrite->src, sizeof packet->key.src);
        }
        if (rewrite->what & NICSIM_SET_DST) {
            memcpy(packet->key.dst, rewrite->dst, sizeof packet->key.dst);
        }
    }
    if (packet->l4) {
        change += has_ports ? rewrite_ports(rewrite, packet, scratch + packet->l4) : 0;
        carry_l4(packet, scratch + packet->l4, change);
    }
}

bool
nicsim_rewrite_apply(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *scratch)
{
    if (packet->length < RTE_ETHER_HDR_LEN) {
        return true;
    }
    if (rewrite->what & NICSIM_PUSH_VLAN && packet->length + RTE_VLAN_HLEN > NICSIM_MAX_FRAME) {
        return false;
    }
    if (packet->data != scratch) {
        memcpy(scratch, packet->data, packet->length);
        packet->data = scratch;
    }
    if (rewrite->what & ~NICSIM_ANY_VLAN) {
        rewrite_headers(rewrite, packet, scratch);
    }
    if (rewrite->what & NICSIM_ANY_VLAN) {
        nicsim_vlan_apply(rewrite, packet, scratch);
    }
    return true;
}
