"""Walks a pcap or pcapng file that lies in memory, without the GIL. Any bytes may be in it: every read is bounds-checked."""
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from array import array

cdef extern from *:
    """
    typedef unsigned __int128 ctoffload_u128;
    typedef __int128 ctoffload_i128;
    """
    # Wide enough for any 64-bit time stamp in nanoseconds; the real size is the C compiler's business.
    ctypedef unsigned long long u128 "ctoffload_u128"
    ctypedef long long i128 "ctoffload_i128"
    uint16_t bswap16 "__builtin_bswap16"(uint16_t) nogil
    uint32_t bswap32 "__builtin_bswap32"(uint32_t) nogil
    uint64_t bswap64 "__builtin_bswap64"(uint64_t) nogil


# Why a walk stopped; capture.py turns each into a sentence.
END = _END
CUT = _CUT
BAD_LENGTH = _BAD_LENGTH
BAD_INTERFACE = _BAD_INTERFACE
BAD_VERSION = _BAD_VERSION
BAD_BYTE_ORDER = _BAD_BYTE_ORDER
BAD_LINK_TYPE = _BAD_LINK_TYPE
NO_MEMORY = _NO_MEMORY
NOT_A_CAPTURE = _NOT_A_CAPTURE
MODIFIED_PCAP = _MODIFIED_PCAP

cdef enum:
    _END = 0
    _CUT
    _BAD_LENGTH
    _BAD_INTERFACE
    _BAD_VERSION
    _BAD_BYTE_ORDER
    _BAD_LINK_TYPE
    _NO_MEMORY
    _NOT_A_CAPTURE
    _MODIFIED_PCAP

cdef enum Format:
    FORMAT_NONE
    FORMAT_PCAP
    FORMAT_PCAPNG

cdef enum:
    MAGIC_US = 0xa1b2c3d4
    MAGIC_NS = 0xa1b23c4d
    MAGIC_MODIFIED = 0xa1b2cd34
    BYTE_ORDER_MAGIC = 0x1a2b3c4d
    PCAP_HEADER = 24
    PCAP_RECORD = 16
    BLOCK_MIN = 12
    BLOCK_SECTION = 0x0a0d0d0a
    BLOCK_INTERFACE = 1
    BLOCK_OLD_PACKET = 2
    BLOCK_SIMPLE_PACKET = 3
    BLOCK_PACKET = 6
    PACKET_BLOCK = 32        # a packet block without its bytes and options
    OPTION_COMMENT = 1
    OPTION_END = 0
    OPTION_RESOLUTION = 9
    OPTION_OFFSET = 14
    MAX_PACKET = 262144  # what libpcap takes as well; a larger length means the file is broken
    NS_PER_S = 1000000000

cdef enum:
    LINK_NULL = 0
    LINK_ETHERNET = 1
    LINK_RAW_BSD = 12
    LINK_RAW_OPENBSD = 14
    LINK_RAW = 101
    LINK_LOOP = 108
    LINK_SLL = 113
    LINK_IPV4 = 228
    LINK_IPV6 = 229
    LINK_SLL2 = 276

cdef struct Interface:
    int64_t offset_s        # added to every time stamp
    uint64_t multiply       # time stamp -> ns: * multiply, / divide, >> shift
    uint64_t divide
    uint32_t shift
    uint32_t snap_length    # 0: no limit
    uint16_t link_type

# The columns that a walk fills, one row a packet.
cdef struct Columns:
    uint64_t *offset
    uint32_t *length
    int64_t *time_ns
    uint32_t *wire_length
    uint32_t *interface


cdef inline uint16_t get16(const uint8_t *at, bint swapped) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, 2)
    return bswap16(value) if swapped else value


cdef inline uint32_t get32(const uint8_t *at, bint swapped) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return bswap32(value) if swapped else value


cdef inline uint64_t get64(const uint8_t *at, bint swapped) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return bswap64(value) if swapped else value


