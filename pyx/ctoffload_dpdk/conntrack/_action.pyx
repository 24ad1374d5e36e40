"""The ct() action of a burst, as Python says it."""

import errno as _errno

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.conntrack.nat import Nat

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._packet cimport (
    ANY_ZONE, HELPER_FTP, HELPER_TFTP, NAT_DST, NAT_PERSISTENT, NAT_RANDOM, NAT_SRC, Action, HelperChoice, NatAction, NatRange,
)

MOST_32 = (1 << 32) - 1
MOST_128 = (1 << 128) - 1

cdef dict HELPERS = {"": 0, "ftp": HELPER_FTP, "tftp": HELPER_TFTP}


cdef int helper_number(helper) except -1:
    if not isinstance(helper, str) or helper not in HELPERS:
        raise UsageError(f"process: no helper is named {helper!r}", errno=_errno.EINVAL, hint="helpers: ftp, tftp")
    return HELPERS[helper]


cdef NatRange make_range(end) except *:
    cdef NatRange made
    cdef bytes low, high
    memset(&made, 0, sizeof(made))
    made.port_low, made.port_high = end.ports or (0, 0)
    if end.low is not None:
        made.has_address = True
        low, high = end.low.packed, end.high.packed
        memcpy(made.low, <const uint8_t *> low, len(low))
        memcpy(made.high, <const uint8_t *> high, len(high))
    return made


cdef NatAction make_nat(nat) except *:
    cdef NatAction made
    memset(&made, 0, sizeof(made))
    if nat.src is not None:
        made.what |= NAT_SRC
        made.src = make_range(nat.src)
    if nat.dst is not None:
        made.what |= NAT_DST
        made.dst = make_range(nat.dst)
    made.choice = {"hash": 0, "random": NAT_RANDOM, "persistent": NAT_PERSISTENT}[nat.choice]
    made.family = nat.family
    return made


cdef HelperChoice make_helper(rule) except *:
    cdef HelperChoice made
    made.helper = helper_number(rule.helper)
    made.port = rule.port
    made.zone = ANY_ZONE if rule.zone is None else rule.zone
    return made


cdef class Ct:
    """One action, for as long as a burst needs it."""

    def __init__(self, *, commit=True, force=False, mark=0, mark_mask=0, label=0, label_mask=0, timeout_policy=0, nat=None,
                 helper=""):
        memset(&self.action, 0, sizeof(Action))
        self.action.helper = helper_number(helper)
        self.action.commit = commit
        self.action.force = force
        self.action.mark = whole(mark, 0, MOST_32, "process: mark")
        self.action.mark_mask = whole(mark_mask, 0, MOST_32, "process: mark_mask")
        label, label_mask = whole(label, 0, MOST_128, "process: label"), whole(label_mask, 0, MOST_128, "process: label_mask")
        for i in range(2):
            self.action.label[i] = label >> (64 * i) & 0xffffffffffffffff
            self.action.label_mask[i] = label_mask >> (64 * i) & 0xffffffffffffffff
        self.action.timeout_policy = whole(timeout_policy, 0, MOST_32, "process: timeout_policy")
        if nat is not None:
            if not isinstance(nat, Nat):
                raise UsageError(f"process: {type(nat).__name__} is no Nat", errno=_errno.EINVAL, hint="Nat.parse() reads text")
            self.translation = make_nat(nat)
            self.action.nat = &self.translation

    cdef object may_write(self, packets):
        """Translation writes into the packets. Raises UsageError where that cannot be."""
        if self.action.nat != NULL and not packets.data.flags.writeable:
            raise UsageError("process: the packets cannot be written to, as translation has to",
                             hint="give packets.copy(), and read the translated packets from it")
