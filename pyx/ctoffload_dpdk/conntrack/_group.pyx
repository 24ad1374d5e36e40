"""Shards that share one set of connections: the hash that says whose a packet is, rings between them, stubs."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._expect cimport expectations_free, expectations_new
from ctoffload_dpdk.conntrack._key cimport Key, key_hash
from ctoffload_dpdk.conntrack._packet cimport PKT_L3_GOOD, PKT_L4_GOOD, REFUSED_HAND_OVER, REFUSED_NOT, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport BURST, ENTRY_ALIAS, N_ZONES, NAT_IS_STUB, Nat, Shard, ZoneLimit
from ctoffload_dpdk.conntrack._table cimport index_put, index_remove
from ctoffload_dpdk.offload.libspsc cimport (
    pages_free, pages_new, shared_get, shared_swap_if, spsc, spsc_at, spsc_fini, spsc_init, spsc_publish, spsc_ready,
    spsc_release, spsc_reserve, spsc_room,
)

cdef enum:
    KEY_PERIOD = 0x6d5a      # of the symmetric key of RSS


# --- the group -------------------------------------------------------------------------------------------------------

# What a byte of the folded tuple adds to the hash: the key, turned by as many bits as the place of each bit that is set.
cdef void fill_parts(Group *group) noexcept nogil:
    cdef uint32_t value, bit, turned
    cdef int half
    for half in range(2):
        for value in range(256):
            for bit in range(8):
                if value & (0x80 >> bit):
                    turned = (KEY_PERIOD << (half * 8 + bit)) | (KEY_PERIOD >> (16 - half * 8 - bit))
                    group.part[half][value] ^= <uint8_t> (turned & (HASHES - 1))


cdef Group *group_new(uint32_t n) noexcept nogil:
    cdef Group *group = <Group *> pages_new(sizeof(Group))
    cdef uint32_t i, j
    cdef bint failed
    if group == NULL:
        return NULL
    group.n = n
    fill_parts(group)
    for i in range(HASHES):
        group.home[i] = <uint8_t> (i % n)
    group.zone_limits = <ZoneLimit *> pages_new(N_ZONES * sizeof(ZoneLimit))
    group.expectations = expectations_new()
    failed = group.zone_limits == NULL or group.expectations == NULL
    for i in range(n):
        for j in range(n):
            failed = failed or (i != j and not spsc_init(&group.rings[i][j], RING_PACKETS, sizeof(Packet)))
    if failed:
        group_free(group)
        return NULL
    return group


cdef void group_free(Group *group) noexcept nogil:
    cdef uint32_t i, j
    if group == NULL:
        return
    for i in range(group.n):
        for j in range(group.n):
            if i != j:
                spsc_fini(&group.rings[i][j])
    expectations_free(group.expectations)
    pages_free(group.zone_limits, N_ZONES * sizeof(ZoneLimit))
    pages_free(group, sizeof(Group))


# --- handing over ----------------------------------------------------------------------------------------------------

cdef bint push(Shard *shard, const Packet *packet, uint32_t to, Directive directive) noexcept nogil:
    cdef Group *group = <Group *> shard.group
    cdef spsc *ring = &group.rings[shard.number][to]
    cdef Packet *entry = <Packet *> spsc_reserve(ring) if packet.turns < MAX_TURNS else NULL
    if entry == NULL:
        return False
    entry[0] = packet[0]
    entry.turns += 1
    entry.directive = <uint8_t> directive
    spsc_publish(ring)
    shard.counters.handed_over += 1
    return True


cdef bint hand_over(Shard *shard, const Packet *packet, uint32_t to, Directive directive, Verdict *verdict) noexcept nogil:
    cdef Packet known = packet[0]
    verdict.state = 0
    verdict.reason = REFUSED_NOT
    if packet.token == WHOLE_TOKEN and packet.turns < MAX_TURNS:
        shard.counters.packets -= 1
        verdict.mark = packet.tried
        verdict.conn_id = (to | <uint64_t> directive << 8 | <uint64_t> packet.stub_home << 16 | <uint64_t> 1 << 24
                           | <uint64_t> packet.turns << 25 | <uint64_t> packet.stub << 32)
        return True
    known.flags |= PKT_L3_GOOD | PKT_L4_GOOD     # it was parsed here, or it would not be known whose it is
    if not push(shard, &known, to, directive):
        verdict.reason = REFUSED_HAND_OVER
        shard.counters.refused[<int> REFUSED_HAND_OVER] += 1
        return False
    shard.counters.packets -= 1
    return True


cdef bint has_room_for_fragments(Shard *shard, uint32_t n, const Verdict *verdict) noexcept nogil:
    cdef Group *group = <Group *> shard.group
    cdef int directive = <int> (verdict.conn_id >> 8 & 0xff)
    if spsc_room(&group.rings[shard.number][<uint32_t> (verdict.conn_id & 0xff)]) >= n:
        return True
    shard.counters.refused[<int> REFUSED_HAND_OVER] += n
    if directive == BEGIN or directive == RETRY:
        stub_give_back(group, <uint32_t> (verdict.conn_id >> 16 & 0xff), <uint32_t> (verdict.conn_id >> 32))
    return False


cdef void hand_over_with_others(Shard *shard, Packet *packet, bint is_last, const Verdict *verdict) noexcept nogil:
    packet.stub_home = <uint8_t> (verdict.conn_id >> 16 & 0xff)
    packet.stub = <uint32_t> (verdict.conn_id >> 32)
    packet.tried = verdict.mark
    packet.turns = <uint8_t> (verdict.conn_id >> 25 & 0x7f)
    packet.sender = <uint8_t> (shard.number + 1)
    packet.ends_datagram = is_last
    push(shard, packet, <uint32_t> (verdict.conn_id & 0xff), <Directive> (verdict.conn_id >> 8 & 0xff))


cdef bint hand_over_fragment(Shard *shard, const Packet *packet, uint32_t to) noexcept nogil:
    if push(shard, packet, to, BY_HOME):
        return True
    shard.counters.refused[<int> REFUSED_HAND_OVER] += 1
    return False


cdef uint32_t take_handed_over(Shard *shard, uint32_t sender, uint32_t at_most, Packet *packets) noexcept nogil:
    cdef spsc *ring = &(<Group *> shard.group).rings[sender][shard.number]
    cdef uint32_t n = min(spsc_ready(ring), at_most, <uint32_t> BURST)
    cdef uint32_t i
    stubs_take_back(shard)
    for i in range(n):
        packets[i] = (<Packet *> spsc_at(ring, i))[0]
    spsc_release(ring, n)
    return n


# --- stubs -----------------------------------------------------------------------------------------------------------

cdef uint32_t stub_new(Shard *shard, const Key *key, uint32_t hash, uint32_t to) noexcept nogil:
    cdef uint32_t slot = shard.stub_free
    cdef Nat *stub
    if slot:
        shard.stub_free = shard.nats[slot].stub
    elif shard.stub_top <= shard.capacity + shard.n_stubs_most:
        slot = shard.stub_top
        shard.stub_top += 1
    else:
        return 0
    stub = &shard.nats[slot]
    stub.reply = key[0]
    stub.what = NAT_IS_STUB
    stub.stub_home = <uint8_t> (to + 1)
    stub.stub = 0
    shard.n_stubs += 1
    index_put(shard, slot | ENTRY_ALIAS, hash)
    return slot


cdef void stub_remove(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Nat *stub = &shard.nats[slot]
    index_remove(shard, slot | ENTRY_ALIAS, key_hash(&stub.reply, &shard.seed))
    stub.what = 0
    stub.stub = shard.stub_free
    shard.stub_free = slot
    shard.n_stubs -= 1


# The stub itself is the message, so it cannot be lost and needs no room: it is pushed on its owner's list.
cdef void stub_give_back(Group *group, uint32_t owner, uint32_t slot) noexcept nogil:
    cdef Shard *shard = group.shards[owner]
    cdef uint32_t first
    if shard == NULL:
        return                           # closed, and its stubs with it
    while True:
        first = shared_get(&shard.returned)
        shard.nats[slot].stub = first
        if shared_swap_if(&shard.returned, first, slot):
            return


cdef void stub_give_up(Shard *shard, const Packet *packet) noexcept nogil:
    if packet.directive == BEGIN:
        stub_give_back(<Group *> shard.group, packet.stub_home, packet.stub)
    elif packet.directive == RETRY and shard.nats[packet.stub].what == NAT_IS_STUB:
        stub_remove(shard, packet.stub)


cdef void stubs_take_back(Shard *shard) noexcept nogil:
    cdef uint32_t slot = shared_get(&shard.returned)
    cdef uint32_t following
    if not slot:
        return
    while not shared_swap_if(&shard.returned, slot, 0):
        slot = shared_get(&shard.returned)
    while slot:
        following = shard.nats[slot].stub
        stub_remove(shard, slot)
        slot = following
