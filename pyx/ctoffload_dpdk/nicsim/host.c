/* Towards the host: a packet becomes an mbuf in the ring of a queue. */
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "nicsim.h"

/* Copies a packet into as many buffers as it takes. NULL where the pool ran out. */
static struct rte_mbuf *
copy_to_mbufs(struct nicsim_rxq *queue, const struct nicsim_packet *packet)
{
    struct rte_mbuf *first = rte_pktmbuf_alloc(queue->pool), *last = first;
    uint32_t done = 0;

    if (!first) {
        return NULL;
    }
    for (;;) {
        uint32_t n = RTE_MIN(packet->length - done, queue->room);

        rte_memcpy(rte_pktmbuf_mtod(last, void *), packet->data + done, n);
        last->data_len = n;
        done += n;
        if (done == packet->length) {
            break;
        }
        last->next = rte_pktmbuf_alloc(queue->pool);
        if (!last->next) {
            rte_pktmbuf_free(first);
            return NULL;
        }
        last = last->next;
        first->nb_segs++;
    }
    first->pkt_len = packet->length;
    return first;
}

static uint64_t
checksum_flags(const struct nicsim_rxq *queue, uint64_t flags)
{
    uint64_t known = 0;

    if (queue->offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) {
        known |= RTE_MBUF_F_RX_IP_CKSUM_MASK;
    }
    if (queue->offloads & (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)) {
        known |= RTE_MBUF_F_RX_L4_CKSUM_MASK;
    }
    return flags & known;
}

static void
describe(struct nicsim_rxq *queue, const struct nicsim_packet *packet, struct rte_mbuf *m)
{
    m->port = queue->port->port_id;
    m->packet_type = packet->packet_type;
    m->ol_flags = checksum_flags(queue, packet->ol_flags);
    if (queue->offloads & RTE_ETH_RX_OFFLOAD_RSS_HASH) {
        m->hash.rss = nicsim_packet_rss(queue->port, packet);
        m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
    }
    if (packet->key.bits & NICSIM_KEY_FLAGGED) {
        m->ol_flags |= RTE_MBUF_F_RX_FDIR;
    }
    if (packet->key.bits & NICSIM_KEY_MARKED) {
        m->hash.fdir.hi = packet->wide.registers.mark;
        m->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
    }
    if (packet->wide.registers.meta && queue->port->meta_offset >= 0) {
        *RTE_MBUF_DYNFIELD(m, queue->port->meta_offset, uint32_t *) = packet->wide.registers.meta;
        m->ol_flags |= queue->port->meta_flag;
    }
}

bool
nicsim_host_deliver(struct nicsim_port *port, const struct nicsim_packet *packet, uint16_t index,
                    enum nicsim_drop *drop)
{
    struct nicsim_rxq *queue = port->rxq[index];
    uint32_t head, max = port->mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN;
    struct rte_mbuf *m;

    if (!queue || queue->hairpin.is_one || queue->is_stopped) {
        *drop = NICSIM_DROP_NOT_STARTED;
        return false;
    }
    if (packet->length > max || (packet->length > queue->room && !queue->scatter)) {
        *drop = NICSIM_DROP_TOO_LONG;
        return false;
    }
    head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&queue->tail, memory_order_acquire) >= queue->n_desc) {
        *drop = NICSIM_DROP_RX_FULL;
        return false;
    }
    m = copy_to_mbufs(queue, packet);
    if (!m) {
        *drop = NICSIM_DROP_NO_MBUF;
        return false;
    }
    describe(queue, packet, m);
    queue->ring[head & queue->mask] = m;
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    return true;
}
