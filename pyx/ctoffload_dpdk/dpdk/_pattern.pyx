"""The items of a rule, in C's form."""
import ipaddress

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ITEM_TYPE_ANY,
    RTE_FLOW_ITEM_TYPE_CONNTRACK,
    RTE_FLOW_ITEM_TYPE_END,
    RTE_FLOW_ITEM_TYPE_ETH,
    RTE_FLOW_ITEM_TYPE_ICMP,
    RTE_FLOW_ITEM_TYPE_ICMP6,
    RTE_FLOW_ITEM_TYPE_IPV4,
    RTE_FLOW_ITEM_TYPE_IPV6,
    RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT,
    RTE_FLOW_ITEM_TYPE_MARK,
    RTE_FLOW_ITEM_TYPE_META,
    RTE_FLOW_ITEM_TYPE_PORT_ID,
    RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR,
    RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ITEM_TYPE_TAG,
    RTE_FLOW_ITEM_TYPE_TCP,
    RTE_FLOW_ITEM_TYPE_UDP,
    RTE_FLOW_ITEM_TYPE_VLAN,
    RTE_FLOW_ITEM_TYPE_VOID,
    RTE_FLOW_ITEM_TYPE_VXLAN,
    dpdk_ipv6_dst,
    dpdk_ipv6_src,
    rte_flow_item,
    rte_flow_item_any,
    rte_flow_item_conntrack,
    rte_flow_item_eth,
    rte_flow_item_ethdev,
    rte_flow_item_icmp,
    rte_flow_item_icmp6,
    rte_flow_item_ipv4,
    rte_flow_item_ipv6,
    rte_flow_item_ipv6_frag_ext,
    rte_flow_item_mark,
    rte_flow_item_meta,
    rte_flow_item_port_id,
    rte_flow_item_tag,
    rte_flow_item_tcp,
    rte_flow_item_type,
    rte_flow_item_udp,
    rte_flow_item_vlan,
    rte_flow_item_vxlan,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk import items as kinds


cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t value)
    uint32_t htonl(uint32_t value)


cdef class Block:
    cdef bint is_zero(self):
        return not any(self.memory)


cdef Block block(size_t n_bytes):
    cdef Block self = Block.__new__(Block)
    self.memory = bytearray(n_bytes)
    self.at = PyByteArray_AS_STRING(self.memory)
    self.n_bytes = n_bytes
    return self


cdef class Pattern:
    """A list of items in the form rte_flow takes. Raises UsageError where a value does not fit its field."""

    def __init__(self, pattern):
        cdef Block array, spec, mask
        cdef rte_flow_item *item
        listed = list(pattern)
        array = block((len(listed) + 1) * sizeof(rte_flow_item))
        self.kept = [array]
        self.items = <rte_flow_item *> array.at
        for i, wanted in enumerate(listed):
            if type(wanted) not in TABLE:
                raise UsageError(f"{wanted!r} is not an item", hint="the items are in ctoffload_dpdk.dpdk.items")
            item_type, n_bytes, fill = TABLE[type(wanted)]
            item = &self.items[i]
            item.type = <rte_flow_item_type> <int> item_type
            spec, mask = block(n_bytes), block(n_bytes)
            if fill is not None:
                fill(spec, mask, wanted)
            # A pattern without values matches the protocol alone; the item then has neither spec nor mask.
            if not mask.is_zero():
                item.spec, item.mask = spec.at, mask.at
                self.kept += (spec, mask)
        self.items[len(listed)].type = RTE_FLOW_ITEM_TYPE_END
        self.sizes = [TABLE[type(wanted)][1] for wanted in listed]

    def raw(self):
        """Per item its rte_flow type, and the bytes of spec and mask as the driver sees them; both empty where NULL."""
        found = []
        for i, n_bytes in enumerate(self.sizes):
            spec, mask = <const char *> self.items[i].spec, <const char *> self.items[i].mask
            there = spec != NULL
            found.append((<int> self.items[i].type, spec[:n_bytes] if there else b"", mask[:n_bytes] if there else b""))
        return found


# Values and masks -----------------------------------------------------------------------------------------------------

cdef int split(object value, str field, uint32_t most, uint32_t *number, uint32_t *mask) except -1:
    """A field's value, already masked, and its mask; None is mask 0."""
    if value is None:
        number[0] = mask[0] = 0
        return 0
    wanted, bits = (value.value, value.mask) if isinstance(value, kinds.Masked) else (value, most)
    if not 0 <= wanted <= most or not 0 <= bits <= most:
        raise UsageError(f"{field} is {value!r}, but it holds 0 to {most}")
    mask[0] = bits
    number[0] = wanted & bits
    return 0


# Headers are packed: their members are written as bytes.

