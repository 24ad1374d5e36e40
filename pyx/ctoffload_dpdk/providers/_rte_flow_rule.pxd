# The rule of one direction of a connection: pattern and actions prefilled once per (family, protocol), then only
# addresses, ports and the fate change from rule to rule.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.dpdk.librte_flow cimport (
    rte_flow,
    rte_flow_action,
    rte_flow_action_age,
    rte_flow_action_count,
    rte_flow_action_ethdev,
    rte_flow_attr,
    rte_flow_error,
    rte_flow_item,
    rte_flow_item_eth,
    rte_flow_item_ethdev,
    rte_flow_item_ipv4,
    rte_flow_item_ipv6,
    rte_flow_item_tcp,
    rte_flow_item_udp,
)
from ctoffload_dpdk.offload.libct_offload cimport ct_offload_tuple

cdef struct RuleShape:
    rte_flow_attr attr
    rte_flow_item items[5]              # where it enters, ETH, IP, L4, END
    rte_flow_action actions[4]          # COUNT, AGE, fate, END
    rte_flow_item_ethdev in_port
    rte_flow_item_ethdev in_port_mask
    rte_flow_item_ipv4 ipv4
    rte_flow_item_ipv4 ipv4_mask
    rte_flow_item_ipv6 ipv6
    rte_flow_item_ipv6 ipv6_mask
    rte_flow_item_tcp tcp
    rte_flow_item_tcp tcp_mask
    rte_flow_item_udp udp
    rte_flow_item_udp udp_mask
    rte_flow_action_count count
    rte_flow_action_age age
    rte_flow_action_ethdev fate

cdef int family_index(uint16_t eth_type) noexcept nogil
cdef int proto_index(uint8_t proto) noexcept nogil
cdef void shape_init(RuleShape *shape, int family, int proto) noexcept nogil
cdef rte_flow *shape_create(RuleShape *shape, uint16_t on_port, const ct_offload_tuple *match, uint16_t in_port,
                            uint16_t out_port, uint32_t age_s, void *context, rte_flow_error *error) noexcept nogil
