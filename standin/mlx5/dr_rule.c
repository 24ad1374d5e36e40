/* dr_rule.c: rules of software steering, and what libmlx5 and the kernel check when one is made.
 *
 * Stands on rdma-core 44.0: dr_rule.c:1149 (values within the mask), :1299 (which side of the E-Switch a rule is for),
 * dr_action.c:631-925 (actions of a rule), :927-1010 (actions of a root rule); the kernel's check is named where it is made.
 */
#include <endian.h>
#include "dr.h"

#define MAX_VLANS          2
#define KERNEL_NO_COUNTERS 0xffff /* an offset no bulk has; the driver probes with it */

struct refusal {
    int error;
    const char *why;
};

/* --- the actions one by one -------------------------------------------------------------------------------------------- */

/* dr_actions_build_attr(), :927: what libmlx5 can hand to the kernel for the root table. */
#define ROOT_KINDS                                                                                                     \
    (TABLE | ARRAY | DECAP_L2 | DECAP_L3 | ENCAP_L2 | ENCAP_L3 | MODIFY | QUEUE | COUNTER | TAG | MISS | DROP)

static struct refusal
check_root_action(const struct mlx5dv_dr_action *a, const struct mlx5dv_dr_table *from)
{
    if (!(a->kind & ROOT_KINDS)) {
        return (struct refusal){ENOTSUP, "libmlx5 cannot hand this action to the kernel for the root table"};
    }
    if (a->kind & (TABLE | ARRAY) && a->domain != from->domain) {
        return (struct refusal){EINVAL, "the destination belongs to another domain"};
    }
    /* The kernel knows the size of a bulk. Without this refusal the driver believes in counters it cannot use. */
    if (a->kind == COUNTER && a->offset == KERNEL_NO_COUNTERS) {
        return (struct refusal){EINVAL, "no such counter in the bulk"};
    }
    return (struct refusal){0, NULL};
}

static struct refusal
check_action(const struct mlx5dv_dr_action *a, const struct mlx5dv_dr_table *from)
{
    bool is_other_domain = a->domain && a->domain != from->domain;

    if (a->kind & (TABLE | OLD_METER) && !is_other_domain && a->table->level <= from->level) {
        return (struct refusal){EINVAL, "the destination table is not above the rule's own"}; /* :676, :825 */
    }
    if (a->kind & (TABLE | ROOT_TABLE | PORT | ARRAY | SAMPLER | OLD_METER) && is_other_domain) {
        return (struct refusal){EINVAL, "the destination belongs to another domain"}; /* :672, :686, :855, :866 */
    }
    /* :703: contexts of another domain need objects that only VUMA code makes; the driver does not. */
    if (a->kind == CONTEXT && is_other_domain) {
        return (struct refusal){EINVAL, "the context belongs to another domain"};
    }
    /* :728 asks for the same device only, so age bits and meters may cross domains. */
    if (a->kind & (AGE | METER) && a->domain->context != from->domain->context) {
        return (struct refusal){EINVAL, "the object belongs to another device"};
    }
    if (a->kind & (MODIFY | DECAP_L3 | ENCAP_L2 | ENCAP_L3) && a->is_root) {
        return (struct refusal){EINVAL, "the action was made for the root table"}; /* :742, :765, :794 */
    }
    return (struct refusal){0, NULL};
}

/* --- all of them ------------------------------------------------------------------------------------------------------- */

static struct refusal
check_repeats(struct mlx5dv_dr_action *const actions[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t n_same = 0, n_allowed = actions[i]->kind & (POP_VLAN | PUSH_VLAN) ? MAX_VLANS : 1;

        for (size_t j = 0; j <= i; j++) {
            n_same += actions[j]->kind == actions[i]->kind;
        }
        if (n_same > n_allowed) {
            return (struct refusal){EINVAL, "the same kind of action twice"}; /* :893 */
        }
    }
    return (struct refusal){0, NULL};
}

static struct refusal
check_side(enum dr_side side, struct mlx5dv_dr_action *const actions[], size_t n)
{
    size_t i = dr_order_check(side, actions, n);

    if (i == n) {
        return (struct refusal){0, NULL};
    }
    bool is_switch = side == DR_FDB_INGRESS || side == DR_FDB_EGRESS;
    return (struct refusal){EOPNOTSUPP, is_switch ? "an action that the E-Switch does not take, or not in this order"
                                                  : "an action that the NIC does not take, or not in this order"};
}

/* Which sides of the E-Switch a rule is for: both, except where it names its source port; dr_rule_skip(). */
static void
find_sides(const struct mlx5dv_dr_matcher *m, const void *value, bool *from_wire, bool *from_vport)
{
    const void *mask = MLX5_ADDR_OF(fte_match_param, m->mask, misc_parameters);
    const void *given = MLX5_ADDR_OF(fte_match_param, value, misc_parameters);
    const void *mask_2 = MLX5_ADDR_OF(fte_match_param, m->mask, misc_parameters_2);
    const void *given_2 = MLX5_ADDR_OF(fte_match_param, value, misc_parameters_2);
    struct mlx5dv_port wire;

    _mlx5dv_query_port(NULL, 1, &wire, sizeof wire);
    *from_wire = *from_vport = true;
    if (MLX5_GET(fte_match_set_misc, mask, source_port)) {
        *from_wire = MLX5_GET(fte_match_set_misc, given, source_port) == wire.vport;
        *from_vport = !*from_wire;
    }
    if (MLX5_GET(fte_match_set_misc2, mask_2, metadata_reg_c_0) & wire.reg_c0.mask) {
        bool is_wire =
            (MLX5_GET(fte_match_set_misc2, given_2, metadata_reg_c_0) & wire.reg_c0.mask) == wire.reg_c0.value;

        *from_wire = *from_wire && is_wire;
        *from_vport = *from_vport && !is_wire;
    }
}

