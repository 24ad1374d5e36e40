/* A DPDK port of another driver at the far end of a wire: net_tap, net_af_packet, net_pcap, net_ring, ... It is set up and
 * run by the emulated port alone, which owns it. */
#include <errno.h>
#include <string.h>

#include <rte_errno.h>

#include "nicsim.h"

#define N_DESCRIPTORS 256
#define N_BUFFERS     1023
#define GONE          RTE_MAX_ETHPORTS

#define name_of(port) ((port)->dev->data->name)

static bool
is_there(const struct nicsim_far *far)
{
    return far->port_id != GONE;
}

/* Somebody removed it: the cable is out. Called for every port of the process: a callback cannot be taken back while it
 * runs, and one that stays with a number would meet the next port of that number. */
static int
on_destroy(uint16_t port_id, enum rte_eth_event_type event, void *opaque, void *result)
{
    struct nicsim_port *port = nicsim_port_by_far(port_id);

    if (!port) {
        return 0;
    }
    nicsim_lock(port);
    port->far.port_id = GONE;
    nicsim_unlock(port);
    NICSIM_LOG(WARNING, "%s: the port %s at the far end of its wire was removed", name_of(port), port->far.name);
    nicsim_port_set_link(port, false);
    nicsim_port_unref(port);
    return 0;
}

static int
take_ownership(struct nicsim_port *port, uint16_t port_id)
{
    struct rte_eth_dev_owner owner = {0};
    int rc = rte_eth_dev_owner_new(&owner.id);

    snprintf(owner.name, sizeof owner.name, "wire of %.40s", name_of(port));
    return rc ? rc : rte_eth_dev_owner_set(port_id, &owner);
}

int
nicsim_far_port_open(struct nicsim_port *port)
{
    struct rte_eth_dev_info info;
    uint16_t port_id;

    port->far.port_id = GONE;
    if (rte_eth_dev_get_port_by_name(port->far.name, &port_id) || rte_eth_dev_info_get(port_id, &info)) {
        NICSIM_LOG(ERR, "%s: there is no port %s for its wire; plug that one in first", name_of(port), port->far.name);
        return ENODEV;
    }
    if (info.driver_name && strcmp(info.driver_name, NICSIM_NAME) == 0) {
        NICSIM_LOG(ERR, "%s: %s is an emulated port too; join the two with the same wire=ring:NAME", name_of(port),
                   port->far.name);
        return EINVAL;
    }
    if (take_ownership(port, port_id)) {
        NICSIM_LOG(ERR, "%s: the port %s is in use by another owner", name_of(port), port->far.name);
        return EBUSY;
    }
    port->far.port_id = port_id;
    /* The same one again is not a second one. */
    rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_DESTROY, on_destroy, NULL);
    return 0;
}

static struct rte_mempool *
make_pool(const struct nicsim_port *port, uint32_t max_length)
{
    uint32_t room = RTE_MAX(max_length, (uint32_t) RTE_MBUF_DEFAULT_DATAROOM) + RTE_PKTMBUF_HEADROOM;
    char name[RTE_MEMPOOL_NAMESIZE];

    snprintf(name, sizeof name, "nicsim_wire_%u", port->uid);
    return rte_pktmbuf_pool_create(name, N_BUFFERS, 0, 0, RTE_MIN(room, (uint32_t) UINT16_MAX), SOCKET_ID_ANY);
}

static int
set_up(struct nicsim_port *port)
{
    struct nicsim_far *far = &port->far;
    struct rte_eth_conf conf = {0};
    uint16_t mtu = RTE_ETHER_MTU;
    int rc;

    rte_eth_dev_get_mtu(far->port_id, &mtu);
    far->max_length = mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN;
    far->pool = make_pool(port, far->max_length);
    if (!far->pool) {
        return -ENOMEM;
    }
    conf.rxmode.mtu = mtu;
    rc = rte_eth_dev_configure(far->port_id, 1, 1, &conf);
    if (rc == 0) {
        rc = rte_eth_rx_queue_setup(far->port_id, 0, N_DESCRIPTORS, SOCKET_ID_ANY, NULL, far->pool);
    }
    if (rc == 0) {
        rc = rte_eth_tx_queue_setup(far->port_id, 0, N_DESCRIPTORS, SOCKET_ID_ANY, NULL);
    }
    far->is_set_up = rc == 0;
    return rc;
}

int
nicsim_far_port_start(struct nicsim_port *port)
{
    struct nicsim_far *far = &port->far;
    int rc = 0;

    if (!is_there(far)) {
        NICSIM_LOG(ERR, "%s: the port %s at the far end of its wire is gone", name_of(port), far->name);
        return ENODEV;
    }
    if (!far->is_set_up) {
        rc = set_up(port);
    }
    if (rc == 0) {
        rc = rte_eth_dev_start(far->port_id);
    }
    if (rc) {
        NICSIM_LOG(ERR, "%s: the port %s at the far end of its wire does not start: %s", name_of(port), far->name,
                   strerror(-rc));
        return -rc;
    }
    /* Not every driver has it; those without receive all there is. */
    rte_eth_promiscuous_enable(far->port_id);
    return 0;
}

void
nicsim_far_port_stop(struct nicsim_port *port)
{
    if (is_there(&port->far) && port->far.is_set_up) {
        rte_eth_dev_stop(port->far.port_id);
    }
}

void
nicsim_far_port_close(struct nicsim_port *port)
{
    struct nicsim_far *far = &port->far;

    if (is_there(far)) {
        uint16_t port_id = far->port_id;

        nicsim_far_port_stop(port);
        far->port_id = GONE;
        rte_eth_dev_close(port_id);
    }
    rte_mempool_free(far->pool);
    far->pool = NULL;
}

bool
nicsim_far_port_out(struct nicsim_port *port, const uint8_t *data, uint32_t length)
{
    struct nicsim_far *far = &port->far;
    struct rte_mbuf *m;
    char *room;

    if (!is_there(far) || length > far->max_length) {
        return false;
    }
    m = rte_pktmbuf_alloc(far->pool);
    if (!m) {
        return false;
    }
    room = rte_pktmbuf_append(m, length);
    if (room) {
        rte_memcpy(room, data, length);
        if (rte_eth_tx_burst(far->port_id, 0, &m, 1) == 1) {
            return true;
        }
    }
    rte_pktmbuf_free(m);
    return false;
}

uint32_t
nicsim_far_port_poll(struct nicsim_port *port)
{
    struct rte_mbuf *frames[NICSIM_BURST];
    struct nicsim_packet packets[NICSIM_BURST];
    uint32_t n = 0, whole = 0;

    nicsim_lock(port);
    if (port->is_started && is_there(&port->far)) {
        n = rte_eth_rx_burst(port->far.port_id, 0, frames, NICSIM_BURST);
    }
    for (uint32_t i = 0; i < n; i++) {
        /* Its buffers hold what its MTU allows; one in pieces is longer. */
        if (rte_pktmbuf_linearize(frames[i]) == 0) {
            packets[whole].data = rte_pktmbuf_mtod(frames[i], const uint8_t *);
            packets[whole++].length = frames[i]->pkt_len;
        } else {
            port->counters.wire_in++;
            port->counters.nic_dropped[NICSIM_DROP_TOO_LONG]++;
        }
    }
    if (whole) {
        nicsim_pipeline(port, packets, whole);
    }
    nicsim_unlock(port);
    if (n) {
        rte_pktmbuf_free_bulk(frames, n);
    }
    return n;
}
