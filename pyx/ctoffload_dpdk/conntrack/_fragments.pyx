"""Fragments of IP datagrams: held until the datagram is whole, judged as one packet, let go as they came."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from ctoffload_dpdk.conntrack._burst cimport burst
from ctoffload_dpdk.conntrack._checksum cimport adjust, load16, load32, replace, sum_bytes, sum_is_good
from ctoffload_dpdk.conntrack._group cimport WHOLE_TOKEN, stub_give_up
from ctoffload_dpdk.conntrack._key cimport Seed, hash_v6
from ctoffload_dpdk.conntrack._packet cimport (
    CS_INVALID, CS_TRACKED, PKT_L3_BAD, PKT_L3_GOOD, PKT_WHOLE, REFUSED_FRAGMENT, REFUSED_NOT, Action, Packet, Verdict,
)
from ctoffload_dpdk.conntrack._parse cimport Layers, find_l3, skip_extensions
from ctoffload_dpdk.conntrack._state cimport Shard

cdef enum:
    V4 = 0
    V6 = 1
    MIN_SIZE_V4 = 1200
    MIN_SIZE_V6 = 1280
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    FRAGMENT_HEADER = 8
    EXT_HOP_BY_HOP = 0
    EXT_ROUTING = 43
    EXT_FRAGMENT = 44
    EXT_AUTH = 51
    EXT_DESTINATION = 60
    MAX_DATAGRAM = 65535
    MAX_IPV4_HEADER = 60
    OVS_BATCH = 32

# What is to be done with a packet.
cdef enum Taken:
    TAKEN_NOT = 0            # no fragment, or none that is taken: judged like any other packet
    TAKEN_INVALID = 1
    TAKEN_HELD = 2
    TAKEN_WHOLE = 3

# A fragment on its way in.
cdef struct Piece:
    DatagramKey key
    uint32_t l3
    uint32_t data
    uint32_t size
    uint32_t first
    int64_t last
    uint32_t l3_size         # header and payload, without Ethernet padding
    int which                # V4 or V6
    bint is_last
    uint8_t next_header


# --- pools -----------------------------------------------------------------------------------------------------------

cdef Fragments *fragments_new(const Seed *seed) noexcept nogil:
    cdef Fragments *fragments = <Fragments *> calloc(1, sizeof(Fragments))
    cdef uint32_t i
    if fragments == NULL:
        return NULL
    fragments.seed = seed[0]
    for i in range(MAX_HELD):
        fragments.held[i].next = i + 2 if i + 1 < MAX_HELD else 0
        fragments.datagrams[i].chain = i + 2 if i + 1 < MAX_HELD else 0
    fragments.free_held = fragments.free_datagram = 1
    fragments.max_held = DEFAULT_HELD
    fragments.lifetime_ms = DEFAULT_LIFETIME_MS
    fragments.min_size[V4] = MIN_SIZE_V4
    fragments.min_size[V6] = MIN_SIZE_V6
    fragments.enabled[V4] = fragments.enabled[V6] = True
    return fragments


cdef void fragments_free(Fragments *fragments) noexcept nogil:
    cdef uint32_t i
    if fragments == NULL:
        return
    for i in range(MAX_HELD):
        if fragments.held[i].is_copy:
            free(fragments.held[i].frame)
    free(fragments)


cdef void held_give(Fragments *fragments, uint32_t at) noexcept nogil:
    cdef Held *held = &fragments.held[at - 1]
    if held.is_copy:
        free(held.frame)
    held.frame = NULL
    held.is_copy = False
    held.next = fragments.free_held
    fragments.free_held = at
    fragments.n_held -= 1


cdef uint32_t *chain_of(Fragments *fragments, uint32_t hash) noexcept nogil:
    return &fragments.chains[hash % N_CHAINS]


# Seeded like that of connections: nobody outside can choose identifiers that all meet in one chain.
cdef uint32_t hash_of(const Fragments *fragments, const DatagramKey *key) noexcept nogil:
    cdef uint64_t src[2]
    cdef uint64_t dst[2]
    cdef uint64_t tail = key.id | <uint64_t> key.zone << 32 | <uint64_t> key.proto << 48
    memcpy(src, key.src, 16)
    memcpy(dst, key.dst, 16)
    return hash_v6(src[0], src[1], dst[0], dst[1], tail, &fragments.seed)


cdef uint32_t datagram_find(Fragments *fragments, const DatagramKey *key, uint32_t hash) noexcept nogil:
    cdef uint32_t at = chain_of(fragments, hash)[0]
    while at and memcmp(&fragments.datagrams[at - 1].key, key, sizeof(DatagramKey)):
        at = fragments.datagrams[at - 1].chain
    return at


cdef void queue_put(Fragments *fragments, uint32_t at, uint32_t *first, uint32_t *last) noexcept nogil:
    cdef Datagram *datagram = &fragments.datagrams[at - 1]
    datagram.older = last[0]
    datagram.newer = 0
    if last[0]:
        fragments.datagrams[last[0] - 1].newer = at
    else:
        first[0] = at
    last[0] = at


cdef void queue_remove(Fragments *fragments, uint32_t at, uint32_t *first, uint32_t *last) noexcept nogil:
    cdef Datagram *datagram = &fragments.datagrams[at - 1]
    if datagram.older:
        fragments.datagrams[datagram.older - 1].newer = datagram.newer
    else:
        first[0] = datagram.newer
    if datagram.newer:
        fragments.datagrams[datagram.newer - 1].older = datagram.older
    else:
        last[0] = datagram.older


cdef uint32_t datagram_begin(Fragments *fragments, const DatagramKey *key, uint32_t hash, int64_t now_ms) noexcept nogil:
    cdef uint32_t at = fragments.free_datagram
    cdef Datagram *datagram
    cdef uint32_t *chain = chain_of(fragments, hash)
    if not at:
        return 0
    datagram = &fragments.datagrams[at - 1]
    fragments.free_datagram = datagram.chain
    memset(datagram, 0, sizeof(Datagram))
    datagram.key = key[0]
    datagram.hash = hash
    datagram.expires_ms = now_ms + fragments.lifetime_ms
    datagram.chain = chain[0]
    chain[0] = at
    queue_put(fragments, at, &fragments.oldest, &fragments.newest)
    return at


cdef void datagram_end(Fragments *fragments, uint32_t at) noexcept nogil:
    cdef Datagram *datagram = &fragments.datagrams[at - 1]
    cdef uint32_t *link = chain_of(fragments, datagram.hash)
    while link[0] != at:
        link = &fragments.datagrams[link[0] - 1].chain
    link[0] = datagram.chain
    if datagram.state == LIST_COMPLETE:
        queue_remove(fragments, at, &fragments.first_complete, &fragments.last_complete)
    else:
        queue_remove(fragments, at, &fragments.oldest, &fragments.newest)
    datagram.chain = fragments.free_datagram
    fragments.free_datagram = at


# --- what a packet is ------------------------------------------------------------------------------------------------

# Offset of an IPv6 fragment header from the IP header, 0 where there is none before the end of the packet.
cdef uint32_t fragment_header(const uint8_t *ip, uint32_t size) noexcept nogil:
    cdef uint32_t at = IPV6_HEADER
    cdef uint32_t end = IPV6_HEADER + load16(ip + 4)
    cdef uint32_t length
    cdef uint8_t kind = ip[6]
    if end > size:
        return 0
    while kind == EXT_HOP_BY_HOP or kind == EXT_ROUTING or kind == EXT_DESTINATION or kind == EXT_AUTH:
        if end - at < 8:
            return 0
        length = (ip[at + 1] + 2) * 4 if kind == EXT_AUTH else (ip[at + 1] + 1) * 8
        if end - at < length:
            return 0
        kind = ip[at]
        at += length
    return at if kind == EXT_FRAGMENT and end - at >= FRAGMENT_HEADER else 0


cdef bint is_fragment(const Packet *packet) noexcept nogil:
    cdef Layers layers
    cdef uint32_t at
    find_l3(packet, &layers)
    if layers.family == 4:
        return layers.l3_size >= IPV4_HEADER and load16(packet.data + layers.l3 + 6) & 0x3fff != 0
    if layers.family != 6 or layers.l3_size < IPV6_HEADER:
        return False
    at = fragment_header(packet.data + layers.l3, layers.l3_size)
    # offset 0 and nothing to follow is a whole datagram
    return at != 0 and load16(packet.data + layers.l3 + at + 2) & 0xfff9 != 0


# The tests come in OVS's order. TAKEN_HELD stands for a fragment that may be held.
cdef Taken read_v4(const Fragments *fragments, const Packet *packet, uint32_t l3_size, Piece *piece) noexcept nogil:
    cdef const uint8_t *ip = packet.data + piece.l3
    cdef uint32_t header = (ip[0] & 0x0f) * 4
    cdef uint32_t total = load16(ip + 2)
    cdef uint32_t field = load16(ip + 6)
    if total > l3_size or header < IPV4_HEADER or total < header:
        return TAKEN_INVALID
    if not packet.flags & PKT_L3_GOOD and (packet.flags & PKT_L3_BAD or not sum_is_good(sum_bytes(0, ip, header))):
        return TAKEN_INVALID
    piece.which = V4
    piece.l3_size = total
    piece.is_last = not field & 0x2000
    piece.first = (field & 0x1fff) * 8
    piece.data = piece.l3 + header
    piece.size = total - header
    memcpy(piece.key.src, ip + 12, 4)
    memcpy(piece.key.dst, ip + 16, 4)
    piece.key.id = load16(ip + 4)
    piece.key.proto = ip[9]
    return TAKEN_HELD


cdef Taken read_v6(const Packet *packet, uint32_t l3_size, bint ovs_compat, Piece *piece) noexcept nogil:
    cdef const uint8_t *ip = packet.data + piece.l3
    cdef uint32_t header = fragment_header(ip, l3_size)
    cdef const uint8_t *at = ip + header + FRAGMENT_HEADER
    cdef uint32_t size = IPV6_HEADER + load16(ip + 4) - header - FRAGMENT_HEADER
    cdef uint32_t field = load16(ip + header + 2)
    cdef uint8_t kind = ip[header]
    piece.which = V6
    piece.l3_size = IPV6_HEADER + load16(ip + 4)
    piece.is_last = not field & 1
    piece.first = field & 0xfff8
    # OVS counts what a first fragment carries from its transport header on, so that headers before that leave a gap
    if piece.first == 0:
        piece.next_header = kind
        if ovs_compat and skip_extensions(&kind, &at, &size) != REFUSED_NOT:
            return TAKEN_NOT
        if ovs_compat:
            piece.next_header = kind
    piece.data = <uint32_t> (at - packet.data)
    piece.size = size
    memcpy(piece.key.src, ip + 8, 16)
    memcpy(piece.key.dst, ip + 24, 16)
    piece.key.id = load32(ip + header + 4)
    return TAKEN_HELD


cdef Taken read_piece(Fragments *fragments, const Packet *packet, bint ovs_compat, Piece *piece) noexcept nogil:
    cdef Layers layers
    cdef Taken taken
    memset(piece, 0, sizeof(Piece))
    if not is_fragment(packet):
        return TAKEN_NOT
    find_l3(packet, &layers)
    piece.l3 = layers.l3
    piece.key.family = <uint8_t> layers.family
    piece.key.zone = packet.zone
    piece.key.sender = packet.sender
    if layers.family == 4:
        taken = read_v4(fragments, packet, layers.l3_size, piece)
    else:
        taken = read_v6(packet, layers.l3_size, ovs_compat, piece)
    if taken != TAKEN_HELD:
        return taken
    piece.last = <int64_t> piece.first + piece.size - 1
    # OVS keeps 16 bits: a fragment that reaches beyond the end of any datagram seems to end near its beginning
    if ovs_compat:
        piece.last &= 0xffff
    if not piece.is_last and piece.l3_size < fragments.min_size[piece.which]:
        fragments.counters[piece.which].too_small += 1
        return TAKEN_INVALID
    return TAKEN_HELD


# --- adding ----------------------------------------------------------------------------------------------------------

cdef inline bint reaches_into(const Held *held, const Piece *piece, bint ovs_compat) noexcept nogil:
    if not ovs_compat:
        return held.size and piece.size and held.first <= piece.last and piece.first <= held.last
    # OVS asks only whether an end of the new one lies inside an old one; a new one that holds an old one passes
    return held.first <= piece.first <= held.last or held.first <= piece.last <= held.last


cdef bint overlaps(const Fragments *fragments, const Datagram *datagram, const Piece *piece, bint ovs_compat) noexcept nogil:
    cdef uint32_t at = datagram.head
    while at:
        if reaches_into(&fragments.held[at - 1], piece, ovs_compat):
            return True
        at = fragments.held[at - 1].next
    return False


# As many fragments as a datagram can have; OVS bounds those of IPv6 by its bytes alone, and looks at each of them for overlaps.
cdef bint is_full(const Fragments *fragments, const Datagram *datagram, int which, bint ovs_compat) noexcept nogil:
    cdef uint32_t header = MAX_IPV4_HEADER if which == V4 else IPV6_HEADER + FRAGMENT_HEADER
    cdef uint32_t room = fragments.min_size[which] - header
    if which == V6 and ovs_compat:
        return datagram.n >= MAX_DATAGRAM
    return datagram.n >= (MAX_DATAGRAM - header + room - 1) // room


# Keeps the frame or a copy of it, in order of offset; False without memory.
cdef bint keep(Fragments *fragments, Datagram *datagram, const Packet *packet, uint64_t token, const Piece *piece) noexcept nogil:
    cdef uint32_t at = fragments.free_held
    cdef uint32_t *link = &datagram.head
    cdef Held *held
    if not at:
        return False
    held = &fragments.held[at - 1]
    held.is_copy = not fragments.borrows
    held.frame = <uint8_t *> malloc(packet.length) if held.is_copy else <uint8_t *> packet.data
    if held.frame == NULL:
        held.is_copy = False
        return False
    fragments.free_held = held.next
    fragments.n_held += 1
    if held.is_copy:
        memcpy(held.frame, packet.data, packet.length)
    held.token = token
    held.length = packet.length
    held.l3 = piece.l3
    held.data = piece.data
    held.size = piece.size
    held.first = piece.first
    held.last = piece.last
    held.is_last = piece.is_last
    while link[0] and fragments.held[link[0] - 1].first <= piece.first:
        link = &fragments.held[link[0] - 1].next
    held.next = link[0]
    link[0] = at
    datagram.n += 1
    datagram.saw_first |= piece.first == 0
    datagram.saw_last |= piece.is_last
    if piece.first == 0:
        datagram.next_header = piece.next_header
    return True


# Every byte from 0 on is there, up to the fragment that says it is the last; OVS does not ask which one says so.
cdef bint is_whole(const Fragments *fragments, const Datagram *datagram, bint ovs_compat) noexcept nogil:
    cdef const Held *held = NULL
    cdef int64_t expected = 0
    cdef uint32_t at = datagram.head
    if not datagram.saw_first or not datagram.saw_last:
        return False
    while at:
        held = &fragments.held[at - 1]
        if held.first != expected:
            return False
        expected = held.last + 1
        at = held.next
    return ovs_compat or held.is_last


cdef uint32_t carried(const Fragments *fragments, const Datagram *datagram) noexcept nogil:
    cdef uint32_t at = datagram.head
    cdef uint32_t total = 0
    while at:
        total += fragments.held[at - 1].size
        at = fragments.held[at - 1].next
    return total


# Puts it together in `whole`; 0 where it is longer than a datagram can be.
cdef uint32_t put_together(Fragments *fragments, const Datagram *datagram, bint ovs_compat) noexcept nogil:
    cdef const Held *held = &fragments.held[datagram.head - 1]
    cdef bint v4 = datagram.key.family == 4
    cdef uint32_t header = held.data - held.l3 if v4 else IPV6_HEADER
    cdef uint8_t *ip = fragments.whole + held.l3
    cdef uint32_t at = held.l3 + header
    cdef uint32_t size = header + carried(fragments, datagram)
    cdef uint32_t link = datagram.head
    # OVS counts the Ethernet header, and the headers of the first IPv6 fragment
    if size > MAX_DATAGRAM or (ovs_compat and size - header + held.data > MAX_DATAGRAM):
        return 0
    memcpy(fragments.whole, held.frame, at)
    while link:
        held = &fragments.held[link - 1]
        memcpy(fragments.whole + at, held.frame + held.data, held.size)
        at += held.size
        link = held.next
    size = size if v4 else size - IPV6_HEADER
    ip[2 if v4 else 4] = <uint8_t> (size >> 8)
    ip[3 if v4 else 5] = <uint8_t> size
    if v4:
        ip[6] = ip[7] = 0
    else:
        ip[6] = datagram.next_header
    return at


# Room for one more of the datagram at `keep_at`. The oldest datagram makes way: what a flood leaves behind is never
# completed, what somebody waits for is, and soon. OVS refuses the new one, so that a few a second lock everybody out.
# What another shard hands over stays: all of it is on its way.
cdef bint make_room(Fragments *fragments, uint32_t keep_at, uint32_t index, Line *lines, uint32_t *n_lines) noexcept nogil:
    cdef uint32_t at = fragments.oldest
    if fragments.n_held < fragments.max_held:
        return True
    while at and (at == keep_at or fragments.datagrams[at - 1].key.sender):
        at = fragments.datagrams[at - 1].newer
    if not at or not fragments.max_held:
        return False
    counters_of(fragments, at).evicted += fragments.datagrams[at - 1].n
    n_lines[0] = let_go(fragments, at, LINE_EVICTED, MAX_HELD, index, lines)
    return fragments.n_held < fragments.max_held


cdef Taken refuse(Fragments *fragments, const Piece *piece) noexcept nogil:
    fragments.counters[piece.which].refused += 1
    return TAKEN_NOT


cdef Taken take(Fragments *fragments, const Packet *packet, uint64_t token, bint ovs_compat, int64_t now_ms, uint32_t index,
                uint32_t *datagram_at, Line *lines, uint32_t *n_lines) noexcept nogil:
    cdef Piece piece
    cdef Datagram *datagram
    cdef uint32_t hash, at
    cdef Taken taken
    # one family put together is enough to have those of both looked at
    if not fragments.enabled[V4] and not fragments.enabled[V6]:
        return TAKEN_NOT
    taken = read_piece(fragments, packet, ovs_compat, &piece)
    if taken != TAKEN_HELD:
        return taken
    if not fragments.enabled[piece.which]:
        return TAKEN_NOT
    if ovs_compat and fragments.n_held >= fragments.max_held:
        return refuse(fragments, &piece)
    hash = hash_of(fragments, &piece.key)
    at = datagram_find(fragments, &piece.key, hash)
    datagram_at[0] = at
    if at and (fragments.datagrams[at - 1].state != LIST_INCOMPLETE or is_full(fragments, &fragments.datagrams[at - 1], piece.which, ovs_compat)):
        return TAKEN_NOT
    if at and overlaps(fragments, &fragments.datagrams[at - 1], &piece, ovs_compat):
        fragments.counters[piece.which].overlapped += 1
        return TAKEN_INVALID
    if not make_room(fragments, at, index, lines, n_lines):
        return refuse(fragments, &piece)
    if not at:
        at = datagram_begin(fragments, &piece.key, hash, now_ms)
    if not at:
        return TAKEN_NOT
    datagram = &fragments.datagrams[at - 1]
    if not keep(fragments, datagram, packet, token, &piece):
        if not datagram.n:
            datagram_end(fragments, at)
        return TAKEN_NOT
    datagram_at[0] = at
    fragments.counters[piece.which].accepted += 1
    return TAKEN_WHOLE if is_whole(fragments, datagram, ovs_compat) else TAKEN_HELD


# --- letting go ------------------------------------------------------------------------------------------------------

# A line for each of the next fragments of a datagram, in order of offset; after the last it is forgotten.
cdef uint32_t let_go(Fragments *fragments, uint32_t at, LineKind kind, uint32_t at_most, uint32_t index,
                     Line *lines) noexcept nogil:
    cdef Datagram *datagram = &fragments.datagrams[at - 1]
    cdef uint32_t n = 0
    cdef uint32_t link
    while datagram.head and n < at_most:
        link = datagram.head
        memset(&lines[n], 0, sizeof(Line))
        lines[n].token = fragments.held[link - 1].token
        lines[n].index = index
        lines[n].kind = <uint8_t> kind
        lines[n].verdict = datagram.verdict
        n += 1
        datagram.head = fragments.held[link - 1].next
        held_give(fragments, link)
    if not datagram.head:
        datagram_end(fragments, at)
    return n


cdef uint32_t fragments_let_go(Fragments *fragments, const Packet *packet, uint32_t n_sent, uint32_t index,
                               Line *lines) noexcept nogil:
    cdef Layers layers
    cdef Datagram *datagram
    cdef uint32_t at = fragments.first_complete
    cdef uint32_t following
    cdef uint32_t n = 0
    if not at:
        return 0
    find_l3(packet, &layers)
    while at and n + n_sent < OVS_BATCH:
        datagram = &fragments.datagrams[at - 1]
        following = datagram.newer
        if (datagram.key.family == 6) == (layers.family == 6) and datagram.key.zone == packet.zone:
            n += let_go(fragments, at, LINE_VERDICT, OVS_BATCH - n - n_sent, index, lines + n)
        at = following
    return n


cdef inline FragmentCounters *counters_of(Fragments *fragments, uint32_t at) noexcept nogil:
    return &fragments.counters[<int> (V4 if fragments.datagrams[at - 1].key.family == 4 else V6)]


cdef uint32_t fragments_expire(Fragments *fragments, int64_t now_ms, uint32_t at_most, uint32_t index,
                               Line *lines) noexcept nogil:
    cdef uint32_t n = 0
    cdef uint32_t at
    while at_most and fragments.oldest and n < MAX_HELD:
        at = fragments.oldest
        if now_ms <= fragments.datagrams[at - 1].expires_ms:
            break
        counters_of(fragments, at).expired += fragments.datagrams[at - 1].n
        n += let_go(fragments, at, LINE_DROPPED, MAX_HELD, index, lines + n)
        at_most -= 1
    return n


cdef bint has_match(const Fragments *fragments, const Datagram *datagram, Matches matches, const void *which) noexcept nogil:
    cdef uint32_t at = datagram.head
    while at:
        if matches(fragments.held[at - 1].token, which):
            return True
        at = fragments.held[at - 1].next
    return False


cdef uint32_t fragments_drop(Fragments *fragments, Matches matches, const void *which, Line *lines) noexcept nogil:
    cdef uint32_t queues[2]
    cdef uint32_t at, newer
    cdef uint32_t n = 0
    cdef int i
    queues[0] = fragments.oldest
    queues[1] = fragments.first_complete
    for i in range(2):
        at = queues[i]
        while at:
            newer = fragments.datagrams[at - 1].newer
            if has_match(fragments, &fragments.datagrams[at - 1], matches, which):
                n += let_go(fragments, at, LINE_DROPPED, MAX_HELD, 0, lines + n)
            at = newer
    return n


# --- one packet ------------------------------------------------------------------------------------------------------

# What translation changed, put back into the fragments: what they carry by its place, and both addresses. Any of them
# may hold a transport header, since headers of IPv6 may fill the first.
cdef void write_back(Fragments *fragments, const Datagram *datagram) noexcept nogil:
    cdef const Held *held = &fragments.held[datagram.head - 1]
    cdef bint v4 = datagram.key.family == 4
    cdef const uint8_t *whole = fragments.whole + held.l3
    cdef const uint8_t *payload = whole + (held.data - held.l3 if v4 else IPV6_HEADER)
    cdef uint32_t at = datagram.head
    cdef uint8_t *ip
    while at:
        held = &fragments.held[at - 1]
        ip = held.frame + held.l3
        memcpy(held.frame + held.data, payload + held.first, held.size)
        if v4:
            adjust(ip + 10, replace(ip + 12, whole + 12, 8))
        else:
            memcpy(ip + 8, whole + 8, 32)
        at = held.next



# Judges a whole datagram; False where it is too long to be one.
cdef bint judge_whole(Shard *shard, const Packet *packet, uint32_t at, const Action *action, int64_t now_ms) noexcept nogil:
    cdef Fragments *fragments = <Fragments *> shard.fragments
    cdef Datagram *datagram = &fragments.datagrams[at - 1]
    cdef Packet whole = packet[0]
    whole.data = fragments.whole
    whole.length = put_together(fragments, datagram, shard.ovs_compat)
    # its header was rewritten here; the transport checksum covers all of it and was seen by nobody yet
    whole.flags = PKT_L3_GOOD | PKT_WHOLE
    whole.token = WHOLE_TOKEN
    if not whole.length:
        datagram.state = LIST_FAILED
        return False
    burst(shard, &whole, 1, action, now_ms, &datagram.verdict)
    if not datagram.verdict.state:
        counters_of(fragments, at).accepted -= datagram.n    # another shard takes them, and counts them
    else:
        counters_of(fragments, at).completed += datagram.n
        if action.nat != NULL and datagram.verdict.conn_id:
            write_back(fragments, datagram)
    queue_remove(fragments, at, &fragments.oldest, &fragments.newest)
    datagram.state = LIST_COMPLETE
    queue_put(fragments, at, &fragments.first_complete, &fragments.last_complete)
    return True


cdef void say_invalid(Shard *shard, Verdict *verdict) noexcept nogil:
    verdict.state = CS_INVALID | CS_TRACKED
    verdict.reason = REFUSED_FRAGMENT
    shard.counters.packets += 1
    shard.counters.invalid += 1
    shard.counters.refused[<int> REFUSED_FRAGMENT] += 1


# The line of a packet that completes nothing.
cdef void say(Shard *shard, const Packet *packet, Taken taken, uint64_t token, uint32_t index, const Action *action,
              int64_t now_ms, Line *line) noexcept nogil:
    memset(line, 0, sizeof(Line))
    line.token = token
    line.index = index
    if taken == TAKEN_NOT:
        burst(shard, packet, 1, action, now_ms, &line.verdict)
    elif taken == TAKEN_INVALID:
        say_invalid(shard, &line.verdict)
    else:
        line.kind = LINE_HELD


# The last fragment of what another shard handed over came, and the datagram is not whole: one was refused here, or dropped.
# Nothing more of it comes, so the others are not to wait for that, nor a stub for their connection.
cdef uint32_t abandon(Shard *shard, const Packet *packet, uint32_t at, uint32_t index, Line *lines) noexcept nogil:
    cdef Fragments *fragments = <Fragments *> shard.fragments
    stub_give_up(shard, packet)
    if not at:
        return 0
    counters_of(fragments, at).expired += fragments.datagrams[at - 1].n
    return let_go(fragments, at, LINE_DROPPED, MAX_HELD, index, lines)


cdef uint32_t fragments_track(Shard *shard, const Packet *packet, uint64_t token, uint32_t index, const Action *action,
                              int64_t now_ms, Line *lines) noexcept nogil:
    cdef Fragments *fragments = <Fragments *> shard.fragments
    cdef uint32_t at = 0
    cdef uint32_t n = 0
    cdef uint32_t n_sent = 0
    cdef Taken taken
    now_ms = max(now_ms, shard.now_ms)
    shard.now_ms = now_ms
    taken = take(fragments, packet, token, shard.ovs_compat, now_ms, index, &at, lines, &n)
    if taken != TAKEN_WHOLE or not judge_whole(shard, packet, at, action, now_ms):
        say(shard, packet, taken, token, index, action, now_ms, &lines[n])
        n_sent = lines[n].kind == LINE_VERDICT
        n += 1
        if packet.ends_datagram:
            n += abandon(shard, packet, at, index, lines + n)
    elif not shard.ovs_compat:
        n += let_go(fragments, at, LINE_VERDICT, MAX_HELD, index, lines + n)
    if shard.ovs_compat:
        n += fragments_let_go(fragments, packet, n_sent, index, lines + n)
    # as late as OVS does it: one datagram a packet, after the packet
    return n + fragments_expire(fragments, now_ms, 1, index, lines + n)