cdef bint is_known(uint16_t link_type) noexcept nogil:
    return (link_type == LINK_ETHERNET or link_type == LINK_NULL or link_type == LINK_RAW_BSD
            or link_type == LINK_RAW_OPENBSD or link_type == LINK_RAW or link_type == LINK_LOOP
            or link_type == LINK_SLL or link_type == LINK_IPV4 or link_type == LINK_IPV6 or link_type == LINK_SLL2)


cdef void set_resolution(Interface *interface, uint8_t resolution) noexcept nogil:
    """if_tsresol: a negative power of two where the top bit is set, else of ten."""
    cdef uint32_t exponent = resolution & 0x7f
    cdef uint64_t power = 1
    interface.multiply = interface.divide = 1
    interface.shift = 0
    if resolution & 0x80:
        interface.multiply = NS_PER_S
        interface.shift = exponent
    elif exponent <= 9:
        while exponent < 9:
            power *= 10
            exponent += 1
        interface.multiply = power
    elif exponent <= 9 + 18:
        while exponent > 9:
            power *= 10
            exponent -= 1
        interface.divide = power
    else:
        interface.multiply = 0  # finer than 2^64 units a nanosecond: always 0 ns


cdef int64_t to_ns(uint64_t stamp, const Interface *interface) noexcept nogil:
    """A time stamp of this interface in ns; clamped where 64 bits cannot hold it."""
    cdef u128 units = (<u128>stamp) * interface.multiply
    cdef i128 ns
    if interface.shift:
        units = units >> interface.shift
    elif interface.divide != 1:
        units = units // interface.divide
    ns = <i128>units + (<i128>interface.offset_s) * NS_PER_S
    if ns > <i128>INT64_MAX:
        return INT64_MAX
    if ns < <i128>INT64_MIN:
        return INT64_MIN
    return <int64_t>ns


