/* devx.c: firmware objects by DevX commands. Firmware never says no here, except where a test arms a fault. */
#include <endian.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "standin.h"

/* A flow counter object holds a bulk of counters; the driver asks for at most this many at once. */
#define COUNTERS_PER_BULK (1u << 18)
#define FIRST_DEFINER     64

struct umem {
    struct mlx5dv_devx_umem handle; /* first: the driver holds a pointer to it */
    LIST_ENTRY(umem) next;
    char *memory; /* of the driver */
    size_t size;
};

static LIST_HEAD(, mlx5dv_devx_obj) objects = LIST_HEAD_INITIALIZER(objects);
static LIST_HEAD(, umem) umems = LIST_HEAD_INITIALIZER(umems);

static uint32_t
opcode_of(const void *in)
{
    return be32toh(*(const uint32_t *) in) >> 16;
}

/* How many numbers an object takes. */
static uint32_t
range_of(uint32_t opcode, const void *in)
{
    if (opcode == MLX5_CMD_OP_ALLOC_FLOW_COUNTER) {
        return COUNTERS_PER_BULK;
    }
    if (opcode == MLX5_CMD_OP_CREATE_GENERAL_OBJECT) {
        return 1u << MLX5_GET(general_obj_in_cmd_hdr, in, log_obj_range);
    }
    return 1;
}

struct mlx5dv_devx_obj *
devx_find(uint32_t opcode, uint32_t type, uint32_t id)
{
    struct mlx5dv_devx_obj *o;

    LIST_FOREACH(o, &objects, next)
    {
        if (o->opcode == opcode && o->type == type && id - o->id < o->n_ids) {
            return o;
        }
    }
    return NULL;
}

void
devx_each(bool (*visit)(struct mlx5dv_devx_obj *, void *), void *argument)
{
    struct mlx5dv_devx_obj *o;

    LIST_FOREACH(o, &objects, next)
    {
        if (visit(o, argument)) {
            return;
        }
    }
}

static bool
is_hairpin(uint32_t tir)
{
    struct mlx5dv_devx_obj *o = devx_find(MLX5_CMD_OP_CREATE_TIR, 0, tir);

    o = o ? devx_find(MLX5_CMD_OP_CREATE_RQT, 0, MLX5_GET(create_tir_in, o->in, ctx.indirect_table)) : NULL;
    if (!o) {
        return false;
    }
    const void *first = MLX5_ADDR_OF(create_rqt_in, o->in, rqt_context.rq_num);
    o = devx_find(MLX5_CMD_OP_CREATE_RQ, 0, MLX5_GET(rq_num, first, rq_num));
    return o && MLX5_GET(create_rq_in, o->in, ctx.hairpin);
}

void
devx_describe_queue(struct text *out, uint32_t tir)
{
    text_add(out, ", \"id\": %u%s", tir, is_hairpin(tir) ? ", \"leads\": \"out by a hairpin\"" : "");
}

static void
object_free(struct mlx5dv_devx_obj *o)
{
    free(o->extra);
    free(o->in);
    free(o);
}

/* Definers have numbers of eight bits, the first of which are fixed formats. Called with the lock held; 0: none left. */
static uint32_t
free_definer(void)
{
    uint32_t id = FIRST_DEFINER;

    while (id <= UINT8_MAX && devx_find(MLX5_CMD_OP_CREATE_GENERAL_OBJECT, MLX5_GENERAL_OBJ_TYPE_DEFINER, id)) {
        id++;
    }
    return id <= UINT8_MAX ? id : 0;
}

static struct mlx5dv_devx_obj *
object_new(const void *in, size_t in_size)
{
    struct mlx5dv_devx_obj *o = calloc(1, sizeof *o);
    void *copy = malloc(in_size);

    if (!o || !copy) {
        standin_abort("out of memory");
    }
    o->opcode = opcode_of(in);
    o->type = o->opcode == MLX5_CMD_OP_CREATE_GENERAL_OBJECT ? MLX5_GET(general_obj_in_cmd_hdr, in, obj_type) : 0;
    o->n_ids = range_of(o->opcode, in);
    o->id = standin_next_ids(o->n_ids);
    o->in = memcpy(copy, in, in_size);
    o->in_size = in_size;
    return o;
}