cdef int match8(object value, str field, void *spec, void *mask) except -1:
    cdef uint32_t number, bits
    split(value, field, 0xff, &number, &bits)
    (<uint8_t *> spec)[0], (<uint8_t *> mask)[0] = number, bits
    return 0


cdef int match16(object value, str field, void *spec, void *mask) except -1:
    cdef uint32_t number, bits
    cdef uint16_t net_number, net_bits
    split(value, field, 0xffff, &number, &bits)
    net_number, net_bits = htons(number), htons(bits)
    memcpy(spec, &net_number, 2)
    memcpy(mask, &net_bits, 2)
    return 0


cdef int match32(object value, str field, void *spec, void *mask) except -1:
    cdef uint32_t number, bits
    split(value, field, 0xffffffff, &number, &bits)
    number, bits = htonl(number), htonl(bits)
    memcpy(spec, &number, 4)
    memcpy(mask, &bits, 4)
    return 0


cdef int match_bytes(bytes value, bytes bits, void *spec, void *mask) except -1:
    cdef bytes masked = bytes([v & m for v, m in zip(value, bits)])
    memcpy(spec, <const char *> masked, len(masked))
    memcpy(mask, <const char *> bits, len(bits))
    return 0


cdef int match_mac(object value, str field, void *spec, void *mask) except -1:
    if value is not None:
        match_bytes(mac_bytes(value, field), b"\xff" * 6, spec, mask)
    return 0


cpdef bytes mac_bytes(object value, str field):
    """Six bytes of "02:00:00:00:00:01"."""
    try:
        parsed = bytes.fromhex(value.replace(":", " ").replace("-", " "))
    except (ValueError, AttributeError):
        parsed = b""
    if len(parsed) != 6:
        raise UsageError(f"{field} is {value!r}, which is no MAC address", hint='write it as "02:00:00:00:00:01"')
    return parsed


cdef int match_network(object value, str field, object network_type, void *spec, void *mask) except -1:
    if value is None:
        return 0
    try:
        network = network_type(value, strict=False)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{field} is {value!r}: {error}") from None
    return match_bytes(network.network_address.packed, network.netmask.packed, spec, mask)


# One function per item: fills in spec and mask ------------------------------------------------------------------------

def fill_any(Block spec, Block mask, item):
    split(item.layers, "Any.layers", 0xffffffff, &(<rte_flow_item_any *> spec.at).num,
          &(<rte_flow_item_any *> mask.at).num)


def fill_eth(Block spec, Block mask, item):
    cdef rte_flow_item_eth *s = <rte_flow_item_eth *> spec.at
    cdef rte_flow_item_eth *m = <rte_flow_item_eth *> mask.at
    match_mac(item.src, "Eth.src", &s.hdr.src_addr, &m.hdr.src_addr)
    match_mac(item.dst, "Eth.dst", &s.hdr.dst_addr, &m.hdr.dst_addr)
    match16(item.ether_type, "Eth.ether_type", &s.hdr.ether_type, &m.hdr.ether_type)
    if item.has_vlan is not None:
        s.has_vlan, m.has_vlan = bool(item.has_vlan), 1


def fill_vlan(Block spec, Block mask, item):
    cdef rte_flow_item_vlan *s = <rte_flow_item_vlan *> spec.at
    cdef rte_flow_item_vlan *m = <rte_flow_item_vlan *> mask.at
    cdef uint32_t vid, vid_mask, pcp, pcp_mask
    split(item.vid, "Vlan.vid", 0xfff, &vid, &vid_mask)
    split(item.pcp, "Vlan.pcp", 7, &pcp, &pcp_mask)
    s.hdr.vlan_tci, m.hdr.vlan_tci = htons(pcp << 13 | vid), htons(pcp_mask << 13 | vid_mask)
    match16(item.inner_type, "Vlan.inner_type", &s.hdr.eth_proto, &m.hdr.eth_proto)
    if item.has_more_vlan is not None:
        s.has_more_vlan, m.has_more_vlan = bool(item.has_more_vlan), 1


def fill_ipv4(Block spec, Block mask, item):
    cdef rte_flow_item_ipv4 *s = <rte_flow_item_ipv4 *> spec.at
    cdef rte_flow_item_ipv4 *m = <rte_flow_item_ipv4 *> mask.at
    match_network(item.src, "Ipv4.src", ipaddress.IPv4Network, &s.hdr.src_addr, &m.hdr.src_addr)
    match_network(item.dst, "Ipv4.dst", ipaddress.IPv4Network, &s.hdr.dst_addr, &m.hdr.dst_addr)
    match8(item.proto, "Ipv4.proto", &s.hdr.next_proto_id, &m.hdr.next_proto_id)
    match8(item.tos, "Ipv4.tos", &s.hdr.type_of_service, &m.hdr.type_of_service)
    match8(item.ttl, "Ipv4.ttl", &s.hdr.time_to_live, &m.hdr.time_to_live)
    match16(item.fragment_offset, "Ipv4.fragment_offset", &s.hdr.fragment_offset, &m.hdr.fragment_offset)


