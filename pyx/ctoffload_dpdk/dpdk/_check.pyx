"""The one place of this room where a return code becomes an exception, and a number that cannot be."""
from libc.errno cimport EIO
from libc.string cimport strlen

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ERROR_TYPE_ACTION,
    RTE_FLOW_ERROR_TYPE_ACTION_CONF,
    RTE_FLOW_ERROR_TYPE_ACTION_NUM,
    RTE_FLOW_ERROR_TYPE_ATTR,
    RTE_FLOW_ERROR_TYPE_ATTR_EGRESS,
    RTE_FLOW_ERROR_TYPE_ATTR_GROUP,
    RTE_FLOW_ERROR_TYPE_ATTR_INGRESS,
    RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY,
    RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER,
    RTE_FLOW_ERROR_TYPE_ITEM,
    RTE_FLOW_ERROR_TYPE_ITEM_LAST,
    RTE_FLOW_ERROR_TYPE_ITEM_MASK,
    RTE_FLOW_ERROR_TYPE_ITEM_NUM,
    RTE_FLOW_ERROR_TYPE_ITEM_SPEC,
    RTE_FLOW_ERROR_TYPE_STATE,
)

from ctoffload_dpdk.base.errors import EalError, FlowError, PortError, check
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.dpdk.hints import eal_hint, flow_hint, port_hint

# Where in the rule the driver sees the fault; used as a hint where no better one is known.
_CAUSES = {
    RTE_FLOW_ERROR_TYPE_ATTR: "an attribute",
    RTE_FLOW_ERROR_TYPE_ATTR_GROUP: "the group",
    RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY: "the priority",
    RTE_FLOW_ERROR_TYPE_ATTR_INGRESS: "ingress",
    RTE_FLOW_ERROR_TYPE_ATTR_EGRESS: "egress",
    RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER: "transfer",
    RTE_FLOW_ERROR_TYPE_ITEM_NUM: "the number of items",
    RTE_FLOW_ERROR_TYPE_ITEM_SPEC: "an item's value",
    RTE_FLOW_ERROR_TYPE_ITEM_LAST: "an item's range",
    RTE_FLOW_ERROR_TYPE_ITEM_MASK: "an item's mask",
    RTE_FLOW_ERROR_TYPE_ITEM: "an item",
    RTE_FLOW_ERROR_TYPE_ACTION_NUM: "the number of actions",
    RTE_FLOW_ERROR_TYPE_ACTION_CONF: "an action's configuration",
    RTE_FLOW_ERROR_TYPE_ACTION: "an action",
    RTE_FLOW_ERROR_TYPE_STATE: "the state of the port",
}


cdef int last_error() noexcept nogil:
    # A driver that answers NULL without setting rte_errno must not look like success.
    return -rte_errno if rte_errno > 0 else -EIO


cdef object fits(object value, str name, object most, object least=0):
    """C would cut it to the size of its member without a word. What fits costs no call."""
    if type(value) is int and least <= value <= most:
        return value
    return whole(value, least, most, name)


cdef int check_eal(int rc, str op, str what="", str message="") except -1:
    if rc >= 0:
        return rc
    return check(rc, op, what=what, message=message, hint=eal_hint(message, -rc), error=EalError)


cdef int check_port(int rc, str op, str port, str message="", str hint="") except -1:
    if rc >= 0:
        return rc
    return check(rc, op, port=port, message=message, hint=hint or port_hint(-rc), error=PortError)


cdef int check_flow(int rc, str op, str port, rte_flow_error *error, str what="", str hint="") except -1:
    cdef str message = ""
    if rc >= 0:
        return rc
    # The text belongs to the driver and may go with the port: copied here and now.
    if error.message != NULL:
        message = error.message[:strlen(error.message)].decode("utf-8", "replace")
    cause = _CAUSES.get(<int> error.type)
    hint = hint or flow_hint(-rc) or (f"the driver objects to {cause} of the rule" if cause else "")
    try:
        return check(rc, op, what=what, port=port, message=message, hint=hint, error=FlowError)
    except FlowError as raised:
        raised.cause = <int> error.type
        raise
