# rte_ethdev.h as DPDK declares it; the C compiler lays the structs out. Bit-fields are declared with their base type.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from ctoffload_dpdk.dpdk.librte_eal cimport rte_dev_iterator, rte_device
from ctoffload_dpdk.dpdk.librte_flow cimport rte_ether_addr
from ctoffload_dpdk.dpdk.librte_mbuf cimport rte_mbuf, rte_mempool


cdef extern from "rte_ethdev.h" nogil:
    enum:
        RTE_MAX_ETHPORTS
        RTE_ETH_NAME_MAX_LEN
        RTE_ETH_XSTATS_NAME_SIZE
        RTE_ETH_RETA_GROUP_SIZE
        RTE_ETH_MAX_HAIRPIN_PEERS
        RTE_ETH_ALL
        RTE_ETH_LINK_UP
        RTE_ETH_LINK_FULL_DUPLEX
        RTE_ETH_DEV_FALLBACK_RX_RINGSIZE
        RTE_ETH_DEV_FALLBACK_TX_RINGSIZE

    const uint32_t RTE_ETH_SPEED_NUM_UNKNOWN
    const uint16_t RTE_ETH_DEV_SWITCH_DOMAIN_ID_INVALID

    # dev_flags
    const uint32_t RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE
    const uint32_t RTE_ETH_DEV_INTR_LSC
    const uint32_t RTE_ETH_DEV_INTR_RMV
    const uint32_t RTE_ETH_DEV_REPRESENTOR

    # dev_capa
    const uint64_t RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP
    const uint64_t RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP

    # what to deliver with received packets
    const uint64_t RTE_ETH_RX_METADATA_USER_FLAG
    const uint64_t RTE_ETH_RX_METADATA_USER_MARK
    const uint64_t RTE_ETH_RX_METADATA_TUNNEL_ID

    # receive and transmit offloads
    const uint64_t RTE_ETH_RX_OFFLOAD_VLAN_STRIP
    const uint64_t RTE_ETH_RX_OFFLOAD_IPV4_CKSUM
    const uint64_t RTE_ETH_RX_OFFLOAD_UDP_CKSUM
    const uint64_t RTE_ETH_RX_OFFLOAD_TCP_CKSUM
    const uint64_t RTE_ETH_RX_OFFLOAD_CHECKSUM
    const uint64_t RTE_ETH_RX_OFFLOAD_SCATTER
    const uint64_t RTE_ETH_RX_OFFLOAD_RSS_HASH
    const uint64_t RTE_ETH_TX_OFFLOAD_IPV4_CKSUM
    const uint64_t RTE_ETH_TX_OFFLOAD_UDP_CKSUM
    const uint64_t RTE_ETH_TX_OFFLOAD_TCP_CKSUM
    const uint64_t RTE_ETH_TX_OFFLOAD_MULTI_SEGS
    const uint64_t RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE

    # what RSS hashes
    const uint64_t RTE_ETH_RSS_IP
    const uint64_t RTE_ETH_RSS_TCP
    const uint64_t RTE_ETH_RSS_UDP
    const uint64_t RTE_ETH_RSS_SCTP
    const uint64_t RTE_ETH_RSS_L3_SRC_ONLY
    const uint64_t RTE_ETH_RSS_L3_DST_ONLY
    const uint64_t RTE_ETH_RSS_L4_SRC_ONLY
    const uint64_t RTE_ETH_RSS_L4_DST_ONLY

    enum rte_eth_rx_mq_mode:
        RTE_ETH_MQ_RX_NONE
        RTE_ETH_MQ_RX_RSS

    enum rte_eth_tx_mq_mode:
        RTE_ETH_MQ_TX_NONE

    enum rte_eth_event_type:
        RTE_ETH_EVENT_UNKNOWN
        RTE_ETH_EVENT_INTR_LSC
        RTE_ETH_EVENT_QUEUE_STATE
        RTE_ETH_EVENT_INTR_RESET
        RTE_ETH_EVENT_VF_MBOX
        RTE_ETH_EVENT_MACSEC
        RTE_ETH_EVENT_INTR_RMV
        RTE_ETH_EVENT_NEW
        RTE_ETH_EVENT_DESTROY
        RTE_ETH_EVENT_IPSEC
        RTE_ETH_EVENT_FLOW_AGED
        RTE_ETH_EVENT_RX_AVAIL_THRESH
        RTE_ETH_EVENT_ERR_RECOVERING
        RTE_ETH_EVENT_RECOVERY_SUCCESS
        RTE_ETH_EVENT_RECOVERY_FAILED
        RTE_ETH_EVENT_MAX

    struct rte_eth_stats:
        uint64_t ipackets
        uint64_t opackets
        uint64_t ibytes
        uint64_t obytes
        uint64_t imissed
        uint64_t ierrors
        uint64_t oerrors
        uint64_t rx_nombuf

    struct rte_eth_xstat:
        uint64_t id
        uint64_t value

    struct rte_eth_xstat_name:
        char name[64]

    struct rte_eth_link:
        uint32_t link_speed
        uint16_t link_duplex
        uint16_t link_autoneg
        uint16_t link_status

    struct rte_eth_rxmode:
        rte_eth_rx_mq_mode mq_mode
        uint32_t mtu
        uint32_t max_lro_pkt_size
        uint64_t offloads

    struct rte_eth_txmode:
        rte_eth_tx_mq_mode mq_mode
        uint64_t offloads

    struct rte_eth_rss_conf:
        uint8_t *rss_key
        uint8_t rss_key_len
        uint64_t rss_hf

    struct rte_eth_rss_reta_entry64:
        uint64_t mask
        uint16_t reta[64]

    struct rte_eth_intr_conf:
        uint32_t lsc
        uint32_t rxq
        uint32_t rmv

    ctypedef struct dpdk_rx_adv_conf:
        rte_eth_rss_conf rss_conf

    struct rte_eth_conf:
        uint32_t link_speeds
        rte_eth_rxmode rxmode
        rte_eth_txmode txmode
        uint32_t lpbk_mode
        dpdk_rx_adv_conf rx_adv_conf
        rte_eth_intr_conf intr_conf

    struct rte_eth_rxconf:
        uint16_t rx_free_thresh
        uint8_t rx_drop_en
        uint8_t rx_deferred_start
        uint64_t offloads

    struct rte_eth_txconf:
        uint16_t tx_rs_thresh
        uint16_t tx_free_thresh
        uint8_t tx_deferred_start
        uint64_t offloads

    struct rte_eth_desc_lim:
        uint16_t nb_max
        uint16_t nb_min
        uint16_t nb_align

    struct rte_eth_dev_portconf:
        uint16_t burst_size
        uint16_t ring_size
        uint16_t nb_queues

    struct rte_eth_switch_info:
        const char *name
        uint16_t domain_id
        uint16_t port_id
        uint16_t rx_domain

    struct rte_eth_dev_info:
        rte_device *device
        const char *driver_name
        unsigned int if_index
        uint16_t min_mtu
        uint16_t max_mtu
        const uint32_t *dev_flags
        uint32_t min_rx_bufsize
        uint32_t max_rx_pktlen
        uint16_t max_rx_queues
        uint16_t max_tx_queues
        uint64_t rx_offload_capa
        uint64_t tx_offload_capa
        uint16_t reta_size
        uint8_t hash_key_size
        uint64_t flow_type_rss_offloads
        rte_eth_rxconf default_rxconf
        rte_eth_txconf default_txconf
        rte_eth_desc_lim rx_desc_lim
        rte_eth_desc_lim tx_desc_lim
        uint32_t speed_capa
        uint16_t nb_rx_queues
        uint16_t nb_tx_queues
        rte_eth_dev_portconf default_rxportconf
        rte_eth_dev_portconf default_txportconf
        uint64_t dev_capa
        rte_eth_switch_info switch_info

    struct rte_eth_hairpin_cap:
        uint16_t max_nb_queues
        uint16_t max_rx_2_tx
        uint16_t max_tx_2_rx
        uint16_t max_nb_desc

    struct rte_eth_hairpin_peer:
        uint16_t port
        uint16_t queue

    struct rte_eth_hairpin_conf:
        uint32_t peer_count
        uint32_t tx_explicit
        uint32_t manual_bind
        rte_eth_hairpin_peer peers[32]

    ctypedef int (*rte_eth_dev_cb_fn)(uint16_t port_id, rte_eth_event_type event, void *cb_arg,
                                      void *ret_param) noexcept nogil

    # Which ports there are
    uint16_t rte_eth_find_next(uint16_t port_id)
    uint16_t rte_eth_dev_count_avail()
    int rte_eth_dev_is_valid_port(uint16_t port_id)
    int rte_eth_dev_get_port_by_name(const char *name, uint16_t *port_id)
    int rte_eth_dev_get_name_by_port(uint16_t port_id, char *name)
    int rte_eth_iterator_init(rte_dev_iterator *iter, const char *devargs)
    uint16_t rte_eth_iterator_next(rte_dev_iterator *iter)
    void rte_eth_iterator_cleanup(rte_dev_iterator *iter)
    int rte_eth_dev_socket_id(uint16_t port_id)
    int rte_eth_dev_is_removed(uint16_t port_id)
    int rte_eth_dev_info_get(uint16_t port_id, rte_eth_dev_info *dev_info)

    # Life of a port
    int rte_eth_dev_configure(uint16_t port_id, uint16_t nb_rx_queue, uint16_t nb_tx_queue,
                              const rte_eth_conf *eth_conf)
    int rte_eth_dev_adjust_nb_rx_tx_desc(uint16_t port_id, uint16_t *nb_rx_desc, uint16_t *nb_tx_desc)
    int rte_eth_rx_queue_setup(uint16_t port_id, uint16_t rx_queue_id, uint16_t nb_rx_desc, unsigned int socket_id,
                               const rte_eth_rxconf *rx_conf, rte_mempool *mb_pool)
    int rte_eth_tx_queue_setup(uint16_t port_id, uint16_t tx_queue_id, uint16_t nb_tx_desc, unsigned int socket_id,
                               const rte_eth_txconf *tx_conf)
    int rte_eth_dev_start(uint16_t port_id)
    int rte_eth_dev_stop(uint16_t port_id)
    int rte_eth_dev_close(uint16_t port_id)
    int rte_eth_dev_reset(uint16_t port_id)
    int rte_eth_rx_metadata_negotiate(uint16_t port_id, uint64_t *features)

    # What it receives, and how
    int rte_eth_promiscuous_enable(uint16_t port_id)
    int rte_eth_promiscuous_disable(uint16_t port_id)
    int rte_eth_promiscuous_get(uint16_t port_id)
    int rte_eth_allmulticast_enable(uint16_t port_id)
    int rte_eth_allmulticast_disable(uint16_t port_id)
    int rte_eth_allmulticast_get(uint16_t port_id)
    int rte_eth_macaddr_get(uint16_t port_id, rte_ether_addr *mac_addr)
    int rte_eth_dev_fw_version_get(uint16_t port_id, char *fw_version, size_t fw_size)
    int rte_eth_dev_get_mtu(uint16_t port_id, uint16_t *mtu)
    int rte_eth_dev_set_mtu(uint16_t port_id, uint16_t mtu)
    int rte_eth_dev_rss_hash_update(uint16_t port_id, rte_eth_rss_conf *rss_conf)
    int rte_eth_dev_rss_hash_conf_get(uint16_t port_id, rte_eth_rss_conf *rss_conf)
    int rte_eth_dev_rss_reta_update(uint16_t port_id, rte_eth_rss_reta_entry64 *reta_conf, uint16_t reta_size)
    int rte_eth_dev_rss_reta_query(uint16_t port_id, rte_eth_rss_reta_entry64 *reta_conf, uint16_t reta_size)

    # Link and statistics
    int rte_eth_link_get_nowait(uint16_t port_id, rte_eth_link *link)
    int rte_eth_dev_set_link_up(uint16_t port_id)
    int rte_eth_dev_set_link_down(uint16_t port_id)
    int rte_eth_stats_get(uint16_t port_id, rte_eth_stats *stats)
    int rte_eth_stats_reset(uint16_t port_id)
    int rte_eth_xstats_get_names(uint16_t port_id, rte_eth_xstat_name *xstats_names, unsigned int size)
    int rte_eth_xstats_get(uint16_t port_id, rte_eth_xstat *xstats, unsigned int n)
    int rte_eth_xstats_reset(uint16_t port_id)

    # Hairpin: a queue pair that the NIC joins by itself
    int rte_eth_dev_hairpin_capability_get(uint16_t port_id, rte_eth_hairpin_cap *cap)
    int rte_eth_rx_hairpin_queue_setup(uint16_t port_id, uint16_t rx_queue_id, uint16_t nb_rx_desc,
                                       const rte_eth_hairpin_conf *conf)
    int rte_eth_tx_hairpin_queue_setup(uint16_t port_id, uint16_t tx_queue_id, uint16_t nb_tx_desc,
                                       const rte_eth_hairpin_conf *conf)
    int rte_eth_hairpin_bind(uint16_t tx_port, uint16_t rx_port)
    int rte_eth_hairpin_unbind(uint16_t tx_port, uint16_t rx_port)
    int rte_eth_hairpin_get_peer_ports(uint16_t port_id, uint16_t *peer_ports, size_t n, uint32_t direction)

    # Events
    int rte_eth_dev_callback_register(uint16_t port_id, rte_eth_event_type event, rte_eth_dev_cb_fn cb_fn,
                                      void *cb_arg)
    int rte_eth_dev_callback_unregister(uint16_t port_id, rte_eth_event_type event, rte_eth_dev_cb_fn cb_fn,
                                        void *cb_arg)

    # Packets
    uint16_t rte_eth_rx_burst(uint16_t port_id, uint16_t queue_id, rte_mbuf **rx_pkts, const uint16_t nb_pkts)
    uint16_t rte_eth_tx_burst(uint16_t port_id, uint16_t queue_id, rte_mbuf **tx_pkts, uint16_t nb_pkts)
    uint16_t rte_eth_tx_prepare(uint16_t port_id, uint16_t queue_id, rte_mbuf **tx_pkts, uint16_t nb_pkts)
    int rte_eth_rx_queue_count(uint16_t port_id, uint16_t queue_id)
