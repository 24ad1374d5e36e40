/* The port as ethdev sees it: what it can do, its life, its link, its statistics. */
#include <errno.h>

#include "nicsim.h"
#include "profile.h"

static const uint64_t RSS_OFFLOADS = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
static const uint64_t RX_OFFLOADS =
    RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH | RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t TX_OFFLOADS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

bool
nicsim_port_passes(const struct nicsim_port *port)
{
    return port && port->is_started && port->is_link_up;
}

/* Why the port can be neither set up nor started; 0 where it can. */
static int
out_of_order(const struct nicsim_port *port)
{
    return port->is_unplugged ? ENODEV : port->needs_reset ? EIO : 0;
}

static int
infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
    const struct nicsim_port *port = nicsim_port_of(dev);

    info->max_mac_addrs = NICSIM_MAX_ADDRESSES;
    info->max_rx_pktlen = NICSIM_MAX_FRAME;
    info->min_rx_bufsize = 1; /* a buffer without room would never hold a packet, however many are chained */
    info->max_rx_queues = port->config.queues;
    info->max_tx_queues = port->config.queues;
    info->min_mtu = RTE_ETHER_MIN_MTU;
    info->max_mtu = NICSIM_MAX_FRAME - RTE_ETHER_HDR_LEN - 2 * RTE_VLAN_HLEN;
    info->reta_size = NICSIM_RETA_SIZE;
    info->hash_key_size = NICSIM_RSS_KEY_SIZE;
    info->flow_type_rss_offloads = RSS_OFFLOADS;
    info->rx_offload_capa = RX_OFFLOADS;
    info->rx_queue_offload_capa = RX_OFFLOADS;
    info->tx_offload_capa = TX_OFFLOADS;
    info->tx_queue_offload_capa = TX_OFFLOADS;
    info->default_rxportconf.ring_size = 1024;
    info->default_txportconf.ring_size = 1024;
    info->rx_desc_lim = (struct rte_eth_desc_lim){.nb_max = 32768, .nb_min = 1, .nb_align = 1};
    info->tx_desc_lim = (struct rte_eth_desc_lim){.nb_max = 32768, .nb_min = 1, .nb_align = 1};
    info->speed_capa = RTE_ETH_LINK_SPEED_100G;
    /* Rules go with a stop, indirect objects stay, as on the NICs this one stands in for. */
    info->dev_capa = RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP;
    info->switch_info.name = port->sw->id < 0 ? "nicsim" : NICSIM_NAME;
    info->switch_info.domain_id = port->sw->id < 0 ? RTE_ETH_DEV_SWITCH_DOMAIN_ID_INVALID : port->sw->id;
    info->switch_info.port_id = port->slot;
    return 0;
}

static int
configure(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    const struct rte_eth_rss_conf *rss = &dev->data->dev_conf.rx_adv_conf.rss_conf;
    int error;

    nicsim_lock(port);
    error = nicsim_fault_take(port, NICSIM_CALL_CONFIGURE);
    if (!error) {
        error = out_of_order(port);
    }
    if (!error) {
        port->n_rxq = dev->data->nb_rx_queues;
        nicsim_reta_reset(port, (dev->data->dev_conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0);
        if (rss->rss_hf) {
            port->rss_hf = rss->rss_hf;
        }
        if (rss->rss_key && rss->rss_key_len == NICSIM_RSS_KEY_SIZE) {
            nicsim_rss_key_set(port, rss->rss_key);
        }
    }
    nicsim_unlock(port);
    return -error;
}

void
nicsim_publish_link(struct rte_eth_dev *dev, const struct nicsim_port *port)
{
    struct rte_eth_link link = dev->data->dev_link;

    link.link_status = nicsim_port_passes(port) ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    rte_eth_linkstatus_set(dev, &link);
}

static void
set_queues_stopped(struct rte_eth_dev *dev)
{
    for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
        if (dev->data->rx_queue_state[i] != RTE_ETH_QUEUE_STATE_HAIRPIN) {
            dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
        }
    }
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
        if (dev->data->tx_queue_state[i] != RTE_ETH_QUEUE_STATE_HAIRPIN) {
            dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
        }
    }
}

/* META reaches the host where the application asked for it before the start. */
static void
find_meta(struct nicsim_port *port)
{
    port->meta_offset = rte_flow_dynf_metadata_avail() ? rte_flow_dynf_metadata_offs : -1;
    port->meta_flag = rte_flow_dynf_metadata_mask;
}