cdef class Walker:
    """One walk over a capture in memory, in steps of as many packets as the arrays of `fill` have room for.

    After each step: `status` (END while nothing is wrong), `at` (byte offset of the record it stopped at), `value` and
    `limit` (what was found there, and what would have been possible), `done`.
    """
    cdef const uint8_t[::1] buffer
    cdef const uint8_t *data
    cdef uint64_t size
    cdef uint64_t position
    cdef Format format
    cdef bint swapped
    cdef bint nanoseconds
    cdef Interface *interfaces
    cdef uint32_t n_interfaces
    cdef uint32_t capacity
    cdef uint32_t section_start     # the first interface of this section
    cdef int _status
    cdef bint _done
    cdef uint64_t _at
    cdef uint64_t _value
    cdef uint64_t _limit

    def __cinit__(self, const uint8_t[::1] buffer not None):
        self.buffer = buffer
        self.size = buffer.shape[0]
        self.data = &buffer[0] if self.size else NULL
        with nogil:
            self.open()

    def __dealloc__(self):
        free(self.interfaces)

    @property
    def format(self) -> str:
        """"pcap", "pcapng", or "" where it is neither."""
        return ("", "pcap", "pcapng")[<int>self.format]

    @property
    def status(self) -> int:
        return self._status

    @property
    def done(self) -> bool:
        return self._done

    @property
    def at(self) -> int:
        return self._at

    @property
    def value(self) -> int:
        return self._value

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def link_types(self) -> list[int]:
        """The link type of every interface met so far, in the order of the interface column."""
        return [self.interfaces[i].link_type for i in range(self.n_interfaces)]

    def fill(self, uint64_t[::1] offset not None, uint32_t[::1] length not None, int64_t[::1] time_ns not None,
             uint32_t[::1] wire_length not None, uint32_t[::1] interface not None) -> int:
        """Walks on until the arrays, all of one size, are full or the walk is done. Returns the number of packets."""
        cdef Columns columns
        cdef uint64_t room = offset.shape[0]
        cdef uint64_t n
        if not room or self._done:
            return 0
        if not (length.shape[0] == time_ns.shape[0] == wire_length.shape[0] == interface.shape[0] == offset.shape[0]):
            raise ValueError("fill: the arrays differ in size")
        columns.offset = &offset[0]
        columns.length = &length[0]
        columns.time_ns = &time_ns[0]
        columns.wire_length = &wire_length[0]
        columns.interface = &interface[0]
        with nogil:
            n = self.walk_pcap(&columns, room) if self.format == FORMAT_PCAP else self.walk_pcapng(&columns, room)
        return n

    cdef void stop(self, int status, uint64_t at, uint64_t value, uint64_t limit) noexcept nogil:
        self._status = status
        self._at = at
        self._value = value
        self._limit = limit
        self._done = True

    cdef void open(self) noexcept nogil:
        """Finds the format and, of a pcap, reads the header."""
        cdef uint32_t magic
        if self.size < 4:
            self.stop(_NOT_A_CAPTURE, 0, self.size, 4)
            return
        magic = get32(self.data, False)
        if magic == BLOCK_SECTION:
            self.format = FORMAT_PCAPNG
            return
        self.swapped = magic == bswap32(MAGIC_US) or magic == bswap32(MAGIC_NS) or magic == bswap32(MAGIC_MODIFIED)
        if self.swapped:
            magic = bswap32(magic)
        if magic == MAGIC_MODIFIED:
            self.stop(_MODIFIED_PCAP, 0, 0, 0)
        elif magic == MAGIC_US or magic == MAGIC_NS:
            self.format = FORMAT_PCAP
            self.nanoseconds = magic == MAGIC_NS
            self.open_pcap()
        else:
            self.stop(_NOT_A_CAPTURE, 0, magic, 0)

    cdef void open_pcap(self) noexcept nogil:
        cdef uint16_t link_type
        if self.size < PCAP_HEADER:
            self.stop(_CUT, 0, PCAP_HEADER, self.size)
            return
        if get16(self.data + 4, self.swapped) != 2 or get16(self.data + 6, self.swapped) < 3:
            self.stop(_BAD_VERSION, 4, get16(self.data + 4, self.swapped), get16(self.data + 6, self.swapped))
            return
        # The upper half of the field holds the length of an FCS, which lies behind the packet and disturbs nobody.
        link_type = get32(self.data + 20, self.swapped) & 0xffff
        if not is_known(link_type):
            self.stop(_BAD_LINK_TYPE, 20, link_type, 0)
        elif not self.add_interface(link_type, 0):
            self.stop(_NO_MEMORY, 0, 0, 0)
        self.position = PCAP_HEADER

    cdef bint add_interface(self, uint16_t link_type, uint32_t snap_length) noexcept nogil:
        cdef uint32_t capacity
        cdef Interface *grown
        if self.n_interfaces == self.capacity:
            capacity = self.capacity * 2 + 4
            grown = <Interface *>realloc(self.interfaces, <size_t>capacity * sizeof(Interface))
            if grown == NULL:
                return False
            self.interfaces = grown
            self.capacity = capacity
        self.interfaces[self.n_interfaces].offset_s = 0
        self.interfaces[self.n_interfaces].snap_length = snap_length
        self.interfaces[self.n_interfaces].link_type = link_type
        set_resolution(&self.interfaces[self.n_interfaces], 6)
        self.n_interfaces += 1
        return True

    cdef uint64_t walk_pcap(self, Columns *columns, uint64_t room) noexcept nogil:
        cdef const uint8_t *record
        cdef uint64_t position = self.position
        cdef uint64_t n = 0
        cdef uint32_t captured, wire
        cdef uint32_t unit_ns = 1 if self.nanoseconds else 1000
        cdef bint swapped = self.swapped
        while n < room and position < self.size:
            if self.size - position < PCAP_RECORD:
                self.stop(_CUT, position, PCAP_RECORD, self.size - position)
                break
            record = self.data + position
            captured = get32(record + 8, swapped)
            wire = get32(record + 12, swapped)
            if captured > MAX_PACKET:
                self.stop(_BAD_LENGTH, position, captured, MAX_PACKET)
                break
            if captured > self.size - position - PCAP_RECORD:
                self.stop(_CUT, position, PCAP_RECORD + <uint64_t>captured, self.size - position)
                break
            columns.offset[n] = position + PCAP_RECORD
            columns.length[n] = captured
            columns.time_ns[n] = (<int64_t>get32(record, swapped) * NS_PER_S
                                  + <int64_t>get32(record + 4, swapped) * unit_ns)
            columns.wire_length[n] = wire if wire > captured else captured
            columns.interface[n] = 0
            n += 1
            position += PCAP_RECORD + captured
        self.position = position
        if position >= self.size:
            self._done = True
        return n

    cdef uint64_t walk_pcapng(self, Columns *columns, uint64_t room) noexcept nogil:
        cdef uint64_t n = 0
        cdef uint32_t kind, length
        while n < room and self.position < self.size:
            if not self.next_block(&kind, &length):
                break
            if kind == BLOCK_PACKET or kind == BLOCK_SIMPLE_PACKET or kind == BLOCK_OLD_PACKET:
                if not self.take_packet(kind, length, columns, n):
                    break
                n += 1
            elif kind == BLOCK_INTERFACE:
                if not self.take_interface(length):
                    break
            elif kind == BLOCK_SECTION:
                if not self.take_section(length):
                    break
            self.position += length
        if self.position >= self.size:
            self._done = True
        return n

    cdef bint next_block(self, uint32_t *kind, uint32_t *length) noexcept nogil:
        """Type and length of the block at the position, which lies wholly in the file; False where it does not."""
        cdef const uint8_t *block = self.data + self.position
        cdef uint64_t left = self.size - self.position
        cdef uint32_t order
        if left < BLOCK_MIN:
            self.stop(_CUT, self.position, BLOCK_MIN, left)
            return False
        if get32(block, False) == BLOCK_SECTION:  # reads the same in both byte orders
            order = get32(block + 8, False)
            self.swapped = order == bswap32(BYTE_ORDER_MAGIC)
            if order != BYTE_ORDER_MAGIC and not self.swapped:
                self.stop(_BAD_BYTE_ORDER, self.position, order, 0)
                return False
        kind[0] = get32(block, self.swapped)
        length[0] = get32(block + 4, self.swapped)
        if length[0] < BLOCK_MIN or length[0] % 4:
            self.stop(_BAD_LENGTH, self.position, length[0], 0)
            return False
        if length[0] > left:
            self.stop(_CUT, self.position, length[0], left)
            return False
        if get32(block + length[0] - 4, self.swapped) != length[0]:
            self.stop(_BAD_LENGTH, self.position, length[0], get32(block + length[0] - 4, self.swapped))
            return False
        return True

    cdef bint take_section(self, uint32_t length) noexcept nogil:
        cdef uint16_t major
        if length < 28:
            self.stop(_BAD_LENGTH, self.position, length, 0)
            return False
        major = get16(self.data + self.position + 12, self.swapped)
        if major != 1:
            self.stop(_BAD_VERSION, self.position, major, get16(self.data + self.position + 14, self.swapped))
            return False
        self.section_start = self.n_interfaces
        return True

    cdef bint take_interface(self, uint32_t length) noexcept nogil:
        cdef const uint8_t *block = self.data + self.position
        cdef uint32_t at = 16
        cdef uint32_t end = length - 4
        cdef uint16_t code, size
        cdef Interface *interface
        if length < 20:
            self.stop(_BAD_LENGTH, self.position, length, 0)
            return False
        if not self.add_interface(get16(block + 8, self.swapped), get32(block + 12, self.swapped)):
            self.stop(_NO_MEMORY, self.position, 0, 0)
            return False
        interface = &self.interfaces[self.n_interfaces - 1]
        while at + 4 <= end:
            code = get16(block + at, self.swapped)
            size = get16(block + at + 2, self.swapped)
            at += 4
            if code == OPTION_END or size > end - at:
                break
            if code == OPTION_RESOLUTION and size >= 1:
                set_resolution(interface, block[at])
            elif code == OPTION_OFFSET and size >= 8:
                interface.offset_s = <int64_t>get64(block + at, self.swapped)
            at += (size + 3u) & ~3u
        return True

    cdef bint take_packet(self, uint32_t kind, uint32_t length, Columns *columns, uint64_t n) noexcept nogil:
        """One row from a packet block of any of the three kinds."""
        cdef const uint8_t *block = self.data + self.position
        cdef uint32_t header = 12 if kind == BLOCK_SIMPLE_PACKET else 28
        cdef uint32_t number = 0
        cdef uint32_t captured, wire, room
        cdef uint64_t stamp = 0
        cdef const Interface *interface
        if length < header + 4:
            self.stop(_BAD_LENGTH, self.position, length, 0)
            return False
        room = length - header - 4
        if kind == BLOCK_PACKET:
            number = get32(block + 8, self.swapped)
        elif kind == BLOCK_OLD_PACKET:
            number = get16(block + 8, self.swapped)
        if number >= self.n_interfaces - self.section_start:
            self.stop(_BAD_INTERFACE, self.position, number, self.n_interfaces - self.section_start)
            return False
        number += self.section_start
        interface = &self.interfaces[number]
        if kind == BLOCK_SIMPLE_PACKET:
            wire = get32(block + 8, self.swapped)
            captured = wire if wire < room else room
            if interface.snap_length and captured > interface.snap_length:
                captured = interface.snap_length
        else:
            stamp = (<uint64_t>get32(block + 12, self.swapped) << 32) | get32(block + 16, self.swapped)
            captured = get32(block + 20, self.swapped)
            wire = get32(block + 24, self.swapped)
        if captured > room or captured > MAX_PACKET:
            self.stop(_BAD_LENGTH, self.position, captured, room if room < MAX_PACKET else MAX_PACKET)
            return False
        if not is_known(interface.link_type):
            self.stop(_BAD_LINK_TYPE, self.position, interface.link_type, 0)
            return False
        columns.offset[n] = self.position + header
        columns.length[n] = captured
        columns.time_ns[n] = 0 if kind == BLOCK_SIMPLE_PACKET else to_ns(stamp, interface)
        columns.wire_length[n] = wire if wire > captured else captured
        columns.interface[n] = number
        return True


