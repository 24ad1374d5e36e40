"""Shapes of rules: what a rule of one kind matches and does, prefilled once, its values filled in rule by rule."""
from libc.errno cimport EOPNOTSUPP
from libc.string cimport memcpy, memset

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_CONNTRACK,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_DROP,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_ACTION_TYPE_INDIRECT,
    RTE_FLOW_ACTION_TYPE_JUMP,
    RTE_FLOW_ACTION_TYPE_MARK,
    RTE_FLOW_ACTION_TYPE_MODIFY_FIELD,
    RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR,
    RTE_FLOW_ACTION_TYPE_QUEUE,
    RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ACTION_TYPE_RSS,
    RTE_FLOW_ACTION_TYPE_SET_IPV4_DST,
    RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
    RTE_FLOW_ACTION_TYPE_SET_IPV6_DST,
    RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC,
    RTE_FLOW_ACTION_TYPE_SET_TP_DST,
    RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
    RTE_FLOW_CONNTRACK_PKT_STATE_VALID,
    RTE_FLOW_FIELD_IPV4_DST,
    RTE_FLOW_FIELD_IPV4_SRC,
    RTE_FLOW_FIELD_IPV6_DST,
    RTE_FLOW_FIELD_IPV6_SRC,
    RTE_FLOW_FIELD_TCP_PORT_DST,
    RTE_FLOW_FIELD_TCP_PORT_SRC,
    RTE_FLOW_FIELD_UDP_PORT_DST,
    RTE_FLOW_FIELD_UDP_PORT_SRC,
    RTE_FLOW_ITEM_TYPE_CONNTRACK,
    RTE_FLOW_ITEM_TYPE_END,
    RTE_FLOW_ITEM_TYPE_ETH,
    RTE_FLOW_ITEM_TYPE_ICMP,
    RTE_FLOW_ITEM_TYPE_ICMP6,
    RTE_FLOW_ITEM_TYPE_IPV4,
    RTE_FLOW_ITEM_TYPE_IPV6,
    RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ITEM_TYPE_TCP,
    RTE_FLOW_ITEM_TYPE_UDP,
    RTE_FLOW_ITEM_TYPE_VLAN,
    RTE_FLOW_MODIFY_SET,
    dpdk_field_at,
    dpdk_field_value,
    dpdk_ipv6_dst,
    dpdk_ipv6_src,
    dpdk_set_ipv6_addr,
    rte_flow_action_type,
    rte_flow_field_id,
    rte_flow_item_type,
)

# FIN, SYN and RST must reach software: the gate lets only packets without them on.
cdef uint8_t TCP_CLOSING_FLAGS = 0x07
# More fragments, and the offset: all 0 in a packet that is in one piece.
cdef uint16_t FRAGMENT_BITS_BE = 0xff3f


