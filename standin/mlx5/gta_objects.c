/* gta_objects.c: actions and tables of hardware steering, as firmware commands make them. */
#include <endian.h>
#include "gta.h"

#define ARG_SIZE         64
#define MAX_REWRITES     64
#define REWRITE_DATA_ODD 4 /* in each 8 bytes of an argument, the value is the second half */

/* --- STC: an array of actions behind each object --------------------------------------------------------------------- */

void
gta_modify_stc(struct mlx5dv_devx_obj *o, const void *in)
{
    const void *attributes = MLX5_ADDR_OF(create_stc_in, in, stc);
    uint32_t index = MLX5_GET(general_obj_in_cmd_hdr, in, obj_offset);

    if (index >= o->n_ids) {
        return;
    }
    o->extra = o->extra ? o->extra : calloc(o->n_ids, sizeof(struct stc));
    struct stc *s = (struct stc *) o->extra + index;
    s->type = MLX5_GET(stc, attributes, action_type);
    memcpy(s->param, MLX5_ADDR_OF(stc, attributes, stc_param), sizeof s->param);
}

const struct stc *
gta_stc(uint32_t base, uint32_t index)
{
    struct mlx5dv_devx_obj *o = devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_STC, base);

    return o && o->extra && index < o->n_ids ? (const struct stc *) o->extra + index : NULL;
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

/* The matchers a table begins with; kept behind its object. */
struct table {
    uint32_t rtc_0, rtc_1;
};

void
gta_modify_table(const void *in)
{
    const void *context = MLX5_ADDR_OF(modify_flow_table_in, in, flow_table_context);
    struct mlx5dv_devx_obj *o =
        devx_find(MLX5_CMD_OP_CREATE_FLOW_TABLE, 0, MLX5_GET(modify_flow_table_in, in, table_id));

    if (o && MLX5_GET(modify_flow_table_in, in, modify_field_select) & MLX5_IFC_MODIFY_FLOW_TABLE_RTC_ID) {
        struct table *t = o->extra = o->extra ? o->extra : calloc(1, sizeof *t);

        t->rtc_0 = MLX5_GET(flow_table_context, context, rtc_id_0);
        t->rtc_1 = MLX5_GET(flow_table_context, context, rtc_id_1);
    }
}

struct search {
    uint32_t rtc, found;
};

static bool
begins_with(struct mlx5dv_devx_obj *o, void *search_)
{
    struct search *search = search_;
    const struct table *t = o->extra;

    if (o->opcode == MLX5_CMD_OP_CREATE_FLOW_TABLE && t && (t->rtc_0 == search->rtc || t->rtc_1 == search->rtc)) {
        search->found = o->id;
    }
    return search->found;
}

static bool
misses_to(struct mlx5dv_devx_obj *o, void *search_)
{
    struct search *search = search_;

    if (o->type == MLX5_GENERAL_OBJ_TYPE_RTC &&
        MLX5_GET(rtc, MLX5_ADDR_OF(create_rtc_in, o->in, rtc), miss_flow_table_id) == search->rtc) {
        search->found = o->id;
    }
    return search->found;
}

/* Matchers of one table are chained: what the first does not match goes to the end table that the second begins. */
uint32_t
gta_table_of(uint32_t rtc)
{
    uint32_t table = 0;

    for (int i = 0; rtc && i < 16; i++) {
        struct search begin = {.rtc = rtc};

        devx_each(begins_with, &begin);
        table = begin.found;
        struct search before = {.rtc = table};
        devx_each(misses_to, &before);
        rtc = table ? before.found : 0;
    }
    return table;
}

/* --- actions by name ------------------------------------------------------------------------------------------------------ */

/* The rewrites of a pattern, with the values that were written into the argument. */
static void
describe_list(struct text *out, uint32_t pattern, uint32_t argument)
{
    struct mlx5dv_devx_obj *p =
        devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_MODIFY_HEADER_PATTERN, pattern);
    struct mlx5dv_devx_obj *a = devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_ARG, argument);
    uint64_t rewrites[MAX_REWRITES];

    if (!p) {
        text_add(out, "[]");
        return;
    }
    const void *in = MLX5_ADDR_OF(create_header_modify_pattern_in, p->in, pattern);
    size_t n = MLX5_GET(header_modify_pattern_in, in, pattern_length);
    n = n < MAX_REWRITES ? n : MAX_REWRITES;
    memcpy(rewrites, MLX5_ADDR_OF(header_modify_pattern_in, in, pattern_data), n * sizeof *rewrites);
    for (size_t i = 0; a && a->extra && i < n; i++) {
        const uint8_t *data = (const uint8_t *) a->extra + (size_t) (argument - a->id) * ARG_SIZE + 8 * i;

        if (MLX5_GET(set_action_in, &rewrites[i], action_type) != MLX5_MODIFICATION_TYPE_COPY) {
            memcpy((uint8_t *) &rewrites[i] + REWRITE_DATA_ODD, data + REWRITE_DATA_ODD, 4);
        }
    }
    fields_modify(out, rewrites, n);
}