def fill_ipv6(Block spec, Block mask, item):
    cdef rte_flow_item_ipv6 *s = <rte_flow_item_ipv6 *> spec.at
    cdef rte_flow_item_ipv6 *m = <rte_flow_item_ipv6 *> mask.at
    cdef uint32_t traffic_class, class_mask
    match_network(item.src, "Ipv6.src", ipaddress.IPv6Network, dpdk_ipv6_src(&s.hdr), dpdk_ipv6_src(&m.hdr))
    match_network(item.dst, "Ipv6.dst", ipaddress.IPv6Network, dpdk_ipv6_dst(&s.hdr), dpdk_ipv6_dst(&m.hdr))
    match8(item.proto, "Ipv6.proto", &s.hdr.proto, &m.hdr.proto)
    match8(item.hop_limit, "Ipv6.hop_limit", &s.hdr.hop_limits, &m.hdr.hop_limits)
    split(item.traffic_class, "Ipv6.traffic_class", 0xff, &traffic_class, &class_mask)
    s.hdr.vtc_flow, m.hdr.vtc_flow = htonl(traffic_class << 20), htonl(class_mask << 20)
    if item.has_frag_ext is not None:
        s.has_frag_ext, m.has_frag_ext = bool(item.has_frag_ext), 1


def fill_ipv6_frag_ext(Block spec, Block mask, item):
    cdef rte_flow_item_ipv6_frag_ext *s = <rte_flow_item_ipv6_frag_ext *> spec.at
    cdef rte_flow_item_ipv6_frag_ext *m = <rte_flow_item_ipv6_frag_ext *> mask.at
    match8(item.next_header, "Ipv6FragExt.next_header", &s.hdr.next_header, &m.hdr.next_header)
    match16(item.frag_data, "Ipv6FragExt.frag_data", &s.hdr.frag_data, &m.hdr.frag_data)
    match32(item.id, "Ipv6FragExt.id", &s.hdr.id, &m.hdr.id)


def fill_tcp(Block spec, Block mask, item):
    cdef rte_flow_item_tcp *s = <rte_flow_item_tcp *> spec.at
    cdef rte_flow_item_tcp *m = <rte_flow_item_tcp *> mask.at
    match16(item.src_port, "Tcp.src_port", &s.hdr.src_port, &m.hdr.src_port)
    match16(item.dst_port, "Tcp.dst_port", &s.hdr.dst_port, &m.hdr.dst_port)
    match8(item.flags, "Tcp.flags", &s.hdr.tcp_flags, &m.hdr.tcp_flags)


def fill_udp(Block spec, Block mask, item):
    cdef rte_flow_item_udp *s = <rte_flow_item_udp *> spec.at
    cdef rte_flow_item_udp *m = <rte_flow_item_udp *> mask.at
    match16(item.src_port, "Udp.src_port", &s.hdr.src_port, &m.hdr.src_port)
    match16(item.dst_port, "Udp.dst_port", &s.hdr.dst_port, &m.hdr.dst_port)


def fill_icmp(Block spec, Block mask, item):
    cdef rte_flow_item_icmp *s = <rte_flow_item_icmp *> spec.at
    cdef rte_flow_item_icmp *m = <rte_flow_item_icmp *> mask.at
    match8(item.type, "Icmp.type", &s.hdr.icmp_type, &m.hdr.icmp_type)
    match8(item.code, "Icmp.code", &s.hdr.icmp_code, &m.hdr.icmp_code)
    match16(item.ident, "Icmp.ident", &s.hdr.icmp_ident, &m.hdr.icmp_ident)
    match16(item.seq, "Icmp.seq", &s.hdr.icmp_seq_nb, &m.hdr.icmp_seq_nb)


def fill_icmp6(Block spec, Block mask, item):
    cdef rte_flow_item_icmp6 *s = <rte_flow_item_icmp6 *> spec.at
    cdef rte_flow_item_icmp6 *m = <rte_flow_item_icmp6 *> mask.at
    match8(item.type, "Icmp6.type", &s.type, &m.type)
    match8(item.code, "Icmp6.code", &s.code, &m.code)


def fill_vxlan(Block spec, Block mask, item):
    cdef rte_flow_item_vxlan *s = <rte_flow_item_vxlan *> spec.at
    cdef rte_flow_item_vxlan *m = <rte_flow_item_vxlan *> mask.at
    cdef uint32_t vni, bits
    match8(item.flags, "Vxlan.flags", &s.flags, &m.flags)
    split(item.vni, "Vxlan.vni", 0xffffff, &vni, &bits)
    vni, bits = htonl(vni << 8), htonl(bits << 8)
    memcpy(s.vni, &vni, 3)
    memcpy(m.vni, &bits, 3)


