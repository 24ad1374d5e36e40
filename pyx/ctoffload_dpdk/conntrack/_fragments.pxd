# Fragments of IP datagrams: held until the datagram is whole, judged as one packet, let go as they came.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._key cimport Seed
from ctoffload_dpdk.conntrack._packet cimport Action, Packet, Verdict
from ctoffload_dpdk.conntrack._state cimport Shard

cdef enum:
    MAX_HELD = 5000          # what max_held can be set to
    DEFAULT_HELD = 1000
    DEFAULT_LIFETIME_MS = 15000
    MIN_SIZE_LOWEST = 400
    N_CHAINS = 1024
    WHOLE_SIZE = 65536 + 64  # room for the frame of a whole datagram

cdef enum FragmentsState:
    LIST_INCOMPLETE = 0
    LIST_FAILED = 1          # too big once put together; kept until its time is up
    LIST_COMPLETE = 2        # judged; fragments are still to be let go (OVS lets 32 go at a time)

# By family, index 0 for IPv4 and 1 for IPv6.
cdef struct FragmentCounters:
    uint64_t accepted
    uint64_t completed
    uint64_t expired
    uint64_t too_small
    uint64_t overlapped
    uint64_t refused         # as many are held as may be
    uint64_t evicted         # made room for others

cdef struct DatagramKey:
    uint8_t src[16]
    uint8_t dst[16]
    uint32_t id
    uint16_t zone
    uint8_t family
    uint8_t proto            # IPv4 only
    uint8_t sender           # Packet's: what comes whole from another shard and what comes by wire do not mix
    uint8_t unused[3]

# One fragment that waits, and what the caller knows it by.
cdef struct Held:
    uint8_t *frame           # a copy, or the caller's own where it keeps that until the fragment is let go
    uint64_t token
    uint32_t length
    bint is_copy
    uint32_t l3              # offset of the IP header
    uint32_t data            # offset of what it carries
    uint32_t size            # of what it carries
    uint32_t first           # first and last byte within the datagram; last is first - 1 where it carries nothing
    int64_t last
    uint8_t is_last          # says that nothing follows
    uint32_t next            # of the datagram, by first; index + 1

cdef struct Datagram:
    DatagramKey key
    int64_t expires_ms
    uint32_t head            # of its fragments; index + 1
    uint32_t n
    uint32_t chain           # next in the hash chain, or in the free list; index + 1
    uint32_t older           # neighbours in order of creation; index + 1
    uint32_t newer
    uint32_t hash
    uint8_t state
    uint8_t saw_first
    uint8_t saw_last
    uint8_t next_header      # IPv6: of what follows the fragment header
    Verdict verdict          # of a complete one

cdef struct Fragments:
    Held held[MAX_HELD]
    Datagram datagrams[MAX_HELD]
    uint32_t chains[N_CHAINS]
    Seed seed
    uint32_t free_held
    uint32_t free_datagram
    uint32_t oldest          # of those that are not complete
    uint32_t newest
    uint32_t first_complete  # of those that are, in order of completion
    uint32_t last_complete
    uint32_t n_held
    uint32_t max_held
    uint32_t lifetime_ms
    uint32_t min_size[2]
    bint enabled[2]
    bint borrows             # frames stay where they are until let go, and are rewritten there; else they are copied
    bint in_loop             # tokens are a loop's
    FragmentCounters counters[2]
    uint8_t whole[WHOLE_SIZE]

cdef enum LineKind:
    LINE_VERDICT = 0         # judged; a fragment that was held is let go with it
    LINE_HELD = 1            # waits; no verdict yet
    LINE_DROPPED = 2         # its datagram never became whole: free it
    LINE_EVICTED = 3         # dropped because too many are held, and its datagram was the oldest

# One thing that is to be done with a packet.
cdef struct Line:
    uint64_t token           # of the packet it is about
    Verdict verdict
    uint32_t index           # of the packet of this burst that brought it about
    uint8_t kind             # LineKind

cdef enum:
    # lines that one packet can bring about: its own, and those of whatever is let go or dropped with it
    MAX_LINES = 2 * MAX_HELD + 1

# Whether a fragment is among those that are asked for; `which` is the asker's.
ctypedef bint (*Matches)(uint64_t token, const void *which) noexcept nogil

cdef Fragments *fragments_new(const Seed *seed) noexcept nogil
cdef void fragments_free(Fragments *fragments) noexcept nogil
# Drops at most so many datagrams whose time is up; writes a line for each fragment.
cdef uint32_t fragments_expire(Fragments *fragments, int64_t now_ms, uint32_t at_most, uint32_t index,
                               Line *lines) noexcept nogil
# Drops every datagram of which a fragment matches, whole or not.
cdef uint32_t fragments_drop(Fragments *fragments, Matches matches, const void *which, Line *lines) noexcept nogil
# One packet through fragments and engine: returns the number of lines, at most MAX_LINES.
cdef uint32_t fragments_track(Shard *shard, const Packet *packet, uint64_t token, uint32_t index, const Action *action,
                              int64_t now_ms, Line *lines) noexcept nogil
# OVS lets at most 32 packets leave a call; what is left of complete datagrams goes with the packets that follow. Writes
# their lines, as many as fit beside n_sent packets of this call.
cdef uint32_t fragments_let_go(Fragments *fragments, const Packet *packet, uint32_t n_sent, uint32_t index,
                               Line *lines) noexcept nogil
# Whether a packet has to go through fragments_track; everything else may go through the engine in bursts.
cdef bint is_fragment(const Packet *packet) noexcept nogil
