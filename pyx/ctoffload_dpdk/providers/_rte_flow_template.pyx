"""Templates of patterns and actions from one example rule: what asynchronous rules are instances of."""
from libc.errno cimport EIO, EINVAL
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_CONNTRACK,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_ACTION_TYPE_INDIRECT,
    RTE_FLOW_ACTION_TYPE_MODIFY_FIELD,
    RTE_FLOW_ACTION_TYPE_RSS,
    dpdk_errno_not_zero,
    rte_flow_action_modify_field,
    rte_flow_actions_template_attr,
    rte_flow_actions_template_create,
    rte_flow_actions_template_destroy,
    rte_flow_pattern_template_attr,
    rte_flow_pattern_template_create,
    rte_flow_pattern_template_destroy,
    rte_flow_template_table_attr,
    rte_flow_template_table_create,
    rte_flow_template_table_destroy,
)

cdef enum:
    MAX_ACTIONS = 16
    ONES_BYTES = 128     # longer than any action's configuration that is masked with it

# The masks of one actions template, with what they point at.
cdef struct Masks:
    rte_flow_action actions[MAX_ACTIONS]
    rte_flow_action_modify_field modify[MAX_ACTIONS]
    char ones[ONES_BYTES]


cdef int flow_errno() noexcept nogil:
    """rte_errno as a positive errno; EIO where a driver failed without saying why."""
    cdef int error = rte_errno
    return error if error > 0 else -error if error < 0 else EIO


cdef int masks_make(Masks *masks, const rte_flow_action *actions, uint32_t constant) noexcept nogil:
    """0, or EINVAL where there are too many actions."""
    cdef int i
    memset(masks, 0, sizeof(Masks))
    memset(masks.ones, 0xff, sizeof(masks.ones))
    for i in range(MAX_ACTIONS):
        masks.actions[i].type = actions[i].type
        if actions[i].type == RTE_FLOW_ACTION_TYPE_END:
            return 0
        if actions[i].type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD:
            modify_mask(&masks.modify[i], <const rte_flow_action_modify_field *> actions[i].conf, constant >> i & 1)
            masks.actions[i].conf = &masks.modify[i]
        elif actions[i].type == RTE_FLOW_ACTION_TYPE_INDIRECT:
            # The mask says what the handle stands for; each rule brings its own.
            masks.actions[i].type = RTE_FLOW_ACTION_TYPE_CONNTRACK
        elif constant >> i & 1 and actions[i].conf != NULL:
            # RSS points at its queues, so a mask of ones would be followed.
            masks.actions[i].conf = actions[i].conf if actions[i].type == RTE_FLOW_ACTION_TYPE_RSS else masks.ones
    return EINVAL


cdef void modify_mask(rte_flow_action_modify_field *mask, const rte_flow_action_modify_field *action,
                      bint is_constant) noexcept nogil:
    """mlx5 wants operation and fields repeated and all else that is not the value masked in full."""
    memset(mask, 0xff, sizeof(rte_flow_action_modify_field))
    if not is_constant:
        memset(&mask.src, 0, sizeof(mask.src))
    mask.operation = action.operation
    mask.dst.field = action.dst.field
    mask.src.field = action.src.field


cdef int template_make(RuleTable *table, uint16_t ethdev, const rte_flow_item *items, const rte_flow_action *actions,
                       uint32_t constant, rte_flow_error *error) noexcept nogil:
    cdef Masks masks
    cdef rte_flow_pattern_template_attr pattern_attr
    cdef rte_flow_actions_template_attr actions_attr
    cdef rte_flow_template_table_attr attr
    cdef int failed
    if masks_make(&masks, actions, constant) != 0:
        return EINVAL
    memset(&pattern_attr, 0, sizeof(pattern_attr))
    memset(&actions_attr, 0, sizeof(actions_attr))
    memset(&attr, 0, sizeof(attr))
    pattern_attr.ingress = actions_attr.ingress = table.attr.ingress
    pattern_attr.egress = actions_attr.egress = table.attr.egress
    pattern_attr.transfer = actions_attr.transfer = table.attr.transfer
    attr.flow_attr = table.attr
    attr.nb_flows = table.n_rules
    table.pattern = rte_flow_pattern_template_create(ethdev, &pattern_attr, items, error)
    if table.pattern != NULL:
        table.actions = rte_flow_actions_template_create(ethdev, &actions_attr, actions, masks.actions, error)
    if table.actions != NULL:
        dpdk_errno_not_zero()
        table.table = rte_flow_template_table_create(ethdev, &attr, &table.pattern, 1, &table.actions, 1, error)
    if table.table != NULL:
        return 0
    failed = flow_errno()
    templates_remove(table, ethdev)
    return failed


cdef void templates_remove(RuleTable *table, uint16_t ethdev) noexcept nogil:
    """A template without a table is of no use and refers to nothing: a refusal changes nothing."""
    cdef rte_flow_error error
    memset(&error, 0, sizeof(error))
    if table.actions != NULL:
        rte_flow_actions_template_destroy(ethdev, table.actions, &error)
    if table.pattern != NULL:
        rte_flow_pattern_template_destroy(ethdev, table.pattern, &error)
    table.actions = NULL
    table.pattern = NULL


cdef int template_remove(RuleTable *table, uint16_t ethdev, rte_flow_error *error) noexcept nogil:
    cdef int rc
    if table.table == NULL:
        return 0
    rc = rte_flow_template_table_destroy(ethdev, table.table, error)
    if rc != 0:
        return -rc if rc < 0 else flow_errno()
    table.table = NULL
    templates_remove(table, ethdev)
    return 0
