"""Address translation: which addresses and ports a new connection gets.

The search is OVS's: an address by hash, the port kept where it is free, a bounded walk where it is not. Unlike OVS it goes
on to the other addresses of the range, changes ICMPv6 identifiers like ICMP's, and leaves identifiers alone in DNAT.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._group cimport Group, home_of, is_stub
from ctoffload_dpdk.conntrack._hardware cimport is_visible
from ctoffload_dpdk.conntrack._key cimport Key, Parsed, fold, is_icmp, key_equal, key_hash
from ctoffload_dpdk.conntrack._life cimport cause_of_timeout, conn_end
from ctoffload_dpdk.conntrack._packet cimport NAT_DST, NAT_PERSISTENT, NAT_RANDOM, NAT_SRC, NatAction, NatRange
from ctoffload_dpdk.conntrack._state cimport CONN_NAT, CONN_SWAPPED, SLOT_MASK, Conn, Expectation, Nat, Shard
from ctoffload_dpdk.conntrack._table cimport index_find
from ctoffload_dpdk.conntrack._tuple cimport Tuple, key_of_tuple, tuple_of_key, tuple_turn

cdef extern from * nogil:
    uint32_t swap32 "__builtin_bswap32"(uint32_t value)
    uint64_t swap64 "__builtin_bswap64"(uint64_t value)

cdef enum:
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_SCTP = 132
    FIRST_ROUND = 128        # ports tried in a row before the walk jumps
    LAST_ROUND = 16
    MAX_TRIES = 2048         # for one connection, over all addresses: 0.2 ms at worst

# One search on its way.
cdef struct Search:
    Shard *shard
    const Parsed *parsed
    int64_t now_ms
    uint64_t random          # of this connection
    uint32_t tries
    uint32_t max_tries
    Elsewhere *elsewhere
    Tuple reply
    Key key
    bint swapped


# --- keys in use -----------------------------------------------------------------------------------------------------

cdef bint key_is_free(Shard *shard, const Key *key, int64_t now_ms) noexcept nogil:
    cdef uint32_t slot = index_find(shard, key, key_hash(key, &shard.seed)) & SLOT_MASK
    if not slot:
        return True
    if is_stub(shard, slot) or is_visible(shard, slot, now_ms):
        return False
    conn_end(shard, slot, cause_of_timeout(shard, slot), now_ms)
    return key_is_free(shard, key, now_ms)


cdef bint is_at_home(Search *search) noexcept nogil:
    cdef uint32_t home = home_of(<Group *> search.shard.group, &search.key)
    if home == search.shard.number:
        return True
    if not search.elsewhere.shards:
        search.elsewhere.first = home
    search.elsewhere.shards |= <uint32_t> 1 << home
    return False


cdef bint fits(Search *search) noexcept nogil:
    cdef const Parsed *parsed = search.parsed
    search.tries += 1
    search.swapped = key_of_tuple(&search.reply, parsed.key.zone, parsed.key.proto, parsed.key.family, &search.key)
    if key_equal(&search.key, &parsed.key):
        # its own tuple, turned round: nothing is translated. In the same direction it would answer itself
        return search.swapped != parsed.swapped
    if search.shard.group != NULL and not is_at_home(search):
        return False
    return key_is_free(search.shard, &search.key, search.now_ms)


cdef void conn_tuple(const Shard *shard, uint32_t slot, bint reply, Tuple *out) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef bint swapped = conn.flags & CONN_SWAPPED != 0
    if reply and conn.flags & CONN_NAT:
        tuple_of_key(&shard.nats[slot].reply, shard.nats[slot].reply_swapped, out)
    else:
        tuple_of_key(&conn.key, swapped != reply, out)


# --- addresses -------------------------------------------------------------------------------------------------------

# How many addresses a range has, 2^32 - 1 at most.
cdef uint32_t range_size(const NatRange *addresses, uint8_t family) noexcept nogil:
    cdef uint64_t low, high
    if family == 4:
        return swap32(<uint32_t> addresses.high[0]) - swap32(<uint32_t> addresses.low[0]) + 1
    low = swap64(addresses.low[1])
    high = swap64(addresses.high[1])
    if swap64(addresses.high[0]) - swap64(addresses.low[0]) > <uint64_t> (high < low) or high - low >= 0xffffffffU:
        return 0xffffffffU
    return <uint32_t> (high - low) + 1


cdef void address_at(const NatRange *addresses, uint8_t family, uint32_t offset, uint64_t *out) noexcept nogil:
    cdef uint64_t low
    if family == 4:
        out[0] = swap32(swap32(<uint32_t> addresses.low[0]) + offset)
        out[1] = 0
        return
    low = swap64(addresses.low[1]) + offset
    out[0] = swap64(swap64(addresses.low[0]) + (low < offset))
    out[1] = swap64(low)


# The default spreads connections, `persistent` gives a client the same address always, also after a restart.
cdef uint64_t address_hash(const Search *search, const NatAction *action, const NatRange *addresses) noexcept nogil:
    cdef uint64_t mixed = fold(addresses.low[0] ^ 0x9e3779b97f4a7c15U, addresses.low[1] ^ 0xc2b2ae3d27d4eb4fU)
    if action.choice & NAT_PERSISTENT:
        return fold(mixed ^ search.reply.dst[0], search.reply.dst[1] ^ 0x165667b19e3779f9U)
    return fold(mixed ^ search.random, search.shard.seed.word[4] | 1)


# --- ports -----------------------------------------------------------------------------------------------------------

cdef inline bint has_ports(const Parsed *parsed) noexcept nogil:
    return parsed.key.proto == PROTO_TCP or parsed.key.proto == PROTO_UDP or parsed.key.proto == PROTO_SCTP


cdef bint walk(Search *search, uint16_t *port, uint32_t low, uint32_t high, uint32_t first) noexcept nogil:
    """Tries ports from `first` on, in rounds that halve and begin at random places."""
    cdef uint32_t size = high - low + 1
    cdef uint32_t round = min(size, <uint32_t> FIRST_ROUND)
    cdef uint32_t current = first
    cdef uint32_t i
    while True:
        for i in range(round):
            port[0] = <uint16_t> current
            if fits(search):
                return True
            if search.tries >= search.max_tries:
                return False
            current = current + 1 if low <= current < high else low
        if round == size or round < LAST_ROUND:
            return False
        round >>= 1
        search.random = fold(search.random ^ 0xa0761d6478bd642fU, search.shard.seed.word[5] | 1)
        current = low + <uint32_t> (search.random % size)


cdef uint32_t first_port(const Search *search, const NatRange *ports) noexcept nogil:
    return ports.port_low + <uint32_t> ((search.random >> 7) % (<uint32_t> ports.port_high - ports.port_low + 1))


# The source port, or the identifier of ICMP: kept where it is free, else another of its class.
cdef bint walk_source(Search *search, const NatAction *action) noexcept nogil:
    cdef uint16_t *port = &search.reply.icmp_id if is_icmp(&search.parsed.key) else &search.reply.dst_port
    cdef uint32_t kept = port[0]
    if action.what & NAT_SRC and action.src.port_low:
        return walk(search, port, action.src.port_low, action.src.port_high, first_port(search, &action.src))
    if kept < 512:
        return walk(search, port, 1, 511, kept)
    if kept < 1024:
        return walk(search, port, 600, 1023, kept)
    return walk(search, port, 1024, 65535, kept)


cdef bint walk_ports(Search *search, const NatAction *action) noexcept nogil:
    cdef uint16_t source = search.reply.dst_port
    cdef uint32_t first
    if not has_ports(search.parsed):
        return walk_source(search, action) if is_icmp(&search.parsed.key) else fits(search)
    if action.what & NAT_DST and action.dst.port_low:
        first = first_port(search, &action.dst)
        if not (action.what & NAT_SRC and action.src.port_low):
            if walk(search, &search.reply.src_port, action.dst.port_low, action.dst.port_high, first):
                return True
        search.reply.src_port = <uint16_t> first
        search.reply.dst_port = source
    return walk_source(search, action)


# --- the search ------------------------------------------------------------------------------------------------------

cdef bint walk_addresses(Search *search, const NatAction *action) noexcept nogil:
    cdef Tuple plain = search.reply
    cdef uint8_t family = search.parsed.key.family
    cdef const NatRange *wide = &action.src if action.what & NAT_SRC else &action.dst
    cdef uint32_t n_src = range_size(&action.src, family) if action.what & NAT_SRC and action.src.has_address else 1
    cdef uint32_t n_dst = range_size(&action.dst, family) if action.what & NAT_DST and action.dst.has_address else 1
    cdef uint64_t at = address_hash(search, action, wide)
    cdef uint32_t left = max(n_src, n_dst)
    while left and search.tries < search.max_tries and not (search.elsewhere.is_allowed and search.elsewhere.shards):
        search.reply = plain
        if action.what & NAT_SRC and action.src.has_address:
            address_at(&action.src, family, <uint32_t> (at % n_src), search.reply.dst)
        if action.what & NAT_DST and action.dst.has_address:
            address_at(&action.dst, family, <uint32_t> (at % n_dst), search.reply.src)
        if walk_ports(search, action):
            return True
        at += 1
        left -= 1
    return False


cdef void search_begin(Search *search, Shard *shard, const Parsed *parsed, int64_t now_ms, Elsewhere *elsewhere) noexcept nogil:
    elsewhere.shards = 0
    search.elsewhere = elsewhere
    search.max_tries = MAX_TRIES
    if shard.group != NULL:
        search.max_tries *= (<Group *> shard.group).n    # most of them are not its own
    search.shard = shard
    search.parsed = parsed
    search.now_ms = now_ms
    search.tries = 0
    tuple_of_key(&parsed.key, parsed.swapped, &search.reply)
    tuple_turn(&search.reply)


cdef void found(const Search *search, uint8_t what, Nat *nat) noexcept nogil:
    memset(nat, 0, sizeof(Nat))
    nat.reply = search.key
    nat.reply_swapped = search.swapped
    nat.what = what
    nat.has_alias = not key_equal(&search.key, &search.parsed.key)


cdef bint nat_choose(Shard *shard, const Parsed *parsed, const NatAction *action, int64_t now_ms, Elsewhere *elsewhere,
                     Nat *nat) noexcept nogil:
    cdef Search search
    search_begin(&search, shard, parsed, now_ms, elsewhere)
    search.random = fold(parsed.hash ^ shard.seed.word[2], shard.seed.word[3] | 1)
    if action.choice & NAT_RANDOM:
        shard.nat_random = fold(shard.nat_random ^ search.random, 0xe7037ed1a0b428dbU)
        search.random = shard.nat_random
    if not walk_addresses(&search, action):
        return False
    found(&search, action.what, nat)
    return True


cdef bint nat_expected(Shard *shard, const Parsed *parsed, const Expectation *expectation, int64_t now_ms,
                       Elsewhere *elsewhere, Nat *nat) noexcept nogil:
    cdef Search search
    search_begin(&search, shard, parsed, now_ms, elsewhere)
    if expectation.nat & NAT_SRC:
        memcpy(search.reply.dst, expectation.nat_src, 16)
    if expectation.nat & NAT_DST:
        memcpy(search.reply.src, expectation.nat_dst, 16)
        if expectation.nat_dst_port:
            search.reply.src_port = expectation.nat_dst_port
    if not fits(&search):
        return False
    found(&search, expectation.nat, nat)
    return True
