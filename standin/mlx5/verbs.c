/* verbs.c: the objects of libibverbs that the driver still makes by verbs: domains, memory, queues, root rules.
 *
 * The inline destroy helpers of verbs.h follow .context, so every object carries it.
 */
#include <sys/eventfd.h>
#include <unistd.h>
#include "standin.h"
#include "root.h"

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* A completion queue made by verbs; its ring is ours, the driver gets at it by mlx5dv_init_obj(). */
struct verbs_cq {
    struct ibv_cq_ex cq; /* first: the driver holds a pointer to it */
    struct completion_queue *queue;
    void *buffer; /* owned */
    uint32_t id, n;
    uint32_t record[2];
};

#define COMPLETION_SIZE 64
#define PAGE            4096

static void *
zeroed(size_t size)
{
    void *p = calloc(1, size);

    if (!p) {
        standin_abort("out of memory");
    }
    return p;
}

/* --- protection domains and memory ---------------------------------------------------------------------------------- */

struct ibv_pd *
ibv_alloc_pd(struct ibv_context *context)
{
    struct ibv_pd *pd = zeroed(sizeof *pd);

    pd->context = context;
    pd->handle = 1;
    return pd;
}

int
ibv_dealloc_pd(struct ibv_pd *pd)
{
    free(pd);
    return 0;
}

/* A device's own domain once more. */
struct ibv_pd *
ibv_import_pd(struct ibv_context *context, uint32_t handle)
{
    return ibv_alloc_pd(context);
}

void
ibv_unimport_pd(struct ibv_pd *pd)
{
    free(pd);
}

static struct ibv_mr *
new_mr(struct ibv_pd *pd, void *address, size_t length)
{
    struct ibv_mr *mr = zeroed(sizeof *mr);

    mr->context = pd->context;
    mr->pd = pd;
    mr->addr = address;
    mr->length = length;
    mr->lkey = mr->rkey = standin_next_id() << 8;
    return mr;
}

struct ibv_mr *
ibv_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    return new_mr(pd, address, length);
}

struct ibv_mr *
ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, unsigned int access)
{
    return new_mr(pd, address, length);
}

static struct ibv_mr *
alloc_null_mr(struct ibv_pd *pd)
{
    return new_mr(pd, NULL, 0);
}

int
ibv_dereg_mr(struct ibv_mr *mr)
{
    free(mr);
    return 0;
}

/* --- completion channels and queues ---------------------------------------------------------------------------------- */

struct ibv_comp_channel *
ibv_create_comp_channel(struct ibv_context *context)
{
    struct ibv_comp_channel *c = zeroed(sizeof *c);

    c->context = context;
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c;
}

int
ibv_destroy_comp_channel(struct ibv_comp_channel *c)
{
    close(c->fd);
    free(c);
    return 0;
}

int
ibv_get_cq_event(struct ibv_comp_channel *c, struct ibv_cq **cq, void **user)
{
    errno = EAGAIN;
    return -1;
}

void
ibv_ack_cq_events(struct ibv_cq *cq, unsigned int n)
{
}

struct ibv_cq *
ibv_create_cq(struct ibv_context *context, int n_entries, void *user, struct ibv_comp_channel *channel, int vector)
{
    struct verbs_cq *q = zeroed(sizeof *q);

    for (q->n = 2; (int) q->n <= n_entries; q->n *= 2) {
    }
    q->id = standin_next_id();
    q->buffer = aligned_alloc(PAGE, (q->n * COMPLETION_SIZE + PAGE - 1) / PAGE * PAGE);
    memset(q->buffer, 0, q->n * COMPLETION_SIZE);
    for (uint32_t i = 0; i < q->n; i++) {
        ((uint8_t *) q->buffer)[(i + 1) * COMPLETION_SIZE - 1] = MLX5_CQE_INVALID << 4 | MLX5_CQE_OWNER_MASK;
    }
    struct ibv_cq *cq = ibv_cq_ex_to_cq(&q->cq);
    cq->context = context;
    cq->channel = channel;
    cq->cqe = q->n - 1;
    standin_lock();
    q->queue = queue_add_cq(q->id, q->n, q->buffer, false);
    standin_unlock();
    return cq;
}

int
ibv_destroy_cq(struct ibv_cq *cq)
{
    struct verbs_cq *q = (struct verbs_cq *) cq;

    standin_lock();
    queue_remove_cq(q->queue);
    standin_unlock();
    free(q->buffer);
    free(q);
    return 0;
}

