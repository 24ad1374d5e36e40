/* modify.c: the header fields a rewrite can name, and what libmlx5 checks of a list of rewrites.
 *
 * Stands on rdma-core 44.0: the fields, their widths and their layer from providers/mlx5/dr_ste_v1.c:178, the checks from
 * providers/mlx5/dr_action.c:1718-1990. Firmware's own limits are not known here.
 */
#include <infiniband/mlx5dv.h>
#include "standin.h"
#include "modify.h"

enum layer { ANY, IPV4, IPV6, TCP, UDP };

struct header_field {
    unsigned int id;
    const char *name;
    unsigned int bits; /* 0: libmlx5 has no such field */
    enum layer l3, l4;
};

static const struct header_field header_fields[] = {
    {MLX5_MODI_OUT_SMAC_47_16, "outer.smac_47_16", 32, ANY, ANY},
    {MLX5_MODI_OUT_SMAC_15_0, "outer.smac_15_0", 16, ANY, ANY},
    {MLX5_MODI_OUT_ETHERTYPE, "outer.ethertype", 16, ANY, ANY},
    {MLX5_MODI_OUT_DMAC_47_16, "outer.dmac_47_16", 32, ANY, ANY},
    {MLX5_MODI_OUT_DMAC_15_0, "outer.dmac_15_0", 16, ANY, ANY},
    {MLX5_MODI_OUT_FIRST_VID, "outer.first_vid", 16, ANY, ANY},
    {MLX5_MODI_OUT_IP_DSCP, "outer.ip_dscp", 6, ANY, ANY},
    {MLX5_MODI_OUT_IP_ECN, "outer.ip_ecn", 2, ANY, ANY},
    {MLX5_MODI_OUT_IPV4_TTL, "outer.ipv4_ttl", 8, IPV4, ANY},
    {MLX5_MODI_OUT_IPV6_HOPLIMIT, "outer.ipv6_hoplimit", 8, IPV6, ANY},
    {MLX5_MODI_OUT_SIPV4, "outer.src_ipv4", 32, IPV4, ANY},
    {MLX5_MODI_OUT_DIPV4, "outer.dst_ipv4", 32, IPV4, ANY},
    {MLX5_MODI_OUT_SIPV6_127_96, "outer.src_ipv6_127_96", 32, IPV6, ANY},
    {MLX5_MODI_OUT_SIPV6_95_64, "outer.src_ipv6_95_64", 32, IPV6, ANY},
    {MLX5_MODI_OUT_SIPV6_63_32, "outer.src_ipv6_63_32", 32, IPV6, ANY},
    {MLX5_MODI_OUT_SIPV6_31_0, "outer.src_ipv6_31_0", 32, IPV6, ANY},
    {MLX5_MODI_OUT_DIPV6_127_96, "outer.dst_ipv6_127_96", 32, IPV6, ANY},
    {MLX5_MODI_OUT_DIPV6_95_64, "outer.dst_ipv6_95_64", 32, IPV6, ANY},
    {MLX5_MODI_OUT_DIPV6_63_32, "outer.dst_ipv6_63_32", 32, IPV6, ANY},
    {MLX5_MODI_OUT_DIPV6_31_0, "outer.dst_ipv6_31_0", 32, IPV6, ANY},
    {MLX5_MODI_OUT_TCP_FLAGS, "outer.tcp_flags", 9, ANY, TCP},
    {MLX5_MODI_OUT_TCP_SPORT, "outer.tcp_sport", 16, ANY, TCP},
    {MLX5_MODI_OUT_TCP_DPORT, "outer.tcp_dport", 16, ANY, TCP},
    {MLX5_MODI_OUT_TCP_SEQ_NUM, "outer.tcp_seq_num", 32, ANY, ANY},
    {MLX5_MODI_OUT_TCP_ACK_NUM, "outer.tcp_ack_num", 32, ANY, ANY},
    {MLX5_MODI_OUT_UDP_SPORT, "outer.udp_sport", 16, ANY, UDP},
    {MLX5_MODI_OUT_UDP_DPORT, "outer.udp_dport", 16, ANY, UDP},
    {MLX5_MODI_META_DATA_REG_A, "reg_a", 32, ANY, ANY},
    {MLX5_MODI_META_DATA_REG_B, "reg_b", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_0, "reg_c_0", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_1, "reg_c_1", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_2, "reg_c_2", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_3, "reg_c_3", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_4, "reg_c_4", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_5, "reg_c_5", 32, ANY, ANY},
    {MLX5_MODI_META_REG_C_6, "reg_c_6", 0, ANY, ANY},
    {MLX5_MODI_META_REG_C_7, "reg_c_7", 0, ANY, ANY},
};