cdef uint32_t header_bytes(uint16_t link_type) noexcept nogil:
    """Bytes ahead of the network layer's own."""
    if link_type == LINK_ETHERNET:
        return 14
    if link_type == LINK_SLL:
        return 16
    if link_type == LINK_SLL2:
        return 20
    if link_type == LINK_NULL or link_type == LINK_LOOP:
        return 4
    return 0


cdef uint16_t family_type(const uint8_t *packet) noexcept nogil:
    """The EtherType for an address family of NULL and LOOP, whose value and byte order are the sender's own."""
    cdef uint32_t family = get32(packet, False)
    if family > 0xffff:
        family = bswap32(family)
    if family == 2:
        return 0x0800
    if family == 10 or family == 24 or family == 28 or family == 30:
        return 0x86dd
    return 0


cdef uint16_t ether_type(const uint8_t *packet, uint32_t length, uint16_t link_type) noexcept nogil:
    """The EtherType of a packet that has its whole link header; 0 (no IP) where there is none."""
    if link_type == LINK_SLL:
        return <uint16_t>((packet[14] << 8) | packet[15])
    if link_type == LINK_SLL2:
        return <uint16_t>((packet[0] << 8) | packet[1])
    if link_type == LINK_NULL or link_type == LINK_LOOP:
        return family_type(packet)
    if link_type == LINK_IPV4:
        return 0x0800
    if link_type == LINK_IPV6:
        return 0x86dd
    if length and packet[0] >> 4 == 4:
        return 0x0800
    if length and packet[0] >> 4 == 6:
        return 0x86dd
    return 0