static int
start(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int error;

    nicsim_lock(port);
    error = nicsim_fault_take(port, NICSIM_CALL_START);
    if (!error) {
        error = out_of_order(port);
    }
    nicsim_unlock(port);
    if (!error) {
        error = nicsim_far_start(port);
    }
    nicsim_lock(port);
    if (!error) {
        error = nicsim_proxy_check_start(port);
    }
    if (!error) {
        error = nicsim_hairpin_start(port);
    }
    port->is_started = error == 0;
    find_meta(port);
    nicsim_publish_link(dev, port);
    nicsim_unlock(port);
    if (error) {
        return -error;
    }
    nicsim_queues_start(dev);
    nicsim_aged_set_timer(port->sw);
    return 0;
}

/* Rules do not survive a stop; nor does what the host did not read. */
static int
stop(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int error;

    nicsim_lock(port);
    error = nicsim_fault_take(port, NICSIM_CALL_STOP);
    if (!error) {
        error = nicsim_proxy_check_stop(port);
    }
    if (error) {
        nicsim_unlock(port);
        return -error;
    }
    nicsim_flow_queues_drain(port, true);
    port->is_started = false;
    nicsim_hairpin_stop(port);
    nicsim_rules_clear(port, true);
    for (uint16_t i = 0; i < NICSIM_MAX_QUEUES; i++) {
        if (port->rxq[i]) {
            nicsim_rxq_drain(port->rxq[i]);
        }
    }
    nicsim_publish_link(dev, port);
    nicsim_unlock(port);
    nicsim_far_stop(port);
    set_queues_stopped(dev);
    return 0;
}

static int
close_port(struct rte_eth_dev *dev)
{
    struct nicsim_private *private = dev->data->dev_private;
    struct nicsim_port *port = private ? private->port : NULL;
    struct nicsim_switch *sw;

    if (!port) {
        return 0;
    }
    sw = port->sw;
    nicsim_lock(port);
    port->is_started = false;
    nicsim_unlock(port);
    nicsim_aged_set_timer(sw);
    nicsim_far_close(port);
    for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
        nicsim_rx_queue_release(dev, i);
    }
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
        nicsim_tx_queue_release(dev, i);
    }
    private->port = NULL;
    nicsim_port_leave(port);
    return 0;
}

/* As from the factory: the application configures it anew. */
static int
reset(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    if (port->is_unplugged) {
        nicsim_unlock(port);
        return -ENODEV;
    }
    nicsim_flow_queues_drain(port, true);
    nicsim_rules_clear(port, true);
    nicsim_objects_clear(port);
    nicsim_templates_clear(port);
    nicsim_flow_queues_free(port);
    nicsim_sizes_init(port);
    port->needs_reset = false;
    port->is_isolated = false;
    port->is_link_up = true;
    nicsim_unlock(port);
    return 0;
}

int
nicsim_port_set_link(struct nicsim_port *port, bool up)
{
    struct rte_eth_dev *dev;

    nicsim_lock(port);
    dev = port->dev;
    if (dev) {
        port->is_link_up = up;
        nicsim_publish_link(dev, port);
    }
    nicsim_unlock(port);
    if (!dev) {
        return -ENODEV;
    }
    rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
    return 0;
}

static int
set_link_up(struct rte_eth_dev *dev)
{
    return nicsim_port_set_link(nicsim_port_of(dev), true);
}

static int
set_link_down(struct rte_eth_dev *dev)
{
    return nicsim_port_set_link(nicsim_port_of(dev), false);
}

static int
link_update(struct rte_eth_dev *dev, int wait)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    nicsim_publish_link(dev, port);
    nicsim_unlock(port);
    return 0;
}

static int
mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    port->mtu = mtu;
    nicsim_unlock(port);
    return 0;
}

static void
queue_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
    for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
        const struct nicsim_rxq *queue = dev->data->rx_queues[i];

        stats->ipackets += queue ? atomic_load(&queue->n_packets) : 0;
        stats->ibytes += queue ? atomic_load(&queue->n_bytes) : 0;
    }
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
        const struct nicsim_txq *queue = dev->data->tx_queues[i];

        stats->opackets += queue ? atomic_load(&queue->n_packets) : 0;
        stats->obytes += queue ? atomic_load(&queue->n_bytes) : 0;
    }
}

