/* fields.c: match parameters, definers and header fields by name.
 *
 * Names and places come from the driver's own headers (mlx5_prm.h, hws/mlx5dr_definer.h). A masked bit that no name
 * covers is shown as a raw word, so that nothing a rule matches on stays invisible.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <rte_flow.h>
#include "standin.h"
#include "modify.h"
#include "mlx5dr.h"
#include "mlx5dr_send.h"
#include "mlx5dr_rule.h"
#include "mlx5dr_definer.h"

/* One field of a layout: where its bits are. Fields of 128 bits are IPv6 addresses, or IPv4 in their last 32 bits. */
struct field {
    const char *name;
    uint16_t offset_bits, size_bits;
};

#define ADDRESS_BITS 128
#define ADDRESS_SIZE (ADDRESS_BITS / 8)
#define MAX_LAYOUT   1024 /* bytes: what a definer can name by an eight-bit word number */

static uint32_t
bits_of(const uint8_t *layout, uint32_t offset_bits, uint32_t size_bits)
{
    uint64_t window = 0;

    for (int i = 0; i < 8; i++) {
        window = window << 8 | layout[offset_bits / 8 + i];
    }
    return window >> (64 - offset_bits % 8 - size_bits) & (size_bits == 32 ? UINT32_MAX : (1u << size_bits) - 1);
}

static void
clear_bits(uint8_t *layout, uint32_t offset_bits, uint32_t size_bits)
{
    for (uint32_t bit = offset_bits; bit < offset_bits + size_bits; bit++) {
        layout[bit / 8] &= ~(0x80 >> bit % 8);
    }
}

