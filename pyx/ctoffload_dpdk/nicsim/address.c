/* Whose packets the port takes: its addresses, multicast groups, promiscuous. */
#include <errno.h>

#include <rte_ether.h>

#include "nicsim.h"

static bool
is_among(const struct rte_ether_addr *addresses, uint32_t n, const uint8_t *mac)
{
    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(addresses[i].addr_bytes, mac, RTE_ETHER_ADDR_LEN) == 0) {
            return true;
        }
    }
    return false;
}

bool
nicsim_is_ours(const struct nicsim_port *port, const struct nicsim_packet *packet)
{
    const struct nicsim_addresses *a = &port->addresses;
    const uint8_t *mac = packet->data;

    if (port->is_promiscuous || packet->length < RTE_ETHER_ADDR_LEN) {
        return true;
    }
    if (mac[0] & 1) {
        return a->all_multicast || rte_is_broadcast_ether_addr((const struct rte_ether_addr *) mac) ||
               is_among(a->groups, a->n_groups, mac);
    }
    return memcmp(mac, port->mac, sizeof port->mac) == 0 || is_among(a->more, RTE_DIM(a->more), mac);
}

static int
set_flag(struct rte_eth_dev *dev, bool *flag, bool on)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    *flag = on;
    nicsim_unlock(port);
    return 0;
}

int
nicsim_promiscuous_enable(struct rte_eth_dev *dev)
{
    return set_flag(dev, &nicsim_port_of(dev)->is_promiscuous, true);
}

int
nicsim_promiscuous_disable(struct rte_eth_dev *dev)
{
    return set_flag(dev, &nicsim_port_of(dev)->is_promiscuous, false);
}

int
nicsim_allmulticast_enable(struct rte_eth_dev *dev)
{
    return set_flag(dev, &nicsim_port_of(dev)->addresses.all_multicast, true);
}

int
nicsim_allmulticast_disable(struct rte_eth_dev *dev)
{
    return set_flag(dev, &nicsim_port_of(dev)->addresses.all_multicast, false);
}

int
nicsim_mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    memcpy(port->mac, mac->addr_bytes, sizeof port->mac);
    nicsim_unlock(port);
    return 0;
}

/* Place 0 is the port's own. */
int
nicsim_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *mac, uint32_t index, uint32_t pool)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (index == 0) {
        return nicsim_mac_set(dev, mac);
    }
    nicsim_lock(port);
    port->addresses.more[index - 1] = *mac;
    nicsim_unlock(port);
    return 0;
}

/* All zeroes: no packet has that address. */
void
nicsim_mac_remove(struct rte_eth_dev *dev, uint32_t index)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (index) {
        nicsim_lock(port);
        memset(&port->addresses.more[index - 1], 0, sizeof port->addresses.more[0]);
        nicsim_unlock(port);
    }
}

int
nicsim_groups_set(struct rte_eth_dev *dev, struct rte_ether_addr *groups, uint32_t n)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (n > NICSIM_MAX_GROUP_ADDRESSES) {
        return -ENOSPC;
    }
    nicsim_lock(port);
    if (n) {
        memcpy(port->addresses.groups, groups, n * sizeof *groups);
    }
    port->addresses.n_groups = n;
    nicsim_unlock(port);
    return 0;
}
