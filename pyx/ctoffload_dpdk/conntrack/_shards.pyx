"""Packets that another shard handed over, taken by hand; a loop of the engine does the same in its turn."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._action cimport Ct
from ctoffload_dpdk.conntrack._burst cimport burst
from ctoffload_dpdk.conntrack._conntrack cimport Conntrack
from ctoffload_dpdk.conntrack._group cimport Group, stubs_take_back
from ctoffload_dpdk.conntrack._packet cimport Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport BURST, Shard
from ctoffload_dpdk.offload.libspsc cimport spsc, spsc_at, spsc_ready, spsc_release

from ctoffload_dpdk.conntrack import VERDICT


def take(Conntrack tracker not None, sender: int, at_most: int, now_ms: int, **action):
    """Judges at most so many packets that a shard handed to this one; returns their tokens, and VERDICT[].

    A verdict with state 0 is none: the packet went on to another shard, or was dropped where a reason stands.
    """
    cdef Shard *shard = tracker.opened()
    cdef Ct ct = Ct(**action)
    cdef spsc *ring = &(<Group *> shard.group).rings[<int> sender][shard.number]
    cdef Packet[BURST] packets
    cdef uint32_t i, n
    cdef int64_t now = now_ms
    n = min(spsc_ready(ring), <uint32_t> at_most, <uint32_t> BURST)
    tokens = np.zeros(n, np.uint64)
    told = np.zeros(n, VERDICT)
    cdef uint64_t[::1] names = tokens
    cdef uint8_t[::1] raw = told.view(np.uint8)
    stubs_take_back(shard)
    if not n:
        return tokens, told
    for i in range(n):
        packets[i] = (<Packet *> spsc_at(ring, i))[0]
        names[i] = packets[i].token
    spsc_release(ring, n)
    with nogil:
        burst(shard, packets, n, &ct.action, now, <Verdict *> &raw[0])
    return tokens, told


def waiting(Conntrack tracker not None, sender: int) -> int:
    """Packets that a shard handed to this one and that it did not take yet."""
    cdef Shard *shard = tracker.opened()
    return spsc_ready(&(<Group *> shard.group).rings[<int> sender][shard.number])


def stubs(Conntrack tracker not None) -> int:
    """Tuples that are at home here and lead to a connection of another shard."""
    stubs_take_back(tracker.opened())
    return tracker.shard.n_stubs
