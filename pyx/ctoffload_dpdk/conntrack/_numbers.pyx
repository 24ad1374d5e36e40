"""How many connections there are, by protocol and by TCP state: read from counters, whatever the table holds."""
import numpy as np

from libc.stdint cimport int64_t, uint32_t

from ctoffload_dpdk.base.numbers import whole

from ctoffload_dpdk.conntrack._conntrack cimport Conntrack, Shard
from ctoffload_dpdk.conntrack._state cimport N_PEER_STATES, N_PROTOCOL_GROUPS, N_ZONES, Zone

cdef enum:
    ZONES = 1024             # added up between two turns of the shard's loop: 128 KiB, 15 us


cdef void add_up(const Shard *shard, uint32_t first, uint32_t end, int64_t *of, int64_t *tcp) noexcept nogil:
    cdef const Zone *zone
    cdef int i
    while first < end:
        zone = &shard.zones[first]
        first += 1
        if zone.live:
            for i in range(N_PROTOCOL_GROUPS):
                of[i] += zone.of[i]
            for i in range(N_PEER_STATES):
                tcp[i] += zone.tcp[i]


def numbers(Conntrack tracker not None, zone=None):
    """(int64[9], int64[11]): connections by PROTOCOL_GROUPS; those of TCP by the state of the peer that is further on.

    Of all zones, or of one. As `count`, those included whose time is up and that no slice of expiry has met yet.
    Raises UsageError EINVAL for a zone above 65535, CtoffloadError ETIMEDOUT as `held` does.
    """
    cdef Shard *shard = tracker.opened()
    cdef uint32_t first = 0
    cdef uint32_t end = shard.zone_top
    of = np.zeros(N_PROTOCOL_GROUPS, np.int64)
    tcp = np.zeros(N_PEER_STATES, np.int64)
    cdef int64_t[::1] of_sums = of
    cdef int64_t[::1] tcp_sums = tcp
    if zone is not None:
        first = whole(zone, 0, N_ZONES - 1, "zone")
        end = min(end, first + 1)
    while first < end:
        with tracker.held():
            add_up(shard, first, min(end, first + ZONES), &of_sums[0], &tcp_sums[0])
        first += ZONES
    return of, tcp
