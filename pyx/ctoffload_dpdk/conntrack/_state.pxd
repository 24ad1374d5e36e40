# What a shard holds: the records of connections, and everything around them.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.conntrack._gate cimport Gate
from ctoffload_dpdk.conntrack._key cimport Key, Seed
from ctoffload_dpdk.conntrack._packet cimport N_REFUSALS
from ctoffload_dpdk.offload._shard cimport OffloadShard
from ctoffload_dpdk.offload.libspsc cimport shared_word

cdef enum:
    BURST = 32
    N_CAUSES = 4
    N_TIMEOUTS = 16          # room for N_TIMEOUT_CLASSES and the longest of each protocol
    MAX_POLICIES = 65536
    MAX_PORTS = 65536
    N_ZONES = 65536
    N_PORT_HINTS = 256

# How a connection ended.
cdef enum Cause:
    CAUSE_EXPIRED = 0        # by its idle timeout
    CAUSE_CLOSED = 1         # by a timeout that followed FIN or RST
    CAUSE_FLUSHED = 2
    CAUSE_REPLACED = 3       # a new connection took its tuple

cdef enum ConnFlags:
    CONN_LIVE = 1
    CONN_SWAPPED = 2         # end b of the key is the originator
    CONN_ESTABLISHED = 4     # in software: installation is wanted from here on
    CONN_MIDSTREAM = 8       # TCP picked up without its SYN
    CONN_HARDWARE = 16       # the offload record is in use: look there before judging
    CONN_LABELLED = 32       # it has a label
    CONN_NAT = 64            # live: it is translated, see its Nat
    CONN_HELD = 64           # ended: on the list of those a provider still holds
    CONN_OFFERED = 128       # the offload layer was told of it

# In the byte above a connection's generation.
cdef enum MoreFlags:
    MORE_HELPED = 0x01000000     # a helper reads along, see its Helper
    MORE_CHILD = 0x02000000      # a helper expected it

# A connection. Two cache lines; a packet of an established one writes expires_ms and its counters.
cdef struct Conn:
    Key key
    int64_t expires_ms
    uint32_t generation      # 24 bits, never 0 once used; above them MORE_*
    uint8_t state            # TCP: originator's state in the low half, the other's in the high half; else the phase
    uint8_t flags            # CONN_*
    uint8_t timeout          # timeout class of the state
    uint8_t zone_epoch       # of the zone limit that counted it, 0 for none
    uint32_t mark
    uint16_t policy          # index of its timeout policy
    uint16_t port_orig       # index of the port where each direction arrives, 0 for none
    # second line
    uint64_t packets[2]
    uint64_t bytes[2]
    uint32_t seq_lo[2]       # by peer: highest sequence end it sent, and highest it may send
    uint32_t seq_hi[2]
    uint32_t wheel_next
    uint32_t wheel_prev
    uint16_t max_win[2]      # not scaled
    uint8_t wscale[2]        # OVS's bits: 0x80 announced, 0x40 unknown
    uint16_t port_reply

cdef enum HardwareFlags:
    HW_WANTED = 1            # installation is wanted
    HW_PUSHED = 2            # rules are pushed: packets may pass software by
    HW_INSTALLED = 4         # both directions confirmed
    HW_BYPASS = 8            # they pass software by
    HW_LEAVING = 16          # removal is wanted and not complete
    HW_RELEARN = 32          # windows are stale: the NIC carried packets
    HW_STANDS_ORIG = 64      # this side's window was learnt anew
    HW_STANDS_REPLY = 128
    HW_SEEN_ORIG = 256       # seen_end holds something
    HW_SEEN_REPLY = 512
    HW_FIN_ORIG = 1024       # an unconfirmed FIN is remembered in fin_end
    HW_FIN_REPLY = 2048
    HW_ASKED = 4096          # an answer to a query is awaited
    HW_CUT = 8192            # the timeout was cut by an RST that cannot be judged
    HW_BACK_OFF = 16384      # may go in again at retry_s
    HW_PROVED_FALSE = 32768  # what took it out was no end: said to the layer

cdef enum WindowFlags:
    WIN_STRICT = 1           # its context checks windows
    WIN_LIBERAL = 2          # a context that checked was wrong once: never again
    WIN_AGAIN = 4            # goes in again at once when it is out
    WIN_READ = 8             # read back from the context, and not contradicted yet
    WIN_RST_ORIG = 16        # seen_end holds the sequence of an RST that cannot be judged yet
    WIN_RST_REPLY = 32
    WIN_IN_NIC = 64          # both directions are, by whatever plan

# What only connections that meet the offload layer need. 32 bytes in an area of its own, by slot.
cdef struct Hardware:
    int64_t last_used_ms
    uint32_t fin_end[2]
    uint32_t seen_end[2]
    uint16_t flags           # HW_*
    uint8_t window           # WIN_*
    uint8_t tries            # low half: doublings of the back-off; high half: questions without an answer in a row
    uint32_t retry_s         # seconds since the shard's epoch; in the NIC: when packets that are under way have come