static struct refusal
check_switch_sides(const struct mlx5dv_dr_matcher *m, const void *value, struct mlx5dv_dr_action *const actions[],
                   size_t n)
{
    struct refusal r = {0, NULL};
    bool from_wire, from_vport;

    find_sides(m, value, &from_wire, &from_vport);
    if (from_wire) {
        r = check_side(DR_FDB_INGRESS, actions, n);
    }
    if (!r.error && from_vport) {
        r = check_side(DR_FDB_EGRESS, actions, n);
    }
    return r;
}

static struct refusal
check_actions(const struct mlx5dv_dr_matcher *m, const void *value, struct mlx5dv_dr_action *const actions[], size_t n)
{
    struct refusal r = {0, NULL};

    for (size_t i = 0; i < n && !r.error; i++) {
        r = m->table->level ? check_action(actions[i], m->table) : check_root_action(actions[i], m->table);
    }
    if (r.error || !m->table->level) {
        return r;
    }
    r = check_repeats(actions, n);
    if (r.error) {
        return r;
    }
    switch (m->table->domain->type) {
    case MLX5DV_DR_DOMAIN_TYPE_NIC_RX:
        return check_side(DR_NIC_INGRESS, actions, n);
    case MLX5DV_DR_DOMAIN_TYPE_NIC_TX:
        return check_side(DR_NIC_EGRESS, actions, n);
    default:
        return check_switch_sides(m, value, actions, n);
    }
}

/* dr_rule_verify(), :1149. */
static struct refusal
check_value(const struct mlx5dv_dr_matcher *m, const struct mlx5dv_flow_match_parameters *value)
{
    const uint8_t *bytes = (const uint8_t *) value->match_buf;

    if (value->match_sz > DR_MAX_MATCH || value->match_sz % sizeof(uint32_t)) {
        return (struct refusal){EINVAL, "match parameters of a wrong size"};
    }
    for (size_t i = 0; m->table->level && i < value->match_sz; i++) {
        if (bytes[i] & ~m->mask[i]) {
            return (struct refusal){EINVAL, "a value outside the mask"};
        }
    }
    return (struct refusal){0, NULL};
}

/* --- the rule ---------------------------------------------------------------------------------------------------------- */

static struct record *
describe(const struct mlx5dv_dr_matcher *m, const struct mlx5dv_flow_match_parameters *value,
         struct mlx5dv_dr_action *const actions[], size_t n)
{
    struct record *r = record_new();

    text_add(&r->body, "\"engine\": \"software\", \"domain\": \"%s\", \"level\": %u, \"priority\": %u, \"match\": ",
             dr_domain_name(m->table->domain), m->table->level, m->priority);
    fields_match(&r->body, value->match_buf, m->mask, m->size < value->match_sz ? m->size : value->match_sz);
    text_add(&r->body, ", \"actions\": [");
    for (size_t i = 0; i < n; i++) {
        text_add(&r->body, i ? ", " : "");
        dr_action_describe(&r->body, actions[i]);
        if (actions[i]->kind == COUNTER) {
            record_target_add(r, TARGET_COUNTER, actions[i]->object->id + actions[i]->offset, 0);
        } else if (actions[i]->kind == AGE) {
            record_target_add(r, TARGET_AGE, actions[i]->object->id, actions[i]->offset);
        }
    }
    text_add(&r->body, "]");
    return r;
}

struct mlx5dv_dr_rule *
mlx5dv_dr_rule_create(struct mlx5dv_dr_matcher *m, struct mlx5dv_flow_match_parameters *value, size_t n,
                      struct mlx5dv_dr_action *actions[])
{
    struct mlx5dv_dr_rule *rule = NULL;
    struct refusal refusal;
    struct record *record;
    uint8_t whole[DR_MAX_MATCH] = {0}; /* the driver leaves out the parts it does not use */

    standin_lock();
    record = describe(m, value, actions, n);
    refusal = check_value(m, value);
    if (!refusal.error) {
        memcpy(whole, value->match_buf, value->match_sz);
        refusal = check_actions(m, whole, actions, n);
    }
    if (!refusal.error) {
        refusal = (struct refusal){fault_strikes(FAULT_RULE), "a test asked for it"};
    }
    if (refusal.error) {
        record_refuse(record, refusal.error, refusal.why);
    } else {
        rule = calloc(1, sizeof *rule + n * sizeof *actions);
        rule->matcher = m;
        rule->record = record;
        rule->n_actions = n;
        memcpy(rule->actions, actions, n * sizeof *actions);
        m->n_users++;
        for (size_t i = 0; i < n; i++) {
            actions[i]->n_users++;
        }
        record_keep(record);
    }
    standin_unlock();
    errno = refusal.error;
    return rule;
}

int
mlx5dv_dr_rule_destroy(struct mlx5dv_dr_rule *rule)
{
    standin_lock();
    rule->matcher->n_users--;
    for (size_t i = 0; i < rule->n_actions; i++) {
        rule->actions[i]->n_users--;
    }
    record_drop(rule->record);
    standin_unlock();
    free(rule);
    return 0;
}

int
mlx5dv_dump_dr_rule(FILE *out, struct mlx5dv_dr_rule *rule)
{
    return 0;
}
