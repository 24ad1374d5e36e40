# rte_flow.h as DPDK declares it; the C compiler lays the structs out. Bit-fields are declared with their base type.
# What a version adds or renames is in dpdk_compat.h.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport FILE

from ctoffload_dpdk.dpdk.librte_eal cimport c_bool
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mbuf


cdef extern from "rte_ether.h" nogil:
    enum:
        RTE_ETHER_ADDR_LEN
        RTE_ETHER_HDR_LEN
        RTE_ETHER_TYPE_IPV4
        RTE_ETHER_TYPE_IPV6
        RTE_ETHER_TYPE_ARP
        RTE_ETHER_TYPE_VLAN
        RTE_ETHER_TYPE_QINQ

    struct rte_ether_addr:
        uint8_t addr_bytes[6]

    struct rte_ether_hdr:
        rte_ether_addr dst_addr
        rte_ether_addr src_addr
        uint16_t ether_type

    struct rte_vlan_hdr:
        uint16_t vlan_tci
        uint16_t eth_proto


cdef extern from "rte_ip.h" nogil:
    enum:
        RTE_IPV4_HDR_MF_FLAG
        RTE_IPV4_HDR_DF_FLAG
        RTE_IPV4_HDR_OFFSET_MASK

    struct rte_ipv4_hdr:
        uint8_t version_ihl
        uint8_t type_of_service
        uint16_t total_length
        uint16_t packet_id
        uint16_t fragment_offset
        uint8_t time_to_live
        uint8_t next_proto_id
        uint16_t hdr_checksum
        uint32_t src_addr
        uint32_t dst_addr

    # The addresses changed their type in 24.11: dpdk_ipv6_src() and dpdk_ipv6_dst() point at their 16 bytes.
    struct rte_ipv6_hdr:
        uint32_t vtc_flow
        uint16_t payload_len
        uint8_t proto
        uint8_t hop_limits

    struct rte_ipv6_fragment_ext:
        uint8_t next_header
        uint8_t reserved
        uint16_t frag_data
        uint32_t id

    uint16_t rte_ipv4_cksum(const rte_ipv4_hdr *ipv4_hdr)
    uint16_t rte_ipv4_udptcp_cksum(const rte_ipv4_hdr *ipv4_hdr, const void *l4_hdr)
    uint16_t rte_ipv6_udptcp_cksum(const rte_ipv6_hdr *ipv6_hdr, const void *l4_hdr)
    uint16_t rte_raw_cksum(const void *buf, size_t n_bytes)


cdef extern from "rte_tcp.h" nogil:
    enum:
        RTE_TCP_CWR_FLAG
        RTE_TCP_ECE_FLAG
        RTE_TCP_URG_FLAG
        RTE_TCP_ACK_FLAG
        RTE_TCP_PSH_FLAG
        RTE_TCP_RST_FLAG
        RTE_TCP_SYN_FLAG
        RTE_TCP_FIN_FLAG

    struct rte_tcp_hdr:
        uint16_t src_port
        uint16_t dst_port
        uint32_t sent_seq
        uint32_t recv_ack
        uint8_t data_off
        uint8_t tcp_flags
        uint16_t rx_win
        uint16_t cksum
        uint16_t tcp_urp


cdef extern from "rte_udp.h" nogil:
    struct rte_udp_hdr:
        uint16_t src_port
        uint16_t dst_port
        uint16_t dgram_len
        uint16_t dgram_cksum


cdef extern from "rte_icmp.h" nogil:
    struct rte_icmp_hdr:
        uint8_t icmp_type
        uint8_t icmp_code
        uint16_t icmp_cksum
        uint16_t icmp_ident
        uint16_t icmp_seq_nb


