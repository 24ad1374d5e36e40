"""Templates of patterns and actions from one example rule: what asynchronous rules are instances of."""
from libc.errno cimport EINVAL, EIO
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_flow cimport (
    dpdk_errno_set,
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

cdef int flow_errno() noexcept nogil:
    """rte_errno as a positive errno; EIO where a driver failed without saying why."""
    cdef int error = rte_errno
    return error if error > 0 else -error if error < 0 else EIO


cdef int template_make(RuleTable *table, uint16_t ethdev, const rte_flow_item *items, const rte_flow_action *actions,
                       const rte_flow_action *masks, rte_flow_error *error) noexcept nogil:
    cdef rte_flow_pattern_template_attr pattern_attr
    cdef rte_flow_actions_template_attr actions_attr
    cdef rte_flow_template_table_attr attr
    cdef int failed
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
        table.actions = rte_flow_actions_template_create(ethdev, &actions_attr, actions, masks, error)
    if table.actions != NULL:
        dpdk_errno_set(EINVAL)       # mlx5 of 22.11 sets none where the order of actions is not to its liking
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