# What only translated connections need. 48 bytes in an area of its own, by slot.
cdef struct Nat:
    Key reply                # what the replies carry
    uint8_t reply_swapped    # end b of that key sends them
    uint8_t what             # NAT_SRC, NAT_DST
    uint8_t has_alias        # the index leads from `reply` to the connection too
    uint8_t stub_home        # 1 + the shard where a stub leads to it; 0: none does
    uint32_t stub            # its slot there

# A stub stands in the place of a Nat, behind those of connections: `reply` is its tuple, stub_home 1 + the shard it leads
# to, and `stub` the next one of a list.
cdef enum:
    NAT_IS_STUB = 0x80       # in `what`

# By how much what a helper rewrote made one direction's stream longer: `before` up to a sequence number, `after` behind it.
cdef struct Skew:
    uint32_t at
    int32_t before
    int32_t after
    bint is_used

# What only control connections need. 44 bytes in an area of its own, by slot.
cdef struct Helper:
    Skew skew[2]             # by direction of the packets
    uint32_t first_expected  # in the pool, 0 for none
    uint16_t n_expected
    uint8_t kind             # HELPER_*

# A connection that was announced. Its source port is open.
cdef struct Expectation:
    uint64_t src[2]
    uint64_t dst[2]
    uint64_t nat_src[2]      # what it is translated to, where `nat` says so
    uint64_t nat_dst[2]
    uint64_t label[2]        # of the control connection
    uint32_t mark
    uint32_t next            # in its chain, or of the free ones
    uint32_t sibling         # of the same control connection
    uint16_t dst_port
    uint16_t nat_dst_port    # 0: it stays
    uint16_t zone
    uint8_t proto
    uint8_t family
    uint8_t nat              # NAT_SRC, NAT_DST

cdef struct Expectations:
    uint32_t *chain
    Expectation *pool
    uint32_t free            # list through next, 0: empty
    uint32_t top             # never used from here on
    shared_word n            # none: nobody looks further
    shared_word lock

cdef struct Label:
    uint64_t word[2]

cdef struct Port:
    uint32_t id
    uint32_t generation

# How connections are told apart where they are counted: OVS names these protocols, and all others together.
cdef enum:
    N_PROTOCOL_GROUPS = 9
    N_PEER_STATES = 11

# Connections of this shard in a zone. Two cache lines; written when one begins, ends, or a TCP peer changes its state.
cdef struct Zone:
    uint32_t live
    uint32_t tcp[N_PEER_STATES]          # by the state of the peer that is further on
    uint32_t of[N_PROTOCOL_GROUPS]
    uint32_t reserved[11]

# Of a zone; one for all shards of a group.
cdef struct ZoneLimit:
    shared_word counted      # connections in it, those its limit counts
    shared_word epoch        # of the limit, 0: none set. After 255 changes an old connection may be counted off once too often
    int64_t limit
    uint8_t last_epoch
    uint8_t follows          # the limit is the default's

# An area of virtual memory that becomes resident by touching.
cdef struct Area:
    void *base
    uint64_t size

# An entry of the index: a slot, and whether it stands for the connection's key or for its Nat's.
cdef enum:
    ENTRY_ALIAS = 0x80000000
    SLOT_MASK = 0x7fffffff

cdef enum:
    BUCKET_ENTRIES = 7

# One cache line of the index. The tag is the whole hash, so a bucket is split without touching a connection.
cdef struct Bucket:
    uint32_t tag[BUCKET_ENTRIES]
    uint32_t entry[BUCKET_ENTRIES]  # 0: free
    uint32_t next                   # overflow bucket, 0: none
    uint32_t reserved

# The index: linear hashing. It grows by one bucket at a time, so no insertion pays for a whole table.
cdef struct Index:
    Bucket *buckets
    Bucket *overflow
    uint64_t n_entries
    uint32_t n_buckets
    uint32_t mask            # of the level being split: all buckets below n_buckets - (mask + 1) are split
    uint32_t max_buckets
    uint32_t overflow_free   # list through next
    uint32_t overflow_top    # never used from here on
    uint32_t overflow_max

cdef enum:
    WHEEL_LEVELS = 5
    WHEEL_BUCKETS = 64
    WHEEL_LISTS = WHEEL_LEVELS * WHEEL_BUCKETS
    LIST_DUE = WHEEL_LISTS       # taken off the wheel, not looked at yet
    LIST_HELD = WHEEL_LISTS + 1  # ended, but a provider still holds something
    N_LISTS = WHEEL_LISTS + 2

cdef struct Link:
    uint32_t next
    uint32_t prev

cdef struct Wheel:
    Link list[N_LISTS]
    uint64_t occupied[WHEEL_LEVELS]
    int64_t position[WHEEL_LEVELS]   # last tick taken off

