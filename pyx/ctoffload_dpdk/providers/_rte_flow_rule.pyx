"""The rule of one direction of a connection: match, count, age, forward in the NIC's switch."""
from libc.string cimport memcpy, memset

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ITEM_TYPE_END,
    RTE_FLOW_ITEM_TYPE_ETH,
    RTE_FLOW_ITEM_TYPE_IPV4,
    RTE_FLOW_ITEM_TYPE_IPV6,
    RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ITEM_TYPE_TCP,
    RTE_FLOW_ITEM_TYPE_UDP,
    dpdk_ipv6_dst,
    dpdk_ipv6_src,
    rte_flow_create,
    rte_flow_item_type,
)

# FIN, SYN and RST must reach software: the rule of a TCP connection matches only packets without them.
cdef uint8_t TCP_CLOSING_FLAGS = 0x07


cdef int family_index(uint16_t eth_type) noexcept nogil:
    """0 IPv4, 1 IPv6, -1 neither."""
    return 0 if eth_type == 0x0800 else 1 if eth_type == 0x86dd else -1


cdef int proto_index(uint8_t proto) noexcept nogil:
    """0 TCP, 1 UDP, -1 neither."""
    return 0 if proto == 6 else 1 if proto == 17 else -1


cdef void shape_init(RuleShape *shape, int family, int proto) noexcept nogil:
    """Fills in all that does not change from rule to rule. The shape must not move afterwards: it points into itself."""
    memset(shape, 0, sizeof(RuleShape))
    shape.attr.transfer = 1
    memset(&shape.in_port_mask, 0xff, sizeof(shape.in_port_mask))
    shape.items[0].type = RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT
    shape.items[0].spec = &shape.in_port
    shape.items[0].mask = &shape.in_port_mask
    shape.items[1].type = RTE_FLOW_ITEM_TYPE_ETH
    if family == 0:
        shape_item(&shape.items[2], RTE_FLOW_ITEM_TYPE_IPV4, &shape.ipv4, &shape.ipv4_mask)
        memset(&shape.ipv4_mask.hdr.src_addr, 0xff, 4)
        memset(&shape.ipv4_mask.hdr.dst_addr, 0xff, 4)
    else:
        shape_item(&shape.items[2], RTE_FLOW_ITEM_TYPE_IPV6, &shape.ipv6, &shape.ipv6_mask)
        memset(dpdk_ipv6_src(&shape.ipv6_mask.hdr), 0xff, 16)
        memset(dpdk_ipv6_dst(&shape.ipv6_mask.hdr), 0xff, 16)
    if proto == 0:
        shape_item(&shape.items[3], RTE_FLOW_ITEM_TYPE_TCP, &shape.tcp, &shape.tcp_mask)
        shape.tcp_mask.hdr.src_port = 0xffff
        shape.tcp_mask.hdr.dst_port = 0xffff
        shape.tcp_mask.hdr.tcp_flags = TCP_CLOSING_FLAGS
    else:
        shape_item(&shape.items[3], RTE_FLOW_ITEM_TYPE_UDP, &shape.udp, &shape.udp_mask)
        shape.udp_mask.hdr.src_port = 0xffff
        shape.udp_mask.hdr.dst_port = 0xffff
    shape.items[4].type = RTE_FLOW_ITEM_TYPE_END
    shape.actions[0].type = RTE_FLOW_ACTION_TYPE_COUNT
    shape.actions[0].conf = &shape.count
    shape.actions[1].type = RTE_FLOW_ACTION_TYPE_AGE
    shape.actions[1].conf = &shape.age
    shape.actions[2].type = RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT
    shape.actions[2].conf = &shape.fate
    shape.actions[3].type = RTE_FLOW_ACTION_TYPE_END


cdef void shape_item(rte_flow_item *item, rte_flow_item_type item_type, const void *spec, const void *mask) noexcept nogil:
    item.type = item_type
    item.spec = spec
    item.mask = mask


cdef rte_flow *shape_create(RuleShape *shape, uint16_t on_port, const ct_offload_tuple *match, uint16_t in_port,
                            uint16_t out_port, uint32_t age_s, void *context, rte_flow_error *error) noexcept nogil:
    """Creates the rule on `on_port` for packets with this tuple that enter at in_port: out at out_port. NULL: see error."""
    memset(error, 0, sizeof(rte_flow_error))
    shape.in_port.port_id = in_port
    shape.fate.port_id = out_port
    shape.age.timeout = age_s
    shape.age.context = context
    if shape.items[2].type == RTE_FLOW_ITEM_TYPE_IPV4:
        memcpy(&shape.ipv4.hdr.src_addr, match.src, 4)
        memcpy(&shape.ipv4.hdr.dst_addr, match.dst, 4)
    else:
        memcpy(dpdk_ipv6_src(&shape.ipv6.hdr), match.src, 16)
        memcpy(dpdk_ipv6_dst(&shape.ipv6.hdr), match.dst, 16)
    if shape.items[3].type == RTE_FLOW_ITEM_TYPE_TCP:
        shape.tcp.hdr.src_port = match.src_port
        shape.tcp.hdr.dst_port = match.dst_port
    else:
        shape.udp.hdr.src_port = match.src_port
        shape.udp.hdr.dst_port = match.dst_port
    return rte_flow_create(on_port, &shape.attr, shape.items, shape.actions, error)