struct mlx5dv_devx_obj *
mlx5dv_devx_obj_create(struct ibv_context *context, const void *in, size_t in_size, void *out, size_t out_size)
{
    struct mlx5dv_devx_obj *o = object_new(in, in_size);
    bool ok = true;

    memset(out, 0, out_size);
    standin_lock();
    int error = fault_strikes(FAULT_OBJECT);
    if (error) {
        goto refuse;
    }
    if (o->opcode == MLX5_CMD_OP_CREATE_CQ) {
        ok = queue_create_cq(o);
    } else if (o->opcode == MLX5_CMD_OP_CREATE_SQ) {
        ok = queue_create_sq(o);
    } else if (o->type == MLX5_GENERAL_OBJ_TYPE_DEFINER) {
        o->id = free_definer();
        ok = o->id != 0;
    }
    if (!ok) {
        error = EINVAL;
        goto refuse;
    }
    LIST_INSERT_HEAD(&objects, o, next);
    standin_unlock();
    /* Every creating command answers with the object's number in the third word. */
    ((uint32_t *) out)[2] = htobe32(o->id);
    return o;

refuse:
    standin_unlock();
    object_free(o);
    errno = error;
    return NULL;
}

int
mlx5dv_devx_obj_destroy(struct mlx5dv_devx_obj *o)
{
    standin_lock();
    LIST_REMOVE(o, next);
    if (o->opcode == MLX5_CMD_OP_CREATE_CQ || o->opcode == MLX5_CMD_OP_CREATE_SQ) {
        queue_destroy(o);
    } else if (o->opcode == MLX5_CMD_OP_ALLOC_FLOW_COUNTER) {
        counter_forget(o->id, o->n_ids);
    } else if (o->type == MLX5_GENERAL_OBJ_TYPE_CONN_TRACK_OFFLOAD) {
        context_forget(o->id, o->n_ids);
    } else if (o->type == MLX5_GENERAL_OBJ_TYPE_FLOW_HIT_ASO) {
        age_forget(o->id, o->n_ids);
    } else {
        gta_destroy(o);
    }
    standin_unlock();
    object_free(o);
    return 0;
}

/* Counters are written to out, or, for a bulk, to the memory that the command names. */
static void
query_counters(const void *in, void *out, size_t out_size)
{
    uint32_t id = MLX5_GET(query_flow_counter_in, in, flow_counter_id);
    uint32_t n = MLX5_GET(query_flow_counter_in, in, num_of_counters);

    if (n && MLX5_GET(query_flow_counter_in, in, dump_to_memory)) {
        counter_read(id, n, (void *) (uintptr_t) MLX5_GET64(query_flow_counter_in, in, address));
    } else if (out && out_size >= MLX5_ST_SZ_BYTES(query_flow_counter_out) + MLX5_ST_SZ_BYTES(traffic_counter)) {
        counter_read(id, 1, MLX5_ADDR_OF(query_flow_counter_out, out, flow_statistics));
    }
}

int
mlx5dv_devx_obj_query(struct mlx5dv_devx_obj *o, const void *in, size_t in_size, void *out, size_t out_size)
{
    memset(out, 0, out_size);
    standin_lock();
    if (opcode_of(in) == MLX5_CMD_OP_QUERY_FLOW_COUNTER) {
        query_counters(in, out, out_size);
    } else if (opcode_of(in) == MLX5_CMD_OP_QUERY_GENERAL_OBJECT) {
        ((uint32_t *) out)[2] = htobe32(o->id);
    }
    standin_unlock();
    return 0;
}

