"""Copies of the packets that software handles, from a loop to whoever writes a capture, through a ring of bounded size."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

import numpy as np

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack._conntrack import CONNECTION

from ctoffload_dpdk.conntrack._conntrack cimport Shard, Verdict
from ctoffload_dpdk.conntrack._filter cimport record_fits, set_wanted
from ctoffload_dpdk.conntrack._life cimport conn_record
from ctoffload_dpdk.conntrack._state cimport Record
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mbuf, rte_pktmbuf_mtod
from ctoffload_dpdk.engine._classify cimport classify
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_ID_SLOT
from ctoffload_dpdk.offload.libspsc cimport pages_free, pages_new, shared_get, shared_set

cdef enum:
    MIN_RING_BYTES = 65536
    MAX_RING_BYTES = 1 << 30
    MAX_SNAPLEN = 65535
    MAX_TAGS = 2

ENTRY = np.dtype([
    ("size", "u4"), ("captured", "u4"), ("time_ns", "i8"), ("length", "u4"), ("port", "u1"), ("state", "u1"),
    ("refusal", "u1"), ("dropped", "u1"), ("untracked", "u1"), ("reserved", "u1", 7), ("record", CONNECTION),
], align=True)

if ENTRY.itemsize != sizeof(TapEntry):
    raise ImportError(f"tap: numpy has {ENTRY.itemsize} bytes, C has {sizeof(TapEntry)}")

cdef TapEntry *reserve(Tap *tap, uint32_t size) noexcept nogil:
    """Room for an entry in one piece; NULL where the ring is full."""
    cdef uint32_t head = shared_get(&tap.head)
    cdef uint32_t used = head - shared_get(&tap.tail)
    cdef uint32_t at = head & (tap.ring_bytes - 1)
    cdef uint32_t to_end = tap.ring_bytes - at
    if size > to_end:
        if size > tap.ring_bytes - used or to_end > tap.ring_bytes - used - size:
            return NULL
        # All sizes are multiples of 8, so there is room for a size.
        (<uint32_t *> &tap.ring[at])[0] = 0
        shared_set(&tap.head, head + to_end)
        return <TapEntry *> tap.ring
    return <TapEntry *> &tap.ring[at] if size <= tap.ring_bytes - used else NULL


cdef void put(Tap *tap, const TapEntry *entry, const uint8_t *data) noexcept nogil:
    """An entry and its bytes, or one more that was dropped."""
    cdef TapEntry *to = reserve(tap, entry.size)
    if to == NULL:
        tap.dropped += 1
        return
    memcpy(to, entry, sizeof(TapEntry))
    memcpy(<uint8_t *> to + sizeof(TapEntry), data, entry.captured)
    tap.captured += 1
    shared_set(&tap.head, shared_get(&tap.head) + entry.size)


cdef void tap_burst(Tap *tap, Shard *shard, uint8_t port, rte_mbuf **mbufs, uint16_t n, const uint8_t *tracked_at,
                    uint32_t n_tracked, const Verdict *verdicts, const uint8_t *drop, int64_t now_ms) noexcept nogil:
    """What the loop makes of a burst, just before it is sent on: translated, with its verdicts."""
    cdef TapEntry entry
    cdef timespec now
    cdef uint16_t tags[MAX_TAGS]
    cdef uint32_t i, tracked = 0
    cdef int n_tags = 0
    cdef const Verdict *verdict
    clock_gettime(CLOCK_REALTIME, &now)
    for i in range(n):
        memset(&entry, 0, sizeof(TapEntry))
        entry.time_ns = <int64_t> now.tv_sec * 1000000000 + now.tv_nsec
        entry.port = port
        entry.dropped = drop[i]
        entry.length = mbufs[i].pkt_len
        entry.captured = min(min(<uint32_t> mbufs[i].data_len, entry.length), tap.snaplen)
        entry.size = (sizeof(TapEntry) + entry.captured + 7) & <uint32_t> ~7
        if tracked < n_tracked and tracked_at[tracked] == i:
            verdict = &verdicts[tracked]
            tracked += 1
            entry.state = verdict.state
            entry.refusal = verdict.reason
            if verdict.conn_id:
                conn_record(shard, CT_OFFLOAD_ID_SLOT(verdict.conn_id), now_ms, &entry.record)
                if entry.record.conn_id != verdict.conn_id:
                    memset(&entry.record, 0, sizeof(Record))
        else:
            entry.untracked = <uint8_t> classify(rte_pktmbuf_mtod(mbufs[i]), mbufs[i].data_len, tags, &n_tags)
        if tap.wanted.is_empty or (entry.record.conn_id and record_fits(&tap.wanted, &entry.record)):
            put(tap, &entry, rte_pktmbuf_mtod(mbufs[i]))


cdef class PacketTap:
    """A ring that a loop fills and `take` empties. Goes into a loop with Loop.set_tap.

    snaplen: bytes kept of each packet; ring_bytes: memory, rounded up to a power of two. Conditions over the connection
    of a packet, all of which hold, as `Conditions` takes them; None: no condition. With one, packets without a
    connection do not fit. Raises UsageError for a snaplen not between 1 and 65535, a ring above 1 GiB and another
    condition.
    """

    def __cinit__(self, *, snaplen: int = 65535, ring_bytes: int = 8 << 20, **conditions):
        if not 0 < snaplen <= MAX_SNAPLEN or not 0 < ring_bytes <= MAX_RING_BYTES:
            raise UsageError(f"a capture keeps 1 to {MAX_SNAPLEN} bytes of a packet, in a ring of 1 to {MAX_RING_BYTES}",
                             op="tap")
        self.tap.snaplen = snaplen
        self.tap.ring_bytes = MIN_RING_BYTES
        # The largest packet has room in an empty ring, whatever is left at its end.
        while self.tap.ring_bytes < max(ring_bytes, 2 * (snaplen + <int> sizeof(TapEntry))):
            self.tap.ring_bytes *= 2
        self.tap.ring = <uint8_t *> pages_new(self.tap.ring_bytes)
        if self.tap.ring == NULL:
            raise MemoryError
        set_wanted(&self.tap.wanted, {name: value for name, value in conditions.items() if value is not None})

    def __dealloc__(self):
        if self.tap.ring != NULL:
            pages_free(self.tap.ring, self.tap.ring_bytes)

    @property
    def captured(self) -> int:
        """Packets that went into the ring."""
        return self.tap.captured

    @property
    def dropped(self) -> int:
        """Packets that fitted, but found the ring full."""
        return self.tap.dropped

    def take(self, max_packets: int = 4096):
        """(ENTRY[n], Packets[n]) of what came since the last call, oldest first. By one thread at a time."""
        cdef uint32_t tail = shared_get(&self.tap.tail)
        cdef uint32_t head = shared_get(&self.tap.head)
        cdef uint32_t at = tail
        cdef uint32_t n = 0, n_bytes = 0, most = max_packets, place
        cdef TapEntry *entry
        cdef uint8_t *entries
        cdef uint8_t *bytes_out
        while at != head and n < most:
            place = at & (self.tap.ring_bytes - 1)
            entry = <TapEntry *> &self.tap.ring[place]
            if entry.size == 0:
                at += self.tap.ring_bytes - place
                continue
            n += 1
            n_bytes += entry.captured
            at += entry.size
        rows = np.empty(n, ENTRY)
        data = np.empty(n_bytes, np.uint8)
        cdef uint8_t[::1] rows_raw = rows.view(np.uint8)
        cdef uint8_t[::1] data_raw = data
        entries = &rows_raw[0] if n else NULL
        bytes_out = &data_raw[0] if n_bytes else NULL
        at = tail
        while n:
            place = at & (self.tap.ring_bytes - 1)
            entry = <TapEntry *> &self.tap.ring[place]
            if entry.size == 0:
                at += self.tap.ring_bytes - place
                continue
            memcpy(entries, entry, sizeof(TapEntry))
            entries += sizeof(TapEntry)
            if entry.captured:
                memcpy(bytes_out, <uint8_t *> entry + sizeof(TapEntry), entry.captured)
                bytes_out += entry.captured
            at += entry.size
            n -= 1
        shared_set(&self.tap.tail, at)
        length = rows["captured"].copy()
        offset = np.zeros(len(rows), np.uint64)
        if len(rows) > 1:
            np.cumsum(length[:len(rows) - 1], dtype=np.uint64, out=offset[1:])
        return rows, Packets(data, offset, length, rows["time_ns"].copy(), rows["length"].copy())
