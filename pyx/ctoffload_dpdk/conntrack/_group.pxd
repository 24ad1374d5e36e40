# Shards that share one set of connections: which of them a packet belongs to, and the rings by which they hand packets over.
# docs/shards.md tells the whole story.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Key, Seed
from ctoffload_dpdk.conntrack._packet cimport Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport Expectations, Shard, ZoneLimit
from ctoffload_dpdk.offload.libspsc cimport shared_word, spsc

cdef enum:
    MAX_MEMBERS = 32
    RING_PACKETS = 1024      # from one shard to another, at most
    MAX_TURNS = 100          # of a packet between shards; more than there and back for each of them
    HASHES = 128             # as many as RSS tables have entries at least
    MAX_TX_LOCKS = 16
    PROTO_TCP_ = 6
    PROTO_UDP_ = 17

cdef struct Group:
    uint32_t n
    uint32_t n_members       # that there are already
    Seed seed                # one for all: a search goes on elsewhere as it began
    Shard *shards[MAX_MEMBERS]
    uint8_t part[2][256]     # of the hash, by each byte of the folded tuple
    uint8_t home[HASHES]     # shard of a hash
    shared_word live         # connections of all
    shared_word limit_lock   # while a zone's limit is made
    ZoneLimit *zone_limits
    Expectations *expectations
    shared_word tx_lock[MAX_TX_LOCKS]    # of the queues that loops share, by port
    spsc rings[MAX_MEMBERS][MAX_MEMBERS] # [from][to], Packets

# How a packet that was handed over was meant, apart from its data. Nothing is said of packets as they are received.
cdef enum Directive:
    BY_HOME = 0              # judged where its tuple is at home, unless a stub there leads elsewhere
    FOLLOW = 1               # judged where the stub of its tuple led; back home if its connection is no more
    BEGIN = 2                # its connection begins here, and the stub at home leads here
    RETRY = 3                # back home: BEGIN found no free tuple there

# Of a datagram that was put together: not it is handed over, but its fragments, by hand_over_with_others with what stands in
# the verdict's conn_id.
cdef enum:
    WHOLE_TOKEN = 1

# Symmetric Toeplitz of both addresses, and the ports of TCP and UDP, whatever zone they are in: what RSS does with a key
# that repeats every 16 bits. A sum of the key's rotations by the bits of the tuple's words folded into one.
cdef inline uint32_t home_of(const Group *group, const Key *key) noexcept nogil:
    cdef uint64_t words = key.a[0] ^ key.a[1] ^ key.b[0] ^ key.b[1]
    cdef uint32_t folded
    cdef uint16_t ports = 0
    words ^= words >> 32
    folded = <uint32_t> words
    folded = (folded ^ folded >> 16) & 0xffff
    if key.proto == PROTO_UDP_ or key.proto == PROTO_TCP_:
        ports = key.a_port ^ key.b_port
    # addresses are as in the packet, ports are numbers
    return group.home[group.part[0][(folded & 0xff) ^ (ports >> 8)] ^ group.part[1][(folded >> 8) ^ (ports & 0xff)]]


# Where fragments of these addresses are put together.
cdef inline uint32_t home_of_addresses(const Group *group, const uint8_t *addresses, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t even = 0
    cdef uint8_t odd = 0
    for i in range(0, n, 2):
        even ^= addresses[i]
        odd ^= addresses[i + 1]
    return group.home[group.part[0][even] ^ group.part[1][odd]]


cdef Group *group_new(uint32_t n) noexcept nogil
cdef void group_free(Group *group) noexcept nogil
# Gives a packet to another shard; the verdict says "no longer yours" (state 0), or that the ring is full.
cdef bint hand_over(Shard *shard, const Packet *packet, uint32_t to, Directive directive, Verdict *verdict) noexcept nogil
# All fragments of a datagram, or none: whether the ring has room for all, and each of them then.
cdef bint has_room_for_fragments(Shard *shard, uint32_t n, const Verdict *verdict) noexcept nogil
cdef void hand_over_with_others(Shard *shard, Packet *packet, bint is_last, const Verdict *verdict) noexcept nogil
# A fragment that was received elsewhere than its datagram is put together.
cdef bint hand_over_fragment(Shard *shard, const Packet *packet, uint32_t to) noexcept nogil

# Whether the slot of an entry is a stub's.
cdef inline bint is_stub(const Shard *shard, uint32_t slot) noexcept nogil:
    return slot > shard.capacity


# Packets that another shard handed to this one, BURST at most: off the ring, and how many. Stubs that were given back before
# a packet was are gone before it is looked at.
cdef uint32_t take_handed_over(Shard *shard, uint32_t sender, uint32_t at_most, Packet *packets) noexcept nogil

# A stub: this shard's index leads the tuple to another shard.
cdef uint32_t stub_new(Shard *shard, const Key *key, uint32_t hash, uint32_t to) noexcept nogil
cdef void stub_remove(Shard *shard, uint32_t slot) noexcept nogil
# From any shard: its owner removes it before it looks at packets the next time.
cdef void stub_give_back(Group *group, uint32_t owner, uint32_t slot) noexcept nogil
# Nothing begins with this packet: what waits for its connection, where something does, waits no more.
cdef void stub_give_up(Shard *shard, const Packet *packet) noexcept nogil
cdef void stubs_take_back(Shard *shard) noexcept nogil
