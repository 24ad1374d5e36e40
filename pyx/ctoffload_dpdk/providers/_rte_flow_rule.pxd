# One kind of rule: pattern and actions prefilled, so that only values change from rule to rule. All it points at is in
# the shape itself; a shape must not move.
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow_action,
    rte_flow_action_age,
    rte_flow_action_count,
    rte_flow_action_ethdev,
    rte_flow_action_handle,
    rte_flow_action_jump,
    rte_flow_action_mark,
    rte_flow_action_modify_field,
    rte_flow_action_queue,
    rte_flow_action_rss,
    rte_flow_action_set_ipv4,
    rte_flow_action_set_ipv6,
    rte_flow_action_set_tp,
    rte_flow_attr,
    rte_flow_item,
    rte_flow_item_conntrack,
    rte_flow_item_eth,
    rte_flow_item_ethdev,
    rte_flow_item_icmp,
    rte_flow_item_icmp6,
    rte_flow_item_ipv4,
    rte_flow_item_ipv6,
    rte_flow_item_tcp,
    rte_flow_item_udp,
    rte_flow_item_vlan,
)
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_tuple
from ctoffload_dpdk.providers._rte_flow_engine cimport RuleEngine
from ctoffload_dpdk.providers._rte_flow_template cimport RuleTable

cdef enum:
    SHAPE_ITEMS = 8          # port, ETH, VLAN, VLAN, IP, L4, CONNTRACK, END
    SHAPE_ACTIONS = 10       # MARK, a rewrite of four fields, COUNT, AGE, CONNTRACK, fate, END
    MAX_QUEUES = 64

cdef enum Domain:
    DOMAIN_TRANSFER = 0
    DOMAIN_INGRESS = 1

cdef enum Proto:
    PROTO_TCP = 0
    PROTO_UDP = 1
    PROTO_ICMP = 2           # echo, of the family's own ICMP
    N_PROTOS = 3
    PROTO_ANY = 3            # no L4 item

cdef enum Family:
    FAMILY_IPV4 = 0
    FAMILY_IPV6 = 1
    N_FAMILIES = 2
    FAMILY_ANY = 2           # no IP item

cdef enum Does:
    DOES_MARK = 1
    DOES_COUNT = 2
    DOES_AGE = 4
    DOES_CONTEXT = 8         # CONNTRACK, by an indirect action

cdef enum Rewrite:
    REWRITE_SRC = 1          # source address, and port where the protocol has one
    REWRITE_DST = 2

cdef enum FateKind:
    FATE_PORT = 0            # out of the switch by the port that fate_port names
    FATE_SOFTWARE = 1        # to the host behind the port that fate_port names
    FATE_JUMP = 2
    FATE_QUEUE = 3
    FATE_RSS = 4
    FATE_DROP = 5

# What shape_init is told.
cdef struct ShapeKind:
    uint8_t domain
    uint8_t family
    uint8_t proto
    uint8_t n_tags           # VLAN headers the packet has
    uint8_t does             # DOES_*
    uint8_t rewrites         # REWRITE_*
    uint8_t fate             # FateKind
    bint queued              # for template queues: rewrites by MODIFY_FIELD, and mlx5's order of hardware steering
    bint of_connection       # the 5-tuple is matched; otherwise a rule of the pipeline
    bint tags_valued         # VLAN ids are matched
    bint checked             # matches what CONNTRACK calls valid
    uint32_t group
    uint32_t priority

cdef struct RuleShape:
    ShapeKind kind
    rte_flow_attr attr
    # Spec and mask of each item are this shape's. A pattern template is made of the masks alone.
    rte_flow_item items[SHAPE_ITEMS]
    rte_flow_action actions[SHAPE_ACTIONS]
    # For an actions template: conf NULL where the value comes with each rule, else what is the template's.
    rte_flow_action action_masks[SHAPE_ACTIONS]
    uint8_t n_items          # without END
    uint8_t n_actions
    uint8_t at_context       # index of CONNTRACK in actions
    RuleEngine *engine       # of the port that owns the rules
    RuleTable table          # in it
    uint32_t *n_users        # connections that have, or are about to have, a rule of the shape's group
    # What items and actions point at.
    rte_flow_item_ethdev in_port
    rte_flow_item_ethdev in_port_mask
    rte_flow_item_eth eth
    rte_flow_item_eth eth_mask
    rte_flow_item_vlan vlan[2]
    rte_flow_item_vlan vlan_mask[2]
    rte_flow_item_ipv4 ipv4
    rte_flow_item_ipv4 ipv4_mask
    rte_flow_item_ipv6 ipv6
    rte_flow_item_ipv6 ipv6_mask
    rte_flow_item_tcp tcp
    rte_flow_item_tcp tcp_mask
    rte_flow_item_udp udp
    rte_flow_item_udp udp_mask
    rte_flow_item_icmp icmp
    rte_flow_item_icmp icmp_mask
    rte_flow_item_icmp6 icmp6
    rte_flow_item_icmp6 icmp6_mask
    rte_flow_item_conntrack checked
    rte_flow_item_conntrack checked_mask
    rte_flow_action_mark mark
    rte_flow_action_set_ipv4 set_ipv4[2]         # [source, destination]; likewise below
    rte_flow_action_set_ipv6 set_ipv6[2]
    rte_flow_action_set_tp set_port[2]
    rte_flow_action_modify_field modify_address[2]
    rte_flow_action_modify_field modify_address_mask[2]
    rte_flow_action_modify_field modify_port[2]
    rte_flow_action_modify_field modify_port_mask[2]
    rte_flow_action_count count
    rte_flow_action_age age
    rte_flow_action_ethdev fate_port
    rte_flow_action_jump jump
    rte_flow_action_queue queue
    rte_flow_action_rss rss
    uint16_t queues[MAX_QUEUES]

# 0, or EOPNOTSUPP where no item of this DPDK tells such connections apart.
cdef int shape_init(RuleShape *shape, const ShapeKind *kind) noexcept nogil
# The 5-tuple of packets as they arrive, and from the other direction's tuple what they are rewritten to.
cdef void shape_match(RuleShape *shape, const ct_offload_tuple *arriving, const ct_offload_tuple *other) noexcept nogil
cdef void shape_context(RuleShape *shape, rte_flow_action_handle *handle) noexcept nogil


# 0 IPv4, 1 IPv6, -1 neither.
cdef inline int family_index(uint16_t eth_type) noexcept nogil:
    return FAMILY_IPV4 if eth_type == 0x0800 else FAMILY_IPV6 if eth_type == 0x86dd else -1


# 0 TCP, 1 UDP, 2 the family's own ICMP, -1 none of them.
cdef inline int proto_index(uint8_t proto, uint16_t eth_type) noexcept nogil:
    if proto == 6:
        return PROTO_TCP
    if proto == 17:
        return PROTO_UDP
    return PROTO_ICMP if proto == (1 if eth_type == 0x0800 else 58) else -1


# A packet of one direction leaves as the reverse of the other's tuple: REWRITE_* for what differs.
cdef inline uint8_t rewrites_of(int proto, const ct_offload_tuple *arriving, const ct_offload_tuple *other) noexcept nogil:
    cdef bint ports = proto != PROTO_ICMP
    cdef uint8_t rewrites = 0
    if memcmp(arriving.src, other.dst, 16) != 0 or (ports and arriving.src_port != other.dst_port):
        rewrites |= REWRITE_SRC
    if memcmp(arriving.dst, other.src, 16) != 0 or (ports and arriving.dst_port != other.src_port):
        rewrites |= REWRITE_DST
    return rewrites