static int
stats_fill(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    const uint64_t *now = port->counters.nic_dropped, *base = port->counters_base.nic_dropped;

    queue_stats(dev, stats);
    nicsim_lock(port);
    stats->imissed = now[NICSIM_DROP_RX_FULL] - base[NICSIM_DROP_RX_FULL];
    stats->rx_nombuf = now[NICSIM_DROP_NO_MBUF] - base[NICSIM_DROP_NO_MBUF];
    stats->ierrors = now[NICSIM_DROP_TOO_LONG] - base[NICSIM_DROP_TOO_LONG];
    stats->oerrors = port->counters.wire_out_dropped - port->counters_base.wire_out_dropped;
    nicsim_unlock(port);
    return 0;
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
static int
stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats, struct eth_queue_stats *queues)
{
    return stats_fill(dev, stats);
}
#else
static int
stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
    return stats_fill(dev, stats);
}
#endif

static int
stats_reset(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
        struct nicsim_rxq *queue = dev->data->rx_queues[i];

        if (queue) {
            atomic_store(&queue->n_packets, 0);
            atomic_store(&queue->n_bytes, 0);
        }
    }
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
        struct nicsim_txq *queue = dev->data->tx_queues[i];

        if (queue) {
            atomic_store(&queue->n_packets, 0);
            atomic_store(&queue->n_bytes, 0);
        }
    }
    nicsim_lock(port);
    port->counters_base = port->counters;
    nicsim_unlock(port);
    return 0;
}

static int
is_removed(struct rte_eth_dev *dev)
{
    return nicsim_port_of(dev)->is_unplugged;
}

static int
flow_ops_get(struct rte_eth_dev *dev, const struct rte_flow_ops **ops)
{
    *ops = nicsim_profile_ops(nicsim_port_of(dev));
    return 0;
}

const struct eth_dev_ops nicsim_dev_ops = {
    .dev_configure = configure,
    .dev_start = start,
    .dev_stop = stop,
    .dev_close = close_port,
    .dev_reset = reset,
    .is_removed = is_removed,
    .dev_set_link_up = set_link_up,
    .dev_set_link_down = set_link_down,
    .dev_infos_get = infos_get,
    .link_update = link_update,
    .promiscuous_enable = nicsim_promiscuous_enable,
    .promiscuous_disable = nicsim_promiscuous_disable,
    .allmulticast_enable = nicsim_allmulticast_enable,
    .allmulticast_disable = nicsim_allmulticast_disable,
    .mac_addr_set = nicsim_mac_set,
    .mac_addr_add = nicsim_mac_add,
    .mac_addr_remove = nicsim_mac_remove,
    .set_mc_addr_list = nicsim_groups_set,
    .mtu_set = mtu_set,
    .stats_get = stats_get,
    .stats_reset = stats_reset,
    .xstats_get = nicsim_xstats_get,
    .xstats_get_names = nicsim_xstats_names,
    .xstats_reset = stats_reset,
    .fw_version_get = nicsim_firmware_version,
    .dev_supported_ptypes_get = nicsim_ptypes,
    .rxq_info_get = nicsim_rxq_info,
    .txq_info_get = nicsim_txq_info,
    .rx_burst_mode_get = nicsim_burst_mode,
    .tx_burst_mode_get = nicsim_burst_mode,
    .rx_queue_start = nicsim_rx_queue_start,
    .rx_queue_stop = nicsim_rx_queue_stop,
    .tx_queue_start = nicsim_tx_queue_start,
    .tx_queue_stop = nicsim_tx_queue_stop,
    .rx_queue_setup = nicsim_rx_queue_setup,
    .rx_queue_release = nicsim_rx_queue_release,
    .tx_queue_setup = nicsim_tx_queue_setup,
    .tx_queue_release = nicsim_tx_queue_release,
    .hairpin_cap_get = nicsim_hairpin_cap_get,
    .rx_hairpin_queue_setup = nicsim_hairpin_rx_setup,
    .tx_hairpin_queue_setup = nicsim_hairpin_tx_setup,
    .hairpin_bind = nicsim_hairpin_bind,
    .hairpin_unbind = nicsim_hairpin_unbind,
    .hairpin_get_peer_ports = nicsim_hairpin_peer_ports,
    .rss_hash_update = nicsim_rss_hash_update,
    .rss_hash_conf_get = nicsim_rss_hash_get,
    .reta_update = nicsim_reta_update,
    .reta_query = nicsim_reta_query,
    .flow_ops_get = flow_ops_get,
};
