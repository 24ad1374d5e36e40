/* gta.c: hardware steering. The driver writes rules into the device's tables by send queue entries (GTA); this decodes
 * them into records.
 *
 * A rule is one entry that matches, followed by entries that only act. The acting ones are written first, to places the
 * matching one jumps to. Layouts: hws/mlx5dr_send.h and mlx5_prm.h; which word of an entry holds what: hws/mlx5dr_action.c.
 */
#include <endian.h>
#include <rte_flow.h>
#include "gta.h"
#include "mlx5dr_send.h"

#define MAX_STEPS   10 /* MLX5DR_ACTION_MAX_STE */
#define TAG_SIZE    44 /* three action words and eight tag words: the longest tag */
#define N_STC_BITS  29 /* of the first action index; above them is the last index that counts */
#define ARG_SIZE    64 /* bytes of rewrite data behind one argument number */
#define INDEX_SHIFT 6  /* places are addressed in units of 64 bytes */

/* Places of the action indices in an entry: enum mlx5dr_action_stc_idx. */
enum { STC_COUNTER, STC_HIT, STC_SINGLE, STC_FIRST, STC_SECOND, N_STCS };

struct entry {
    struct mlx5_wqe_cseg control;
    struct mlx5dr_wqe_gta_ctrl_seg gta;
    union {
        struct mlx5dr_wqe_gta_data_seg_ste ste;
        uint8_t argument[ARG_SIZE];
    };
};

/* An entry that only acts, at its place. */
struct place {
    LIST_ENTRY(place) next;
    uint32_t table, index; /* STE object; place in it */
    struct entry entry;
    uint32_t stc_base;
};

/* A rule, found again by its matcher and its tag or place when it is removed. */
struct hw_rule {
    LIST_ENTRY(hw_rule) next;
    uint32_t rtc, index;
    bool is_by_place;
    uint8_t tag[TAG_SIZE];
    struct record *record;
};

static LIST_HEAD(, place) places = LIST_HEAD_INITIALIZER(places);
static LIST_HEAD(, hw_rule) rules = LIST_HEAD_INITIALIZER(rules);

static const void *
rtc_of(uint32_t id)
{
    struct mlx5dv_devx_obj *o = devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_RTC, id);

    return o ? MLX5_ADDR_OF(create_rtc_in, o->in, rtc) : NULL;
}

/* --- entries that only act ------------------------------------------------------------------------------------------ */

static struct place *
place_of(uint32_t table, uint32_t index)
{
    struct place *p;

    LIST_FOREACH(p, &places, next)
    {
        if (p->table == table && p->index == index) {
            return p;
        }
    }
    return NULL;
}

static void
remember_place(const void *rtc, const struct entry *e)
{
    uint32_t table = MLX5_GET(rtc, rtc, ste_table_base_id), index = be32toh(e->gta.op_dirix) & 0xfffffff;
    struct place *p = place_of(table, index);

    if (!p) {
        p = calloc(1, sizeof *p);
        p->table = table;
        p->index = index;
        LIST_INSERT_HEAD(&places, p, next);
    }
    p->entry = *e;
    p->stc_base = MLX5_GET(rtc, rtc, stc_id);
}

/* --- rules -------------------------------------------------------------------------------------------------------------- */

/* Adds an entry's actions in the order the device takes them; returns the entry it jumps to, or NULL. */
static const struct place *
describe_step(struct record *r, const struct entry *e, uint32_t stc_base, bool *is_first)
{
    const struct stc_data data = {
        .counter = be32toh(e->ste.rsvd0_ctr_id),
        .single = be32toh(e->ste.action[0]),
        .first = be32toh(e->ste.action[1]),
        .second = be32toh(e->ste.action[2]),
    };
    uint32_t mask = (1u << N_STC_BITS) - 1, last = be32toh(e->gta.stc_ix[STC_COUNTER]) >> N_STC_BITS;
    const struct stc *hit = gta_stc(stc_base, be32toh(e->gta.stc_ix[STC_HIT]));

    for (uint32_t i = 0; i <= last && i < N_STCS; i++) {
        if (i != STC_HIT) {
            gta_describe(r, gta_stc(stc_base, be32toh(e->gta.stc_ix[i]) & mask), &data, is_first);
        }
    }
    if (hit && hit->type == MLX5_IFC_STC_ACTION_TYPE_JUMP_TO_STE_TABLE) {
        return place_of(MLX5_GET(stc_ste_param_ste_table, hit->param, ste_obj_id),
                        be32toh(e->ste.STE_NEXT) >> INDEX_SHIFT);
    }
    gta_describe(r, hit, &data, is_first);
    return NULL;
}

static const char *
domain_of(uint32_t table_type)
{
    switch (table_type) {
    case FS_FT_NIC_RX:
        return "nic-rx";
    case FS_FT_NIC_TX:
        return "nic-tx";
    case FS_FT_FDB_RX:
        return "fdb-rx";
    case FS_FT_FDB_TX:
        return "fdb-tx";
    default:
        return "fdb";
    }
}