int
mlx5dv_devx_obj_modify(struct mlx5dv_devx_obj *o, const void *in, size_t in_size, void *out, size_t out_size)
{
    memset(out, 0, out_size);
    standin_lock();
    if (opcode_of(in) == MLX5_CMD_OP_MODIFY_FLOW_TABLE) {
        gta_modify_table(in);
    } else if (o->type == MLX5_GENERAL_OBJ_TYPE_STC) {
        gta_modify_stc(o, in);
    }
    standin_unlock();
    return 0;
}

int
mlx5dv_devx_general_cmd(struct ibv_context *context, const void *in, size_t in_size, void *out, size_t out_size)
{
    memset(out, 0, out_size);
    switch (opcode_of(in)) {
    case MLX5_CMD_OP_QUERY_HCA_CAP:
        capabilities_fill(MLX5_GET(query_hca_cap_in, in, op_mod), MLX5_ADDR_OF(query_hca_cap_out, out, capability));
        return 0;
    case MLX5_CMD_OP_ACCESS_REGISTER_USER:
        errno = ENOTSUP;
        return -1;
    default: /* all zeroes is an answer the driver can work with */
        return 0;
    }
}

/* One line for each kind of object that is left, so that a test sees what was not destroyed. */
void
devx_list(struct text *out)
{
    struct mlx5dv_devx_obj *o, *other;

    LIST_FOREACH(o, &objects, next)
    {
        unsigned int n = 0;
        bool is_first = true;

        LIST_FOREACH(other, &objects, next)
        {
            if (other->opcode == o->opcode && other->type == o->type) {
                is_first = is_first && (n || other == o);
                n++;
            }
        }
        if (is_first) {
            text_add(out, "{\"opcode\": %u, \"type\": %u, \"n\": %u}\n", o->opcode, o->type, n);
        }
    }
}

/* --- memory the device may write to ------------------------------------------------------------------------------- */

void *
devx_umem(uint32_t umem_id, uint64_t offset)
{
    struct umem *u;

    LIST_FOREACH(u, &umems, next)
    {
        if (u->handle.umem_id == umem_id) {
            return offset < u->size ? u->memory + offset : NULL;
        }
    }
    return NULL;
}

struct mlx5dv_devx_umem *
mlx5dv_devx_umem_reg(struct ibv_context *context, void *memory, size_t size, uint32_t access)
{
    struct umem *u = calloc(1, sizeof *u);

    u->handle.umem_id = standin_next_id();
    u->memory = memory;
    u->size = size;
    standin_lock();
    LIST_INSERT_HEAD(&umems, u, next);
    standin_unlock();
    return &u->handle;
}

int
mlx5dv_devx_umem_dereg(struct mlx5dv_devx_umem *handle)
{
    struct umem *u = (struct umem *) handle;

    standin_lock();
    LIST_REMOVE(u, next);
    standin_unlock();
    free(u);
    return 0;
}

/* --- doorbell pages: plain memory, since the queue thread looks at the doorbell records ---------------------------- */

#define UAR_SIZE     8192
#define UAR_REGISTER 0x800

