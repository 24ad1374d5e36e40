/* dr_action.c: actions of software steering, and what libmlx5 checks when one is made.
 *
 * Stands on rdma-core 44.0, providers/mlx5/dr_action.c; the line is named at each check.
 */
#include <endian.h>
#include "dr.h"
#include "modify.h"

#define AGES_PER_OBJECT   512
#define METERS_PER_OBJECT 2
#define MAX_VPORT         0xffff
#define ETHERTYPE_C_VLAN  0x8100
#define ETHERTYPE_S_VLAN  0x88a8

static const struct {
    enum dr_kind kind;
    const char *name;
} kind_names[] = {
    {DROP, "drop"},           {QUEUE, "queue"},       {TABLE, "table"},         {ROOT_TABLE, "root-table"},
    {PORT, "port"},           {MISS, "miss"},         {OLD_METER, "old-meter"}, {SAMPLER, "sampler"},
    {ARRAY, "array"},         {TAG, "tag"},           {COUNTER, "counter"},     {AGE, "age"},
    {METER, "meter"},         {CONTEXT, "context"},   {MODIFY, "modify"},       {POP_VLAN, "pop-vlan"},
    {PUSH_VLAN, "push-vlan"}, {DECAP_L2, "decap-l2"}, {DECAP_L3, "decap-l3"},   {ENCAP_L2, "encap-l2"},
    {ENCAP_L3, "encap-l3"},
};

const char *
dr_kind_name(enum dr_kind kind)
{
    for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
        if (kind_names[i].kind == kind) {
            return kind_names[i].name;
        }
    }
    return "unknown";
}

void
dr_action_describe(struct text *out, const struct mlx5dv_dr_action *a)
{
    text_add(out, "{\"action\": \"%s\"", dr_kind_name(a->kind));
    switch (a->kind) {
    case TABLE:
    case ROOT_TABLE:
        text_add(out, ", \"level\": %u", a->table->level);
        break;
    case TAG:
    case PORT:
    case PUSH_VLAN:
        text_add(out, ", \"value\": %u", a->value);
        break;
    case QUEUE:
        devx_describe_queue(out, a->object ? a->object->id : a->value);
        break;
    case COUNTER:
        text_add(out, ", \"id\": %u", a->object->id + a->offset);
        break;
    case CONTEXT:
        text_add(out, ", \"direction\": \"%s\"",
                 a->value == MLX5DV_DR_ACTION_FLAGS_ASO_CT_DIRECTION_INITIATOR ? "original" : "reply");
        /* fall through */
    case AGE:
    case METER:
        text_add(out, ", \"id\": %u, \"offset\": %u, \"result\": \"reg_c_%u\"", a->object->id, a->offset,
                 a->result_register);
        break;
    case MODIFY:
        text_add(out, ", \"rewrites\": ");
        fields_modify(out, a->rewrites, a->n_rewrites);
        break;
    default:
        break;
    }
    text_add(out, "}");
}

static struct mlx5dv_dr_action *
new_action(enum dr_kind kind, struct mlx5dv_dr_domain *domain)
{
    struct mlx5dv_dr_action *a = calloc(1, sizeof *a);

    a->kind = kind;
    a->domain = domain;
    return a;
}

static struct mlx5dv_dr_action *
refuse(int error)
{
    errno = error;
    return NULL;
}

int
mlx5dv_dr_action_destroy(struct mlx5dv_dr_action *a)
{
    standin_lock();
    bool is_busy = a->n_users;
    if (!is_busy && a->table) {
        a->table->n_users--;
    }
    standin_unlock();
    if (is_busy) {
        return EBUSY;
    }
    free(a->rewrites);
    free(a);
    return 0;
}