static bool
is_zero(const uint8_t *p, size_t n)
{
    return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static void
begin_field(struct text *out, bool *is_first)
{
    text_add(out, *is_first ? "" : ", ");
    *is_first = false;
}

/* size 4 or 16; of 16 bytes of which only the last four are masked, those are an IPv4 address. */
static void
add_address(struct text *out, const struct field *f, const uint8_t *value, const uint8_t *mask, size_t size)
{
    size_t from = is_zero(mask, size - 4) ? size - 4 : 0;
    int family = size - from == 4 ? AF_INET : AF_INET6;
    uint8_t masked[ADDRESS_SIZE];
    char v[INET6_ADDRSTRLEN], m[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < size; i++) {
        masked[i] = value[i] & mask[i];
    }
    inet_ntop(family, masked + from, v, sizeof v);
    inet_ntop(family, mask + from, m, sizeof m);
    text_add(out, "{\"field\": \"%s\", \"value\": \"%s\", \"mask\": \"%s\"}", f->name, v, m);
}

static bool
is_ipv4(const struct field *f)
{
    size_t n = strlen(f->name);

    return f->size_bits == 32 && n > 4 && !strcmp(f->name + n - 4, "ipv4");
}

static void
add_number(struct text *out, const struct field *f, uint32_t value, uint32_t mask)
{
    int digits = (f->size_bits + 3) / 4;
    uint32_t v = htobe32(value), m = htobe32(mask);

    if (is_ipv4(f)) {
        add_address(out, f, (uint8_t *) &v, (uint8_t *) &m, sizeof v);
        return;
    }
    text_add(out, "{\"field\": \"%s\", \"value\": \"0x%0*x\", \"mask\": \"0x%0*x\"}", f->name, digits, value & mask,
             digits, mask);
}

/* The masked fields of a layout as a JSON list. value and mask have MAX_LAYOUT readable bytes. */
static void
add_fields(struct text *out, const struct field *fields, size_t n_fields, const uint8_t *value, const uint8_t *mask)
{
    uint8_t unnamed[MAX_LAYOUT];
    bool is_first = true;

    memcpy(unnamed, mask, sizeof unnamed);
    text_add(out, "[");
    for (const struct field *f = fields; f < fields + n_fields; f++) {
        clear_bits(unnamed, f->offset_bits, f->size_bits);
        if (f->size_bits == ADDRESS_BITS) {
            if (!is_zero(mask + f->offset_bits / 8, ADDRESS_SIZE)) {
                begin_field(out, &is_first);
                add_address(out, f, value + f->offset_bits / 8, mask + f->offset_bits / 8, ADDRESS_SIZE);
            }
        } else if (bits_of(mask, f->offset_bits, f->size_bits)) {
            begin_field(out, &is_first);
            add_number(out, f, bits_of(value, f->offset_bits, f->size_bits),
                       bits_of(mask, f->offset_bits, f->size_bits));
        }
    }
    for (uint32_t i = 0; i + 8 < MAX_LAYOUT; i += 4) {
        char name[16];
        struct field raw = {.name = name, .offset_bits = 8 * i, .size_bits = 32};

        if (bits_of(unnamed, 8 * i, 32)) {
            snprintf(name, sizeof name, "word %u", i / 4);
            begin_field(out, &is_first);
            add_number(out, &raw, bits_of(value, 8 * i, 32), bits_of(unnamed, 8 * i, 32));
        }
    }
    text_add(out, "]");
}

/* --- match parameters of software steering and of root rules -------------------------------------------------------- */

#define PART(part)          __mlx5_bit_off(fte_match_param, part)
#define AT(part, set, name) PART(part) + __mlx5_bit_off(set, name), __mlx5_bit_sz(set, name)
#define HEADERS(prefix, part)                                                                                          \
    {prefix ".smac_47_16", AT(part, fte_match_set_lyr_2_4, smac_47_16)},                                               \
        {prefix ".smac_15_0", AT(part, fte_match_set_lyr_2_4, smac_15_0)},                                             \
        {prefix ".dmac_47_16", AT(part, fte_match_set_lyr_2_4, dmac_47_16)},                                           \
        {prefix ".dmac_15_0", AT(part, fte_match_set_lyr_2_4, dmac_15_0)},                                             \
        {prefix ".ethertype", AT(part, fte_match_set_lyr_2_4, ethertype)},                                             \
        {prefix ".cvlan_tag", AT(part, fte_match_set_lyr_2_4, cvlan_tag)},                                             \
        {prefix ".svlan_tag", AT(part, fte_match_set_lyr_2_4, svlan_tag)},                                             \
        {prefix ".first_prio", AT(part, fte_match_set_lyr_2_4, first_prio)},                                           \
        {prefix ".first_cfi", AT(part, fte_match_set_lyr_2_4, first_cfi)},                                             \
        {prefix ".first_vid", AT(part, fte_match_set_lyr_2_4, first_vid)},                                             \
        {prefix ".ip_version", AT(part, fte_match_set_lyr_2_4, ip_version)},                                           \
        {prefix ".ip_protocol", AT(part, fte_match_set_lyr_2_4, ip_protocol)},                                         \
        {prefix ".ip_dscp", AT(part, fte_match_set_lyr_2_4, ip_dscp)},                                                 \
        {prefix ".ip_ecn", AT(part, fte_match_set_lyr_2_4, ip_ecn)},                                                   \
        {prefix ".frag", AT(part, fte_match_set_lyr_2_4, frag)},                                                       \
        {prefix ".ipv4_ihl", AT(part, fte_match_set_lyr_2_4, ipv4_ihl)},                                               \
        {prefix ".ip_ttl_hoplimit", AT(part, fte_match_set_lyr_2_4, ip_ttl_hoplimit)},                                 \
        {prefix ".src_ip", AT(part, fte_match_set_lyr_2_4, src_ipv4_src_ipv6)},                                        \
        {prefix ".dst_ip", AT(part, fte_match_set_lyr_2_4, dst_ipv4_dst_ipv6)},                                        \
        {prefix ".tcp_sport", AT(part, fte_match_set_lyr_2_4, tcp_sport)},                                             \
        {prefix ".tcp_dport", AT(part, fte_match_set_lyr_2_4, tcp_dport)},                                             \
        {prefix ".tcp_flags", AT(part, fte_match_set_lyr_2_4, tcp_flags)},                                             \
        {prefix ".udp_sport", AT(part, fte_match_set_lyr_2_4, udp_sport)},                                             \
        {prefix ".udp_dport", AT(part, fte_match_set_lyr_2_4, udp_dport)},                                             \
        {prefix ".l3_ok", AT(part, fte_match_set_lyr_2_4, l3_ok)},                                                     \
    {                                                                                                                  \
        prefix ".l4_ok", AT(part, fte_match_set_lyr_2_4, l4_ok)                                                        \
    }
#define REGISTER(name) {#name, AT(misc_parameters_2, fte_match_set_misc2, metadata_##name)}

_Static_assert(MLX5_ST_SZ_BYTES(fte_match_param) <= MAX_LAYOUT, "the layout is longer than the buffers");
_Static_assert(MLX5_ST_SZ_BYTES(definer_hl) <= MAX_LAYOUT, "the layout is longer than the buffers");

static const struct field match_fields[] = {
    HEADERS("outer", outer_headers),
    HEADERS("inner", inner_headers),
    {"source_port", AT(misc_parameters, fte_match_set_misc, source_port)},
    {"outer.second_vid", AT(misc_parameters, fte_match_set_misc, outer_second_vid)},
    {"outer.second_cvlan_tag", AT(misc_parameters, fte_match_set_misc, outer_second_cvlan_tag)},
    {"outer.ipv6_flow_label", AT(misc_parameters, fte_match_set_misc, outer_ipv6_flow_label)},
    {"gre_protocol", AT(misc_parameters, fte_match_set_misc, gre_protocol)},
    {"vxlan_vni", AT(misc_parameters, fte_match_set_misc, vxlan_vni)},
    REGISTER(reg_a),
    REGISTER(reg_b),
    REGISTER(reg_c_0),
    REGISTER(reg_c_1),
    REGISTER(reg_c_2),
    REGISTER(reg_c_3),
    REGISTER(reg_c_4),
    REGISTER(reg_c_5),
    REGISTER(reg_c_6),
    REGISTER(reg_c_7),
    {"outer.tcp_seq_num", AT(misc_parameters_3, fte_match_set_misc3, outer_tcp_seq_num)},
    {"outer.tcp_ack_num", AT(misc_parameters_3, fte_match_set_misc3, outer_tcp_ack_num)},
    {"icmp_type", AT(misc_parameters_3, fte_match_set_misc3, icmp_type)},
    {"icmp_code", AT(misc_parameters_3, fte_match_set_misc3, icmp_code)},
    {"icmpv6_type", AT(misc_parameters_3, fte_match_set_misc3, icmpv6_type)},
    {"icmpv6_code", AT(misc_parameters_3, fte_match_set_misc3, icmpv6_code)},
};

/* size_bytes may be shorter than the layout: the driver leaves out the parts it does not use. */
void
fields_match(struct text *out, const void *value, const void *mask, size_t size_bytes)
{
    uint8_t v[MAX_LAYOUT + 8] = {0}, m[MAX_LAYOUT + 8] = {0};
    size_t n = size_bytes < MAX_LAYOUT ? size_bytes : MAX_LAYOUT;

    memcpy(v, value, n);
    memcpy(m, mask, n);
    add_fields(out, match_fields, sizeof match_fields / sizeof *match_fields, v, m);
}

/* --- definers of hardware steering ----------------------------------------------------------------------------------- */

#define HL(part, set, name) __mlx5_bit_off(definer_hl, part) + __mlx5_bit_off(set, name), __mlx5_bit_sz(set, name)
#define HL_BOTH(name, part, set, member)                                                                               \
    {"outer." name, HL(part##_outer, set, member)},                                                                    \
    {                                                                                                                  \
        "inner." name, HL(part##_inner, set, member)                                                                   \
    }
#define HL_ADDRESS(name, part) {name, __mlx5_bit_off(definer_hl, part), __mlx5_bit_sz(definer_hl, part)}
#define HL_REGISTER(n)         {"reg_c_" #n, HL(registers, definer_hl_registers, register_c_##n)}

static const struct field definer_fields[] = {
    HL_BOTH("dmac_47_16", eth_l2, definer_hl_eth_l2, dmac_47_16),
    HL_BOTH("dmac_15_0", eth_l2, definer_hl_eth_l2, dmac_15_0),
    HL_BOTH("smac_47_16", eth_l2_src, definer_hl_eth_l2_src, smac_47_16),
    HL_BOTH("smac_15_0", eth_l2_src, definer_hl_eth_l2_src, smac_15_0),
    HL_BOTH("ethertype", eth_l2, definer_hl_eth_l2, l3_ethertype),
    HL_BOTH("l3_type", eth_l2, definer_hl_eth_l2, l3_type),
    HL_BOTH("l4_type", eth_l2, definer_hl_eth_l2, l4_type),
    HL_BOTH("l4_type_bwc", eth_l2, definer_hl_eth_l2, l4_type_bwc),
    HL_BOTH("ip_fragmented", eth_l2, definer_hl_eth_l2, ip_fragmented),
    HL_BOTH("first_vlan_qualifier", eth_l2, definer_hl_eth_l2, first_vlan_qualifier),
    HL_BOTH("tci", eth_l2, definer_hl_eth_l2, tci),
    HL_BOTH("second_vlan_qualifier", eth_l2, definer_hl_eth_l2, second_vlan_qualifier),
    HL_BOTH("second_vid", eth_l2, definer_hl_eth_l2, second_vlan_id),
    HL_BOTH("ip_version", eth_l3, definer_hl_eth_l3, ip_version),
    HL_BOTH("ihl", eth_l3, definer_hl_eth_l3, ihl),
    HL_BOTH("tos", eth_l3, definer_hl_eth_l3, tos),
    HL_BOTH("ip_protocol", eth_l3, definer_hl_eth_l3, protocol_next_header),
    HL_BOTH("ip_ttl_hoplimit", eth_l3, definer_hl_eth_l3, time_to_live_hop_limit),
    HL_BOTH("fragment_offset", eth_l3, definer_hl_eth_l3, fragment_offset),
    HL_BOTH("src_ipv4", ipv4_src_dest, definer_hl_ipv4_src_dst, source_address),
    HL_BOTH("dst_ipv4", ipv4_src_dest, definer_hl_ipv4_src_dst, destination_address),
    HL_ADDRESS("outer.src_ipv6", ipv6_src_outer),
    HL_ADDRESS("outer.dst_ipv6", ipv6_dst_outer),
    HL_ADDRESS("inner.src_ipv6", ipv6_src_inner),
    HL_ADDRESS("inner.dst_ipv6", ipv6_dst_inner),
    HL_BOTH("l4_sport", eth_l4, definer_hl_eth_l4, source_port),
    HL_BOTH("l4_dport", eth_l4, definer_hl_eth_l4, destination_port),
    HL_BOTH("tcp_flags", eth_l4, definer_hl_eth_l4, tcp_flags),
    HL_BOTH("l4.ip_fragmented", eth_l4, definer_hl_eth_l4, ip_fragmented),
    HL_BOTH("l4.first_fragment", eth_l4, definer_hl_eth_l4, first_fragment),
    {"source_gvmi", HL(source_qp_gvmi, definer_hl_src_qp_gvmi, source_gvmi)},
    {"source_qp", HL(source_qp_gvmi, definer_hl_src_qp_gvmi, source_qp)},
    {"integrity", HL(oks1, definer_hl_oks1, oks1_bits)},
    {"icmp_dw1", HL(tcp_icmp, definer_tcp_icmp_header, icmp_dw1)},
    {"icmp_dw2", HL(tcp_icmp, definer_tcp_icmp_header, icmp_dw2)},
    {"reg_a", HL(metadata, definer_hl_metadata, general_purpose)},
    {"reg_b", HL(metadata, definer_hl_metadata, metadata_to_cqe)},
    HL_REGISTER(0),
    HL_REGISTER(1),
    HL_REGISTER(2),
    HL_REGISTER(3),
    HL_REGISTER(4),
    HL_REGISTER(5),
    HL_REGISTER(6),
    HL_REGISTER(7),
};

/* Which word or byte of the header layout a selector of the definer names. */
static void
read_selectors(const void *definer, uint8_t words[DW_SELECTORS], uint8_t bytes[BYTE_SELECTORS])
{
#define W(n) words[n] = MLX5_GET(definer, definer, format_select_dw##n)
#define B(n) bytes[n] = MLX5_GET(definer, definer, format_select_byte##n)
    W(0), W(1), W(2), W(3), W(4), W(5), W(6), W(7), W(8);
    B(0), B(1), B(2), B(3), B(4), B(5), B(6), B(7);
#undef W
#undef B
}

/* Puts a tag back into the header layout. In a tag the last word selector comes first, then the last byte selector. */
static void
unpack_tag(const void *definer, const uint8_t *tag, uint8_t layout[MAX_LAYOUT], const uint8_t *only_where)
{
    uint8_t words[DW_SELECTORS], bytes[BYTE_SELECTORS];

    read_selectors(definer, words, bytes);
    for (int i = 0; i < DW_SELECTORS; i++) {
        size_t at = 4 * (DW_SELECTORS - 1 - i);

        if (!is_zero(only_where + at, 4) && 4u * words[i] + 4 <= MAX_LAYOUT) {
            memcpy(layout + 4 * words[i], tag + at, 4);
        }
    }
    for (int i = 0; i < BYTE_SELECTORS; i++) {
        size_t at = 4 * DW_SELECTORS + BYTE_SELECTORS - 1 - i;

        if (only_where[at]) {
            layout[bytes[i]] = tag[at];
        }
    }
}

void
fields_definer(struct text *out, const void *definer, const void *tag)
{
    const uint8_t *mask = (const uint8_t *) MLX5_ADDR_OF(definer, definer, match_mask);
    uint8_t v[MAX_LAYOUT + 8] = {0}, m[MAX_LAYOUT + 8] = {0};

    unpack_tag(definer, tag, v, mask);
    unpack_tag(definer, mask, m, mask);
    add_fields(out, definer_fields, sizeof definer_fields / sizeof *definer_fields, v, m);
}

/* --- header rewrites --------------------------------------------------------------------------------------------------- */

/* n rewrite actions, each a 64-bit big-endian word, as a JSON list. */
void
fields_modify(struct text *out, const uint64_t *actions, size_t n)
{
    text_add(out, "[");
    for (size_t i = 0; i < n; i++) {
        const void *a = &actions[i];
        unsigned int type = MLX5_GET(set_action_in, a, action_type);
        unsigned int length = MLX5_GET(set_action_in, a, length);

        text_add(out, "%s{\"rewrite\": ", i ? ", " : "");
        if (type == MLX5_MODIFICATION_TYPE_COPY) {
            length = MLX5_GET(copy_action_in, a, length);
            text_add(
                out,
                "\"copy\", \"field\": \"%s\", \"offset\": %u, \"bits\": %u, \"from\": \"%s\", \"from_offset\": %u}",
                modify_name(MLX5_GET(copy_action_in, a, dst_field)),
                (unsigned int) MLX5_GET(copy_action_in, a, dst_offset), length ? length : 32,
                modify_name(MLX5_GET(copy_action_in, a, src_field)),
                (unsigned int) MLX5_GET(copy_action_in, a, src_offset));
        } else {
            const char *name = type == MLX5_MODIFICATION_TYPE_SET   ? "set"
                               : type == MLX5_MODIFICATION_TYPE_ADD ? "add"
                                                                    : "other";

            text_add(out, "\"%s\", \"field\": \"%s\", \"offset\": %u, \"bits\": %u, \"value\": \"0x%x\"}", name,
                     modify_name(MLX5_GET(set_action_in, a, field)), (unsigned int) MLX5_GET(set_action_in, a, offset),
                     length ? length : 32, (unsigned int) MLX5_GET(set_action_in, a, data));
        }
    }
    text_add(out, "]");
}
