/* Hairpin: what a rule sends to such a receive queue leaves by the transmit queue bound to it, without the host.
 *
 * Both halves name each other. On one port they bind with the start unless they are to be bound by hand; between two ports
 * of a switch they always are, and the application says by tx_explicit that it knows. */
#include <errno.h>
#include <stdlib.h>

#include "nicsim.h"

#define MAX_DESCRIPTORS 8192

int
nicsim_hairpin_cap_get(struct rte_eth_dev *dev, struct rte_eth_hairpin_cap *cap)
{
    cap->max_nb_queues = nicsim_port_of(dev)->config.queues;
    cap->max_rx_2_tx = 1;
    cap->max_tx_2_rx = 1;
    cap->max_nb_desc = MAX_DESCRIPTORS;
    return 0;
}

static struct nicsim_port *
find_port(const struct nicsim_switch *sw, uint16_t port_id)
{
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        if (sw->ports[i] && sw->ports[i]->port_id == port_id) {
            return sw->ports[i];
        }
    }
    return NULL;
}

/* 0, or EINVAL where this pair cannot be. Locked. */
static int
check(struct nicsim_port *port, uint16_t n_peer_queues, const struct rte_eth_hairpin_conf *conf)
{
    const struct rte_eth_hairpin_peer *peer = &conf->peers[0];

    if (conf->peer_count != 1) {
        NICSIM_LOG(ERR, "port %u: a hairpin queue has one peer, not %u", port->port_id, conf->peer_count);
        return EINVAL;
    }
    if (!find_port(port->sw, peer->port)) {
        NICSIM_LOG(ERR, "port %u: its hairpin peer, port %u, is not in its switch; give both the same switch=",
                   port->port_id, peer->port);
        return EINVAL;
    }
    if (peer->port == port->port_id && peer->queue >= n_peer_queues) {
        NICSIM_LOG(ERR, "port %u: there is no queue %u for a hairpin", port->port_id, peer->queue);
        return EINVAL;
    }
    if (peer->port != port->port_id && !(conf->manual_bind && conf->tx_explicit)) {
        NICSIM_LOG(ERR, "port %u: a hairpin to port %u needs manual_bind and tx_explicit", port->port_id, peer->port);
        return EINVAL;
    }
    return 0;
}

static struct nicsim_hairpin
hairpin_of(const struct rte_eth_hairpin_conf *conf)
{
    return (struct nicsim_hairpin){
        .is_one = true,
        .manual_bind = conf->manual_bind,
        .tx_explicit = conf->tx_explicit,
        .port = conf->peers[0].port,
        .queue = conf->peers[0].queue,
    };
}

int
nicsim_hairpin_rx_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc,
                        const struct rte_eth_hairpin_conf *conf)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_rxq *queue = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof *queue);
    int error = queue ? 0 : ENOMEM;

    nicsim_lock(port);
    if (!error) {
        error = check(port, dev->data->nb_tx_queues, conf);
    }
    if (!error) {
        memset(queue, 0, sizeof *queue);
        queue->port = port;
        queue->index = index;
        queue->hairpin = hairpin_of(conf);
        port->rxq[index] = queue;
        dev->data->rx_queues[index] = queue;
    }
    nicsim_unlock(port);
    if (error) {
        free(queue);
    }
    return -error;
}

int
nicsim_hairpin_tx_setup(struct rte_eth_dev *dev, uint16_t index, uint16_t n_desc,
                        const struct rte_eth_hairpin_conf *conf)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_txq *queue = calloc(1, sizeof *queue);
    int error = queue ? 0 : ENOMEM;

    nicsim_lock(port);
    if (!error) {
        error = check(port, dev->data->nb_rx_queues, conf);
    }
    if (!error) {
        queue->port = port;
        queue->index = index;
        queue->hairpin = hairpin_of(conf);
        port->txq[index] = queue;
        dev->data->tx_queues[index] = queue;
    }
    nicsim_unlock(port);
    if (error) {
        free(queue);
    }
    return -error;
}

/* The receiving half, where it names this sending one. NULL otherwise. */
static struct nicsim_rxq *
other_half(const struct nicsim_port *port, const struct nicsim_txq *tx)
{
    const struct nicsim_port *rx_port = find_port(port->sw, tx->hairpin.port);
    struct nicsim_rxq *rx = rx_port && tx->hairpin.queue < NICSIM_MAX_QUEUES ? rx_port->rxq[tx->hairpin.queue] : NULL;
    bool fits = rx && rx->hairpin.is_one && rx->hairpin.port == port->port_id && rx->hairpin.queue == tx->index &&
                rx->hairpin.manual_bind == tx->hairpin.manual_bind &&
                rx->hairpin.tx_explicit == tx->hairpin.tx_explicit;

    return fits ? rx : NULL;
}

