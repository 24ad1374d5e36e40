"""What the speed bars of this room are measured with: frames in cold memory, and a plain C hash table as control."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

from ctoffload_dpdk.conntrack.nat import Nat

from ctoffload_dpdk.conntrack._checksum cimport sum_bytes, sum_pseudo
from ctoffload_dpdk.conntrack._action cimport make_nat
from ctoffload_dpdk.conntrack._conntrack cimport Conntrack, ct_burst
from ctoffload_dpdk.conntrack._group cimport take_handed_over
from ctoffload_dpdk.conntrack._packet cimport PKT_L3_GOOD, PKT_L4_GOOD, Action, NatAction, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport BURST, Area, Shard
from ctoffload_dpdk.conntrack._table cimport area_close, area_open
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_NO_PORT

cdef extern from * nogil:
    """
    struct plain_entry { uint64_t key[2]; uint64_t value; };

    static uint64_t plain_hash(const uint64_t *key)
    {
        uint64_t x = key[0] * 0x9e3779b97f4a7c15ull ^ key[1];
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93ull;
        return x ^ x >> 32;
    }

    static void plain_put(struct plain_entry *table, uint64_t mask, const uint64_t *key, uint64_t value)
    {
        uint64_t at = plain_hash(key) & mask;
        while (table[at].value) {
            at = (at + 1) & mask;
        }
        table[at].key[0] = key[0];
        table[at].key[1] = key[1];
        table[at].value = value;
    }

    static uint64_t plain_get(const struct plain_entry *table, uint64_t mask, const uint64_t *key)
    {
        uint64_t at = plain_hash(key) & mask;
        while (table[at].value && (table[at].key[0] != key[0] || table[at].key[1] != key[1])) {
            at = (at + 1) & mask;
        }
        return table[at].value;
    }

    static uint64_t plain_loop(const struct plain_entry *table, uint64_t mask, const uint32_t *order, uint64_t n)
    {
        uint64_t found = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t key[2] = {order[i] * 0x100000001ull, order[i] + 7};
            found += plain_get(table, mask, key);
        }
        return found;
    }
    """
    struct plain_entry:
        uint64_t value
    void plain_put(plain_entry *table, uint64_t mask, const uint64_t *key, uint64_t value)
    uint64_t plain_loop(const plain_entry *table, uint64_t mask, const uint32_t *order, uint64_t n)

cdef enum:
    FRAME = 64
    # as far apart as DPDK's packet buffers lie
    STRIDE = 2176


# This thread's own time: what others do on the machine meanwhile does not count.
cdef inline int64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void put16(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = value >> 8 & 0xff
    at[1] = value & 0xff


cdef inline void put_checksum(uint8_t *at, uint64_t total) noexcept nogil:
    cdef uint16_t value
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    value = <uint16_t> ~total
    memcpy(at, &value, 2)


# A 64-byte UDP frame of one connection, with right checksums.
cdef void put_frame(uint8_t *frame, uint32_t connection, bint reply) noexcept nogil:
    cdef uint8_t *ip = frame + 14
    cdef uint8_t *udp = frame + 34
    cdef uint32_t client = 0x0a000000 | connection
    cdef uint32_t server = 0xc0a80101U
    cdef uint32_t src = server if reply else client
    cdef uint32_t dst = client if reply else server
    memset(frame, 0, FRAME)
    put16(frame + 12, 0x0800)
    ip[0] = 0x45
    put16(ip + 2, FRAME - 14 - 4)
    ip[8] = 64
    ip[9] = 17
    put16(ip + 12, src >> 16)
    put16(ip + 14, src)
    put16(ip + 16, dst >> 16)
    put16(ip + 18, dst)
    put_checksum(ip + 10, sum_bytes(0, ip, 20))
    put16(udp, 53 if reply else 1024 + connection % 60000)
    put16(udp + 2, 1024 + connection % 60000 if reply else 53)
    put16(udp + 4, FRAME - 14 - 4 - 20)
    put_checksum(udp + 6, sum_bytes(sum_bytes(sum_pseudo(17, FRAME - 38), ip + 12, 8), udp, FRAME - 38))


cdef class Frames:
    """A pool of UDP frames, one per entry of a run of connection numbers."""

    cdef Area area
    cdef Area hint_area
    cdef uint8_t *base
    cdef uint32_t *hints         # the connection's slot, by frame
    cdef readonly uint32_t n

    def __cinit__(self, size: int):
        if area_open(&self.area, <uint64_t> size * STRIDE) or area_open(&self.hint_area, <uint64_t> size * 4):
            raise MemoryError
        self.hints = <uint32_t *> self.hint_area.base
        self.base = <uint8_t *> self.area.base
        self.n = size

    def __dealloc__(self):
        area_close(&self.area)
        area_close(&self.hint_area)

    def fill(self, order, reply: bool = False) -> None:
        """Writes a frame of each connection of uint32[] order."""
        cdef const uint32_t[::1] numbers = order
        cdef uint32_t i
        cdef bint back = reply
        with nogil:
            for i in range(min(self.n, <uint32_t> numbers.shape[0])):
                put_frame(self.base + <uint64_t> i * STRIDE, numbers[i], back)
                self.hints[i] = numbers[i] + 1      # the first connection has the first slot

    def run(self, Conntrack conntrack, n: int, *, now_ms: int, good: bool = True, port: int = CT_OFFLOAD_NO_PORT,
            port_generation: int = 0, nat: Nat | None = None, marked: bool = False, home: Conntrack | None = None) -> int:
        """Sends n frames through the tracker in bursts of 32, round the pool; returns nanoseconds.

        nat: new connections are translated so, and their frames in place. marked: with the mark of their connection, where
        that was inserted in the order of its number. home: the shard that they belong to where that is another one; it takes
        each burst as it was handed over.
        """
        cdef NatAction translation
        cdef Packet[BURST] packets
        cdef Verdict[BURST] verdicts
        cdef Action action
        cdef uint32_t left = n
        cdef uint32_t at = 0
        cdef uint32_t i, size
        cdef int64_t now = now_ms
        cdef int64_t start
        cdef bint hinted = marked
        cdef Shard *other = home.opened() if home is not None else NULL
        cdef Packet[BURST] taken
        memset(&action, 0, sizeof(action))
        action.commit = True
        if nat is not None:
            translation = make_nat(nat)
            action.nat = &translation
        memset(packets, 0, sizeof(packets))
        for i in range(BURST):
            packets[i].length = FRAME - 4
            packets[i].flags = PKT_L3_GOOD | PKT_L4_GOOD if good else 0
            packets[i].port_id = port
            packets[i].port_generation = port_generation
        with nogil:
            start = clock_ns()
            while left:
                size = min(left, <uint32_t> BURST)
                for i in range(size):
                    packets[i].data = self.base + <uint64_t> at * STRIDE
                    packets[i].hint = self.hints[at] if hinted else 0
                    at += 1
                    if at == self.n:
                        at = 0
                ct_burst(conntrack.shard, packets, size, &action, now, verdicts)
                if other != NULL:
                    size = take_handed_over(other, conntrack.shard.number, BURST, taken)
                    ct_burst(other, taken, size, &action, now, verdicts)
                left -= size
            start = clock_ns() - start
        return start


cdef class Plain:
    """The control: a plain C hash table with 16-byte keys, half full, one lookup after the other."""

    cdef plain_entry *table
    cdef uint64_t mask

    def __cinit__(self, n: int):
        cdef uint64_t key[2]
        cdef uint64_t size = 2
        cdef uint32_t i
        while size < 2 * <uint64_t> n:
            size *= 2
        self.mask = size - 1
        self.table = <plain_entry *> calloc(size, 24)
        if self.table == NULL:
            raise MemoryError
        for i in range(<uint32_t> n):
            key[0] = i * <uint64_t> 0x100000001
            key[1] = i + 7
            plain_put(self.table, self.mask, key, i + 1)

    def __dealloc__(self):
        free(self.table)

    def run(self, order) -> int:
        """Looks every number of uint32[] order up; returns nanoseconds."""
        cdef const uint32_t[::1] numbers = order
        cdef int64_t start
        cdef uint64_t found
        with nogil:
            start = clock_ns()
            found = plain_loop(self.table, self.mask, &numbers[0], numbers.shape[0])
            start = clock_ns() - start
        if not found:
            raise AssertionError("the control found nothing")
        return start
