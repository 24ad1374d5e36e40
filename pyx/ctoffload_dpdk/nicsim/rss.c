/* Spreading over queues: the hash, the port's table of 128 entries, and the sets of queues that rules name. */
#include <errno.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>

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

/* The 32 bits of the key from this bit on. */
static uint32_t
key_window(const uint8_t *key, uint32_t bit)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < 5; i++) {
        bits = bits << 8 | key[bit / 8 + i];
    }
    return (uint32_t) (bits >> (8 - bit % 8));
}

void
nicsim_toeplitz_set(struct nicsim_toeplitz *toeplitz, const uint8_t key[NICSIM_RSS_KEY_SIZE])
{
    toeplitz->is_periodic = memcmp(key, key + 2, NICSIM_RSS_KEY_SIZE - 2) == 0;
    for (uint32_t at = 0; at < NICSIM_RSS_INPUT; at++) {
        for (uint32_t value = 0; value < 256; value++) {
            uint32_t sum = 0;

            for (uint32_t bit = 0; bit < 8; bit++) {
                sum ^= value & (0x80u >> bit) ? key_window(key, at * 8 + bit) : 0;
            }
            toeplitz->table[at][value] = sum;
        }
    }
}

/* Whether the ports count, and whether anything does, as the port's types of RSS say. */
static bool
takes_ports(const struct nicsim_port *port, const struct nicsim_key *key)
{
    if (!(key->bits & NICSIM_KEY_L4)) {
        return false;
    }
    return (key->proto == IPPROTO_TCP && (port->rss_hf & RTE_ETH_RSS_TCP)) ||
           (key->proto == IPPROTO_UDP && (port->rss_hf & RTE_ETH_RSS_UDP));
}

static uint32_t
hash_periodic(const struct nicsim_toeplitz *toeplitz, const struct nicsim_key *key, bool with_ports)
{
    uint64_t words[4];

    memcpy(words, key->src, sizeof words); /* and dst: unused bytes are zero */
    words[0] ^= words[1] ^ words[2] ^ words[3];
    return nicsim_toeplitz_sum(toeplitz, with_ports ? words[0] ^ key->src_port ^ key->dst_port : words[0]);
}

uint32_t
nicsim_packet_rss(const struct nicsim_port *port, const struct nicsim_packet *packet)
{
    const struct nicsim_toeplitz *toeplitz = &port->toeplitz;
    const struct nicsim_key *key = &packet->key;
    bool is_ip6 = key->eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV6), with_ports = takes_ports(port, key);
    uint32_t n = is_ip6 ? 16 : 4, hash;

    if ((!is_ip6 && key->eth_type != RTE_BE16(RTE_ETHER_TYPE_IPV4)) ||
        (!with_ports && !(port->rss_hf & RTE_ETH_RSS_IP))) {
        return 0;
    }
    if (toeplitz->is_periodic) {
        return hash_periodic(toeplitz, key, with_ports);
    }
    hash = nicsim_toeplitz_bytes(toeplitz, 0, key->src, n) ^ nicsim_toeplitz_bytes(toeplitz, n, key->dst, n);
    if (with_ports) {
        hash ^= nicsim_toeplitz_bytes(toeplitz, 2 * n, (const uint8_t *) &key->src_port, 2) ^
                nicsim_toeplitz_bytes(toeplitz, 2 * n + 2, (const uint8_t *) &key->dst_port, 2);
    }
    return hash;
}

void
nicsim_rss_key_set(struct nicsim_port *port, const uint8_t *key)
{
    memcpy(port->rss_key, key, NICSIM_RSS_KEY_SIZE);
    nicsim_toeplitz_set(&port->toeplitz, key);
}

void
nicsim_rss_init(struct nicsim_port *port)
{
    uint8_t key[NICSIM_RSS_KEY_SIZE];

    for (uint32_t i = 0; i < NICSIM_RSS_KEY_SIZE; i++) {
        key[i] = i % 2 ? 0x5a : 0x6d;
    }
    port->rss_hf = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
    nicsim_rss_key_set(port, key);
}

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
        nicsim_rss_key_set(port, conf->rss_key);
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
