/* The first port of a switch is the transfer proxy of all: through it the rules of the E-Switch are made. */
#include <errno.h>

#include "nicsim.h"

static const struct nicsim_port *
proxy_of(const struct nicsim_switch *sw)
{
    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        if (sw->ports[slot]) {
            return sw->ports[slot];
        }
    }
    return NULL;
}

static bool
has_order(const struct nicsim_port *port)
{
    return port->config.manners[NICSIM_PROXY_ORDER] && port->sw->id >= 0;
}

int
nicsim_proxy_check_start(const struct nicsim_port *port)
{
    const struct nicsim_port *proxy = proxy_of(port->sw);

    if (!has_order(port) || proxy == port || proxy->is_started || !proxy->sizes.is_configured) {
        return 0;
    }
    NICSIM_LOG(ERR, "port %u cannot start: the transfer proxy, port %u, starts first", port->port_id, proxy->port_id);
    return EAGAIN;
}

int
nicsim_proxy_check_stop(const struct nicsim_port *port)
{
    if (!has_order(port) || proxy_of(port->sw) != port) {
        return 0;
    }
    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        const struct nicsim_port *other = port->sw->ports[slot];

        if (other && other != port && other->is_started) {
            NICSIM_LOG(ERR, "port %u cannot stop: it is the transfer proxy, and port %u still runs", port->port_id,
                       other->port_id);
            return EBUSY;
        }
    }
    return 0;
}

int
nicsim_proxy_pick(struct rte_eth_dev *dev, uint16_t *proxy, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc = 0;

    nicsim_lock(port);
    if (port->config.manners[NICSIM_PROXY_NEEDS_SWITCH] && port->sw->id < 0) {
        rc = rte_flow_error_set(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
                                "a port outside of an E-Switch has no transfer proxy");
    } else {
        *proxy = proxy_of(port->sw)->port_id;
    }
    nicsim_unlock(port);
    return rc;
}
