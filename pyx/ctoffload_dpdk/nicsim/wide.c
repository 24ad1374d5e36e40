/* The second part of a key: tunnels, addresses of layer 2, second tags, fields of IP and ICMP that few rules compare. */
#include <errno.h>

#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "nicsim.h"

#define VXLAN_HAS_VNI 0x08

static size_t
wides_bytes(const struct nicsim_port *port)
{
    return (size_t) port->config.capacity * sizeof *port->wides;
}

static int
wides_alloc(struct nicsim_port *port)
{
    if (!port->wides) {
        port->wides = nicsim_memory_get(wides_bytes(port));
    }
    return port->wides ? 0 : ENOMEM;
}

void
nicsim_wide_free(struct nicsim_port *port)
{
    nicsim_memory_put(port->wides, wides_bytes(port));
    port->wides = NULL;
}

int
nicsim_wide_use(struct nicsim_port *port, const struct nicsim_spec *spec, uint32_t *index)
{
    *index = NICSIM_NO_INDEX;
    if (!spec->is_wide) {
        return 0;
    }
    if (wides_alloc(port)) {
        return ENOMEM;
    }
    if (port->free_wide != NICSIM_NO_INDEX) {
        *index = port->free_wide;
        port->free_wide = port->wides[*index].next_free;
    } else if (port->wides_top < port->config.capacity) {
        *index = port->wides_top++;
    } else {
        return ENOSPC;
    }
    port->wides[*index].wide = spec->wide;
    return 0;
}

void
nicsim_wide_unuse(struct nicsim_port *port, uint32_t index)
{
    if (index != NICSIM_NO_INDEX) {
        port->wides[index].next_free = port->free_wide;
        port->free_wide = index;
    }
}

static void
read_eth(struct nicsim_packet *packet)
{
    const struct rte_ether_hdr *eth = (const void *) packet->data;

    memcpy(packet->wide.src_mac, &eth->src_addr, RTE_ETHER_ADDR_LEN);
    memcpy(packet->wide.dst_mac, &eth->dst_addr, RTE_ETHER_ADDR_LEN);
    packet->wide.outer_type = eth->ether_type;
    if (packet->key.bits & NICSIM_KEY_TAGGED) {
        memcpy(&packet->wide.second_type, packet->data + RTE_ETHER_HDR_LEN + 2, 2);
    }
    if (packet->key.bits & NICSIM_KEY_TWO_TAGS) {
        memcpy(&packet->wide.second_tci, packet->data + RTE_ETHER_HDR_LEN + sizeof(struct rte_vlan_hdr), 2);
    }
}

static void
read_ipv6_fragment(struct nicsim_packet *packet)
{
    const uint8_t *fragment = packet->data + packet->fragment;

    packet->wide.fragment_next = fragment[0];
    memcpy(&packet->wide.fragment, fragment + 2, 2);
    memcpy(&packet->wide.fragment_id, fragment + 4, 4);
}

static void
read_ip(struct nicsim_packet *packet)
{
    const uint8_t *l3 = packet->data + packet->l3;

    if (packet->key.eth_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
        const struct rte_ipv4_hdr *ip = (const void *) l3;

        packet->wide.tos = ip->type_of_service;
        packet->wide.ttl = ip->time_to_live;
        packet->wide.fragment = ip->fragment_offset;
        return;
    }
    packet->wide.tos = (uint8_t) (l3[0] << 4 | l3[1] >> 4);
    packet->wide.ttl = l3[offsetof(struct rte_ipv6_hdr, hop_limits)];
    if (packet->key.bits & NICSIM_KEY_FRAG_EXT) {
        read_ipv6_fragment(packet);
    }
}

/* The headers inside are judged as those outside are. */
static void
read_inner(struct nicsim_packet *packet, const uint8_t *data, uint32_t length)
{
    struct nicsim_packet inner = {.data = data, .length = length};

    nicsim_packet_dissect(&inner, 0);
    packet->wide.inner = inner.key;
    if (length >= RTE_ETHER_HDR_LEN) {
        const struct rte_ether_hdr *eth = (const void *) data;

        memcpy(packet->wide.inner_src_mac, &eth->src_addr, RTE_ETHER_ADDR_LEN);
        memcpy(packet->wide.inner_dst_mac, &eth->dst_addr, RTE_ETHER_ADDR_LEN);
    }
}

static void
read_vxlan(struct nicsim_packet *packet)
{
    const uint8_t *udp = packet->data + packet->l4;
    const struct rte_vxlan_hdr *vxlan = (const void *) (udp + sizeof(struct rte_udp_hdr));
    uint32_t headers = sizeof(struct rte_udp_hdr) + sizeof *vxlan, length;

    length = rte_be_to_cpu_16(((const struct rte_udp_hdr *) (const void *) udp)->dgram_len);
    packet->wide.vxlan_flags = rte_be_to_cpu_32(vxlan->vx_flags) >> 24;
    packet->wide.vni = vxlan->vx_vni;
    read_inner(packet, udp + headers, length - headers);
}

void
nicsim_wide_read(struct nicsim_packet *packet)
{
    struct nicsim_registers registers = packet->wide.registers;

    memset(&packet->wide, 0, sizeof packet->wide);
    packet->wide.registers = registers;
    if (packet->length < RTE_ETHER_HDR_LEN) {
        return;
    }
    read_eth(packet);
    if (packet->l3) {
        read_ip(packet);
    }
    if (!(packet->key.bits & NICSIM_KEY_L4)) {
        return;
    }
    if (packet->key.bits & NICSIM_KEY_TUNNEL) {
        read_vxlan(packet);
    } else if (packet->key.proto == IPPROTO_ICMP && packet->l4_length >= sizeof(struct rte_icmp_hdr)) {
        memcpy(&packet->wide.icmp_seq, packet->data + packet->l4 + offsetof(struct rte_icmp_hdr, icmp_seq_nb), 2);
    }
}