cdef extern from "rte_flow.h" nogil:
    struct rte_flow:
        pass
    struct rte_flow_action_handle:
        pass
    struct rte_flow_pattern_template:
        pass
    struct rte_flow_actions_template:
        pass
    struct rte_flow_template_table:
        pass

    enum rte_flow_item_type:
        RTE_FLOW_ITEM_TYPE_END
        RTE_FLOW_ITEM_TYPE_VOID
        RTE_FLOW_ITEM_TYPE_INVERT
        RTE_FLOW_ITEM_TYPE_ANY
        RTE_FLOW_ITEM_TYPE_PORT_ID
        RTE_FLOW_ITEM_TYPE_RAW
        RTE_FLOW_ITEM_TYPE_ETH
        RTE_FLOW_ITEM_TYPE_VLAN
        RTE_FLOW_ITEM_TYPE_IPV4
        RTE_FLOW_ITEM_TYPE_IPV6
        RTE_FLOW_ITEM_TYPE_ICMP
        RTE_FLOW_ITEM_TYPE_UDP
        RTE_FLOW_ITEM_TYPE_TCP
        RTE_FLOW_ITEM_TYPE_SCTP
        RTE_FLOW_ITEM_TYPE_VXLAN
        RTE_FLOW_ITEM_TYPE_E_TAG
        RTE_FLOW_ITEM_TYPE_NVGRE
        RTE_FLOW_ITEM_TYPE_MPLS
        RTE_FLOW_ITEM_TYPE_GRE
        RTE_FLOW_ITEM_TYPE_FUZZY
        RTE_FLOW_ITEM_TYPE_GTP
        RTE_FLOW_ITEM_TYPE_GTPC
        RTE_FLOW_ITEM_TYPE_GTPU
        RTE_FLOW_ITEM_TYPE_ESP
        RTE_FLOW_ITEM_TYPE_GENEVE
        RTE_FLOW_ITEM_TYPE_VXLAN_GPE
        RTE_FLOW_ITEM_TYPE_ARP_ETH_IPV4
        RTE_FLOW_ITEM_TYPE_IPV6_EXT
        RTE_FLOW_ITEM_TYPE_ICMP6
        RTE_FLOW_ITEM_TYPE_ICMP6_ND_NS
        RTE_FLOW_ITEM_TYPE_ICMP6_ND_NA
        RTE_FLOW_ITEM_TYPE_ICMP6_ND_OPT
        RTE_FLOW_ITEM_TYPE_ICMP6_ND_OPT_SLA_ETH
        RTE_FLOW_ITEM_TYPE_ICMP6_ND_OPT_TLA_ETH
        RTE_FLOW_ITEM_TYPE_MARK
        RTE_FLOW_ITEM_TYPE_META
        RTE_FLOW_ITEM_TYPE_GRE_KEY
        RTE_FLOW_ITEM_TYPE_GTP_PSC
        RTE_FLOW_ITEM_TYPE_PPPOES
        RTE_FLOW_ITEM_TYPE_PPPOED
        RTE_FLOW_ITEM_TYPE_PPPOE_PROTO_ID
        RTE_FLOW_ITEM_TYPE_NSH
        RTE_FLOW_ITEM_TYPE_IGMP
        RTE_FLOW_ITEM_TYPE_AH
        RTE_FLOW_ITEM_TYPE_HIGIG2
        RTE_FLOW_ITEM_TYPE_TAG
        RTE_FLOW_ITEM_TYPE_L2TPV3OIP
        RTE_FLOW_ITEM_TYPE_PFCP
        RTE_FLOW_ITEM_TYPE_ECPRI
        RTE_FLOW_ITEM_TYPE_IPV6_FRAG_EXT
        RTE_FLOW_ITEM_TYPE_GENEVE_OPT
        RTE_FLOW_ITEM_TYPE_INTEGRITY
        RTE_FLOW_ITEM_TYPE_CONNTRACK
        RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR
        RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT
        RTE_FLOW_ITEM_TYPE_FLEX
        RTE_FLOW_ITEM_TYPE_L2TPV2
        RTE_FLOW_ITEM_TYPE_PPP
        RTE_FLOW_ITEM_TYPE_GRE_OPTION
        RTE_FLOW_ITEM_TYPE_MACSEC
        RTE_FLOW_ITEM_TYPE_METER_COLOR

    enum rte_flow_action_type:
        RTE_FLOW_ACTION_TYPE_END
        RTE_FLOW_ACTION_TYPE_VOID
        RTE_FLOW_ACTION_TYPE_PASSTHRU
        RTE_FLOW_ACTION_TYPE_JUMP
        RTE_FLOW_ACTION_TYPE_MARK
        RTE_FLOW_ACTION_TYPE_FLAG
        RTE_FLOW_ACTION_TYPE_QUEUE
        RTE_FLOW_ACTION_TYPE_DROP
        RTE_FLOW_ACTION_TYPE_COUNT
        RTE_FLOW_ACTION_TYPE_RSS
        RTE_FLOW_ACTION_TYPE_PF
        RTE_FLOW_ACTION_TYPE_VF
        RTE_FLOW_ACTION_TYPE_PORT_ID
        RTE_FLOW_ACTION_TYPE_METER
        RTE_FLOW_ACTION_TYPE_SECURITY
        RTE_FLOW_ACTION_TYPE_OF_DEC_NW_TTL
        RTE_FLOW_ACTION_TYPE_OF_POP_VLAN
        RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN
        RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID
        RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP
        RTE_FLOW_ACTION_TYPE_OF_POP_MPLS
        RTE_FLOW_ACTION_TYPE_OF_PUSH_MPLS
        RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP
        RTE_FLOW_ACTION_TYPE_VXLAN_DECAP
        RTE_FLOW_ACTION_TYPE_NVGRE_ENCAP
        RTE_FLOW_ACTION_TYPE_NVGRE_DECAP
        RTE_FLOW_ACTION_TYPE_RAW_ENCAP
        RTE_FLOW_ACTION_TYPE_RAW_DECAP
        RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC
        RTE_FLOW_ACTION_TYPE_SET_IPV4_DST
        RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC
        RTE_FLOW_ACTION_TYPE_SET_IPV6_DST
        RTE_FLOW_ACTION_TYPE_SET_TP_SRC
        RTE_FLOW_ACTION_TYPE_SET_TP_DST
        RTE_FLOW_ACTION_TYPE_MAC_SWAP
        RTE_FLOW_ACTION_TYPE_DEC_TTL
        RTE_FLOW_ACTION_TYPE_SET_TTL
        RTE_FLOW_ACTION_TYPE_SET_MAC_SRC
        RTE_FLOW_ACTION_TYPE_SET_MAC_DST
        RTE_FLOW_ACTION_TYPE_INC_TCP_SEQ
        RTE_FLOW_ACTION_TYPE_DEC_TCP_SEQ
        RTE_FLOW_ACTION_TYPE_INC_TCP_ACK
        RTE_FLOW_ACTION_TYPE_DEC_TCP_ACK
        RTE_FLOW_ACTION_TYPE_SET_TAG
        RTE_FLOW_ACTION_TYPE_SET_META
        RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP
        RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP
        RTE_FLOW_ACTION_TYPE_AGE
        RTE_FLOW_ACTION_TYPE_SAMPLE
        RTE_FLOW_ACTION_TYPE_SHARED
        RTE_FLOW_ACTION_TYPE_MODIFY_FIELD
        RTE_FLOW_ACTION_TYPE_INDIRECT
        RTE_FLOW_ACTION_TYPE_CONNTRACK
        RTE_FLOW_ACTION_TYPE_METER_COLOR
        RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR
        RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT
        RTE_FLOW_ACTION_TYPE_METER_MARK
        RTE_FLOW_ACTION_TYPE_SEND_TO_KERNEL

    enum rte_flow_error_type:
        RTE_FLOW_ERROR_TYPE_NONE
        RTE_FLOW_ERROR_TYPE_UNSPECIFIED
        RTE_FLOW_ERROR_TYPE_HANDLE
        RTE_FLOW_ERROR_TYPE_ATTR_GROUP
        RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY
        RTE_FLOW_ERROR_TYPE_ATTR_INGRESS
        RTE_FLOW_ERROR_TYPE_ATTR_EGRESS
        RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER
        RTE_FLOW_ERROR_TYPE_ATTR
        RTE_FLOW_ERROR_TYPE_ITEM_NUM
        RTE_FLOW_ERROR_TYPE_ITEM_SPEC
        RTE_FLOW_ERROR_TYPE_ITEM_LAST
        RTE_FLOW_ERROR_TYPE_ITEM_MASK
        RTE_FLOW_ERROR_TYPE_ITEM
        RTE_FLOW_ERROR_TYPE_ACTION_NUM
        RTE_FLOW_ERROR_TYPE_ACTION_CONF
        RTE_FLOW_ERROR_TYPE_ACTION
        RTE_FLOW_ERROR_TYPE_STATE

    enum rte_flow_field_id:
        RTE_FLOW_FIELD_START
        RTE_FLOW_FIELD_MAC_DST
        RTE_FLOW_FIELD_MAC_SRC
        RTE_FLOW_FIELD_VLAN_TYPE
        RTE_FLOW_FIELD_VLAN_ID
        RTE_FLOW_FIELD_MAC_TYPE
        RTE_FLOW_FIELD_IPV4_DSCP
        RTE_FLOW_FIELD_IPV4_TTL
        RTE_FLOW_FIELD_IPV4_SRC
        RTE_FLOW_FIELD_IPV4_DST
        RTE_FLOW_FIELD_IPV6_DSCP
        RTE_FLOW_FIELD_IPV6_HOPLIMIT
        RTE_FLOW_FIELD_IPV6_SRC
        RTE_FLOW_FIELD_IPV6_DST
        RTE_FLOW_FIELD_TCP_PORT_SRC
        RTE_FLOW_FIELD_TCP_PORT_DST
        RTE_FLOW_FIELD_TCP_SEQ_NUM
        RTE_FLOW_FIELD_TCP_ACK_NUM
        RTE_FLOW_FIELD_TCP_FLAGS
        RTE_FLOW_FIELD_UDP_PORT_SRC
        RTE_FLOW_FIELD_UDP_PORT_DST
        RTE_FLOW_FIELD_VXLAN_VNI
        RTE_FLOW_FIELD_GENEVE_VNI
        RTE_FLOW_FIELD_GTP_TEID
        RTE_FLOW_FIELD_TAG
        RTE_FLOW_FIELD_MARK
        RTE_FLOW_FIELD_META
        RTE_FLOW_FIELD_POINTER
        RTE_FLOW_FIELD_VALUE
        RTE_FLOW_FIELD_IPV4_ECN
        RTE_FLOW_FIELD_IPV6_ECN
        RTE_FLOW_FIELD_GTP_PSC_QFI
        RTE_FLOW_FIELD_METER_COLOR

    enum rte_flow_modify_op:
        RTE_FLOW_MODIFY_SET
        RTE_FLOW_MODIFY_ADD
        RTE_FLOW_MODIFY_SUB

    enum rte_flow_conntrack_state:
        RTE_FLOW_CONNTRACK_STATE_SYN_RECV
        RTE_FLOW_CONNTRACK_STATE_ESTABLISHED
        RTE_FLOW_CONNTRACK_STATE_FIN_WAIT
        RTE_FLOW_CONNTRACK_STATE_CLOSE_WAIT
        RTE_FLOW_CONNTRACK_STATE_LAST_ACK
        RTE_FLOW_CONNTRACK_STATE_TIME_WAIT

    enum rte_flow_conntrack_tcp_last_index:
        RTE_FLOW_CONNTRACK_FLAG_NONE
        RTE_FLOW_CONNTRACK_FLAG_SYN
        RTE_FLOW_CONNTRACK_FLAG_SYNACK
        RTE_FLOW_CONNTRACK_FLAG_FIN
        RTE_FLOW_CONNTRACK_FLAG_ACK
        RTE_FLOW_CONNTRACK_FLAG_RST

    enum rte_eth_hash_function:
        RTE_ETH_HASH_FUNCTION_DEFAULT
        RTE_ETH_HASH_FUNCTION_TOEPLITZ
        RTE_ETH_HASH_FUNCTION_SIMPLE_XOR
        RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ
        RTE_ETH_HASH_FUNCTION_MAX

    enum rte_flow_op_status:
        RTE_FLOW_OP_SUCCESS
        RTE_FLOW_OP_ERROR

    enum:
        RTE_FLOW_CONNTRACK_PKT_STATE_VALID
        RTE_FLOW_CONNTRACK_PKT_STATE_CHANGED
        RTE_FLOW_CONNTRACK_PKT_STATE_INVALID
        RTE_FLOW_CONNTRACK_PKT_STATE_DISABLED
        RTE_FLOW_CONNTRACK_PKT_STATE_BAD
        RTE_FLOW_PORT_FLAG_STRICT_QUEUE

    struct rte_flow_attr:
        uint32_t group
        uint32_t priority
        uint32_t ingress
        uint32_t egress
        uint32_t transfer

    struct rte_flow_error:
        rte_flow_error_type type
        const void *cause
        const char *message

    # Items: spec, last and mask point at one of the structs below.
    struct rte_flow_item:
        rte_flow_item_type type
        const void *spec
        const void *last
        const void *mask

    struct rte_flow_item_eth:
        rte_ether_hdr hdr
        uint32_t has_vlan

    struct rte_flow_item_vlan:
        rte_vlan_hdr hdr
        uint32_t has_more_vlan

    struct rte_flow_item_ipv4:
        rte_ipv4_hdr hdr

    struct rte_flow_item_ipv6:
        rte_ipv6_hdr hdr
        uint32_t has_hop_ext
        uint32_t has_route_ext
        uint32_t has_frag_ext
        uint32_t has_auth_ext
        uint32_t has_esp_ext
        uint32_t has_dest_ext
        uint32_t has_mobil_ext
        uint32_t has_hip_ext
        uint32_t has_shim6_ext

    struct rte_flow_item_ipv6_frag_ext:
        rte_ipv6_fragment_ext hdr

    struct rte_flow_item_tcp:
        rte_tcp_hdr hdr

    struct rte_flow_item_udp:
        rte_udp_hdr hdr

    struct rte_flow_item_icmp:
        rte_icmp_hdr hdr

    struct rte_flow_item_icmp6:
        uint8_t type
        uint8_t code
        uint16_t checksum

    struct rte_flow_item_mark:
        uint32_t id

    struct rte_flow_item_meta:
        uint32_t data

    struct rte_flow_item_tag:
        uint32_t data
        uint8_t index

    struct rte_flow_item_conntrack:
        uint32_t flags

    struct rte_flow_item_port_id:
        uint32_t id

    # PORT_REPRESENTOR and REPRESENTED_PORT
    struct rte_flow_item_ethdev:
        uint16_t port_id

    struct rte_flow_item_any:
        uint32_t num

    struct rte_flow_item_raw:
        uint32_t relative
        uint32_t search
        int32_t offset
        uint16_t limit
        uint16_t length
        const uint8_t *pattern

    struct rte_flow_item_vxlan:
        uint8_t flags
        uint8_t vni[3]

    struct rte_flow_item_gre:
        uint16_t c_rsvd0_ver
        uint16_t protocol

    struct rte_flow_item_integrity:
        uint32_t level
        uint64_t packet_ok
        uint64_t l2_ok
        uint64_t l3_ok
        uint64_t l4_ok
        uint64_t l2_crc_ok
        uint64_t ipv4_csum_ok
        uint64_t l4_csum_ok
        uint64_t l3_len_ok
        uint64_t value

    # Actions: conf points at one of the structs below.
    struct rte_flow_action:
        rte_flow_action_type type
        const void *conf

    struct rte_flow_action_mark:
        uint32_t id

    struct rte_flow_action_jump:
        uint32_t group

    struct rte_flow_action_queue:
        uint16_t index

    struct rte_flow_action_rss:
        rte_eth_hash_function func
        uint32_t level
        uint64_t types
        uint32_t key_len
        uint32_t queue_num
        const uint8_t *key
        const uint16_t *queue

    struct rte_flow_action_age:
        uint32_t timeout
        void *context

    struct rte_flow_query_age:
        uint32_t aged
        uint32_t sec_since_last_hit_valid
        uint32_t sec_since_last_hit

    struct rte_flow_update_age:
        uint32_t timeout_valid
        uint32_t timeout
        uint32_t touch

    struct rte_flow_action_count:
        uint32_t id

    struct rte_flow_query_count:
        uint32_t reset
        uint32_t hits_set
        uint32_t bytes_set
        uint64_t hits
        uint64_t bytes

    struct rte_flow_action_port_id:
        uint32_t original
        uint32_t id

    # PORT_REPRESENTOR and REPRESENTED_PORT
    struct rte_flow_action_ethdev:
        uint16_t port_id

    struct rte_flow_action_set_ipv4:
        uint32_t ipv4_addr

    # dpdk_set_ipv6_addr() points at the 16 bytes.
    struct rte_flow_action_set_ipv6:
        pass

    struct rte_flow_action_set_tp:
        uint16_t port

    struct rte_flow_action_set_ttl:
        uint8_t ttl_value

    struct rte_flow_action_set_mac:
        uint8_t mac_addr[6]

    struct rte_flow_action_set_tag:
        uint32_t data
        uint32_t mask
        uint8_t index

    struct rte_flow_action_set_meta:
        uint32_t data
        uint32_t mask

    struct rte_flow_action_set_dscp:
        uint8_t dscp

    struct rte_flow_action_of_push_vlan:
        uint16_t ethertype

    struct rte_flow_action_of_set_vlan_vid:
        uint16_t vlan_vid

    struct rte_flow_action_of_set_vlan_pcp:
        uint8_t vlan_pcp

    struct rte_flow_action_sample:
        uint32_t ratio
        const rte_flow_action *actions

    struct rte_flow_action_raw_encap:
        uint8_t *data
        uint8_t *preserve
        size_t size

    struct rte_flow_action_raw_decap:
        uint8_t *data
        size_t size

    # CONNTRACK: values in host byte order.
    struct rte_flow_tcp_dir_param:
        uint32_t scale
        uint32_t close_initiated
        uint32_t last_ack_seen
        uint32_t data_unacked
        uint32_t sent_end
        uint32_t reply_end
        uint32_t max_win
        uint32_t max_ack

    struct rte_flow_action_conntrack:
        uint16_t peer_port
        uint32_t is_original_dir
        uint32_t enable
        uint32_t live_connection
        uint32_t selective_ack
        uint32_t challenge_ack_passed
        uint32_t last_direction
        uint32_t liberal_mode
        rte_flow_conntrack_state state
        uint8_t max_ack_window
        uint8_t retransmission_limit
        rte_flow_tcp_dir_param original_dir
        rte_flow_tcp_dir_param reply_dir
        uint16_t last_window
        rte_flow_conntrack_tcp_last_index last_index
        uint32_t last_seq
        uint32_t last_ack
        uint32_t last_end

    struct rte_flow_modify_conntrack:
        rte_flow_action_conntrack new_ct
        uint32_t direction
        uint32_t state

    # Synchronous rules
    int rte_flow_validate(uint16_t port_id, const rte_flow_attr *attr, const rte_flow_item *pattern,
                          const rte_flow_action *actions, rte_flow_error *error)
    rte_flow *rte_flow_create(uint16_t port_id, const rte_flow_attr *attr, const rte_flow_item *pattern,
                              const rte_flow_action *actions, rte_flow_error *error)
    int rte_flow_destroy(uint16_t port_id, rte_flow *flow, rte_flow_error *error)
    int rte_flow_flush(uint16_t port_id, rte_flow_error *error)
    int rte_flow_query(uint16_t port_id, rte_flow *flow, const rte_flow_action *action, void *data,
                       rte_flow_error *error)
    int rte_flow_isolate(uint16_t port_id, int set, rte_flow_error *error)
    int rte_flow_error_set(rte_flow_error *error, int code, rte_flow_error_type type, const void *cause,
                           const char *message)
    int rte_flow_dev_dump(uint16_t port_id, rte_flow *flow, FILE *file, rte_flow_error *error)
    int rte_flow_get_aged_flows(uint16_t port_id, void **contexts, uint32_t nb_contexts, rte_flow_error *error)
    int rte_flow_get_q_aged_flows(uint16_t port_id, uint32_t queue_id, void **contexts, uint32_t nb_contexts,
                                  rte_flow_error *error)
    int rte_flow_pick_transfer_proxy(uint16_t port_id, uint16_t *proxy_port_id, rte_flow_error *error)

    # META in the mbuf
    int rte_flow_dynf_metadata_avail()
    int rte_flow_dynf_metadata_register()

    # Indirect actions
    struct rte_flow_indir_action_conf:
        uint32_t ingress
        uint32_t egress
        uint32_t transfer

    rte_flow_action_handle *rte_flow_action_handle_create(uint16_t port_id, const rte_flow_indir_action_conf *conf,
                                                          const rte_flow_action *action, rte_flow_error *error)
    int rte_flow_action_handle_destroy(uint16_t port_id, rte_flow_action_handle *handle, rte_flow_error *error)
    int rte_flow_action_handle_update(uint16_t port_id, rte_flow_action_handle *handle, const void *update,
                                      rte_flow_error *error)
    int rte_flow_action_handle_query(uint16_t port_id, const rte_flow_action_handle *handle, void *data,
                                     rte_flow_error *error)

    # Configuration, templates and queues
    struct rte_flow_port_info:
        uint32_t max_nb_queues
        uint32_t max_nb_counters
        uint32_t max_nb_aging_objects
        uint32_t max_nb_meters
        uint32_t max_nb_conn_tracks
        uint32_t supported_flags

    struct rte_flow_queue_info:
        uint32_t max_size

    struct rte_flow_port_attr:
        uint32_t nb_counters
        uint32_t nb_aging_objects
        uint32_t nb_meters
        uint32_t nb_conn_tracks
        uint32_t flags

    struct rte_flow_queue_attr:
        uint32_t size

    struct rte_flow_pattern_template_attr:
        uint32_t relaxed_matching
        uint32_t ingress
        uint32_t egress
        uint32_t transfer

    struct rte_flow_actions_template_attr:
        uint32_t ingress
        uint32_t egress
        uint32_t transfer

    struct rte_flow_template_table_attr:
        rte_flow_attr flow_attr
        uint32_t nb_flows

    struct rte_flow_op_attr:
        uint32_t postpone

    struct rte_flow_op_result:
        rte_flow_op_status status
        void *user_data

    int rte_flow_info_get(uint16_t port_id, rte_flow_port_info *port_info, rte_flow_queue_info *queue_info,
                          rte_flow_error *error)
    int rte_flow_configure(uint16_t port_id, const rte_flow_port_attr *port_attr, uint16_t nb_queue,
                           const rte_flow_queue_attr **queue_attr, rte_flow_error *error)
    rte_flow_pattern_template *rte_flow_pattern_template_create(
        uint16_t port_id, const rte_flow_pattern_template_attr *template_attr, const rte_flow_item *pattern,
        rte_flow_error *error)
    int rte_flow_pattern_template_destroy(uint16_t port_id, rte_flow_pattern_template *pattern_template,
                                          rte_flow_error *error)
    rte_flow_actions_template *rte_flow_actions_template_create(
        uint16_t port_id, const rte_flow_actions_template_attr *template_attr, const rte_flow_action *actions,
        const rte_flow_action *masks, rte_flow_error *error)
    int rte_flow_actions_template_destroy(uint16_t port_id, rte_flow_actions_template *actions_template,
                                          rte_flow_error *error)
    rte_flow_template_table *rte_flow_template_table_create(
        uint16_t port_id, const rte_flow_template_table_attr *table_attr, rte_flow_pattern_template **pattern_templates,
        uint8_t nb_pattern_templates, rte_flow_actions_template **actions_templates, uint8_t nb_actions_templates,
        rte_flow_error *error)
    int rte_flow_template_table_destroy(uint16_t port_id, rte_flow_template_table *template_table,
                                        rte_flow_error *error)
    rte_flow *rte_flow_async_create(uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr,
                                    rte_flow_template_table *template_table, const rte_flow_item *pattern,
                                    uint8_t pattern_template_index, const rte_flow_action *actions,
                                    uint8_t actions_template_index, void *user_data, rte_flow_error *error)
    int rte_flow_async_destroy(uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr, rte_flow *flow,
                               void *user_data, rte_flow_error *error)
    int rte_flow_push(uint16_t port_id, uint32_t queue_id, rte_flow_error *error)
    int rte_flow_pull(uint16_t port_id, uint32_t queue_id, rte_flow_op_result *res, uint16_t n_res,
                      rte_flow_error *error)
    rte_flow_action_handle *rte_flow_async_action_handle_create(
        uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr,
        const rte_flow_indir_action_conf *indir_action_conf, const rte_flow_action *action, void *user_data,
        rte_flow_error *error)
    int rte_flow_async_action_handle_destroy(uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr,
                                             rte_flow_action_handle *action_handle, void *user_data,
                                             rte_flow_error *error)
    int rte_flow_async_action_handle_update(uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr,
                                            rte_flow_action_handle *action_handle, const void *update, void *user_data,
                                            rte_flow_error *error)
    int rte_flow_async_action_handle_query(uint16_t port_id, uint32_t queue_id, const rte_flow_op_attr *op_attr,
                                           const rte_flow_action_handle *action_handle, void *data, void *user_data,
                                           rte_flow_error *error)


