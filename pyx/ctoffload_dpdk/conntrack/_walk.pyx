# cython: annotation_typing=False
# An argument of type int would be cut from a float before it can be checked.
"""Walks over the table of a shard, a slice between two turns of its loop: the rows that fit, their number, their end.

Conditions are tested in the table itself, so that a walk costs little where little fits: 1M connections in some 20 ms.
"""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.conntrack._conntrack import CONNECTION

from ctoffload_dpdk.conntrack._conntrack cimport Conntrack, Shard
from ctoffload_dpdk.conntrack._filter cimport WANTS_ZONE, Conditions, Wanted, slot_fits
from ctoffload_dpdk.conntrack._hardware cimport is_visible
from ctoffload_dpdk.conntrack._key cimport prefetch
from ctoffload_dpdk.conntrack._life cimport conn_end, conn_offload, conn_record
from ctoffload_dpdk.conntrack._state cimport CAUSE_FLUSHED, CONN_LIVE, Conn, Record

cdef enum:
    SLOTS = 4096             # looked at between two turns of the tracker's thread: 0.1 ms where nothing fits
    AHEAD = 8                # slots between fetching one and looking at it
    N_STANDINGS = 3
    N_REASONS = 32

MOST_32 = (1 << 32) - 1
MOST_63 = (1 << 63) - 1

EVERYTHING = Conditions()


cdef inline bint is_wanted(Shard *shard, const Wanted *wanted, int64_t more_than, uint32_t slot) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    if not conn.flags & CONN_LIVE or not is_visible(shard, slot, shard.now_ms):
        return False
    if more_than >= 0 and conn.packets[0] + conn.packets[1] <= <uint64_t> more_than:
        return False
    return slot_fits(wanted, shard, slot)


cdef class Walk:
    """A walk over one tracker's table, from slot `first` on; slots begin at 1. next: where it goes on; 0: it is done.

    Each call looks at 4096 slots at most, and ends early after at_most connections that fit. The tracker's thread goes on
    between the calls, so what comes and goes meanwhile is met or not. Raises CtoffloadError ETIMEDOUT as `hold` does.
    """

    cdef readonly Conntrack tracker
    cdef readonly uint32_t next
    cdef Conditions conditions
    cdef uint32_t[SLOTS] slots
    cdef uint32_t n

    def __cinit__(self, Conntrack tracker not None, Conditions conditions=None, first: int = 1):
        self.tracker = tracker
        self.conditions = conditions if conditions is not None else EVERYTHING
        self.next = max(whole(first, 0, MOST_32, "Walk: first"), 1)

    @property
    def end(self) -> int:
        """The slot at which it will end, as far as is known now."""
        return self.tracker.opened().slot_top

    cdef Shard *look(self, uint32_t at_most, int64_t more_than) noexcept nogil:
        """Finds the next ones. The tracker is held, and is open therefore."""
        cdef Shard *shard = self.tracker.shard
        cdef const Wanted *wanted = &self.conditions.wanted
        cdef uint32_t slot = self.next
        cdef uint32_t stop = <uint32_t> min(<uint64_t> slot + SLOTS, <uint64_t> shard.slot_top)
        self.n = 0
        if wanted.conditions & WANTS_ZONE and not shard.zones[wanted.zone].live:
            self.next = 0
            return shard
        while slot < stop and self.n < at_most:
            prefetch(&shard.conns[slot + AHEAD])
            if is_wanted(shard, wanted, more_than, slot):
                self.slots[self.n] = slot
                self.n += 1
            slot += 1
        self.next = slot if slot < shard.slot_top else 0
        return shard

    def rows(self, at_most: int = SLOTS, more_than: int = -1):
        """CONNECTION[] of the next that fit. more_than: only those with more packets than that, both directions together."""
        cdef Shard *shard
        cdef uint32_t i
        # what is not written of this takes no memory
        cdef uint32_t most = whole(at_most, 0, MOST_32, "Walk: at_most")
        cdef int64_t least = whole(more_than, -1, MOST_63, "Walk: more_than")
        found = np.empty(max(min(most, <uint32_t> SLOTS), 1), CONNECTION)
        cdef uint8_t[::1] raw = found.view(np.uint8)
        cdef Record *record = <Record *> &raw[0]
        with self.tracker.held(), nogil:
            shard = self.look(most, least)
            for i in range(self.n):
                conn_record(shard, self.slots[i], shard.now_ms, record + i)
        return found[:self.n]

    def count(self) -> int:
        """How many of the next fit."""
        with self.tracker.held(), nogil:
            self.look(SLOTS, -1)
        return self.n

    def tally(self, numbers) -> None:
        """Adds to int64[3, 32] how many of the next fit, by offload state (no, pending, yes) and reason.

        Raises ValueError for a smaller array.
        """
        cdef int64_t[:, ::1] sums = numbers
        cdef Shard *shard
        cdef uint32_t i
        cdef uint16_t reason
        cdef uint8_t standing
        cdef int error
        if sums.shape[0] < N_STANDINGS or sums.shape[1] < N_REASONS:
            raise ValueError("tally adds to int64[3, 32]")
        with self.tracker.held(), nogil:
            shard = self.look(SLOTS, -1)
            for i in range(self.n):
                standing = conn_offload(shard, self.slots[i], &reason, &error)
                sums[standing, reason % N_REASONS] += 1

    def flush(self, at_most: int = SLOTS) -> int:
        """Ends the next that fit; returns how many."""
        cdef Shard *shard
        cdef uint32_t i
        cdef uint32_t most = whole(at_most, 0, MOST_32, "Walk: at_most")
        with self.tracker.held(), nogil:
            shard = self.look(most, -1)
            for i in range(self.n):
                conn_end(shard, self.slots[i], CAUSE_FLUSHED, shard.now_ms)
        return self.n
