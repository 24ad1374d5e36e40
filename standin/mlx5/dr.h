/* dr.h: the objects of software steering, as libmlx5's users hold them. */
#ifndef STANDIN_DR_H
#define STANDIN_DR_H

#include "standin.h"

#define DR_MAX_MATCH 512 /* bytes of match parameters; the driver's are shorter */

/* Kinds of actions as bits, so that the order table can name sets of them. */
enum dr_kind {
    DROP = 1 << 0,
    QUEUE = 1 << 1,
    TABLE = 1 << 2,
    ROOT_TABLE = 1 << 3,
    PORT = 1 << 4,
    MISS = 1 << 5,
    OLD_METER = 1 << 6,
    SAMPLER = 1 << 7,
    ARRAY = 1 << 8,
    TAG = 1 << 9,
    COUNTER = 1 << 10,
    AGE = 1 << 11,
    METER = 1 << 12,
    CONTEXT = 1 << 13,
    MODIFY = 1 << 14,
    POP_VLAN = 1 << 15,
    PUSH_VLAN = 1 << 16,
    DECAP_L2 = 1 << 17,
    DECAP_L3 = 1 << 18,
    ENCAP_L2 = 1 << 19,
    ENCAP_L3 = 1 << 20,
};

struct mlx5dv_dr_domain {
    enum mlx5dv_dr_domain_type type;
    struct ibv_context *context;
    unsigned int n_users; /* tables and actions that refer to it */
};

struct mlx5dv_dr_table {
    struct mlx5dv_dr_domain *domain;
    uint32_t level; /* 0: the root table, which the kernel owns */
    unsigned int n_users;
};

struct mlx5dv_dr_matcher {
    struct mlx5dv_dr_table *table;
    uint16_t priority;
    uint8_t criteria;
    size_t size;
    uint8_t mask[DR_MAX_MATCH];
    unsigned int n_users;
};

struct mlx5dv_dr_action {
    enum dr_kind kind;
    unsigned int n_users; /* rules */
    bool is_root;         /* made for the root table */
    struct mlx5dv_dr_domain *domain;
    struct mlx5dv_dr_table *table;        /* TABLE, ROOT_TABLE: where to */
    const struct mlx5dv_devx_obj *object; /* COUNTER, AGE, CONTEXT, METER, QUEUE by TIR */
    uint32_t offset, value;               /* in the object; tag, port, VLAN header, queue number, direction */
    uint8_t result_register;
    uint64_t *rewrites; /* owned */
    size_t n_rewrites;
};

struct mlx5dv_dr_rule {
    struct mlx5dv_dr_matcher *matcher;
    struct record *record;
    size_t n_actions;
    struct mlx5dv_dr_action *actions[];
};

const char *dr_domain_name(const struct mlx5dv_dr_domain *);

/* --- dr_order.c ---------------------------------------------------------------------------------------------------- */

enum dr_side { DR_NIC_INGRESS, DR_NIC_EGRESS, DR_FDB_INGRESS, DR_FDB_EGRESS };

/* Index of the first action that may not follow those before it, or n. */
size_t dr_order_check(enum dr_side, struct mlx5dv_dr_action *const actions[], size_t n);

/* --- dr_action.c --------------------------------------------------------------------------------------------------- */

const char *dr_kind_name(enum dr_kind);
void dr_action_describe(struct text *, const struct mlx5dv_dr_action *);

#endif
