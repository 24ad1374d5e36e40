/* aso.c: objects that a send queue entry reads and writes: CONNTRACK contexts, age bits, counters. */
#include <endian.h>
#include "standin.h"

#define CONTEXT_SIZE       64
#define COUNTERS_PER_ENTRY 4
#define OP_MOD_COUNTER     5 /* what capabilities.c announces as flow_access_aso_opc_mod */

struct context {
    LIST_ENTRY(context) next;
    uint32_t id;
    uint8_t data[CONTEXT_SIZE]; /* in the layout of conn_track_aso */
};

static LIST_HEAD(, context) contexts = LIST_HEAD_INITIALIZER(contexts);

static struct context *
context_of(uint32_t id)
{
    struct context *c;

    LIST_FOREACH(c, &contexts, next)
    {
        if (c->id == id) {
            return c;
        }
    }
    c = calloc(1, sizeof *c);
    c->id = id;
    LIST_INSERT_HEAD(&contexts, c, next);
    return c;
}

/* Freed with their object. */
void
context_forget(uint32_t first, uint32_t n)
{
    struct context *c, *following;

    for (c = LIST_FIRST(&contexts); c; c = following) {
        following = LIST_NEXT(c, next);
        if (c->id - first < n) {
            LIST_REMOVE(c, next);
            free(c);
        }
    }
}

/* The memory that a read is written to, or NULL where the entry asks for none. */
static void *
destination(const struct mlx5_aso_cseg *aso)
{
    uint64_t address = (uint64_t) be32toh(aso->va_h) << 32 | be32toh(aso->va_l_r);

    return address & 1 ? (void *) (uintptr_t) (address & ~1ull) : NULL;
}

void
aso_execute(const void *entry, uint32_t op_mod)
{
    const struct mlx5_aso_wqe *wqe = entry;
    uint32_t id = be32toh(wqe->general_cseg.misc);
    void *to = destination(&wqe->aso_cseg);

    if (op_mod == ASO_OPC_MOD_CONNECTION_TRACKING) {
        struct context *c = context_of(id);
        uint32_t condition = be32toh(wqe->aso_cseg.operand_masks) >> ASO_CSEG_COND_0_OPER_OFFSET & 0xf;

        if (to) {
            memcpy(to, c->data, sizeof c->data);
        }
        if (condition != ASO_OP_ALWAYS_FALSE) {
            memcpy(c->data, &wqe->aso_dseg, sizeof c->data);
        }
    } else if (op_mod == ASO_OPC_MOD_FLOW_HIT && to) {
        age_read_clear(id, to);
    } else if (op_mod == OP_MOD_COUNTER && to) {
        counter_read(id * COUNTERS_PER_ENTRY, COUNTERS_PER_ENTRY, to);
    }
}

/* The members a test sees and may set, by the names of conn_track_aso. */
#define CONTEXT_FIELDS(F)                                                                                              \
    F(valid)                                                                                                           \
    F(state)                                                                                                           \
    F(freeze_track)                                                                                                    \
    F(connection_assured)                                                                                              \
    F(sack_permitted)                                                                                                  \
    F(challenged_acked)                                                                                                \
    F(max_ack_window)                                                                                                  \
    F(retranmission_limit)                                                                                             \
    F(last_dir)                                                                                                        \
    F(last_index)                                                                                                      \
    F(last_win)                                                                                                        \
    F(last_seq)                                                                                                        \
    F(last_ack)                                                                                                        \
    F(last_end)                                                                                                        \
    F(original_direction_tcp_scale)                                                                                    \
    F(original_direction_tcp_close_initiated)                                                                          \
    F(original_direction_tcp_liberal_enabled)                                                                          \
    F(original_direction_tcp_data_unacked)                                                                             \
    F(original_direction_tcp_max_ack)                                                                                  \
    F(reply_direction_tcp_scale)                                                                                       \
    F(reply_direction_tcp_close_initiated)                                                                             \
    F(reply_direction_tcp_liberal_enabled)                                                                             \
    F(reply_direction_tcp_data_unacked)                                                                                \
    F(reply_direction_tcp_max_ack)

#define WINDOW_FIELDS(F)                                                                                               \
    F(sent_end)                                                                                                        \
    F(reply_end)                                                                                                       \
    F(max_win)                                                                                                         \
    F(max_ack)

void
context_list(struct text *out)
{
    struct context *c;

    LIST_FOREACH(c, &contexts, next)
    {
        const void *original = MLX5_ADDR_OF(conn_track_aso, c->data, original_dir);
        const void *reply = MLX5_ADDR_OF(conn_track_aso, c->data, reply_dir);

        text_add(out, "{\"context\": %u", c->id);
#define F(field) text_add(out, ", \"" #field "\": %u", (unsigned int) MLX5_GET(conn_track_aso, c->data, field));
        CONTEXT_FIELDS(F)
#undef F
#define F(field)                                                                                                       \
    text_add(out, ", \"original_dir." #field "\": %u", (unsigned int) MLX5_GET(tcp_window_params, original, field));   \
    text_add(out, ", \"reply_dir." #field "\": %u", (unsigned int) MLX5_GET(tcp_window_params, reply, field));
        WINDOW_FIELDS(F)
#undef F
        text_add(out, "}\n");
    }
}

/* As if packets had moved the context. False: no such context or field. */
bool
context_set(uint32_t id, const char *name, uint32_t value)
{
    struct context *c;

    LIST_FOREACH(c, &contexts, next)
    {
        if (c->id == id) {
            break;
        }
    }
    if (!c) {
        return false;
    }
#define F(field)                                                                                                       \
    if (!strcmp(name, #field)) {                                                                                       \
        MLX5_SET(conn_track_aso, c->data, field, value);                                                               \
        return true;                                                                                                   \
    }
    CONTEXT_FIELDS(F)
#undef F
#define F(field)                                                                                                       \
    if (!strcmp(name, "original_dir." #field)) {                                                                       \
        MLX5_SET(tcp_window_params, MLX5_ADDR_OF(conn_track_aso, c->data, original_dir), field, value);                \
        return true;                                                                                                   \
    }                                                                                                                  \
    if (!strcmp(name, "reply_dir." #field)) {                                                                          \
        MLX5_SET(tcp_window_params, MLX5_ADDR_OF(conn_track_aso, c->data, reply_dir), field, value);                   \
        return true;                                                                                                   \
    }
    WINDOW_FIELDS(F)
#undef F
    return false;
}