static int
join(struct nicsim_port *port, struct nicsim_txq *tx)
{
    struct nicsim_rxq *rx = other_half(port, tx);

    if (!rx) {
        NICSIM_LOG(ERR, "port %u: queue %u of port %u is not the other half of hairpin queue %u", port->port_id,
                   tx->hairpin.queue, tx->hairpin.port, tx->index);
        return EINVAL;
    }
    if (rx->port != port && !rx->port->is_started) {
        NICSIM_LOG(ERR, "port %u: its hairpin peer, port %u, is not started", port->port_id, tx->hairpin.port);
        return EBUSY;
    }
    tx->hairpin.slot = rx->port->slot;
    rx->hairpin.slot = port->slot;
    tx->hairpin.is_bound = true;
    rx->hairpin.is_bound = true;
    return 0;
}

static void
part(struct nicsim_port *port, struct nicsim_txq *tx)
{
    struct nicsim_rxq *rx = tx->hairpin.is_bound ? other_half(port, tx) : NULL;

    tx->hairpin.is_bound = false;
    if (rx) {
        rx->hairpin.is_bound = false;
    }
}

/* Sending half i, where it is one and its peer is rx_port (RTE_MAX_ETHPORTS: any). */
static struct nicsim_txq *
sender(const struct nicsim_port *port, int i, uint16_t rx_port)
{
    struct nicsim_txq *tx = port->txq[i];

    return tx && tx->hairpin.is_one && (rx_port == RTE_MAX_ETHPORTS || tx->hairpin.port == rx_port) ? tx : NULL;
}

static void
unbind_all(struct nicsim_port *port, uint16_t rx_port)
{
    for (int i = 0; i < NICSIM_MAX_QUEUES; i++) {
        struct nicsim_txq *tx = sender(port, i, rx_port);

        if (tx) {
            part(port, tx);
        }
    }
}

/* All or none. */
static int
bind_all(struct nicsim_port *port, uint16_t rx_port)
{
    int error = 0;

    for (int i = 0; i < NICSIM_MAX_QUEUES && !error; i++) {
        struct nicsim_txq *tx = sender(port, i, rx_port);

        if (tx && !tx->hairpin.is_bound) {
            error = join(port, tx);
        }
    }
    if (error) {
        unbind_all(port, rx_port);
    }
    return error;
}

static int
check_peer(const struct nicsim_port *port, uint16_t rx_port)
{
    return rx_port == RTE_MAX_ETHPORTS || find_port(port->sw, rx_port) ? 0 : ENODEV;
}

int
nicsim_hairpin_bind(struct rte_eth_dev *dev, uint16_t rx_port)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int error;

    nicsim_lock(port);
    error = check_peer(port, rx_port);
    if (!error) {
        error = bind_all(port, rx_port);
    }
    nicsim_unlock(port);
    return -error;
}

int
nicsim_hairpin_unbind(struct rte_eth_dev *dev, uint16_t rx_port)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int error;

    nicsim_lock(port);
    error = check_peer(port, rx_port);
    if (!error) {
        unbind_all(port, rx_port);
    }
    nicsim_unlock(port);
    return -error;
}

static bool
has_half_to(const struct nicsim_port *port, uint16_t peer, bool is_tx)
{
    for (int i = 0; i < NICSIM_MAX_QUEUES; i++) {
        const struct nicsim_rxq *rx = port->rxq[i];

        if (is_tx ? sender(port, i, peer) != NULL : rx && rx->hairpin.is_one && rx->hairpin.port == peer) {
            return true;
        }
    }
    return false;
}

int
nicsim_hairpin_peer_ports(struct rte_eth_dev *dev, uint16_t *peers, size_t n, uint32_t is_tx)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int found = 0;

    nicsim_lock(port);
    for (uint16_t peer = 0; peer < RTE_MAX_ETHPORTS && found >= 0; peer++) {
        if (has_half_to(port, peer, is_tx != 0)) {
            if ((size_t) found < n) {
                peers[found++] = peer;
            } else {
                found = -E2BIG;
            }
        }
    }
    nicsim_unlock(port);
    return found;
}

/* Queues of the host take the places of hairpin queues in the port's own spreading. */
static void
avoid_hairpins(struct nicsim_port *port)
{
    uint16_t ours[NICSIM_MAX_QUEUES], n = 0;

    for (uint16_t i = 0; i < port->n_rxq; i++) {
        if (port->rxq[i] && !port->rxq[i]->hairpin.is_one) {
            ours[n++] = i;
        }
    }
    for (uint16_t i = 0; n && i < NICSIM_RETA_SIZE; i++) {
        const struct nicsim_rxq *queue = port->rxq[port->reta[i]];

        if (queue && queue->hairpin.is_one) {
            port->reta[i] = ours[i % n];
        }
    }
}

int
nicsim_hairpin_start(struct nicsim_port *port)
{
    avoid_hairpins(port);
    for (int i = 0; i < NICSIM_MAX_QUEUES; i++) {
        struct nicsim_txq *tx = sender(port, i, RTE_MAX_ETHPORTS);
        int error = tx && !tx->hairpin.manual_bind ? join(port, tx) : 0;

        if (error) {
            unbind_all(port, RTE_MAX_ETHPORTS);
            return error;
        }
    }
    return 0;
}

void
nicsim_hairpin_stop(struct nicsim_port *port)
{
    unbind_all(port, RTE_MAX_ETHPORTS);
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        if (port->sw->ports[i]) {
            unbind_all(port->sw->ports[i], port->port_id);
        }
    }
}