cdef struct Counters:
    uint64_t created
    uint64_t ended[N_CAUSES]
    uint64_t packets
    uint64_t invalid
    uint64_t refused[N_REFUSALS]
    uint64_t back_in             # let back in after a back-off
    uint64_t unconfirmed_rst
    uint64_t relaxed             # packets outside the window that a rule excuses
    uint64_t queries
    uint64_t no_samples
    uint64_t expected            # connections that a helper expected
    uint64_t not_expected        # announcements there was no room for
    uint64_t handed_over         # to other shards
    uint64_t no_room             # announcements that could not be rewritten: the packet's buffer was full
    uint64_t windows_read        # taken from the NIC's context
    uint64_t windows_refused     # of those read, that this connection cannot have
    uint64_t windows_overtaken   # the NIC had carried more since they were read: relearnt
    uint64_t confirmed_rst       # by a window that was read
    uint64_t hints[2]            # packets whose mark named a connection: not theirs, theirs
    uint64_t made_liberal        # taken out, and in again with a context that does not check
    uint64_t nic_packets[2]      # told by providers, by direction
    uint64_t nic_bytes[2]

cdef struct Timeouts:
    int64_t ms[N_TIMEOUTS]

# The ends of one direction in a record. ICMP: src_port is the identifier, dst_port is type << 8 of its packets.
cdef struct RecordTuple:
    uint8_t src[16]
    uint8_t dst[16]
    uint16_t src_port
    uint16_t dst_port

# One record of the event ring, and of a dump.
cdef struct Record:
    uint64_t conn_id
    int64_t time_ms
    int64_t timeout_ms
    uint64_t packets[2]
    uint64_t bytes[2]
    uint64_t label[2]
    RecordTuple orig
    RecordTuple reply        # of a translated connection: what its replies carry
    uint32_t mark
    uint32_t port[2]
    uint32_t timeout_policy
    uint16_t zone
    uint16_t reason
    uint8_t family
    uint8_t proto
    uint8_t kind             # of the event; 0 in a dump
    uint8_t cause
    uint8_t flags
    uint8_t timeout
    uint8_t tcp_state[2]
    uint8_t wscale[2]
    uint8_t phase
    uint8_t offload          # 0 no, 1 pending, 2 yes
    uint8_t nat              # NAT_SRC, NAT_DST
    uint8_t helper           # HELPER_*
    uint8_t related          # a helper expected it
    uint8_t error            # errno of what a provider answered last, with the reason
    uint8_t reserved[2]

cdef struct Events:
    Record *ring
    uint64_t size
    uint64_t head            # next to write
    uint64_t tail            # next to read
    uint64_t lost

cdef struct Shard:
    Gate gate
    Area conn_area
    Area hardware_area
    Area label_area
    Area nat_area
    Area helper_area
    Area bucket_area
    Area overflow_area
    Area policy_area
    Area zone_area
    Area limit_area          # NULL in a group, which has the limits
    Conn *conns              # by slot; slot 0 is never used
    Hardware *hardware
    Label *labels
    Nat *nats
    Helper *helpers
    Expectations *expectations   # NULL until the first
    Timeouts *policies       # by index
    uint32_t *policy_ids
    Zone *zones
    ZoneLimit *zone_limits
    Port *ports
    OffloadShard *offload    # NULL: no offload layer
    void *fragments          # Fragments of _fragments.pxd, NULL until the first is needed
    void *group              # Group of _group.pxd, NULL: it is alone
    shared_word returned     # stubs that others gave back, a list; 0: none
    Index index
    Wheel wheel
    Seed seed
    uint64_t nat_random
    Counters counters
    Events events
    int64_t now_ms
    int64_t epoch_ms         # retry_s counts from here
    uint32_t number          # of the shard
    uint32_t capacity        # slots
    uint32_t max_connections
    uint32_t n_live
    uint32_t slot_top        # never used from here on
    uint32_t zone_top        # no connection was ever in this zone, or one above
    uint32_t slot_free       # list through wheel_next, 0: empty
    uint32_t n_stubs
    uint32_t n_stubs_most
    uint32_t stub_top        # never used from here on; stubs lie behind the slots of connections
    uint32_t stub_free       # list, 0: empty
    uint32_t n_held          # ended, but a provider still holds something
    uint32_t n_policies
    uint32_t n_ports
    uint32_t last_port       # index of the port packets came from last
    uint32_t offered_epoch   # of the layer's switching, up to which all connections were offered
    uint32_t offer_next      # slot at which offering goes on, 0: done
    uint32_t inserted        # insertions, to see in a burst whether the index changed
    uint16_t port_hints[N_PORT_HINTS]
    int64_t zone_default     # limit of zones that have none of their own, 0: unlimited
    int64_t unconfirmed_rst_ms
    bint ovs_compat
    bint tcp_liberal         # windows are not checked
    bint strict_windows      # contexts in the NIC check windows, where the handshake was seen
    bint establish_at_reply


cdef inline uint32_t generation_of(const Conn *conn) noexcept nogil:
    return conn.generation & 0xffffff
