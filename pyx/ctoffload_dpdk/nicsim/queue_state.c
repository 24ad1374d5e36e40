/* What is asked of single queues: start, stop, how full, how set up. */
#include <errno.h>
#include <stdio.h>

#include <rte_mbuf_ptype.h>

#include "nicsim.h"

static void
set_rx(struct rte_eth_dev *dev, uint16_t index, bool stopped)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    port->rxq[index]->is_stopped = stopped;
    if (stopped) {
        nicsim_rxq_drain(port->rxq[index]);
    }
    nicsim_unlock(port);
    dev->data->rx_queue_state[index] = stopped ? RTE_ETH_QUEUE_STATE_STOPPED : RTE_ETH_QUEUE_STATE_STARTED;
}

int
nicsim_rx_queue_start(struct rte_eth_dev *dev, uint16_t index)
{
    set_rx(dev, index, false);
    return 0;
}

int
nicsim_rx_queue_stop(struct rte_eth_dev *dev, uint16_t index)
{
    set_rx(dev, index, true);
    return 0;
}

static void
set_tx(struct rte_eth_dev *dev, uint16_t index, bool stopped)
{
    atomic_store(&nicsim_port_of(dev)->txq[index]->is_stopped, stopped);
    dev->data->tx_queue_state[index] = stopped ? RTE_ETH_QUEUE_STATE_STOPPED : RTE_ETH_QUEUE_STATE_STARTED;
}

int
nicsim_tx_queue_start(struct rte_eth_dev *dev, uint16_t index)
{
    set_tx(dev, index, false);
    return 0;
}

int
nicsim_tx_queue_stop(struct rte_eth_dev *dev, uint16_t index)
{
    set_tx(dev, index, true);
    return 0;
}

/* Queues start with their port, except those that were set up to wait. */
void
nicsim_queues_start(struct rte_eth_dev *dev)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++) {
        if (port->rxq[i] && !port->rxq[i]->hairpin.is_one) {
            set_rx(dev, i, port->rxq[i]->is_deferred);
        }
    }
    for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++) {
        if (port->txq[i] && !port->txq[i]->hairpin.is_one) {
            set_tx(dev, i, port->txq[i]->is_deferred);
        }
    }
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int
#else
uint32_t
#endif
nicsim_rx_queue_count(void *opaque)
{
    return nicsim_rxq_pending(opaque);
}

int
nicsim_rx_descriptor_status(void *opaque, uint16_t offset)
{
    const struct nicsim_rxq *queue = opaque;

    if (offset >= queue->n_desc) {
        return -EINVAL;
    }
    return offset < nicsim_rxq_pending(queue) ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

/* What is sent is on the wire when the call returns. */
int
nicsim_tx_descriptor_status(void *opaque, uint16_t offset)
{
    const struct nicsim_txq *queue = opaque;

    return offset >= queue->n_desc ? -EINVAL : RTE_ETH_TX_DESC_DONE;
}

void
nicsim_rxq_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_rxq_info *info)
{
    const struct nicsim_rxq *queue = nicsim_port_of(dev)->rxq[index];

    info->mp = queue->pool;
    info->nb_desc = queue->n_desc;
    info->scattered_rx = queue->scatter;
    info->rx_buf_size = queue->room;
    info->conf.offloads = queue->offloads;
    info->conf.rx_deferred_start = queue->is_deferred;
}

void
nicsim_txq_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_txq_info *info)
{
    const struct nicsim_txq *queue = nicsim_port_of(dev)->txq[index];

    info->nb_desc = queue->n_desc;
    info->conf.tx_deferred_start = queue->is_deferred;
}

int
nicsim_burst_mode(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode)
{
    snprintf(mode->info, sizeof mode->info, "Scalar, emulated");
    return 0;
}

static const uint32_t ptypes[] = {
    RTE_PTYPE_L2_ETHER,
    RTE_PTYPE_L3_IPV4_EXT_UNKNOWN,
    RTE_PTYPE_L3_IPV6_EXT_UNKNOWN,
    RTE_PTYPE_L4_FRAG,
    RTE_PTYPE_L4_TCP,
    RTE_PTYPE_L4_UDP,
    RTE_PTYPE_UNKNOWN,
};

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
const uint32_t *
nicsim_ptypes(struct rte_eth_dev *dev, size_t *n)
{
    *n = RTE_DIM(ptypes) - 1;
    return ptypes;
}
#else
const uint32_t *
nicsim_ptypes(struct rte_eth_dev *dev)
{
    return ptypes;
}
#endif

int
nicsim_firmware_version(struct rte_eth_dev *dev, char *text, size_t size)
{
    int n = snprintf(text, size, "nicsim, controls %d", NICSIM_CTL_VERSION);

    return n < 0 ? -EINVAL : (size_t) n >= size ? n + 1 : 0;
}