cdef uint32_t put_ethernet(uint8_t *out, const uint8_t *packet, uint32_t length, uint16_t link_type) noexcept nogil:
    """Writes one packet with an Ethernet header in place of its own. Returns the bytes written, at most length + 14."""
    cdef uint32_t header = header_bytes(link_type)
    cdef uint16_t kind
    if link_type == LINK_ETHERNET:
        memcpy(out, packet, length)
        return length
    memset(out, 0, 14)
    if length < header:
        return 14
    if link_type == LINK_SLL:
        memcpy(out + 6, packet + 6, 6)
    elif link_type == LINK_SLL2:
        memcpy(out + 6, packet + 12, 6)
    kind = ether_type(packet, length, link_type)
    out[12] = <uint8_t>(kind >> 8)
    out[13] = <uint8_t>(kind & 0xff)
    memcpy(out + 14, packet + header, length - header)
    return 14 + length - header


def to_ethernet(const uint8_t[::1] data not None, uint64_t[::1] offset not None, uint32_t[::1] length not None,
                uint32_t[::1] wire_length not None, const uint16_t[::1] link_type not None,
                uint8_t[::1] out not None) -> int:
    """Copies packets into `out` with an Ethernet header in place of their own; rewrites offset and both lengths.

    `out` must hold the sum of the lengths plus 14 bytes a packet. Returns the bytes used. Raises ValueError where a
    packet lies outside the data or `out` is too small.
    """
    cdef Py_ssize_t i
    cdef Py_ssize_t n = offset.shape[0]
    cdef uint64_t used = 0
    cdef uint64_t size = data.shape[0]
    cdef uint64_t room = out.shape[0]
    cdef uint32_t written
    cdef bint fits = True
    if not (length.shape[0] == wire_length.shape[0] == link_type.shape[0] == n):
        raise ValueError("to_ethernet: the arrays differ in size")
    if n and (not room or not size):
        raise ValueError("to_ethernet: empty buffer")
    with nogil:
        for i in range(n):
            if offset[i] > size or length[i] > size - offset[i] or <uint64_t>length[i] + 14 > room - used:
                fits = False
                break
            written = put_ethernet(&out[used], &data[0] + offset[i], length[i], link_type[i])
            # What the link headers differ by, the wire length differs by as well.
            wire_length[i] = max(written, <uint32_t>max(0, <int64_t>wire_length[i] - length[i] + written))
            offset[i] = used
            length[i] = written
            used += written
    if not fits:
        raise ValueError("to_ethernet: a packet does not fit")
    return used


