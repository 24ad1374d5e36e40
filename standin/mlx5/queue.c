/* queue.c: completion and send queues, and the thread that works through the send queues.
 *
 * The driver rings by writing the producer index into a doorbell record in memory. The thread looks at all of them in
 * turn, carries the entries out and writes completions, as the device would.
 */
#include <endian.h>
#include <pthread.h>
#include <time.h>
#include "standin.h"

#define ENTRY_SIZE      64 /* of a send queue: one basic block; a work entry takes one or more */
#define COMPLETION_SIZE 64
#define OPCODE_GTA      0x2c /* table access: mlx5dr_send.h */
#define OPCODE_ASO      0x2d /* MLX5_OPCODE_ACCESS_ASO */
#define POLL_NS         20000

struct completion_queue {
    LIST_ENTRY(completion_queue) next;
    uint32_t id, n, produced;
    char *buffer;      /* of the driver */
    bool is_collapsed; /* every completion overwrites the first entry */
};

struct send_queue {
    LIST_ENTRY(send_queue) next;
    const struct mlx5dv_devx_obj *object;
    uint32_t id, n;
    uint16_t consumed;
    char *buffer;                    /* of the driver */
    const volatile uint32_t *record; /* doorbell record: producer index, big-endian */
    struct completion_queue *cq;     /* NULL once that was destroyed */
};

static LIST_HEAD(, completion_queue) cqs = LIST_HEAD_INITIALIZER(cqs);
static LIST_HEAD(, send_queue) sqs = LIST_HEAD_INITIALIZER(sqs);

/* --- completions --------------------------------------------------------------------------------------------------- */

struct completion_queue *
queue_add_cq(uint32_t id, uint32_t n_entries, void *buffer, bool collapsed)
{
    struct completion_queue *q = calloc(1, sizeof *q);

    *q = (struct completion_queue){.id = id, .n = n_entries, .buffer = buffer, .is_collapsed = collapsed};
    LIST_INSERT_HEAD(&cqs, q, next);
    return q;
}

void
queue_remove_cq(struct completion_queue *q)
{
    struct send_queue *s;

    LIST_FOREACH(s, &sqs, next)
    {
        if (s->cq == q) {
            s->cq = NULL;
        }
    }
    LIST_REMOVE(q, next);
    free(q);
}

static void
complete(struct send_queue *s, uint32_t opcode, bool ok)
{
    struct completion_queue *q = s->cq;
    uint32_t index = q->is_collapsed ? 0 : q->produced & (q->n - 1);
    struct mlx5_cqe *cqe = (struct mlx5_cqe *) (q->buffer + (size_t) index * COMPLETION_SIZE);
    uint8_t owner = q->produced & q->n ? 1 : 0;

    memset(cqe, 0, COMPLETION_SIZE - 1);
    cqe->sop_drop_qpn = htobe32(opcode << 24 | s->id);
    cqe->wqe_counter = htobe16(s->consumed);
    if (!ok) {
        cqe->byte_cnt = htobe32(1u << 31); /* how mlx5dr_send_engine_update() reads a table access that failed */
    }
    /* The owner bit hands the entry to the driver, so it is written last. */
    __atomic_store_n(&cqe->op_own, MLX5_CQE_REQ << 4 | owner, __ATOMIC_RELEASE);
    q->produced++;
}

/* --- send queues --------------------------------------------------------------------------------------------------- */

static bool
execute(const void *wqe, uint32_t opcode, uint32_t op_mod)
{
    if (opcode == OPCODE_ASO) {
        aso_execute(wqe, op_mod);
    } else if (opcode == OPCODE_GTA) {
        return gta_execute(wqe, op_mod);
    }
    return true; /* packets that the driver transmits vanish */
}

