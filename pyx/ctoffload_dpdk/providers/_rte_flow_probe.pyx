"""What the probe of a port asks that the binding does not: queries whose answer cannot be taken for one when it is none."""
from libc.string cimport memcmp, memset

cimport ctoffload_dpdk.dpdk.librte_eal as librte_eal
from ctoffload_dpdk.dpdk._flow cimport Rule
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    rte_flow_action,
    rte_flow_action_type,
    rte_flow_error,
    rte_flow_query,
    rte_flow_query_age,
    rte_flow_query_count,
)

from ctoffload_dpdk.providers.capability import Answered

# What a buffer is filled with before the driver is to fill it.
cdef enum:
    POISON = 0xa5


def forget_errno() -> None:
    """What the last refusal left in rte_errno is not taken for that of the next, where a driver sets none."""
    librte_eal.rte_errno = 0


def query_count(Rule rule) -> Answered:
    """rte_flow_query for COUNT into a poisoned buffer. Raises FlowError with what the driver said."""
    cdef rte_flow_query_count data, before
    memset(&before, POISON, sizeof(before))
    before.reset = 0
    data = before
    query(rule, RTE_FLOW_ACTION_TYPE_COUNT, &data)
    wrote = memcmp(&data, &before, sizeof(data)) != 0
    return Answered(wrote, bool(data.hits_set), data.hits if data.hits_set else None, bool(data.bytes_set))


def query_age(Rule rule) -> Answered:
    """rte_flow_query for AGE into a poisoned buffer. Raises FlowError with what the driver said."""
    cdef rte_flow_query_age data, before
    memset(&before, POISON, sizeof(before))
    data = before
    query(rule, RTE_FLOW_ACTION_TYPE_AGE, &data)
    wrote = memcmp(&data, &before, sizeof(data)) != 0
    valid = bool(data.sec_since_last_hit_valid)
    return Answered(wrote, valid, data.sec_since_last_hit if valid else None, False)


cdef int query(Rule rule, rte_flow_action_type kind, void *data) except -1:
    """The driver gets the rule's own action, which some insist on."""
    cdef rte_flow_action action[2]
    cdef rte_flow_action *own = rule.actions_c.actions
    cdef rte_flow_error error
    cdef int rc
    memset(action, 0, sizeof(action))
    action[0].type = kind
    action[1].type = RTE_FLOW_ACTION_TYPE_END
    while own.type != RTE_FLOW_ACTION_TYPE_END:
        if own.type == kind:
            action[0].conf = own.conf
        own += 1
    memset(&error, 0, sizeof(error))
    with nogil:
        rc = rte_flow_query(rule.port.id, rule.flow, action, data, &error)
    return rule.port.check_flow(rc, "rte_flow_query", &error)
