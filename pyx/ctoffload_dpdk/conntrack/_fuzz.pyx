"""What a fuzzer feeds: bytes become packets, times and commands; broken promises of the table end the process.

An input is a list of steps. A step begins with two bytes: what, and how. The rest is taken as it comes; an input that ends
early ends there.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._burst cimport burst, expire
from ctoffload_dpdk.conntrack._conntrack cimport Conntrack
from ctoffload_dpdk.conntrack._fragments cimport (
    LINE_HELD, MAX_LINES, Fragments, Line, fragments_expire, fragments_let_go, fragments_track,
)
from ctoffload_dpdk.conntrack._key cimport key_hash
from ctoffload_dpdk.conntrack._life cimport conn_end, group_of
from ctoffload_dpdk.conntrack._packet cimport (
    ANY_ZONE, HELPER_FTP, HELPER_TFTP, PKT_L3_GOOD, PKT_L4_GOOD, Action, HelperChoice, NatAction, Packet, Verdict,
)
from ctoffload_dpdk.conntrack._state cimport (
    BURST, CAUSE_FLUSHED, CONN_LIVE, CONN_NAT, ENTRY_ALIAS, MORE_HELPED, N_PEER_STATES, N_PROTOCOL_GROUPS, Conn, Nat, Shard,
    Zone,
)
from ctoffload_dpdk.conntrack._table cimport index_find
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_NO_PORT
from ctoffload_dpdk.offload.libspsc cimport shared_get

cdef enum:
    STEP_RAW = 0             # length, bytes: a frame as it is
    STEP_TCP = 1             # flags, ends, offsets of seq and ack, window, options
    STEP_UDP = 2
    STEP_ICMP = 3            # an echo, or an error about a packet of the ends
    STEP_WAIT = 4
    STEP_EXPIRE = 5
    STEP_FLUSH = 6
    STEP_FRAGMENT = 7
    N_STEPS = 8
    FRAME = 512
    CAPACITY = 48
    PIECE = 384              # bytes of a fragment that fits others
    MOST_HELD = 40
    SLOTS = MOST_HELD + 1    # frames of fragments: those that are held, and one more
    N_CHOICES = 2
    FAR_FUTURE_MS = 1000000

cdef struct Reader:
    const uint8_t *at
    size_t left

cdef Line[MAX_LINES] LINES

# What the action of an input's packets does beside tracking.
cdef NatAction NAT
cdef bint TRANSLATES = False
cdef uint8_t HELPER = 0
cdef HelperChoice[N_CHOICES] CHOICES
cdef uint32_t N_CHOSEN = 0

# Where fragments stay while they are held; the token of one is its slot.
cdef uint8_t[SLOTS][FRAME] FRAMES
cdef bint[SLOTS + 1] IS_HELD    # and one for calls without a packet


cdef uint8_t next8(Reader *reader) noexcept nogil:
    cdef uint8_t value
    if reader.left == 0:
        return 0
    value = reader.at[0]
    reader.at += 1
    reader.left -= 1
    return value


cdef uint32_t next16(Reader *reader) noexcept nogil:
    cdef uint32_t high = next8(reader)
    return high << 8 | next8(reader)


cdef void put16(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 8)
    at[1] = <uint8_t> value


cdef void put32(uint8_t *at, uint32_t value) noexcept nogil:
    put16(at, value >> 16)
    put16(at + 2, value & 0xffff)


# Ethernet and IP between two of four ends; returns where the transport header goes.
cdef uint8_t *put_ip(uint8_t *frame, uint8_t how, uint8_t proto, uint32_t size) noexcept nogil:
    cdef uint8_t *ip = frame + 14
    memset(frame, 0, FRAME)
    if how & 0x80:
        put16(frame + 12, 0x86dd)
        ip[0] = 0x60
        put16(ip + 4, size)
        ip[6] = proto
        ip[23] = 1 + (how & 1)
        ip[39] = 1 + (how >> 1 & 1)
        return ip + 40
    put16(frame + 12, 0x0800)
    ip[0] = 0x45
    put16(ip + 2, 20 + size)
    ip[9] = proto
    ip[15] = 1 + (how & 1)
    ip[19] = 1 + (how >> 1 & 1)
    return ip + 20


cdef uint32_t frame_length(uint8_t how, uint32_t size) noexcept nogil:
    return 14 + (40 if how & 0x80 else 20) + size


cdef void put_payload(Reader *reader, uint8_t *at, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        at[i] = next8(reader)


cdef uint32_t put_tcp(Reader *reader, uint8_t how, uint8_t *frame) noexcept nogil:
    cdef uint32_t options = (next8(reader) & 3) * 4
    cdef uint32_t data = next8(reader)
    cdef uint32_t size = 20 + options + data
    cdef uint8_t *tcp = put_ip(frame, how, 6, size)
    cdef uint32_t i
    put16(tcp, 1 + (how >> 2 & 1))
    put16(tcp + 2, 1 + (how >> 3 & 1))
    # numbers near each other, so that windows are met
    put32(tcp + 4, 0xfffff000U + (next16(reader) << (how >> 4 & 3)))
    put32(tcp + 8, 0xfffff000U + (next16(reader) << (how >> 4 & 3)))
    tcp[12] = <uint8_t> ((5 + options // 4) << 4)
    tcp[13] = next8(reader)
    put16(tcp + 14, next16(reader))
    for i in range(options):
        tcp[20 + i] = next8(reader)
    if HELPER or N_CHOSEN:
        put_payload(reader, tcp + 20 + options, data)
    return frame_length(how, size)


cdef uint32_t put_udp(Reader *reader, uint8_t how, uint8_t *frame) noexcept nogil:
    cdef uint32_t data = next8(reader)
    cdef uint8_t *udp = put_ip(frame, how, 17, 8 + data)
    put16(udp, 1 + (how >> 2 & 1))
    put16(udp + 2, 1 + (how >> 3 & 1))
    put16(udp + 4, 8 + data)
    if HELPER or N_CHOSEN:
        put_payload(reader, udp + 8, data)
    return frame_length(how, 8 + data)


cdef void put_sum(uint8_t *icmp, uint32_t size) noexcept nogil:
    cdef uint32_t total = 0
    cdef uint32_t i
    put16(icmp + 2, 0)
    for i in range(0, size - 1, 2):
        total += <uint32_t> icmp[i] << 8 | icmp[i + 1]
    if size & 1:
        total += <uint32_t> icmp[size - 1] << 8
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    put16(icmp + 2, ~total & 0xffff)


cdef uint32_t put_icmp(Reader *reader, uint8_t how, uint8_t *frame) noexcept nogil:
    cdef uint32_t data = next8(reader)
    cdef uint8_t *icmp = put_ip(frame, how & 0x7f, 1, 8 + data)
    cdef uint32_t i
    for i in range(8 + data):
        icmp[i] = next8(reader)
    if how & 0x40 and data >= 28:
        # about a packet back from whom it is sent to
        icmp[8] = 0x45
        icmp[14] = icmp[15] = 0
        memcpy(icmp + 20, frame + 30, 4)
    put_sum(icmp, 8 + data)
    return frame_length(how & 0x7f, 8 + data)


# A fragment of up to four that fit together, or any other. The first has a transport header that may begin a connection.
cdef uint32_t put_fragment(Reader *reader, uint8_t how, uint8_t *frame) noexcept nogil:
    cdef uint8_t kind = next8(reader)
    cdef uint8_t proto = 17 if kind & 0x40 else 47
    cdef uint32_t header = 8 if how & 0x80 else 0
    cdef uint32_t size = PIECE
    cdef uint32_t field = (kind & 3) * (PIECE // 8)
    cdef uint8_t *body
    if kind & 0x20:
        field = next16(reader) & 0x1fff
        size = 380 + (next8(reader) & 63)
    body = put_ip(frame, how, 44 if header else proto, header + size)
    if header:
        body[0] = proto
        put16(body + 2, field << 3 | (not kind & 4))
        put32(body + 4, how >> 4 & 3)
    else:
        put16(frame + 14 + 6, field | (0 if kind & 4 else 0x2000))
        put16(frame + 14 + 4, how >> 4 & 3)
    body += header
    if field == 0:
        put16(body, 1 + (how >> 2 & 1))
        put16(body + 2, 1 + (how >> 3 & 1))
        put16(body + 4, 8 + (kind >> 3 & 3))
    body[8] = body[9] = next8(reader)
    return frame_length(how, header + size)


cdef uint32_t put_raw(Reader *reader, uint8_t *frame) noexcept nogil:
    cdef uint32_t size = next16(reader) % FRAME
    if size > reader.left:
        size = <uint32_t> reader.left
    memcpy(frame, reader.at, size)
    reader.at += size
    reader.left -= size
    return size


cdef void check(bint holds) noexcept nogil:
    if not holds:
        abort()


# The numbers by protocol and TCP state are those of a walk.
cdef void check_numbers(Shard *shard) noexcept nogil:
    cdef uint32_t zones = shard.zone_top
    cdef uint32_t[N_PROTOCOL_GROUPS + N_PEER_STATES] sums
    cdef const Conn *conn
    cdef const Zone *zone
    cdef uint32_t slot, i
    memset(sums, 0, sizeof(sums))
    for slot in range(1, shard.slot_top):
        conn = &shard.conns[slot]
        if conn.flags & CONN_LIVE:
            check(conn.key.zone < zones)
            sums[group_of(conn.key.proto)] += 1
            if conn.key.proto == 6:
                sums[N_PROTOCOL_GROUPS + max(conn.state & 0x0f, conn.state >> 4)] += 1
    for i in range(zones):
        zone = &shard.zones[i]
        if zone.live:
            for slot in range(N_PROTOCOL_GROUPS):
                sums[slot] -= zone.of[slot]
            for slot in range(N_PEER_STATES):
                sums[N_PROTOCOL_GROUPS + slot] -= zone.tcp[slot]
    for i in range(N_PROTOCOL_GROUPS + N_PEER_STATES):
        check(sums[i] == 0)


# What has to be true of the table between two steps.
cdef void check_table(Shard *shard) noexcept nogil:
    cdef const Nat *nat
    cdef uint64_t ended = 0
    cdef uint32_t live = 0
    cdef uint32_t aliases = 0
    cdef uint32_t expected = 0
    cdef uint32_t slot
    cdef int i
    for slot in range(1, shard.slot_top):
        if shard.conns[slot].flags & CONN_LIVE:
            live += 1
            check(index_find(shard, &shard.conns[slot].key, key_hash(&shard.conns[slot].key, &shard.seed)) == slot)
            check(shard.zones[shard.conns[slot].key.zone].live > 0)
            nat = &shard.nats[slot]
            if shard.conns[slot].flags & CONN_NAT and nat.has_alias:
                aliases += 1
                check(index_find(shard, &nat.reply, key_hash(&nat.reply, &shard.seed)) == (slot | ENTRY_ALIAS))
            if shard.conns[slot].generation & MORE_HELPED:
                expected += shard.helpers[slot].n_expected
    for i in range(4):
        ended += shard.counters.ended[i]
    check(live == shard.n_live and live + aliases == shard.index.n_entries and live <= shard.max_connections)
    check(expected == (shared_get(&shard.expectations.n) if shard.expectations != NULL else 0))
    check(shard.counters.created == live + ended)
    check_numbers(shard)


cdef void flush_all(Shard *shard) noexcept nogil:
    cdef uint32_t slot
    for slot in range(1, shard.slot_top):
        if shard.conns[slot].flags & CONN_LIVE:
            conn_end(shard, slot, CAUSE_FLUSHED, shard.now_ms)


cdef uint32_t make_frame(Reader *reader, uint8_t step, uint8_t how, uint8_t *frame) noexcept nogil:
    if step == STEP_TCP:
        return put_tcp(reader, how, frame)
    if step == STEP_UDP:
        return put_udp(reader, how, frame)
    if step == STEP_ICMP:
        return put_icmp(reader, how, frame)
    if step == STEP_FRAGMENT:
        return put_fragment(reader, how, frame)
    return put_raw(reader, frame)


# What the tracker says of fragments: each of them was held, or is the one that came.
cdef void take_lines(uint32_t n, uint64_t came) noexcept nogil:
    cdef uint32_t i
    check(n <= MAX_LINES)
    for i in range(n):
        if LINES[i].kind == LINE_HELD:
            check(LINES[i].token == came and not IS_HELD[came])
            IS_HELD[came] = True
            continue
        check(LINES[i].token == came or (LINES[i].token < SLOTS and IS_HELD[LINES[i].token]))
        check(LINES[i].verdict.grown == 0 or LINES[i].token == came)
        IS_HELD[LINES[i].token] = False


cdef uint64_t free_slot() noexcept nogil:
    cdef uint64_t slot = 0
    while IS_HELD[slot]:
        slot += 1
        check(slot < SLOTS)
    return slot


# A packet, and maybe the same again in one burst.
cdef void send(Shard *shard, Reader *reader, uint8_t step, uint8_t how, uint8_t what) noexcept nogil:
    cdef uint64_t slot = free_slot()
    cdef Packet[3] packets
    cdef Verdict[3] verdicts
    cdef Action action
    cdef uint32_t n
    memset(&action, 0, sizeof(action))
    memset(packets, 0, sizeof(packets))
    action.commit = not what & 0x10
    action.force = what & 0x60 == 0x60
    action.mark_mask = how
    action.label_mask[1] = what
    packets[0].length = make_frame(reader, step, how, FRAMES[slot])
    packets[0].data = FRAMES[slot]
    packets[0].flags = PKT_L3_GOOD | PKT_L4_GOOD if step != STEP_RAW or how & 1 else 0
    packets[0].port_id = CT_OFFLOAD_NO_PORT if how & 0x10 else how & 7
    packets[0].zone = what >> 7
    packets[0].room = FRAME
    action.nat = &NAT if TRANSLATES else NULL
    action.helper = HELPER
    action.helpers = CHOICES
    action.n_helpers = N_CHOSEN
    packets[1] = packets[2] = packets[0]
    if step == STEP_FRAGMENT or (step == STEP_RAW and how & 2):
        n = fragments_track(shard, packets, slot, 0, &action, shard.now_ms, LINES)
        check(1 <= n)
        take_lines(n, slot)
        return
    burst(shard, packets, 1 + how % 3, &action, shard.now_ms, verdicts)
    for n in range(1 + how % 3):
        check(verdicts[n].state & 0x20)


cdef void step_one(Shard *shard, Reader *reader) noexcept nogil:
    cdef uint8_t what = next8(reader)
    cdef uint8_t how = next8(reader)
    cdef uint8_t step = what % N_STEPS
    if step == STEP_WAIT:
        shard.now_ms += <int64_t> how << (what >> 4)
    elif step == STEP_EXPIRE:
        expire(shard, shard.now_ms + how, 1000000)
    elif step == STEP_FLUSH:
        flush_all(shard)
    else:
        send(shard, reader, step, how, what)


# What is still to be let go, by family and zone; the rest by time.
cdef void drop_fragments(Shard *shard) noexcept nogil:
    cdef Fragments *fragments = <Fragments *> shard.fragments
    cdef uint8_t[FRAME] frame
    cdef Packet packet
    cdef uint32_t n, slot
    cdef int i
    memset(&packet, 0, sizeof(packet))
    packet.data = frame
    packet.length = 60
    for i in range(4):
        put_ip(frame, 0x80 if i & 1 else 0, 17, 0)
        packet.zone = i >> 1
        while True:
            n = fragments_let_go(fragments, &packet, 0, 0, LINES)
            take_lines(n, SLOTS)
            if not n:
                break
    while True:
        n = fragments_expire(fragments, shard.now_ms, 1, 0, LINES)
        take_lines(n, SLOTS)
        if not n:
            break
    check(fragments.n_held == 0 and not fragments.oldest and not fragments.first_complete)
    for slot in range(SLOTS):
        check(not IS_HELD[slot])


# Few addresses and ports, so that they are used up and met again.
cdef void choose_action(Shard *shard, uint8_t how) noexcept nogil:
    global TRANSLATES, HELPER, N_CHOSEN
    shard.ovs_compat = how & 1
    TRANSLATES = how & 2 != 0
    HELPER = how >> 2 & 3 if how & 12 != 12 else 0
    N_CHOSEN = N_CHOICES if how & 12 == 12 else 0
    memset(&NAT, 0, sizeof(NAT))
    NAT.what = how >> 4 & 3
    NAT.choice = how >> 6
    NAT.src.has_address = NAT.dst.has_address = True
    (<uint8_t *> NAT.src.low)[3] = 1
    (<uint8_t *> NAT.src.high)[3] = 3
    (<uint8_t *> NAT.dst.low)[3] = 2
    (<uint8_t *> NAT.dst.high)[3] = 2
    NAT.src.port_low = 1
    NAT.src.port_high = 4
    NAT.family = 4


cdef void fuzz_one(Shard *shard, const uint8_t *data, size_t size) noexcept nogil:
    cdef Reader reader
    reader.at = data
    reader.left = size
    choose_action(shard, next8(&reader))
    while reader.left:
        step_one(shard, &reader)
    check_table(shard)
    flush_all(shard)
    shard.now_ms += FAR_FUTURE_MS
    drop_fragments(shard)
    check_table(shard)


cdef Shard *SHARD = NULL
_keep = None


cdef void one_input(const uint8_t *data, size_t size) noexcept nogil:
    fuzz_one(SHARD, data, size)


def prepare() -> int:
    """Makes the tracker that inputs go to; returns the address of the function that takes one."""
    global _keep, SHARD
    _keep = Conntrack(CAPACITY, now_ms=0)
    _keep.set_fragments(4, min_size=400, max_held=MOST_HELD)
    _keep.set_fragments(6, min_size=400)
    SHARD = (<Conntrack> _keep).shard
    (<Fragments *> SHARD.fragments).borrows = True
    CHOICES[0].zone, CHOICES[0].port, CHOICES[0].helper = ANY_ZONE, 1, HELPER_FTP
    CHOICES[1].zone, CHOICES[1].port, CHOICES[1].helper = 1, 2, HELPER_TFTP
    return <uint64_t> <void *> one_input


def run(data: bytes) -> None:
    """One input, in this process; a broken promise ends it."""
    cdef const uint8_t[::1] view = data if data else b"\0"
    cdef size_t size = len(data)
    if SHARD == NULL:
        prepare()
    with nogil:
        fuzz_one(SHARD, &view[0], size)
