"""Turns of a shard without the GIL, as a loop of the engine takes them, on packets in memory: for tests with threads."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.conntrack._action cimport Ct
from ctoffload_dpdk.conntrack._conntrack cimport Conntrack, ct_burst, ct_expire
from ctoffload_dpdk.conntrack._gate cimport gate_enter, gate_leave, gate_pass
from ctoffload_dpdk.conntrack._group cimport Group, take_handed_over
from ctoffload_dpdk.conntrack._packet cimport Action, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport BURST, Shard

cdef enum:
    EXPIRE_BUDGET_US = 100


cdef void take_over(Shard *shard, const Action *action, int64_t now_ms) noexcept nogil:
    cdef Group *group = <Group *> shard.group
    cdef Packet[BURST] packets
    cdef Verdict[BURST] verdicts
    cdef uint32_t sender, n
    for sender in range(group.n):
        if sender != shard.number:
            n = take_handed_over(shard, sender, BURST, packets)
            ct_burst(shard, packets, n, action, now_ms, verdicts)


def serve(Conntrack tracker not None, packets, turn_ms: int, **action) -> None:
    """A burst of these packets at each turn, and one from each other shard; a turn takes so long by the shard's clock.

    Packets are rewritten where they lie, also by other shards: each is sent once, and they stay until all were taken.
    """
    cdef Shard *shard = tracker.opened()
    cdef Ct ct = Ct(**action)
    cdef uint8_t[::1] data = packets.data
    cdef const uint64_t[::1] offset = np.ascontiguousarray(packets.offset)
    cdef const uint32_t[::1] length = np.ascontiguousarray(packets.length)
    cdef Packet[BURST] some
    cdef Verdict[BURST] verdicts
    cdef int64_t step_ms = turn_ms
    cdef int64_t now_ms = shard.now_ms
    cdef uint32_t n = len(packets)
    cdef uint32_t start = 0
    cdef uint32_t i, size
    ct.may_write(packets)
    with nogil:
        gate_enter(&shard.gate)
        while start < n:
            size = min(n - start, <uint32_t> BURST)
            memset(some, 0, sizeof(some))
            for i in range(size):
                some[i].data = &data[offset[start + i]]
                some[i].length = some[i].room = length[start + i]
            ct_burst(shard, some, size, &ct.action, now_ms, verdicts)
            take_over(shard, &ct.action, now_ms)
            ct_expire(shard, now_ms, EXPIRE_BUDGET_US)
            start += size
            now_ms += step_ms
            gate_pass(&shard.gate)
        gate_leave(&shard.gate)