cdef extern from "dpdk_compat.h" nogil:
    # One side of MODIFY_FIELD; fill it with dpdk_field_at() or dpdk_field_value().
    struct rte_flow_field_data:
        rte_flow_field_id field

    struct rte_flow_action_modify_field:
        rte_flow_modify_op operation
        rte_flow_field_data dst
        rte_flow_field_data src
        uint32_t width

    void dpdk_field_at(rte_flow_field_data *side, rte_flow_field_id field, uint8_t level, uint8_t tag_index,
                       uint32_t offset)
    void dpdk_field_value(rte_flow_field_data *side, const void *value, size_t n_bytes)

    void dpdk_errno_not_zero()
    void dpdk_errno_set(int error)
    uint8_t *dpdk_ipv6_src(rte_ipv6_hdr *hdr)
    uint8_t *dpdk_ipv6_dst(rte_ipv6_hdr *hdr)
    uint8_t *dpdk_set_ipv6_addr(rte_flow_action_set_ipv6 *conf)

    # 0 where this DPDK has no such flag (before 23.03)
    const uint32_t DPDK_FLOW_PORT_FLAG_SHARE_INDIRECT
    # 0, or -ENOTSUP where this DPDK is too old: 23.03, 24.03, 23.03
    int dpdk_flow_port_attr_share(rte_flow_port_attr *attr, uint16_t host_port_id)
    int dpdk_table_attr_resizable(rte_flow_template_table_attr *attr)
    int dpdk_table_attr_specialize(rte_flow_template_table_attr *attr, c_bool wire_origin, c_bool vport_origin)
    # rte_flow_actions_update (23.07) and rte_flow_group_set_miss_actions (23.11), else -ENOTSUP with a message
    int dpdk_flow_actions_update(uint16_t port_id, rte_flow *flow, const rte_flow_action *actions,
                                 rte_flow_error *error)
    int dpdk_flow_group_set_miss_actions(uint16_t port_id, uint32_t group, const rte_flow_attr *flow_attr,
                                         const rte_flow_action *actions, rte_flow_error *error)
