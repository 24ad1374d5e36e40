/* The host's queues: receiving takes from a ring, sending puts on the wire. */
#include <errno.h>
#include <stdlib.h>

#include "nicsim.h"

uint16_t
nicsim_rx_burst(void *opaque, struct rte_mbuf **packets, uint16_t n)
{
    struct nicsim_rxq *queue = opaque;
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed), ready;
    uint64_t bytes = 0;

    if (nicsim_fault_in_burst(queue->port, NICSIM_CALL_RX)) {
        return 0;
    }
    if (queue->port->far.kind != NICSIM_FAR_PYTHON) {
        nicsim_far_poll(queue->port);
    }
    ready = atomic_load_explicit(&queue->head, memory_order_acquire) - tail;
    if (n > ready) {
        n = ready;
    }
    for (uint16_t i = 0; i < n; i++) {
        packets[i] = queue->ring[(tail + i) & queue->mask];
        bytes += packets[i]->pkt_len;
    }
    atomic_store_explicit(&queue->tail, tail + n, memory_order_release);
    atomic_fetch_add_explicit(&queue->n_packets, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&queue->n_bytes, bytes, memory_order_relaxed);
    return n;
}

/* The bytes of an mbuf in one piece; `flat` has room for those of several. */
static const uint8_t *
in_one_piece(const struct rte_mbuf *m, uint8_t *flat)
{
    return rte_pktmbuf_read(m, 0, m->pkt_len, flat);
}

static void
send_to_wire(struct nicsim_port *port, struct rte_mbuf **packets, uint16_t n)
{
    uint8_t flat[NICSIM_MAX_FRAME];
    struct nicsim_packet packet;

    nicsim_lock(port);
    for (uint16_t i = 0; i < n; i++) {
        packet.length = packets[i]->pkt_len;
        packet.data = packet.length <= sizeof flat ? in_one_piece(packets[i], flat) : NULL;
        port->counters.host_tx++;
        if (!packet.data) {
            port->counters.wire_out_dropped++;
        } else if (!nicsim_pipeline_from_host(port, &packet)) {
            nicsim_wire_out(port, packet.data, packet.length);
        }
    }
    nicsim_unlock(port);
}

/* The wire's far end is this port itself. */
static void
send_to_self(struct nicsim_port *port, struct rte_mbuf **packets, uint16_t n)
{
    uint8_t flat[NICSIM_MAX_FRAME];
    struct nicsim_packet packet;

    nicsim_lock(port);
    for (uint16_t i = 0; i < n; i++) {
        packet.length = packets[i]->pkt_len;
        packet.data = packet.length <= sizeof flat ? in_one_piece(packets[i], flat) : NULL;
        port->counters.host_tx++;
        if (packet.data && nicsim_port_passes(port)) {
            port->counters.wire_out++;
            nicsim_pipeline(port, &packet, 1);
        } else {
            port->counters.wire_out_dropped++;
        }
    }
    nicsim_unlock(port);
}

uint16_t
nicsim_tx_burst(void *opaque, struct rte_mbuf **packets, uint16_t n)
{
    struct nicsim_txq *queue = opaque;
    uint64_t bytes = 0;

    if (nicsim_fault_in_burst(queue->port, NICSIM_CALL_TX) ||
        atomic_load_explicit(&queue->is_stopped, memory_order_relaxed)) {
        return 0;
    }
    for (uint16_t i = 0; i < n; i++) {
        bytes += packets[i]->pkt_len;
    }
    if (queue->port->config.loopback) {
        send_to_self(queue->port, packets, n);
    } else {
        send_to_wire(queue->port, packets, n);
    }
    rte_pktmbuf_free_bulk(packets, n);
    atomic_fetch_add_explicit(&queue->n_packets, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&queue->n_bytes, bytes, memory_order_relaxed);
    return n;
}

int
nicsim_rx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc, unsigned int socket,
                      const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_rxq *queue = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof *queue);
    uint32_t n_slots = rte_align32pow2(n_desc);

    if (!queue) {
        return -ENOMEM;
    }
    memset(queue, 0, sizeof *queue);
    queue->ring = calloc(n_slots, sizeof(struct rte_mbuf *));
    if (!queue->ring) {
        free(queue);
        return -ENOMEM;
    }
    queue->port = port;
    queue->pool = pool;
    queue->mask = n_slots - 1;
    queue->index = index;
    queue->n_desc = n_desc;
    queue->is_deferred = conf->rx_deferred_start;
    queue->room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
    queue->offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
    queue->scatter = (queue->offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
    nicsim_lock(port);
    port->rxq[index] = queue;
    nicsim_unlock(port);
    dev->data->rx_queues[index] = queue;
    return 0;
}

int
nicsim_tx_queue_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc, unsigned int socket,
                      const struct rte_eth_txconf *conf)
{
    struct nicsim_txq *queue = calloc(1, sizeof *queue);

    if (!queue) {
        return -ENOMEM;
    }
    queue->port = nicsim_port_of(dev);
    queue->index = index;
    queue->n_desc = n_desc;
    queue->is_deferred = conf->tx_deferred_start;
    nicsim_lock(queue->port);
    queue->port->txq[index] = queue;
    nicsim_unlock(queue->port);
    dev->data->tx_queues[index] = queue;
    return 0;
}

uint32_t
nicsim_rxq_pending(const struct nicsim_rxq *queue)
{
    return atomic_load(&queue->head) - atomic_load(&queue->tail);
}

void
nicsim_rxq_drain(struct nicsim_rxq *queue)
{
    uint32_t tail = atomic_load(&queue->tail), n = nicsim_rxq_pending(queue);

    for (uint32_t i = 0; i < n; i++) {
        rte_pktmbuf_free(queue->ring[(tail + i) & queue->mask]);
    }
    atomic_store(&queue->tail, tail + n);
    queue->port->counters.host_rx -= n;
    queue->port->counters.nic_dropped[NICSIM_DROP_NOT_STARTED] += n;
}

void
nicsim_rx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
    struct nicsim_rxq *queue = dev->data->rx_queues[index];

    if (!queue) {
        return;
    }
    nicsim_lock(queue->port);
    nicsim_rxq_drain(queue);
    queue->port->rxq[index] = NULL;
    nicsim_unlock(queue->port);
    dev->data->rx_queues[index] = NULL;
    free(queue->ring);
    free(queue);
}

void
nicsim_tx_queue_release(struct rte_eth_dev *dev, uint16_t index)
{
    struct nicsim_txq *queue = dev->data->tx_queues[index];

    if (!queue) {
        return;
    }
    nicsim_lock(queue->port);
    queue->port->txq[index] = NULL;
    nicsim_unlock(queue->port);
    dev->data->tx_queues[index] = NULL;
    free(queue);
}