/* --- where a packet goes ------------------------------------------------------------------------------------------- */

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_drop(void)
{
    return new_action(DROP, NULL);
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_default_miss(void)
{
    return new_action(MISS, NULL);
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_ibv_qp(struct ibv_qp *qp)
{
    struct mlx5dv_dr_action *a = new_action(QUEUE, NULL);

    a->value = qp->qp_num;
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_devx_tir(struct mlx5dv_devx_obj *o)
{
    if (o->opcode != MLX5_CMD_OP_CREATE_TIR) {
        return refuse(EINVAL); /* :1056 */
    }
    struct mlx5dv_dr_action *a = new_action(QUEUE, NULL);
    a->object = o;
    return a;
}

static struct mlx5dv_dr_action *
to_table(enum dr_kind kind, struct mlx5dv_dr_table *t)
{
    struct mlx5dv_dr_action *a = new_action(kind, t->domain);

    a->table = t;
    standin_lock();
    t->n_users++;
    standin_unlock();
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_table(struct mlx5dv_dr_table *t)
{
    return t->level ? to_table(TABLE, t) : refuse(EINVAL); /* :1076 */
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_root_table(struct mlx5dv_dr_table *t, uint16_t priority)
{
    return t->level ? refuse(EINVAL) : to_table(ROOT_TABLE, t); /* :1157 */
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_ib_port(struct mlx5dv_dr_domain *d, uint32_t port)
{
    if (d->type != MLX5DV_DR_DOMAIN_TYPE_FDB) {
        return refuse(EOPNOTSUPP); /* :2334 */
    }
    if (!port || port > (uint32_t) standin_settings.n_ports) {
        return refuse(EINVAL); /* :2341: no such port */
    }
    struct mlx5dv_dr_action *a = new_action(PORT, d);
    a->value = port;
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_dest_array(struct mlx5dv_dr_domain *d, size_t n,
                                   struct mlx5dv_dr_action_dest_attr *attributes[])
{
    return new_action(ARRAY, d);
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_flow_sampler(struct mlx5dv_dr_flow_sampler_attr *attributes)
{
    return new_action(SAMPLER, attributes->default_next_table->domain);
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_flow_meter(struct mlx5dv_dr_flow_meter_attr *attributes)
{
    if (!attributes->next_table->level) {
        return refuse(EOPNOTSUPP); /* :2259 */
    }
    return to_table(OLD_METER, attributes->next_table);
}

int
mlx5dv_dr_action_modify_flow_meter(struct mlx5dv_dr_action *a, struct mlx5dv_dr_flow_meter_attr *attributes,
                                   __be64 modified)
{
    return a->kind == OLD_METER ? 0 : EINVAL;
}

/* --- what is remembered of it ---------------------------------------------------------------------------------------- */

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_tag(uint32_t tag)
{
    struct mlx5dv_dr_action *a = new_action(TAG, NULL);

    a->value = tag & 0xffffff; /* :1453 */
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_flow_counter(struct mlx5dv_devx_obj *o, uint32_t offset)
{
    if (o->opcode != MLX5_CMD_OP_ALLOC_FLOW_COUNTER) {
        return refuse(EINVAL); /* :1207 */
    }
    struct mlx5dv_dr_action *a = new_action(COUNTER, NULL);
    a->object = o;
    a->offset = offset;
    return a;
}

/* Kinds of objects that an ASO action works on; :1347-1381. */
static const struct {
    uint32_t type;
    enum dr_kind kind;
    uint32_t per_object;
    uint32_t max_flags;
    bool needs_flags;
} aso_kinds[] = {
    {MLX5_GENERAL_OBJ_TYPE_FLOW_HIT_ASO, AGE, AGES_PER_OBJECT, MLX5DV_DR_ACTION_FLAGS_ASO_FIRST_HIT_SET, false},
    {MLX5_GENERAL_OBJ_TYPE_FLOW_METER_ASO, METER, METERS_PER_OBJECT, MLX5DV_DR_ACTION_FLAGS_ASO_FLOW_METER_UNDEFINED,
     true},
    {MLX5_GENERAL_OBJ_TYPE_CONN_TRACK_OFFLOAD, CONTEXT, MLX5_ASO_CT_NUM_PER_OBJ,
     MLX5DV_DR_ACTION_FLAGS_ASO_CT_DIRECTION_RESPONDER, true},
};

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_aso(struct mlx5dv_dr_domain *d, struct mlx5dv_devx_obj *o, uint32_t offset, uint32_t flags,
                            uint8_t result_register)
{
    for (size_t i = 0; i < sizeof aso_kinds / sizeof *aso_kinds; i++) {
        if (aso_kinds[i].type == o->type) {
            bool is_beyond = offset / aso_kinds[i].per_object >= o->n_ids;
            /* :1240, :1271, :1316: the result goes to C1, C3 or C5. */
            bool is_register = result_register <= 5 && result_register % 2;

            if ((aso_kinds[i].needs_flags && !flags) || flags > aso_kinds[i].max_flags || is_beyond || !is_register) {
                return refuse(EINVAL);
            }
            struct mlx5dv_dr_action *a = new_action(aso_kinds[i].kind, d);
            a->object = o;
            a->offset = offset;
            a->value = flags;
            a->result_register = result_register;
            return a;
        }
    }
    return refuse(EOPNOTSUPP);
}

/* --- what is changed in it ------------------------------------------------------------------------------------------- */

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_modify_header(struct mlx5dv_dr_domain *d, uint32_t flags, size_t size, __be64 rewrites[])
{
    bool is_root = flags & MLX5DV_DR_ACTION_FLAGS_ROOT_LEVEL;
    const char *why;

    if (size % sizeof *rewrites || flags & ~(uint32_t) MLX5DV_DR_ACTION_FLAGS_ROOT_LEVEL) {
        return refuse(EINVAL); /* :2175, :2180 */
    }
    /* Those of the root table go to the kernel unseen; :2199. */
    uint64_t *copy = malloc(size);
    memcpy(copy, rewrites, size);
    int error = is_root ? 0 : modify_check(d->type, copy, size / sizeof *copy, &why);
    if (error) {
        free(copy);
        return refuse(error);
    }
    struct mlx5dv_dr_action *a = new_action(MODIFY, d);
    a->is_root = is_root;
    a->n_rewrites = size / sizeof *copy;
    a->rewrites = copy;
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_pop_vlan(void)
{
    return new_action(POP_VLAN, NULL);
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_push_vlan(struct mlx5dv_dr_domain *d, __be32 header)
{
    uint16_t ethertype = be32toh(header) >> 16;

    if (ethertype != ETHERTYPE_C_VLAN && ethertype != ETHERTYPE_S_VLAN) {
        return refuse(EINVAL); /* :1673 */
    }
    struct mlx5dv_dr_action *a = new_action(PUSH_VLAN, d);
    a->value = be32toh(header);
    return a;
}

struct mlx5dv_dr_action *
mlx5dv_dr_action_create_packet_reformat(struct mlx5dv_dr_domain *d, uint32_t flags,
                                        enum mlx5dv_flow_action_packet_reformat_type type, size_t size, void *data)
{
    static const struct {
        enum dr_kind kind;
        bool is_decap;
    } types[] = {
        [MLX5DV_FLOW_ACTION_PACKET_REFORMAT_TYPE_L2_TUNNEL_TO_L2] = {DECAP_L2, true},
        [MLX5DV_FLOW_ACTION_PACKET_REFORMAT_TYPE_L2_TO_L2_TUNNEL] = {ENCAP_L2, false},
        [MLX5DV_FLOW_ACTION_PACKET_REFORMAT_TYPE_L3_TUNNEL_TO_L2] = {DECAP_L3, true},
        [MLX5DV_FLOW_ACTION_PACKET_REFORMAT_TYPE_L2_TO_L3_TUNNEL] = {ENCAP_L3, false},
    };

    /* dr_action_verify_reformat_params(), :1490: off on the way in, on on the way out, both in the E-Switch. */
    if (type >= sizeof types / sizeof *types || !data != !size ||
        (d->type == MLX5DV_DR_DOMAIN_TYPE_NIC_RX && !types[type].is_decap) ||
        (d->type == MLX5DV_DR_DOMAIN_TYPE_NIC_TX && types[type].is_decap)) {
        return refuse(EINVAL);
    }
    struct mlx5dv_dr_action *a = new_action(types[type].kind, d);
    a->is_root = flags & MLX5DV_DR_ACTION_FLAGS_ROOT_LEVEL;
    return a;
}
