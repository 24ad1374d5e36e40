# What goes into the engine with a burst and what comes out of it.
from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

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

# What the receiver knows of the packet. Checksums: none of a pair: unknown, verified in software. Both: not filled in yet, as a
# virtual port of the same host leaves it; counts as good.
cpdef enum PacketFlags:
    PKT_L3_GOOD = 1
    PKT_L3_BAD = 2
    PKT_L4_GOOD = 4
    PKT_L4_BAD = 8
    PKT_TRANSLATED = 16        # the NIC put the addresses of the connection's other side in already
    PKT_WHOLE = 32             # put together from fragments: its length cannot change

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
    REFUSED_NAT = 16           # new, but no address and port are left to translate to, or a translated one answers to it
    REFUSED_HELPER = 17        # an announcement on a control connection that makes no sense, or is for somebody else
    REFUSED_DENIED = 18        # new, but a rule of the policy denies it
    REFUSED_HAND_OVER = 19     # dropped: it is for another shard, and the ring to that is full
    N_REFUSALS = 20

# One received packet. `data` starts at the Ethernet header and is contiguous.
cdef struct Packet:
    const uint8_t *data
    uint32_t length
    uint32_t flags
    uint32_t port_id         # where it arrived, CT_OFFLOAD_NO_PORT if nowhere
    uint32_t port_generation
    uint32_t room            # bytes there are from data on; what is below length counts as length
    uint16_t zone
    uint32_t hint            # slot of the connection that a rule's mark names; only where to look first; 0: none
    # What follows says nothing to a shard that is alone.
    uint16_t origin          # the caller's: where a packet that comes back by a ring belongs
    uint64_t token           # the caller's name of the packet
    uint32_t tried           # BEGIN, RETRY: the shards that found no free tuple, by bit
    uint32_t stub            # BEGIN, RETRY: the stub that leads to the connection
    uint8_t stub_home        # whose that is
    uint8_t directive        # Directive of _group.pxd; 0 as received
    uint8_t sender           # of a fragment: the shard that had put its datagram together, + 1; 0: none had
    uint8_t turns            # how often it was handed over
    uint8_t ends_datagram    # of a fragment with a sender: the others of its datagram were handed over before it

# Who reads along on a control connection.
cdef enum:
    HELPER_FTP = 1
    HELPER_TFTP = 2

# Connections to a port, in a zone or in any, have a helper.
cdef struct HelperChoice:
    int32_t zone             # ANY_ZONE: in any
    uint16_t port            # host order; before translation
    uint8_t helper

cdef enum:
    ANY_ZONE = -1

# What is translated.
cdef enum:
    NAT_SRC = 1
    NAT_DST = 2

# How addresses and ports are chosen; by hash without either.
cdef enum:
    NAT_RANDOM = 1
    NAT_PERSISTENT = 2

# What they are chosen from. Without an address the packet's own stays; addresses as in a packet (IPv4: the first four
# bytes), of the packet's family.
cdef struct NatRange:
    uint64_t low[2]
    uint64_t high[2]
    uint16_t port_low        # host order; 0: no range of ports
    uint16_t port_high
    uint8_t has_address

cdef struct NatAction:
    NatRange src
    NatRange dst
    uint8_t what             # NAT_SRC, NAT_DST; 0: new connections are not translated, packets of translated ones are
    uint8_t choice           # NAT_RANDOM, NAT_PERSISTENT
    uint8_t family           # of the ranges: 4 or 6; 0: no address is given

# One rule of the policy for new connections. The connection's first packet is held against it.
cdef struct PolicyRule:
    uint64_t src[2]
    uint64_t src_mask[2]
    uint64_t dst[2]
    uint64_t dst_mask[2]
    uint16_t src_ports[2]    # lowest and highest
    uint16_t dst_ports[2]
    uint32_t port_id         # where it arrived
    bint any_port
    uint8_t proto            # 0: any
    uint8_t family           # 0: any
    bint has_ports
    bint deny
    NatAction nat

# First the rules that allow or deny, then those that translate; of each kind the first that fits decides.
cdef struct PolicyRules:
    const PolicyRule *rules
    uint32_t n_access
    uint32_t n_all

# The ct() action applied to a burst. nat: packets of translated connections are rewritten in place; NULL: none is.
# policy: which new connections may be; NULL: all. helper: new connections of its protocol get it; else the first of
# `helpers` that fits one.
cdef struct Action:
    const NatAction *nat
    const PolicyRules *policy
    const HelperChoice *helpers
    uint32_t n_helpers
    uint8_t helper
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
    uint8_t state            # CS_*; 0: handed over to another shard, or dropped where there is a reason
    uint8_t reason           # Refusal: why it is invalid or why no connection was made
    int16_t grown            # by how many bytes the packet became longer: a helper rewrote it
