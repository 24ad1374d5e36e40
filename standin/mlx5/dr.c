/* dr.c: domains, tables and matchers of software steering.
 *
 * Stands on rdma-core 44.0: an object that others refer to cannot be destroyed (EBUSY): dr_domain.c, dr_table.c:213,
 * dr_matcher.c mlx5dv_dr_matcher_destroy().
 */
#include "dr.h"

const char *
dr_domain_name(const struct mlx5dv_dr_domain *d)
{
    switch (d->type) {
    case MLX5DV_DR_DOMAIN_TYPE_NIC_RX:
        return "nic-rx";
    case MLX5DV_DR_DOMAIN_TYPE_NIC_TX:
        return "nic-tx";
    default:
        return "fdb";
    }
}

struct mlx5dv_dr_domain *
mlx5dv_dr_domain_create(struct ibv_context *context, enum mlx5dv_dr_domain_type type)
{
    struct mlx5dv_dr_domain *d = calloc(1, sizeof *d);

    d->type = type;
    d->context = context;
    return d;
}

int
mlx5dv_dr_domain_destroy(struct mlx5dv_dr_domain *d)
{
    if (d->n_users) {
        return EBUSY;
    }
    free(d);
    return 0;
}

int
mlx5dv_dr_domain_sync(struct mlx5dv_dr_domain *d, uint32_t flags)
{
    return 0;
}

void
mlx5dv_dr_domain_set_reclaim_device_memory(struct mlx5dv_dr_domain *d, bool enable)
{
}

void
mlx5dv_dr_domain_allow_duplicate_rules(struct mlx5dv_dr_domain *d, bool allow)
{
}

int
mlx5dv_dump_dr_domain(FILE *out, struct mlx5dv_dr_domain *d)
{
    return 0;
}

struct mlx5dv_dr_table *
mlx5dv_dr_table_create(struct mlx5dv_dr_domain *domain, uint32_t level)
{
    struct mlx5dv_dr_table *t = calloc(1, sizeof *t);

    t->domain = domain;
    t->level = level;
    standin_lock();
    domain->n_users++;
    standin_unlock();
    return t;
}

int
mlx5dv_dr_table_destroy(struct mlx5dv_dr_table *t)
{
    standin_lock();
    bool is_busy = t->n_users;
    if (!is_busy) {
        t->domain->n_users--;
    }
    standin_unlock();
    if (is_busy) {
        return EBUSY;
    }
    free(t);
    return 0;
}

struct mlx5dv_dr_matcher *
mlx5dv_dr_matcher_create(struct mlx5dv_dr_table *table, uint16_t priority, uint8_t criteria,
                         struct mlx5dv_flow_match_parameters *mask)
{
    struct mlx5dv_dr_matcher *m;

    /* dr_matcher_copy_param(): EINVAL for more parts or bytes than libmlx5 knows. */
    if (criteria >> (MLX5_MATCH_CRITERIA_ENABLE_MISC5_BIT + 1) || mask->match_sz > DR_MAX_MATCH) {
        errno = EINVAL;
        return NULL;
    }
    m = calloc(1, sizeof *m);
    m->table = table;
    m->priority = priority;
    m->criteria = criteria;
    m->size = mask->match_sz;
    memcpy(m->mask, mask->match_buf, mask->match_sz);
    standin_lock();
    table->n_users++;
    standin_unlock();
    return m;
}

int
mlx5dv_dr_matcher_destroy(struct mlx5dv_dr_matcher *m)
{
    standin_lock();
    bool is_busy = m->n_users;
    if (!is_busy) {
        m->table->n_users--;
    }
    standin_unlock();
    if (is_busy) {
        return EBUSY;
    }
    free(m);
    return 0;
}
