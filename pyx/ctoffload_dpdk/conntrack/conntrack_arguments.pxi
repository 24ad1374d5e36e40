# Of _conntrack.pyx: packets, tuples and numbers as Python gives them, as the engine takes them.

MOST_32 = (1 << 32) - 1
# Times reach so far in either direction, so that no timeout added to one goes round.
TIME_LIMIT_MS = 1 << 62
# The lowest and highest of each type, of which numpy makes an object at each asking.
BOUNDS = {dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in (np.uint16, np.uint32, np.int64)}


def _per_packet(value, n, dtype, what):
    """One value per packet: an array as it is, a number for all."""
    lowest, highest = BOUNDS[dtype]
    if isinstance(value, int):
        return np.full(n, whole(value, lowest, highest, f"process: {what}"), dtype)
    array = wholes(value, dtype, f"process: {what}")
    if array.ndim == 0:
        return np.full(n, array, dtype)
    if array.shape != (n,):
        raise UsageError(f"process: {array.size} values of {what} for {n} packets", errno=_errno.EINVAL)
    return np.ascontiguousarray(array)


def _times(now_ms, n):
    """The time of each packet."""
    if now_ms is None or isinstance(now_ms, int):
        return np.full(n, _monotonic_ms() if now_ms is None else _time(now_ms, "process: now_ms"), np.int64)
    times = _per_packet(now_ms, n, np.int64, "now_ms")
    for time_ms in (times.min(), times.max()) if n else ():
        _time(time_ms, "process: now_ms")
    return times


def _time(now_ms, what):
    return whole(now_ms, -TIME_LIMIT_MS, TIME_LIMIT_MS, what)


def _ids(conn_ids):
    """Ids of connections as uint64[n]."""
    ids = np.ascontiguousarray(wholes(conn_ids, np.uint64, "conn_ids"))
    if ids.ndim != 1:
        raise UsageError(f"conn_ids has {ids.ndim} dimensions, not one", errno=_errno.EINVAL)
    return ids


def _zone(zone):
    return whole(zone, 0, N_ZONES - 1, "zone")


def _policy(policy):
    return whole(policy, 0, MOST_32, "timeout policy")


def _monotonic_ms():
    return time.monotonic_ns() // 1_000_000


cdef class Burst:
    """Packets with what was said of each, as the engine takes them."""

    cdef readonly uint32_t n
    cdef const uint8_t[::1] data
    cdef const uint64_t[::1] offset
    cdef const uint32_t[::1] length
    cdef const int64_t[::1] now
    cdef const uint16_t[::1] zone
    cdef const uint32_t[::1] flags
    cdef const uint32_t[::1] port
    cdef const uint32_t[::1] generation
    cdef const uint32_t[::1] room

    def __cinit__(self, packets, now_ms, zone, flags, port, port_generation, room):
        if not isinstance(packets, Packets):
            raise UsageError(f"process: {type(packets).__name__} is no Packets", errno=_errno.EINVAL,
                             hint="Packets.of() makes them of byte strings")
        n = len(packets)
        self.n = n
        self.data = packets.data if len(packets.data) else np.zeros(1, np.uint8)
        self.offset = packets.offset
        self.length = packets.length
        self.now = _times(now_ms, n)
        self.zone = _per_packet(zone, n, np.uint16, "zone")
        self.flags = _per_packet(flags, n, np.uint32, "flags")
        self.port = _per_packet(port, n, np.uint32, "port")
        self.generation = _per_packet(port_generation, n, np.uint32, "port_generation")
        self.room = _per_packet(room, n, np.uint32, "room")
        # the lengths as well: what the arrays hold may be another than when the packets were made of them
        if reach_outside(packets.offset, np.maximum(packets.length, self.room), len(packets.data)):
            raise UsageError("process: the room of a packet lies outside its buffer", errno=_errno.EINVAL)

    cdef void fill(self, uint32_t at, Packet *packet) noexcept nogil:
        packet.data = &self.data[0] + self.offset[at]
        packet.length = self.length[at]
        packet.flags = self.flags[at]
        packet.port_id = self.port[at]
        packet.port_generation = self.generation[at]
        packet.room = self.room[at]
        packet.zone = self.zone[at]
        packet.hint = 0
        packet.origin = 0
        packet.token = FIRST_TOKEN + at
        packet.tried = packet.stub = packet.stub_home = packet.directive = 0
        packet.sender = packet.turns = packet.ends_datagram = 0

    cdef uint32_t take(self, uint32_t start, Packet *packets) noexcept nogil:
        """The packets of one time from `start` on, at most a burst."""
        cdef uint32_t i = 0
        while i < BURST and start + i < self.n and self.now[start + i] == self.now[start]:
            self.fill(start + i, &packets[i])
            i += 1
        return i


# A run of packets that are no fragments, or one fragment; start is moved on. Returns how many lines were written.
cdef uint32_t track_some(Shard *shard, Fragments *fragments, Burst packets, uint32_t *start, const Action *action,
                         uint64_t first, Line *lines) noexcept nogil:
    cdef Packet[BURST] some
    cdef Verdict[BURST] verdicts
    cdef uint32_t n = packets.take(start[0], some)
    cdef uint32_t run = 0
    cdef int64_t now = packets.now[start[0]]
    cdef uint32_t i
    while run < n and not is_fragment(&some[run]):
        run += 1
    if run == 0:
        start[0] += 1
        return fragments_track(shard, some, first + start[0] - 1, start[0] - 1, action, now, lines)
    if fragments.first_complete:
        run = 1
    burst(shard, some, run, action, now, verdicts)
    memset(lines, 0, run * sizeof(Line))
    for i in range(run):
        lines[i].token = first + start[0] + i
        lines[i].index = start[0] + i
        lines[i].verdict = verdicts[i]
    start[0] += run
    n = run + fragments_let_go(fragments, some, run, start[0] - 1, lines + run)
    return n + fragments_expire(fragments, shard.now_ms, run, start[0] - 1, lines + n)


cdef Key make_key(src, dst, proto, src_port, dst_port, zone) except *:
    cdef Key key
    cdef bytes low, high
    src_port, dst_port = whole(src_port, 0, 0xffff, "src_port"), whole(dst_port, 0, 0xffff, "dst_port")
    try:
        source, target = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    except ValueError as error:
        raise UsageError(f"not an address: {error}", errno=_errno.EINVAL) from None
    if source.version != target.version:
        raise UsageError(f"{src} and {dst} are of different families", errno=_errno.EINVAL)
    memset(&key, 0, sizeof(Key))
    key.zone = _zone(zone)
    key.proto = whole(proto, 0, 0xff, "proto")
    key.family = source.version
    low, high = source.packed, target.packed
    cdef uint16_t low_port = dst_port >> 8 if is_icmp(&key) else src_port
    cdef uint16_t high_port = icmp_answer(key.family, dst_port >> 8) if is_icmp(&key) else dst_port
    # the order of _parse.pyx: words as they lie in memory, then ports
    words = [int.from_bytes(part[i:i + 8], "little") for part in (low, high) for i in range(0, len(part), 8)]
    half = len(words) // 2
    if (words[:half], low_port) > (words[half:], high_port):
        low, high, low_port, high_port = high, low, high_port, low_port
    memcpy(key.a, <const uint8_t *> low, len(low))
    memcpy(key.b, <const uint8_t *> high, len(high))
    key.a_port = low_port
    key.b_port = high_port
    if is_icmp(&key):
        key.b_port = low_port << 8
        key.a_port = src_port
    return key