static const struct header_field *
find(unsigned int id)
{
    for (size_t i = 0; i < sizeof header_fields / sizeof *header_fields; i++) {
        if (header_fields[i].id == id) {
            return &header_fields[i];
        }
    }
    return NULL;
}

const char *
modify_name(unsigned int id)
{
    const struct header_field *f = find(id);
    static __thread char unnamed[16];

    if (f) {
        return f->name;
    }
    snprintf(unnamed, sizeof unnamed, "field %#x", id);
    return unnamed;
}

/* Register A exists on the way out only, register B on the way in only. */
static bool
is_of_domain(const struct header_field *f, int domain_type)
{
    return (f->id != MLX5_MODI_META_DATA_REG_A || domain_type == MLX5DV_DR_DOMAIN_TYPE_NIC_TX) &&
           (f->id != MLX5_MODI_META_DATA_REG_B || domain_type == MLX5DV_DR_DOMAIN_TYPE_NIC_RX);
}

static bool
can_add(const struct header_field *f)
{
    return f->id == MLX5_MODI_OUT_IPV4_TTL || f->id == MLX5_MODI_OUT_IPV6_HOPLIMIT ||
           f->id == MLX5_MODI_OUT_TCP_SEQ_NUM || f->id == MLX5_MODI_OUT_TCP_ACK_NUM;
}

/* One rewrite by itself; *written gets the field that it changes. */
static int
check_one(int domain_type, const uint64_t *action, const struct header_field **written, const char **why)
{
    unsigned int type = MLX5_GET(set_action_in, action, action_type);
    bool is_copy = type == MLX5_MODIFICATION_TYPE_COPY;
    const struct header_field *to =
        find(is_copy ? MLX5_GET(copy_action_in, action, dst_field) : MLX5_GET(set_action_in, action, field));
    const struct header_field *from = is_copy ? find(MLX5_GET(copy_action_in, action, src_field)) : to;
    unsigned int length = is_copy ? MLX5_GET(copy_action_in, action, length) : MLX5_GET(set_action_in, action, length);
    unsigned int offset =
        is_copy ? MLX5_GET(copy_action_in, action, dst_offset) : MLX5_GET(set_action_in, action, offset);
    unsigned int from_offset = is_copy ? MLX5_GET(copy_action_in, action, src_offset) : offset;

    length = length ? length : 32;
    *written = to;
    if (type != MLX5_MODIFICATION_TYPE_SET && type != MLX5_MODIFICATION_TYPE_ADD && !is_copy) {
        *why = "libmlx5 knows no such kind of rewrite";
        return EOPNOTSUPP;
    }
    if (!to || !to->bits || !from || !from->bits) {
        *why = "libmlx5 knows no such field to rewrite";
        return EINVAL;
    }
    if (!is_of_domain(to, domain_type) || !is_of_domain(from, domain_type)) {
        *why = "the register does not exist in this domain";
        return EINVAL;
    }
    if (type == MLX5_MODIFICATION_TYPE_ADD) {
        *why = "libmlx5 adds to TTL, hop limit and TCP numbers only";
        return can_add(to) ? 0 : EINVAL;
    }
    *why = "the rewrite reaches beyond the field";
    return length + offset > to->bits || length + from_offset > from->bits ? EINVAL : 0;
}

int
modify_check(int domain_type, const uint64_t *actions, size_t n, const char **why)
{
    enum layer l3 = ANY, l4 = ANY;

    if (!n) {
        *why = "a rewrite of nothing";
        return EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        const struct header_field *f;
        int error = check_one(domain_type, &actions[i], &f, why);

        if (error) {
            return error;
        }
        if (l3 != ANY && f->l3 != ANY && f->l3 != l3) {
            *why = "one list cannot rewrite both IPv4 and IPv6";
            return ENOTSUP;
        }
        if (l4 != ANY && f->l4 != ANY && f->l4 != l4) {
            *why = "one list cannot rewrite both TCP and UDP";
            return EINVAL;
        }
        l3 = f->l3 != ANY ? f->l3 : l3;
        l4 = f->l4 != ANY ? f->l4 : l4;
    }
    return 0;
}