def put_records(const uint8_t[::1] data not None, const uint64_t[::1] offset not None,
                const uint32_t[::1] length not None, const int64_t[::1] time_ns not None,
                const uint32_t[::1] wire_length not None, uint8_t[::1] out not None) -> int:
    """Writes pcap records (this machine's byte order, ns) into `out`: 16 bytes a packet and its bytes. Returns the bytes used."""
    cdef Py_ssize_t i
    cdef Py_ssize_t n = offset.shape[0]
    cdef uint64_t used = 0
    cdef uint64_t size = data.shape[0]
    cdef uint64_t room = out.shape[0]
    cdef uint32_t[4] record
    cdef bint fits = True
    if not (length.shape[0] == time_ns.shape[0] == wire_length.shape[0] == n):
        raise ValueError("put_records: the arrays differ in size")
    with nogil:
        for i in range(n):
            if (offset[i] > size or length[i] > size - offset[i] or <uint64_t>length[i] + PCAP_RECORD > room - used
                    or time_ns[i] < 0):
                fits = False
                break
            record[0] = <uint32_t>(time_ns[i] // NS_PER_S)
            record[1] = <uint32_t>(time_ns[i] % NS_PER_S)
            record[2] = length[i]
            record[3] = wire_length[i]
            memcpy(&out[used], record, PCAP_RECORD)
            if length[i]:
                memcpy(&out[used + PCAP_RECORD], &data[offset[i]], length[i])
            used += PCAP_RECORD + length[i]
    if not fits:
        raise ValueError("put_records: a packet does not fit")
    return used


cdef inline uint32_t padded(uint32_t n) noexcept nogil:
    return (n + 3) & <uint32_t> ~3


cdef uint8_t *put_block(uint8_t *to, const uint8_t *packet, uint32_t length, uint32_t wire, uint64_t stamp,
                        uint32_t interface, const uint8_t *comment, uint32_t comment_length) noexcept nogil:
    """An Enhanced Packet Block, with a comment where there is one. Returns where it ends."""
    cdef uint32_t options = padded(comment_length) + 8 if comment_length else 0
    cdef uint32_t total = PACKET_BLOCK + padded(length) + options
    cdef uint32_t[7] head
    cdef uint16_t[2] option
    head[0], head[1], head[2] = BLOCK_PACKET, total, interface
    head[3], head[4] = <uint32_t> (stamp >> 32), <uint32_t> stamp
    head[5], head[6] = length, wire
    memset(to, 0, total)
    memcpy(to, head, sizeof(head))
    if length:
        memcpy(to + sizeof(head), packet, length)
    if options:
        option[0], option[1] = OPTION_COMMENT, <uint16_t> comment_length
        memcpy(to + sizeof(head) + padded(length), option, 4)
        memcpy(to + sizeof(head) + padded(length) + 4, comment, comment_length)
    memcpy(to + total - 4, &total, 4)
    return to + total


def put_blocks(const uint8_t[::1] data not None, const uint64_t[::1] offset not None,
               const uint32_t[::1] length not None, const int64_t[::1] time_ns not None,
               const uint32_t[::1] wire_length not None, const uint32_t[::1] interface not None,
               const uint32_t[::1] comment not None, list comments not None) -> bytearray:
    """pcapng packet blocks (this machine's byte order, ns). comment: index into comments, each at most 65535 bytes, a packet."""
    cdef Py_ssize_t i
    cdef Py_ssize_t n = offset.shape[0]
    cdef Py_ssize_t n_comments = len(comments)
    cdef uint64_t size = data.shape[0]
    cdef uint64_t room = 0
    cdef bint fits = True
    cdef uint32_t[::1] sizes = array("I", [len(text) for text in comments] or [0])
    cdef uint64_t[::1] starts = array("Q", [sum(len(text) for text in comments[:i]) for i in range(n_comments)] or [0])
    cdef const uint8_t[::1] texts = b"".join(comments) + b"\0"
    cdef uint8_t *to
    if not (length.shape[0] == time_ns.shape[0] == wire_length.shape[0] == interface.shape[0] == comment.shape[0] == n):
        raise ValueError("put_blocks: the arrays differ in size")
    if any(len(text) > 65535 for text in comments):
        raise ValueError("put_blocks: a comment has at most 65535 bytes")
    for i in range(n):
        fits = (fits and offset[i] <= size and length[i] <= size - offset[i] and length[i] <= MAX_PACKET and time_ns[i] >= 0
                and comment[i] < n_comments)
        if fits:
            room += PACKET_BLOCK + padded(length[i]) + padded(sizes[comment[i]]) + 8
    if not fits:
        raise ValueError("put_blocks: a packet, its time or its comment does not fit")
    out = bytearray(room + 1)
    cdef uint8_t[::1] raw = out
    with nogil:
        to = &raw[0]
        for i in range(n):
            to = put_block(to, &data[offset[i]] if length[i] else NULL, length[i], wire_length[i], <uint64_t> time_ns[i],
                           interface[i], &texts[starts[comment[i]]], sizes[comment[i]])
        room = <uint64_t> (to - &raw[0])
    # The view has to go before the bytearray may shrink.
    raw = None
    del out[room:]
    return out