cdef int shape_init(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    memset(shape, 0, sizeof(RuleShape))
    shape.kind = kind[0]
    shape.attr.group = kind.group
    shape.attr.priority = kind.priority
    shape.attr.transfer = kind.domain == DOMAIN_TRANSFER
    shape.attr.ingress = kind.domain == DOMAIN_INGRESS
    if kind.of_connection and kind.proto == PROTO_ICMP and kind.family == FAMILY_IPV6:
        return EOPNOTSUPP         # ICMP6 has no identifier before 23.03: two pings between two hosts would be one
    add_items(shape, kind)
    add_actions(shape, kind)
    return 0


# ---- pattern -----------------------------------------------------------------------------------------------------------

cdef void add_item(RuleShape *shape, rte_flow_item_type item_type, const void *spec, const void *mask) noexcept nogil:
    shape.items[shape.n_items].type = item_type
    shape.items[shape.n_items].spec = spec
    shape.items[shape.n_items].mask = mask
    shape.n_items += 1
    shape.items[shape.n_items].type = RTE_FLOW_ITEM_TYPE_END


cdef void add_items(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    if kind.domain == DOMAIN_TRANSFER:
        memset(&shape.in_port_mask, 0xff, sizeof(shape.in_port_mask))
        add_item(shape, RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &shape.in_port, &shape.in_port_mask)
    add_tags(shape, kind)
    if kind.family == FAMILY_IPV4:
        if kind.of_connection:
            memset(&shape.ipv4_mask.hdr.src_addr, 0xff, 4)
            memset(&shape.ipv4_mask.hdr.dst_addr, 0xff, 4)
        elif not kind.checked:
            shape.ipv4_mask.hdr.fragment_offset = FRAGMENT_BITS_BE
        add_item(shape, RTE_FLOW_ITEM_TYPE_IPV4, &shape.ipv4, &shape.ipv4_mask)
    elif kind.family == FAMILY_IPV6:
        if kind.of_connection:
            memset(dpdk_ipv6_src(&shape.ipv6_mask.hdr), 0xff, 16)
            memset(dpdk_ipv6_dst(&shape.ipv6_mask.hdr), 0xff, 16)
        elif not kind.checked:
            shape.ipv6_mask.has_frag_ext = 1
        add_item(shape, RTE_FLOW_ITEM_TYPE_IPV6, &shape.ipv6, &shape.ipv6_mask)
    add_l4(shape, kind)
    if kind.checked:
        shape.checked.flags = shape.checked_mask.flags = RTE_FLOW_CONNTRACK_PKT_STATE_VALID
        add_item(shape, RTE_FLOW_ITEM_TYPE_CONNTRACK, &shape.checked, &shape.checked_mask)


cdef void add_tags(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    """ETH and the VLAN headers. In the gate their number is said and their ids are matched; behind it they are there."""
    cdef bint gate = not kind.of_connection and kind.family != FAMILY_ANY and not kind.checked
    cdef int i
    if gate and kind.n_tags == 0:
        shape.eth_mask.has_vlan = 1              # an item less does not mean "untagged" to every driver
        add_item(shape, RTE_FLOW_ITEM_TYPE_ETH, &shape.eth, &shape.eth_mask)
    else:
        add_item(shape, RTE_FLOW_ITEM_TYPE_ETH, NULL, NULL)
    for i in range(kind.n_tags):
        if gate and i == 0:
            shape.vlan_mask[i].has_more_vlan = 1         # of a third tag nothing can be said
            shape.vlan[i].has_more_vlan = kind.n_tags > 1
        if kind.tags_valued:
            shape.vlan_mask[i].hdr.vlan_tci = 0xff0f     # the id, not the priority; network order
        add_item(shape, RTE_FLOW_ITEM_TYPE_VLAN, &shape.vlan[i], &shape.vlan_mask[i])


cdef void add_l4(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    if kind.proto == PROTO_TCP:
        if kind.of_connection:
            shape.tcp_mask.hdr.src_port = shape.tcp_mask.hdr.dst_port = 0xffff
        elif not kind.checked:
            shape.tcp_mask.hdr.tcp_flags = TCP_CLOSING_FLAGS
        add_item(shape, RTE_FLOW_ITEM_TYPE_TCP, &shape.tcp, &shape.tcp_mask)
    elif kind.proto == PROTO_UDP:
        if kind.of_connection:
            shape.udp_mask.hdr.src_port = shape.udp_mask.hdr.dst_port = 0xffff
        add_item(shape, RTE_FLOW_ITEM_TYPE_UDP, &shape.udp, &shape.udp_mask)
    elif kind.proto == PROTO_ICMP and kind.family == FAMILY_IPV4:
        shape.icmp_mask.hdr.icmp_type = 0xff
        if kind.of_connection:
            shape.icmp_mask.hdr.icmp_ident = 0xffff
        add_item(shape, RTE_FLOW_ITEM_TYPE_ICMP, &shape.icmp, &shape.icmp_mask)
    elif kind.proto == PROTO_ICMP:
        shape.icmp6_mask.type = 0xff
        add_item(shape, RTE_FLOW_ITEM_TYPE_ICMP6, &shape.icmp6, &shape.icmp6_mask)


# ---- actions -----------------------------------------------------------------------------------------------------------

cdef void add_action(RuleShape *shape, rte_flow_action_type action_type, const void *conf,
                     const void *mask) noexcept nogil:
    """mask NULL: the value comes with each rule."""
    cdef int i = shape.n_actions
    shape.actions[i].type = shape.action_masks[i].type = action_type
    shape.actions[i].conf = conf
    shape.action_masks[i].conf = mask
    shape.n_actions += 1
    shape.actions[i + 1].type = shape.action_masks[i + 1].type = RTE_FLOW_ACTION_TYPE_END


cdef void add_actions(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    """In the order of the steering that takes them: software steering rewrites first, hardware steering last."""
    if kind.does & DOES_MARK:
        add_action(shape, RTE_FLOW_ACTION_TYPE_MARK, &shape.mark, NULL)
    if not kind.queued:
        add_rewrites(shape, kind)
    if kind.does & DOES_COUNT:
        add_action(shape, RTE_FLOW_ACTION_TYPE_COUNT, &shape.count, NULL)
    if kind.does & DOES_AGE:
        add_action(shape, RTE_FLOW_ACTION_TYPE_AGE, &shape.age, NULL)
    if kind.does & DOES_CONTEXT:
        shape.at_context = shape.n_actions
        add_action(shape, RTE_FLOW_ACTION_TYPE_INDIRECT, NULL, NULL)
        # The mask names what the handle stands for.
        shape.action_masks[shape.at_context].type = RTE_FLOW_ACTION_TYPE_CONNTRACK
    if kind.queued:
        add_rewrites(shape, kind)
    add_fate(shape, kind)


cdef void add_fate(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    if kind.fate == FATE_PORT:
        add_action(shape, RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, &shape.fate_port, NULL)
    elif kind.fate == FATE_SOFTWARE:
        add_action(shape, RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, &shape.fate_port, NULL)
    elif kind.fate == FATE_JUMP:
        add_action(shape, RTE_FLOW_ACTION_TYPE_JUMP, &shape.jump, NULL)
    elif kind.fate == FATE_QUEUE:
        add_action(shape, RTE_FLOW_ACTION_TYPE_QUEUE, &shape.queue, NULL)
    elif kind.fate == FATE_RSS:
        shape.rss.queue = shape.queues
        add_action(shape, RTE_FLOW_ACTION_TYPE_RSS, &shape.rss, &shape.rss)
    else:
        add_action(shape, RTE_FLOW_ACTION_TYPE_DROP, NULL, NULL)


cdef void add_rewrites(RuleShape *shape, const ShapeKind *kind) noexcept nogil:
    cdef bint ports = kind.proto == PROTO_TCP or kind.proto == PROTO_UDP
    cdef int side
    for side in range(2):
        if not kind.rewrites & (REWRITE_DST if side else REWRITE_SRC):
            continue
        if kind.queued:
            add_modify(shape, &shape.modify_address[side], &shape.modify_address_mask[side],
                       address_field(kind.family, side), 32 if kind.family == FAMILY_IPV4 else 128)
            if ports:
                add_modify(shape, &shape.modify_port[side], &shape.modify_port_mask[side],
                           port_field(kind.proto, side), 16)
            continue
        if kind.family == FAMILY_IPV4:
            add_action(shape, RTE_FLOW_ACTION_TYPE_SET_IPV4_DST if side else RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
                       &shape.set_ipv4[side], NULL)
        else:
            add_action(shape, RTE_FLOW_ACTION_TYPE_SET_IPV6_DST if side else RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC,
                       &shape.set_ipv6[side], NULL)
        if ports:
            add_action(shape, RTE_FLOW_ACTION_TYPE_SET_TP_DST if side else RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
                       &shape.set_port[side], NULL)


cdef rte_flow_field_id address_field(int family, int side) noexcept nogil:
    if family == FAMILY_IPV4:
        return RTE_FLOW_FIELD_IPV4_DST if side else RTE_FLOW_FIELD_IPV4_SRC
    return RTE_FLOW_FIELD_IPV6_DST if side else RTE_FLOW_FIELD_IPV6_SRC


cdef rte_flow_field_id port_field(int proto, int side) noexcept nogil:
    if proto == PROTO_TCP:
        return RTE_FLOW_FIELD_TCP_PORT_DST if side else RTE_FLOW_FIELD_TCP_PORT_SRC
    return RTE_FLOW_FIELD_UDP_PORT_DST if side else RTE_FLOW_FIELD_UDP_PORT_SRC


cdef void add_modify(RuleShape *shape, rte_flow_action_modify_field *modify, rte_flow_action_modify_field *mask,
                     rte_flow_field_id field, uint32_t width_bits) noexcept nogil:
    """The mask repeats operation and fields, as mlx5 wants it, and leaves the value to each rule."""
    modify.operation = RTE_FLOW_MODIFY_SET
    modify.width = width_bits
    dpdk_field_at(&modify.dst, field, 0, 0, 0)
    dpdk_field_value(&modify.src, &modify.width, 0)
    memset(mask, 0xff, sizeof(rte_flow_action_modify_field))
    mask.operation = RTE_FLOW_MODIFY_SET
    mask.dst.field = field
    dpdk_field_value(&mask.src, &modify.width, 0)
    add_action(shape, RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, modify, mask)


# ---- the values of one rule --------------------------------------------------------------------------------------------

cdef void shape_match(RuleShape *shape, const ct_offload_tuple *arriving, const ct_offload_tuple *other) noexcept nogil:
    if shape.kind.family == FAMILY_IPV4:
        memcpy(&shape.ipv4.hdr.src_addr, arriving.src, 4)
        memcpy(&shape.ipv4.hdr.dst_addr, arriving.dst, 4)
    else:
        memcpy(dpdk_ipv6_src(&shape.ipv6.hdr), arriving.src, 16)
        memcpy(dpdk_ipv6_dst(&shape.ipv6.hdr), arriving.dst, 16)
    if shape.kind.proto == PROTO_TCP:
        shape.tcp.hdr.src_port = arriving.src_port
        shape.tcp.hdr.dst_port = arriving.dst_port
    elif shape.kind.proto == PROTO_UDP:
        shape.udp.hdr.src_port = arriving.src_port
        shape.udp.hdr.dst_port = arriving.dst_port
    else:
        shape.icmp.hdr.icmp_ident = arriving.src_port
        shape.icmp.hdr.icmp_type = (<const uint8_t *> &arriving.dst_port)[0]
    if shape.kind.rewrites & REWRITE_SRC:
        fill_rewrite(shape, 0, other.dst, other.dst_port)
    if shape.kind.rewrites & REWRITE_DST:
        fill_rewrite(shape, 1, other.src, other.src_port)


cdef void fill_rewrite(RuleShape *shape, int side, const uint8_t *address, uint16_t port) noexcept nogil:
    cdef bint ipv4 = shape.kind.family == FAMILY_IPV4
    if shape.kind.queued:
        dpdk_field_value(&shape.modify_address[side].src, address, 4 if ipv4 else 16)
        dpdk_field_value(&shape.modify_port[side].src, &port, 2)
        return
    if ipv4:
        memcpy(&shape.set_ipv4[side].ipv4_addr, address, 4)
    else:
        memcpy(dpdk_set_ipv6_addr(&shape.set_ipv6[side]), address, 16)
    shape.set_port[side].port = port


cdef void shape_context(RuleShape *shape, rte_flow_action_handle *handle) noexcept nogil:
    shape.actions[shape.at_context].conf = handle
