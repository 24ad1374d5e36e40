"""Packets that another shard handed over, taken by hand; a loop of the engine does the same in its turn."""

import errno as _errno

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._action cimport Ct
from ctoffload_dpdk.conntrack._burst cimport burst
from ctoffload_dpdk.conntrack._conntrack cimport Conntrack
from ctoffload_dpdk.conntrack._group cimport Group, take_handed_over, stubs_take_back
from ctoffload_dpdk.conntrack._packet cimport Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport BURST, Shard
from ctoffload_dpdk.offload.libspsc cimport spsc_ready

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.conntrack import VERDICT


cdef uint32_t other(const Shard *shard, sender) except? 0:
    """The number of a shard of the same group."""
    if shard.group == NULL:
        raise UsageError("this tracker has no other shards", errno=_errno.EINVAL)
    return whole(sender, 0, <object> (<Group *> shard.group).n - 1, "sender")


def take(Conntrack tracker not None, sender: int, at_most: int, now_ms: int, **action):
    """Judges at most so many packets that a shard handed to this one; returns their tokens, and VERDICT[].

    A verdict with state 0 is none: the packet went on to another shard, or was dropped where a reason stands.
    """
    cdef Shard *shard = tracker.opened()
    cdef Ct ct = Ct(**action)
    cdef Packet[BURST] packets
    cdef uint32_t most = whole(at_most, 0, BURST, "take: at_most")
    cdef uint32_t n = take_handed_over(shard, other(shard, sender), most, packets)
    cdef uint32_t i
    cdef int64_t now = now_ms
    tokens = np.zeros(n, np.uint64)
    told = np.zeros(n, VERDICT)
    cdef uint64_t[::1] names = tokens
    cdef uint8_t[::1] raw = told.view(np.uint8)
    if not n:
        return tokens, told
    for i in range(n):
        names[i] = packets[i].token
    with nogil:
        burst(shard, packets, n, &ct.action, now, <Verdict *> &raw[0])
    return tokens, told


def waiting(Conntrack tracker not None, sender: int) -> int:
    """Packets that a shard handed to this one and that it did not take yet."""
    cdef Shard *shard = tracker.opened()
    return spsc_ready(&(<Group *> shard.group).rings[other(shard, sender)][shard.number])


def stubs(Conntrack tracker not None) -> int:
    """Tuples that are at home here and lead to a connection of another shard."""
    stubs_take_back(tracker.opened())
    return tracker.shard.n_stubs
