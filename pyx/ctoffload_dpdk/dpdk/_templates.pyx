"""Templates of patterns and actions, and the tables made of them: what asynchronous rules are instances of."""
from libc.stdint cimport uint32_t
from libc.string cimport memset

from ctoffload_dpdk.dpdk._actions cimport Actions, template_masks
from ctoffload_dpdk.dpdk._check cimport last_error
from ctoffload_dpdk.dpdk._flow cimport FlowDevice, to_attr
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk._pattern cimport Pattern
from ctoffload_dpdk.dpdk.librte_flow cimport (
    dpdk_errno_not_zero,
    dpdk_table_attr_resizable,
    rte_flow_actions_template,
    rte_flow_actions_template_attr,
    rte_flow_actions_template_create,
    rte_flow_actions_template_destroy,
    rte_flow_error,
    rte_flow_pattern_template,
    rte_flow_pattern_template_attr,
    rte_flow_pattern_template_create,
    rte_flow_pattern_template_destroy,
    rte_flow_template_table,
    rte_flow_template_table_attr,
    rte_flow_template_table_create,
    rte_flow_template_table_destroy,
)

from ctoffload_dpdk.base.errors import UsageError

# DPDK counts the templates of a table in 8 bits.
cdef enum:
    MAX_TEMPLATES = 255


cdef class PatternTemplate(Owned):
    """Which fields rules match: items with their masks. Made by `Port.pattern_template`; close its tables first."""

    def __init__(self):
        raise UsageError("PatternTemplate is made by Port.pattern_template(items)")

    cdef str label(self):
        return f"pattern template of {(<Owned> self.port).label()}"

    cdef int release(self) except -1:
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_pattern_template_destroy(self.port.id, self.template, &error)
            return self.port.check_flow(rc, "rte_flow_pattern_template_destroy", &error)


cdef class ActionsTemplate(Owned):
    """Which actions rules have, and which of their values are fixed. Made by `Port.actions_template`."""

    def __init__(self):
        raise UsageError("ActionsTemplate is made by Port.actions_template(actions)")

    cdef str label(self):
        return f"actions template of {(<Owned> self.port).label()}"

    cdef int release(self) except -1:
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_actions_template_destroy(self.port.id, self.template, &error)
            return self.port.check_flow(rc, "rte_flow_actions_template_destroy", &error)


cdef class TemplateTable(Owned):
    """Room for n_rules rules of these templates. Made by `Port.template_table`; owns its rules.

    close() takes its rules out first, one by one. Source: rte_flow_template_table_destroy().
    """

    def __init__(self):
        raise UsageError("TemplateTable is made by Port.template_table(attr, patterns, actions, n_rules)")

    cdef str label(self):
        return f"template table in group {self.attr.group} of {(<Owned> self.port).label()}"

    cdef int release(self) except -1:
        cdef rte_flow_error error
        cdef int rc
        memset(&error, 0, sizeof(error))
        with self.port.flow_lock:
            with nogil:
                rc = rte_flow_template_table_destroy(self.port.id, self.table, &error)
            return self.port.check_flow(rc, "rte_flow_template_table_destroy", &error)


cdef PatternTemplate make_pattern(FlowDevice port, list pattern, object attr, bint relaxed):
    cdef PatternTemplate made = PatternTemplate.__new__(PatternTemplate)
    cdef Pattern c_pattern = Pattern(pattern)
    cdef rte_flow_pattern_template_attr c_attr
    cdef rte_flow_error error
    memset(&c_attr, 0, sizeof(c_attr))
    memset(&error, 0, sizeof(error))
    c_attr.relaxed_matching = relaxed
    c_attr.ingress, c_attr.egress, c_attr.transfer = bool(attr.ingress), bool(attr.egress), bool(attr.transfer)
    with port.flow_lock:
        with nogil:
            made.template = rte_flow_pattern_template_create(port.id, &c_attr, c_pattern.items, &error)
        if made.template == NULL:
            port.check_flow(last_error(), "rte_flow_pattern_template_create", &error, "refused the template")
    made.port = port
    made.owned_by(port)
    return made


cdef ActionsTemplate make_actions(FlowDevice port, list actions, list fixed, object attr):
    cdef ActionsTemplate made = ActionsTemplate.__new__(ActionsTemplate)
    cdef Actions values = Actions(actions)
    cdef Actions masks = template_masks(actions, fixed)
    cdef rte_flow_actions_template_attr c_attr
    cdef rte_flow_error error
    port.require_harmless(values)
    memset(&c_attr, 0, sizeof(c_attr))
    memset(&error, 0, sizeof(error))
    c_attr.ingress, c_attr.egress, c_attr.transfer = bool(attr.ingress), bool(attr.egress), bool(attr.transfer)
    with port.flow_lock:
        with nogil:
            made.template = rte_flow_actions_template_create(port.id, &c_attr, values.actions, masks.actions, &error)
        if made.template == NULL:
            port.check_flow(last_error(), "rte_flow_actions_template_create", &error, "refused the template")
    made.port = port
    made.owned_by(port)
    return made


cdef TemplateTable make_table(FlowDevice port, object attr, tuple patterns, tuple actions, uint32_t n_rules,
                              bint resizable):
    cdef TemplateTable made = TemplateTable.__new__(TemplateTable)
    cdef rte_flow_pattern_template *c_patterns[MAX_TEMPLATES]
    cdef rte_flow_actions_template *c_actions[MAX_TEMPLATES]
    cdef rte_flow_template_table_attr c_attr
    cdef rte_flow_error error
    cdef int n_patterns = len(patterns)
    cdef int n_actions = len(actions)
    if not 0 < n_patterns <= MAX_TEMPLATES or not 0 < n_actions <= MAX_TEMPLATES:
        raise UsageError(f"a table has 1 to {MAX_TEMPLATES} templates of each kind, not {n_patterns} and {n_actions}")
    collect(port, c_patterns, c_actions, patterns, actions)
    memset(&c_attr, 0, sizeof(c_attr))
    memset(&error, 0, sizeof(error))
    to_attr(attr, &c_attr.flow_attr)
    c_attr.nb_flows = n_rules
    if resizable:
        port.check_flow(dpdk_table_attr_resizable(&c_attr), "rte_flow_template_table_create", &error,
                        "needs DPDK 24.03 for a table that may grow")
    with port.flow_lock:
        with nogil:
            dpdk_errno_not_zero()
            made.table = rte_flow_template_table_create(port.id, &c_attr, c_patterns, n_patterns, c_actions, n_actions,
                                                        &error)
        if made.table == NULL:
            port.check_flow(last_error(), "rte_flow_template_table_create", &error, "refused the table")
    made.port, made.attr, made.patterns, made.actions = port, attr, patterns, actions
    made.owned_by(port)
    return made


cdef int collect(FlowDevice port, rte_flow_pattern_template **c_patterns, rte_flow_actions_template **c_actions,
                 tuple patterns, tuple actions) except -1:
    cdef PatternTemplate pattern
    cdef ActionsTemplate action
    for template in (*patterns, *actions):
        if not isinstance(template, (PatternTemplate, ActionsTemplate)) or template.port is not port:
            raise UsageError(f"{template!r} is no template of {port!r}",
                             hint="make it with pattern_template and actions_template of the port that has the table")
    for i, pattern in enumerate(patterns):
        pattern.require_open()
        c_patterns[i] = pattern.template
    for i, action in enumerate(actions):
        action.require_open()
        c_actions[i] = action.template
    return 0