static bool
run(struct send_queue *s)
{
    uint16_t produced = be32toh(*s->record) & 0xffff;
    bool worked = s->consumed != produced;

    while (s->consumed != produced) {
        const struct mlx5_wqe_cseg *wqe = (void *) (s->buffer + (size_t) (s->consumed & (s->n - 1)) * ENTRY_SIZE);
        uint32_t opcode = be32toh(wqe->opcode), size_16 = be32toh(wqe->sq_ds) & 0x3f;
        uint32_t n_blocks = size_16 ? (size_16 + 3) / 4 : 1;
        uint32_t mode = be32toh(wqe->flags) >> MLX5_COMP_MODE_OFFSET & 3;

        bool ok = execute(wqe, opcode & 0xff, opcode >> 24);
        /* A failed entry completes even if the driver wanted a completion for errors only. */
        if (s->cq && (mode == MLX5_COMP_ALWAYS || !ok)) {
            complete(s, opcode & 0xff, ok);
        }
        if ((uint16_t) (produced - s->consumed) < n_blocks) {
            standin_abort("send queue %#x ends amid an entry of %u blocks", s->id, n_blocks);
        }
        s->consumed += n_blocks;
    }
    return worked;
}

/* Works through all send queues once. False: there was nothing to do. */
static bool
run_all(void)
{
    struct send_queue *s;
    bool worked = false;

    standin_lock();
    LIST_FOREACH(s, &sqs, next)
    {
        worked = run(s) || worked;
    }
    standin_unlock();
    return worked;
}

static void *
work(void *unused)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};

    for (;;) {
        if (!run_all()) {
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* The driver sleeps by this function of EAL while it waits for a completion, and gives up after a number of sleeps. Here
 * the work is done before it sleeps, so that it never waits in vain on a busy machine. */
void
rte_delay_us_sleep(unsigned int us)
{
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    if (!run_all()) {
        nanosleep(&pause, NULL);
    }
}

static void
start_worker(void)
{
    static bool is_running;
    pthread_t thread;

    if (!is_running) {
        if (pthread_create(&thread, NULL, work, NULL)) {
            standin_abort("cannot start the thread that works through the send queues");
        }
        pthread_setname_np(thread, "standin-queues");
        pthread_detach(thread);
        is_running = true;
    }
}

/* --- queues by DevX command ---------------------------------------------------------------------------------------- */

bool
queue_create_cq(struct mlx5dv_devx_obj *o)
{
    const void *context = MLX5_ADDR_OF(create_cq_in, o->in, cq_context);
    void *buffer =
        devx_umem(MLX5_GET(create_cq_in, o->in, cq_umem_id), MLX5_GET64(create_cq_in, o->in, cq_umem_offset));

    if (buffer) {
        queue_add_cq(o->id, 1u << MLX5_GET(cqc, context, log_cq_size), buffer, MLX5_GET(cqc, context, cc));
    }
    return buffer;
}

static struct completion_queue *
cq_of(uint32_t id)
{
    struct completion_queue *q;

    LIST_FOREACH(q, &cqs, next)
    {
        if (q->id == id) {
            return q;
        }
    }
    return NULL;
}

bool
queue_create_sq(struct mlx5dv_devx_obj *o)
{
    const void *context = MLX5_ADDR_OF(create_sq_in, o->in, ctx);
    const void *wq = MLX5_ADDR_OF(sqc, context, wq);
    char *buffer = devx_umem(MLX5_GET(wq, wq, wq_umem_id), MLX5_GET64(wq, wq, wq_umem_offset));
    uint32_t *record = devx_umem(MLX5_GET(wq, wq, dbr_umem_id), MLX5_GET64(wq, wq, dbr_addr));

    if (MLX5_GET(sqc, context, hairpin)) {
        return true; /* lives inside the device */
    }
    if (!buffer || !record) {
        return false;
    }
    struct send_queue *s = calloc(1, sizeof *s);
    *s = (struct send_queue){
        .object = o,
        .id = o->id,
        .n = 1u << MLX5_GET(wq, wq, log_wq_sz),
        .buffer = buffer,
        .record = record + MLX5_SND_DBR,
        .cq = cq_of(MLX5_GET(sqc, context, cqn)),
    };
    LIST_INSERT_HEAD(&sqs, s, next);
    start_worker();
    return true;
}

void
queue_destroy(struct mlx5dv_devx_obj *o)
{
    struct completion_queue *q = o->opcode == MLX5_CMD_OP_CREATE_CQ ? cq_of(o->id) : NULL;
    struct send_queue *s;

    if (q) {
        queue_remove_cq(q);
    }
    LIST_FOREACH(s, &sqs, next)
    {
        if (s->object == o) {
            LIST_REMOVE(s, next);
            free(s);
            return;
        }
    }
}