def fill_mark(Block spec, Block mask, item):
    split(item.id, "Mark.id", 0xffffffff, &(<rte_flow_item_mark *> spec.at).id, &(<rte_flow_item_mark *> mask.at).id)


def fill_meta(Block spec, Block mask, item):
    split(item.data, "Meta.data", 0xffffffff, &(<rte_flow_item_meta *> spec.at).data,
          &(<rte_flow_item_meta *> mask.at).data)


def fill_tag(Block spec, Block mask, item):
    cdef rte_flow_item_tag *s = <rte_flow_item_tag *> spec.at
    cdef rte_flow_item_tag *m = <rte_flow_item_tag *> mask.at
    split(item.data, "Tag.data", 0xffffffff, &s.data, &m.data)
    match8(item.index, "Tag.index", &s.index, &m.index)


def fill_conntrack(Block spec, Block mask, item):
    split(item.flags, "Conntrack.flags", 0x1f, &(<rte_flow_item_conntrack *> spec.at).flags,
          &(<rte_flow_item_conntrack *> mask.at).flags)


def fill_port_id(Block spec, Block mask, item):
    split(item.id, "PortId.id", 0xffffffff, &(<rte_flow_item_port_id *> spec.at).id,
          &(<rte_flow_item_port_id *> mask.at).id)


def fill_ethdev(Block spec, Block mask, item):
    cdef uint32_t port_id, bits
    split(item.port_id, f"{type(item).__name__}.port_id", 0xffff, &port_id, &bits)
    (<rte_flow_item_ethdev *> spec.at).port_id = port_id
    (<rte_flow_item_ethdev *> mask.at).port_id = bits


# item -> (rte_flow type, bytes of its spec, what fills it in)
TABLE = {
    kinds.Void: (RTE_FLOW_ITEM_TYPE_VOID, 0, None),
    kinds.Any: (RTE_FLOW_ITEM_TYPE_ANY, sizeof(rte_flow_item_any), fill_any),
    kinds.Eth: (RTE_FLOW_ITEM_TYPE_ETH, sizeof(rte_flow_item_eth), fill_eth),
    kinds.Vlan: (RTE_FLOW_ITEM_TYPE_VLAN, sizeof(rte_flow_item_vlan), fill_vlan),
    kinds.Ipv4: (RTE_FLOW_ITEM_TYPE_IPV4, sizeof(rte_flow_item_ipv4), fill_ipv4),
    kinds.Ipv6: (RTE_FLOW_ITEM_TYPE_IPV6, sizeof(rte_flow_item_ipv6), fill_ipv6),
    kinds.Ipv6FragExt: (RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT, sizeof(rte_flow_item_ipv6_frag_ext), fill_ipv6_frag_ext),
    kinds.Tcp: (RTE_FLOW_ITEM_TYPE_TCP, sizeof(rte_flow_item_tcp), fill_tcp),
    kinds.Udp: (RTE_FLOW_ITEM_TYPE_UDP, sizeof(rte_flow_item_udp), fill_udp),
    kinds.Icmp: (RTE_FLOW_ITEM_TYPE_ICMP, sizeof(rte_flow_item_icmp), fill_icmp),
    kinds.Icmp6: (RTE_FLOW_ITEM_TYPE_ICMP6, sizeof(rte_flow_item_icmp6), fill_icmp6),
    kinds.Vxlan: (RTE_FLOW_ITEM_TYPE_VXLAN, sizeof(rte_flow_item_vxlan), fill_vxlan),
    kinds.Mark: (RTE_FLOW_ITEM_TYPE_MARK, sizeof(rte_flow_item_mark), fill_mark),
    kinds.Meta: (RTE_FLOW_ITEM_TYPE_META, sizeof(rte_flow_item_meta), fill_meta),
    kinds.Tag: (RTE_FLOW_ITEM_TYPE_TAG, sizeof(rte_flow_item_tag), fill_tag),
    kinds.Conntrack: (RTE_FLOW_ITEM_TYPE_CONNTRACK, sizeof(rte_flow_item_conntrack), fill_conntrack),
    kinds.PortId: (RTE_FLOW_ITEM_TYPE_PORT_ID, sizeof(rte_flow_item_port_id), fill_port_id),
    kinds.PortRepresentor: (RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR, sizeof(rte_flow_item_ethdev), fill_ethdev),
    kinds.RepresentedPort: (RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, sizeof(rte_flow_item_ethdev), fill_ethdev),
}