static struct record *
describe(const void *rtc, uint32_t rtc_id, const void *definer, const struct entry *e)
{
    struct record *r = record_new();
    bool is_first = true;
    uint32_t stc_base = MLX5_GET(rtc, rtc, stc_id);

    text_add(&r->body, "\"engine\": \"hardware\", \"domain\": \"%s\", \"table\": %u, \"match\": ",
             domain_of(MLX5_GET(rtc, rtc, table_type)), gta_table_of(rtc_id));
    fields_definer(&r->body, definer, e->ste.action);
    text_add(&r->body, ", \"actions\": [");
    for (int i = 0; e && i < MAX_STEPS; i++) {
        const struct place *following = describe_step(r, e, stc_base, &is_first);

        e = following ? &following->entry : NULL;
    }
    text_add(&r->body, "]");
    return r;
}

static struct hw_rule *
find_rule(uint32_t rtc, bool is_by_place, uint32_t index, const uint8_t *tag)
{
    struct hw_rule *h;

    LIST_FOREACH(h, &rules, next)
    {
        if (h->rtc == rtc && (is_by_place ? h->index == index : !memcmp(h->tag, tag, TAG_SIZE))) {
            return h;
        }
    }
    return NULL;
}

/* The tag as it identifies a rule: without the action words, unless it is a long one. */
static void
copy_tag(const void *rtc, const struct entry *e, uint8_t tag[TAG_SIZE])
{
    memcpy(tag, e->ste.action, TAG_SIZE);
    if (MLX5_GET(rtc, rtc, RTC_STE_FORMAT) != MLX5_IFC_RTC_STE_FORMAT_11DW) {
        memset(tag, 0, sizeof e->ste.action);
    }
}

static void
remove_rule(struct hw_rule *h)
{
    LIST_REMOVE(h, next);
    record_drop(h->record);
    free(h);
}

static bool
execute_ste(const struct entry *e)
{
    uint32_t id = be32toh(e->control.misc), index = be32toh(e->gta.op_dirix) & 0xfffffff;
    const void *rtc = rtc_of(id);
    uint8_t tag[TAG_SIZE];

    if (!rtc) {
        return false;
    }
    bool is_by_place = MLX5_GET(rtc, rtc, update_index_mode) == MLX5_IFC_RTC_STE_UPDATE_MODE_BY_OFFSET;
    struct mlx5dv_devx_obj *definer = devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_DEFINER,
                                                MLX5_GET(rtc, rtc, RTC_MATCH_DEFINER));
    copy_tag(rtc, e, tag);
    if (be32toh(e->gta.op_dirix) >> 28 == MLX5DR_WQE_GTA_OP_DEACTIVATE) {
        struct hw_rule *h = find_rule(id, is_by_place, index, tag);

        if (h) {
            remove_rule(h);
        }
        return h;
    }
    if (!definer) { /* matches everything: an entry that only acts */
        remember_place(rtc, e);
        return true;
    }
    if (fault_strikes(FAULT_RULE)) {
        record_refuse(describe(rtc, id, MLX5_ADDR_OF(create_definer_in, definer->in, definer), e), EIO,
                      "a test asked for it");
        return false;
    }
    struct hw_rule *h = calloc(1, sizeof *h);
    h->rtc = id;
    h->index = index;
    h->is_by_place = is_by_place;
    memcpy(h->tag, tag, sizeof tag);
    h->record = describe(rtc, id, MLX5_ADDR_OF(create_definer_in, definer->in, definer), e);
    record_keep(h->record);
    LIST_INSERT_HEAD(&rules, h, next);
    return true;
}

/* Data of a rewrite, written ahead of the rule that uses it. */
static void
execute_argument(const struct entry *e)
{
    uint32_t id = be32toh(e->control.misc);
    struct mlx5dv_devx_obj *o = devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_ARG, id);

    if (o) {
        o->extra = o->extra ? o->extra : calloc(o->n_ids, ARG_SIZE);
        memcpy((uint8_t *) o->extra + (size_t) (id - o->id) * ARG_SIZE, e->argument, ARG_SIZE);
    }
}

bool
gta_execute(const void *wqe, uint32_t op_mod)
{
    if (fault_strikes(FAULT_QUEUE_ENTRY)) {
        return false;
    }
    if (op_mod == MLX5DR_WQE_GTA_OPMOD_MOD_ARG) {
        execute_argument(wqe);
        return true;
    }
    return execute_ste(wqe);
}

/* A matcher or table of places takes what lies in it along. */
void
gta_destroy(struct mlx5dv_devx_obj *o)
{
    if (o->type == MLX5_GENERAL_OBJ_TYPE_RTC) {
        struct hw_rule *h, *following;

        for (h = LIST_FIRST(&rules); h; h = following) {
            following = LIST_NEXT(h, next);
            if (h->rtc == o->id) {
                remove_rule(h);
            }
        }
    } else if (o->type == MLX5_GENERAL_OBJ_TYPE_STE) {
        struct place *p, *following;

        for (p = LIST_FIRST(&places); p; p = following) {
            following = LIST_NEXT(p, next);
            if (p->table - o->id < o->n_ids) {
                LIST_REMOVE(p, next);
                free(p);
            }
        }
    }
}
