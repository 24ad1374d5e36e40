# What goes into the engine with a burst and what comes out of it.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

# ct_state bits, with OVS's names and values.
cpdef enum CtState:
    CS_NEW = 0x01
    CS_ESTABLISHED = 0x02
    CS_RELATED = 0x04
    CS_REPLY_DIR = 0x08
    CS_INVALID = 0x10
    CS_TRACKED = 0x20
    CS_SRC_NAT = 0x40
    CS_DST_NAT = 0x80

# What the receiver knows of the checksums. None of a pair: unknown, verified in software. Both: not filled in yet, as a
# virtual port of the same host leaves it; counts as good.
cpdef enum PacketFlags:
    PKT_L3_GOOD = 1
    PKT_L3_BAD = 2
    PKT_L4_GOOD = 4
    PKT_L4_BAD = 8

# Why a packet is invalid, or why no connection was made for it.
cpdef enum Refusal:
    REFUSED_NOT = 0
    REFUSED_NOT_IP = 1         # no Ethernet header, or neither IPv4 nor IPv6 behind at most two VLAN tags
    REFUSED_L3_HEADER = 2      # lengths or extension headers do not fit the frame
    REFUSED_L3_CHECKSUM = 3
    REFUSED_FRAGMENT = 4       # a fragment that is no part of a whole datagram here
    REFUSED_L4_HEADER = 5      # lengths or chunks of the transport header do not fit the packet
    REFUSED_L4_CHECKSUM = 6
    REFUSED_PORT_ZERO = 7
    REFUSED_ICMP_TYPE = 8      # an ICMP type or code that belongs to no connection
    REFUSED_ICMP_INNER = 9     # an ICMP error whose embedded header cannot be read or is not the receiver's
    REFUSED_NO_CONNECTION = 10 # valid only within a connection, and there is none
    REFUSED_TCP_FLAGS = 11     # TCP flags that never go together
    REFUSED_TCP_WINDOW = 12    # outside the window of its connection
    REFUSED_LIMIT = 13         # new, but max_connections are there
    REFUSED_ZONE_LIMIT = 14    # new, but the zone's limit is reached
    REFUSED_NO_MEMORY = 15     # new, but no slot is free: ended connections are still held by a provider
    N_REFUSALS = 16

# One received packet. `data` starts at the Ethernet header and is contiguous.
cdef struct Packet:
    const uint8_t *data
    uint32_t length
    uint32_t flags
    uint32_t port_id         # where it arrived, CT_OFFLOAD_NO_PORT if nowhere
    uint32_t port_generation
    uint16_t zone

# The ct() action applied to a burst.
cdef struct Action:
    bint commit
    bint force
    uint32_t mark
    uint32_t mark_mask
    uint64_t label[2]
    uint64_t label_mask[2]
    uint32_t timeout_policy

cdef struct Verdict:
    uint64_t conn_id         # 0 where no connection was found or made
    uint32_t mark
    uint8_t state            # CS_*
    uint8_t reason           # Refusal: why it is invalid or why no connection was made
