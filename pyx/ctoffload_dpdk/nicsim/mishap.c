/* What happens to a port without its host's doing: it fails and waits for a reset, it is pulled out. */
#include <errno.h>

#include "nicsim.h"

/* Rules and objects go, packets no longer pass. What lies in the host's rings is in its own memory: it can be read. */
static void
lose_all(struct nicsim_port *port)
{
    port->is_started = false;
    nicsim_flow_queues_drain(port, false);
    nicsim_rules_clear(port, true);
    nicsim_objects_clear(port);
}

int
nicsim_port_break(struct nicsim_port *port)
{
    struct rte_eth_dev *dev;

    nicsim_lock(port);
    dev = port->is_unplugged ? NULL : port->dev;
    if (dev) {
        lose_all(port);
        port->needs_reset = true;
        nicsim_publish_link(dev, port);
    }
    nicsim_unlock(port);
    if (!dev) {
        return -ENODEV;
    }
    rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_RESET, NULL);
    return 0;
}

int
nicsim_port_unplug(struct nicsim_port *port)
{
    struct rte_eth_dev *dev;

    nicsim_lock(port);
    dev = port->is_unplugged ? NULL : port->dev;
    if (dev) {
        lose_all(port);
        nicsim_rules_forget_port(port->sw, port);
        port->is_unplugged = true;
        nicsim_publish_link(dev, port);
    }
    nicsim_unlock(port);
    if (!dev) {
        return -ENODEV;
    }
    if (dev->data->dev_conf.intr_conf.rmv) {
        rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_RMV, NULL);
    }
    return 0;
}