struct mlx5dv_devx_uar *
mlx5dv_devx_alloc_uar(struct ibv_context *context, uint32_t flags)
{
    struct mlx5dv_devx_uar *u = calloc(1, sizeof *u);

    u->base_addr = mmap(NULL, UAR_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (u->base_addr == MAP_FAILED) {
        free(u);
        return NULL;
    }
    u->reg_addr = (char *) u->base_addr + UAR_REGISTER;
    u->page_id = standin_next_id();
    u->mmap_off = (off_t) u->page_id << 12;
    return u;
}

void
mlx5dv_devx_free_uar(struct mlx5dv_devx_uar *u)
{
    munmap(u->base_addr, UAR_SIZE);
    free(u);
}

/* --- asynchronous commands: answered at once, collected by the driver's interrupt thread --------------------------- */

#define MAX_ANSWERS 1024

static struct {
    uint64_t ids[MAX_ANSWERS];
    unsigned int head, tail;
} answers;

struct mlx5dv_devx_cmd_comp *
mlx5dv_devx_create_cmd_comp(struct ibv_context *context)
{
    struct mlx5dv_devx_cmd_comp *c = calloc(1, sizeof *c);

    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c;
}

void
mlx5dv_devx_destroy_cmd_comp(struct mlx5dv_devx_cmd_comp *c)
{
    close(c->fd);
    free(c);
}

int
mlx5dv_devx_obj_query_async(struct mlx5dv_devx_obj *o, const void *in, size_t in_size, size_t out_size, uint64_t id,
                            struct mlx5dv_devx_cmd_comp *c)
{
    int error = 0;

    standin_lock();
    if (answers.head - answers.tail < MAX_ANSWERS) {
        query_counters(in, NULL, 0);
        answers.ids[answers.head++ % MAX_ANSWERS] = id;
        eventfd_write(c->fd, 1);
    } else {
        error = EAGAIN;
    }
    standin_unlock();
    return error;
}

int
mlx5dv_devx_get_async_cmd_comp(struct mlx5dv_devx_cmd_comp *c, struct mlx5dv_devx_async_cmd_hdr *answer, size_t size)
{
    eventfd_t drained;
    int error = 0;

    standin_lock();
    if (answers.head == answers.tail) {
        eventfd_read(c->fd, &drained);
        error = EAGAIN;
    } else {
        memset(answer, 0, size);
        answer->wr_id = answers.ids[answers.tail++ % MAX_ANSWERS];
    }
    standin_unlock();
    errno = error;
    return error;
}

/* --- events: none ever comes --------------------------------------------------------------------------------------- */

struct mlx5dv_devx_event_channel *
mlx5dv_devx_create_event_channel(struct ibv_context *context, enum mlx5dv_devx_create_event_channel_flags flags)
{
    struct mlx5dv_devx_event_channel *c = calloc(1, sizeof *c);

    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c;
}

void
mlx5dv_devx_destroy_event_channel(struct mlx5dv_devx_event_channel *c)
{
    close(c->fd);
    free(c);
}

int
mlx5dv_devx_subscribe_devx_event(struct mlx5dv_devx_event_channel *c, struct mlx5dv_devx_obj *o, uint16_t size,
                                 uint16_t events[], uint64_t cookie)
{
    return 0;
}

int
mlx5dv_devx_subscribe_devx_event_fd(struct mlx5dv_devx_event_channel *c, int fd, struct mlx5dv_devx_obj *o,
                                    uint16_t event)
{
    return 0;
}

ssize_t
mlx5dv_devx_get_event(struct mlx5dv_devx_event_channel *c, struct mlx5dv_devx_async_event_hdr *event, size_t size)
{
    errno = EAGAIN;
    return -1;
}

/* --- what the driver asks of objects that verbs made ---------------------------------------------------------------- */

int
mlx5dv_devx_qp_query(struct ibv_qp *qp, const void *in, size_t in_size, void *out, size_t out_size)
{
    memset(out, 0, out_size);
    return 0;
}

int
mlx5dv_devx_wq_query(struct ibv_wq *wq, const void *in, size_t in_size, void *out, size_t out_size)
{
    memset(out, 0, out_size);
    return 0;
}

int
mlx5dv_devx_query_eqn(struct ibv_context *context, uint32_t vector, uint32_t *eqn)
{
    *eqn = 1;
    return 0;
}

/* Optional parts of the device that this one does not have. */

struct mlx5dv_var *
mlx5dv_alloc_var(struct ibv_context *context, uint32_t flags)
{
    errno = ENOTSUP;
    return NULL;
}

void
mlx5dv_free_var(struct mlx5dv_var *var)
{
}

struct mlx5dv_pp *
mlx5dv_pp_alloc(struct ibv_context *context, size_t size, const void *pp, uint32_t flags)
{
    errno = ENOTSUP;
    return NULL;
}

void
mlx5dv_pp_free(struct mlx5dv_pp *pp)
{
}