struct ibv_cq_ex *
mlx5dv_create_cq(struct ibv_context *context, struct ibv_cq_init_attr_ex *a, struct mlx5dv_cq_init_attr *m)
{
    return (struct ibv_cq_ex *) ibv_create_cq(context, a->cqe, a->cq_context, a->channel, a->comp_vector);
}

/* What of an object the driver may see: only PD and CQ are asked for. */
int
mlx5dv_init_obj(struct mlx5dv_obj *o, uint64_t type)
{
    if (type & ~(uint64_t) (MLX5DV_OBJ_PD | MLX5DV_OBJ_CQ)) {
        errno = ENOTSUP;
        return -1;
    }
    if (type & MLX5DV_OBJ_PD) {
        o->pd.out->pdn = 1;
    }
    if (type & MLX5DV_OBJ_CQ) {
        struct verbs_cq *q = (struct verbs_cq *) o->cq.in;

        o->cq.out->buf = q->buffer;
        o->cq.out->dbrec = (__be32 *) q->record;
        o->cq.out->cqe_cnt = q->n;
        o->cq.out->cqe_size = COMPLETION_SIZE;
        o->cq.out->cqn = q->id;
        o->cq.out->cq_uar = NULL;
    }
    return 0;
}

/* --- queue pairs and work queues: made for numbers alone, no packet passes -------------------------------------------- */

static struct ibv_qp *
new_qp(struct ibv_context *context, struct ibv_pd *pd)
{
    struct ibv_qp *qp = zeroed(sizeof *qp);

    qp->context = context;
    qp->pd = pd;
    qp->qp_num = standin_next_id();
    return qp;
}

struct ibv_qp *
ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
    return new_qp(pd->context, pd);
}

static struct ibv_qp *
create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *a)
{
    return new_qp(context, a->pd);
}

struct ibv_qp *
mlx5dv_create_qp(struct ibv_context *context, struct ibv_qp_init_attr_ex *a, struct mlx5dv_qp_init_attr *m)
{
    return new_qp(context, a->pd);
}

int
ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *a, int mask)
{
    return 0;
}

int
ibv_destroy_qp(struct ibv_qp *qp)
{
    free(qp);
    return 0;
}

static struct ibv_wq *
create_wq(struct ibv_context *context, struct ibv_wq_init_attr *a)
{
    struct ibv_wq *wq = zeroed(sizeof *wq);

    wq->context = context;
    wq->pd = a->pd;
    wq->cq = a->cq;
    wq->wq_num = standin_next_id();
    wq->wq_type = a->wq_type;
    return wq;
}

struct ibv_wq *
mlx5dv_create_wq(struct ibv_context *context, struct ibv_wq_init_attr *a, struct mlx5dv_wq_init_attr *m)
{
    return create_wq(context, a);
}

static int
modify_wq(struct ibv_wq *wq, struct ibv_wq_attr *a)
{
    return 0;
}

static int
destroy_wq(struct ibv_wq *wq)
{
    free(wq);
    return 0;
}

static struct ibv_rwq_ind_table *
create_rwq_ind_table(struct ibv_context *context, struct ibv_rwq_ind_table_init_attr *a)
{
    struct ibv_rwq_ind_table *t = zeroed(sizeof *t);

    t->context = context;
    t->ind_tbl_num = standin_next_id();
    return t;
}

static int
destroy_rwq_ind_table(struct ibv_rwq_ind_table *t)
{
    free(t);
    return 0;
}

/* --- rules by verbs: the driver probes with a few, but makes none with dv_flow_en 1 or 2 ------------------------------ */

static struct ibv_flow *
create_flow(struct ibv_qp *qp, struct ibv_flow_attr *a)
{
    return root_create_flow(qp->context);
}

static struct ibv_counters *
create_counters(struct ibv_context *context, struct ibv_counters_init_attr *a)
{
    errno = ENOTSUP;
    return NULL;
}

void
verbs_set_operations(struct verbs_context *v)
{
    v->create_wq = create_wq;
    v->modify_wq = modify_wq;
    v->destroy_wq = destroy_wq;
    v->create_rwq_ind_table = create_rwq_ind_table;
    v->destroy_rwq_ind_table = destroy_rwq_ind_table;
    v->create_qp_ex = create_qp_ex;
    v->alloc_null_mr = alloc_null_mr;
    v->create_counters = create_counters;
    v->ibv_create_flow = create_flow;
    v->ibv_destroy_flow = root_destroy_flow;
    v->destroy_flow_action = root_destroy_action;
}
