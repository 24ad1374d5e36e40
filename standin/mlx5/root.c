/* root.c: rules of the root table, which the kernel makes: hardware steering's way into group 0, and the driver's own.
 *
 * The kernel's judgement is not known here, except what dr_rule.c says of counters.
 */
#include "standin.h"
#include "root.h"

#define MAX_MATCH 512

struct mlx5dv_flow_matcher {
    struct ibv_context *context;
    enum mlx5dv_flow_table_type table_type;
    uint16_t priority;
    size_t size;
    uint8_t mask[MAX_MATCH];
};

struct root_flow {
    struct ibv_flow flow;  /* first: the driver holds a pointer to it */
    struct record *record; /* NULL where its content was not looked at */
};

struct mlx5dv_flow_matcher *
mlx5dv_create_flow_matcher(struct ibv_context *context, struct mlx5dv_flow_matcher_attr *a)
{
    struct mlx5dv_flow_matcher *m = calloc(1, sizeof *m);

    if (a->match_mask->match_sz > sizeof m->mask) {
        free(m);
        errno = EINVAL;
        return NULL;
    }
    m->context = context;
    m->table_type = a->comp_mask & MLX5DV_FLOW_MATCHER_MASK_FT_TYPE ? a->ft_type : MLX5DV_FLOW_TABLE_TYPE_NIC_RX;
    m->priority = a->priority;
    m->size = a->match_mask->match_sz;
    memcpy(m->mask, a->match_mask->match_buf, m->size);
    return m;
}

int
mlx5dv_destroy_flow_matcher(struct mlx5dv_flow_matcher *m)
{
    free(m);
    return 0;
}

static const char *
domain_of(enum mlx5dv_flow_table_type type)
{
    switch (type) {
    case MLX5DV_FLOW_TABLE_TYPE_NIC_RX:
        return "nic-rx";
    case MLX5DV_FLOW_TABLE_TYPE_NIC_TX:
        return "nic-tx";
    case MLX5DV_FLOW_TABLE_TYPE_FDB:
        return "fdb";
    default:
        return "other";
    }
}

static void
describe_action(struct text *out, const struct mlx5dv_flow_action_attr *a)
{
    switch (a->type) {
    case MLX5DV_FLOW_ACTION_DEST_IBV_QP:
        text_add(out, "{\"action\": \"queue\", \"id\": %u}", a->qp->qp_num);
        break;
    case MLX5DV_FLOW_ACTION_DEST_DEVX:
        text_add(out, "{\"action\": \"%s\", \"id\": %u}", a->obj->opcode == MLX5_CMD_OP_CREATE_TIR ? "queue" : "table",
                 a->obj->id);
        break;
    case MLX5DV_FLOW_ACTION_COUNTERS_DEVX:
        text_add(out, "{\"action\": \"counter\", \"id\": %u}", a->obj->id);
        break;
    case MLX5DV_FLOW_ACTION_TAG:
        text_add(out, "{\"action\": \"tag\", \"value\": %u}", a->tag_value);
        break;
    case MLX5DV_FLOW_ACTION_DROP:
        text_add(out, "{\"action\": \"drop\"}");
        break;
    case MLX5DV_FLOW_ACTION_DEFAULT_MISS:
        text_add(out, "{\"action\": \"miss\"}");
        break;
    case MLX5DV_FLOW_ACTION_IBV_FLOW_ACTION:
        text_add(out, "{\"action\": \"modify\"}");
        break;
    default:
        text_add(out, "{\"action\": \"kind %d\"}", a->type);
    }
}

/* A rule whose content is not looked at. */
struct ibv_flow *
root_create_flow(struct ibv_context *context)
{
    struct root_flow *f = calloc(1, sizeof *f);

    f->flow.context = context;
    return &f->flow;
}

struct ibv_flow *
mlx5dv_create_flow(struct mlx5dv_flow_matcher *m, struct mlx5dv_flow_match_parameters *value, size_t n,
                   struct mlx5dv_flow_action_attr actions[])
{
    struct root_flow *f = NULL;

    standin_lock();
    struct record *r = record_new();
    text_add(&r->body, "\"engine\": \"root\", \"domain\": \"%s\", \"level\": 0, \"priority\": %u, \"match\": ",
             domain_of(m->table_type), m->priority);
    fields_match(&r->body, value->match_buf, m->mask, m->size < value->match_sz ? m->size : value->match_sz);
    text_add(&r->body, ", \"actions\": [");
    for (size_t i = 0; i < n; i++) {
        text_add(&r->body, i ? ", " : "");
        describe_action(&r->body, &actions[i]);
    }
    text_add(&r->body, "]");
    int error = fault_strikes(FAULT_RULE);
    if (error) {
        record_refuse(r, error, "a test asked for it");
    } else {
        f = calloc(1, sizeof *f);
        f->flow.context = m->context;
        f->record = r;
        record_keep(r);
    }
    standin_unlock();
    errno = error;
    return f ? &f->flow : NULL;
}

int
root_destroy_flow(struct ibv_flow *flow)
{
    struct root_flow *f = (struct root_flow *) flow;

    if (f->record) {
        standin_lock();
        record_drop(f->record);
        standin_unlock();
    }
    free(f);
    return 0;
}

/* --- actions for the root table ---------------------------------------------------------------------------------------- */

static struct ibv_flow_action *
new_action(struct ibv_context *context)
{
    struct ibv_flow_action *a = calloc(1, sizeof *a);

    a->context = context;
    return a;
}

struct ibv_flow_action *
mlx5dv_create_flow_action_modify_header(struct ibv_context *context, size_t size, uint64_t rewrites[],
                                        enum mlx5dv_flow_table_type type)
{
    return new_action(context);
}

struct ibv_flow_action *
mlx5dv_create_flow_action_packet_reformat(struct ibv_context *context, size_t size, void *data,
                                          enum mlx5dv_flow_action_packet_reformat_type reformat,
                                          enum mlx5dv_flow_table_type type)
{
    return new_action(context);
}

/* --- a place in the root table that others may jump to: the driver of 25.11 probes with one ---------------------------- */

struct mlx5dv_steering_anchor *
mlx5dv_create_steering_anchor(struct ibv_context *context, struct mlx5dv_steering_anchor_attr *a)
{
    struct mlx5dv_steering_anchor *anchor = calloc(1, sizeof *anchor);

    anchor->id = standin_next_id();
    return anchor;
}

int
mlx5dv_destroy_steering_anchor(struct mlx5dv_steering_anchor *anchor)
{
    free(anchor);
    return 0;
}

int
root_destroy_action(struct ibv_flow_action *a)
{
    free(a);
    return 0;
}
