/* Spreading over queues: the port's table of 128 entries, and the sets of queues that rules name. */
#include <errno.h>

#include "nicsim.h"

static bool
same_set(const struct nicsim_rss *set, const struct rte_flow_action_rss *rss)
{
    return set->n_rules && set->n == rss->queue_num &&
           memcmp(set->queues, rss->queue, rss->queue_num * sizeof *rss->queue) == 0;
}

int
nicsim_rss_use(struct nicsim_port *port, const struct rte_flow_action_rss *rss, uint16_t *index)
{
    int free_index = -1;

    for (int i = NICSIM_MAX_RSS - 1; i >= 0; i--) {
        if (same_set(&port->rss[i], rss)) {
            port->rss[i].n_rules++;
            *index = i;
            return 0;
        }
        if (port->rss[i].n_rules == 0) {
            free_index = i;
        }
    }
    if (free_index < 0) {
        return ENOSPC;
    }
    port->rss[free_index].n_rules = 1;
    port->rss[free_index].n = rss->queue_num;
    memcpy(port->rss[free_index].queues, rss->queue, rss->queue_num * sizeof *rss->queue);
    *index = free_index;
    return 0;
}

void
nicsim_rss_unuse(struct nicsim_port *port, uint16_t index)
{
    port->rss[index].n_rules--;
}

void
nicsim_reta_reset(struct nicsim_port *port, bool spread)
{
    for (uint16_t i = 0; i < NICSIM_RETA_SIZE; i++) {
        port->reta[i] = spread && port->n_rxq ? i % port->n_rxq : 0;
    }
}

int
nicsim_reta_update(struct rte_eth_dev *dev, struct rte_eth_rss_reta_entry64 *conf, uint16_t size)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (size != NICSIM_RETA_SIZE) {
        return -EINVAL;
    }
    nicsim_lock(port);
    for (uint16_t i = 0; i < size; i++) {
        const struct rte_eth_rss_reta_entry64 *part = &conf[i / RTE_ETH_RETA_GROUP_SIZE];
        uint16_t bit = i % RTE_ETH_RETA_GROUP_SIZE;

        if ((part->mask >> bit) & 1) {
            port->reta[i] = part->reta[bit];
        }
    }
    nicsim_unlock(port);
    return 0;
}

int
nicsim_reta_query(struct rte_eth_dev *dev, struct rte_eth_rss_reta_entry64 *conf, uint16_t size)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (size != NICSIM_RETA_SIZE) {
        return -EINVAL;
    }
    nicsim_lock(port);
    for (uint16_t i = 0; i < size; i++) {
        conf[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = port->reta[i];
    }
    nicsim_unlock(port);
    return 0;
}

/* The hash is the NIC's own, symmetric; a key is kept and handed back, as ethdev wants, but changes nothing. */
int
nicsim_rss_hash_update(struct rte_eth_dev *dev, struct rte_eth_rss_conf *conf)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    if (conf->rss_key && conf->rss_key_len != NICSIM_RSS_KEY_SIZE) {
        return -EINVAL;
    }
    nicsim_lock(port);
    port->rss_hf = conf->rss_hf;
    if (conf->rss_key) {
        memcpy(port->rss_key, conf->rss_key, NICSIM_RSS_KEY_SIZE);
    }
    nicsim_unlock(port);
    return 0;
}

int
nicsim_rss_hash_get(struct rte_eth_dev *dev, struct rte_eth_rss_conf *conf)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    nicsim_lock(port);
    conf->rss_hf = port->rss_hf;
    if (conf->rss_key && conf->rss_key_len >= NICSIM_RSS_KEY_SIZE) {
        memcpy(conf->rss_key, port->rss_key, NICSIM_RSS_KEY_SIZE);
        conf->rss_key_len = NICSIM_RSS_KEY_SIZE;
    }
    nicsim_unlock(port);
    return 0;
}