static void
describe_single(struct text *out, const struct stc *s, uint32_t value)
{
    uint64_t rewrite;

    memcpy(&rewrite, s->param, sizeof rewrite);
    if (s->type != MLX5_IFC_STC_ACTION_TYPE_COPY) {
        MLX5_SET(set_action_in, &rewrite, data, value);
    }
    fields_modify(out, &rewrite, 1);
}

static void
describe_counter(struct record *r, const struct stc *s, uint32_t offset)
{
    uint32_t id = MLX5_GET(stc_ste_param_flow_counter, s->param, flow_counter_id) + offset;

    text_add(&r->body, "{\"action\": \"counter\", \"id\": %u}", id);
    record_target_add(r, TARGET_COUNTER, id, 0);
}

static void
describe_aso(struct text *out, const struct stc *s, const struct stc_data *data)
{
    uint32_t object = MLX5_GET(stc_ste_param_execute_aso, s->param, aso_object_id);

    if (devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_CONN_TRACK_OFFLOAD, object)) {
        text_add(out, "{\"action\": \"context\", \"direction\": \"%s\"", data->second ? "reply" : "original");
    } else {
        text_add(out, "{\"action\": \"meter\"");
    }
    text_add(out, ", \"id\": %u, \"offset\": %u, \"result\": \"reg_c_%u\"}", object, data->first,
             (unsigned int) MLX5_GET(stc_ste_param_execute_aso, s->param, return_reg_id));
}

static void
describe_modify(struct text *out, const struct stc *s, uint32_t value)
{
    text_add(out, "{\"action\": \"modify\", \"rewrites\": ");
    if (s->type == MLX5_IFC_STC_ACTION_TYPE_ACC_MODIFY_LIST) {
        describe_list(out, MLX5_GET(stc_ste_param_header_modify_list, s->param, header_modify_pattern_id),
                      MLX5_GET(stc_ste_param_header_modify_list, s->param, header_modify_argument_id) + value);
    } else {
        describe_single(out, s, value);
    }
    text_add(out, "}");
}

/* Where a packet goes, and kinds that are shown by number. */
static void
describe_destination(struct text *out, const struct stc *s)
{
    switch (s->type) {
    case MLX5_IFC_STC_ACTION_TYPE_JUMP_TO_FT:
        text_add(out, "{\"action\": \"table\", \"id\": %u}",
                 (unsigned int) MLX5_GET(stc_ste_param_table, s->param, table_id));
        break;
    case MLX5_IFC_STC_ACTION_TYPE_JUMP_TO_TIR:
        text_add(out, "{\"action\": \"queue\"");
        devx_describe_queue(out, MLX5_GET(stc_ste_param_tir, s->param, tirn));
        text_add(out, "}");
        break;
    case MLX5_IFC_STC_ACTION_TYPE_JUMP_TO_VPORT:
    case MLX5_IFC_STC_ACTION_TYPE_JUMP_TO_UPLINK:
        text_add(out, "{\"action\": \"port\", \"value\": %u}",
                 (unsigned int) MLX5_GET(stc_ste_param_vport, s->param, vport_number));
        break;
    case MLX5_IFC_STC_ACTION_TYPE_DROP:
        text_add(out, "{\"action\": \"drop\"}");
        break;
    case MLX5_IFC_STC_ACTION_TYPE_ALLOW:
        text_add(out, "{\"action\": \"miss\"}");
        break;
    default:
        text_add(out, "{\"action\": \"kind %#x\"}", s->type);
    }
}

void
gta_describe(struct record *r, const struct stc *s, const struct stc_data *data, bool *is_first)
{
    if (!s || s->type == MLX5_IFC_STC_ACTION_TYPE_NOP) {
        return;
    }
    text_add(&r->body, *is_first ? "" : ", ");
    *is_first = false;
    switch (s->type) {
    case MLX5_IFC_STC_ACTION_TYPE_COUNTER:
        describe_counter(r, s, data->counter);
        break;
    case MLX5_IFC_STC_ACTION_TYPE_TAG:
        text_add(&r->body, "{\"action\": \"tag\", \"value\": %u}", data->single);
        break;
    case MLX5_IFC_STC_ACTION_TYPE_ASO:
        describe_aso(&r->body, s, data);
        break;
    case MLX5_IFC_STC_ACTION_TYPE_ACC_MODIFY_LIST:
    case MLX5_IFC_STC_ACTION_TYPE_SET:
    case MLX5_IFC_STC_ACTION_TYPE_ADD:
    case MLX5_IFC_STC_ACTION_TYPE_COPY:
        describe_modify(&r->body, s, data->second);
        break;
    default:
        describe_destination(&r->body, s);
    }
}
