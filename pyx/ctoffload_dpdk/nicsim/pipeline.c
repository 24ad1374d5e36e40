/* The way of a packet from the wire through the rules: transfer rules first, then those of the port. */
#include "nicsim.h"

/* Jumps from group to group before a packet is taken for one that runs in circles. */
#define MAX_JUMPS 32

/* One packet's first lookup, made for the whole burst so that memory is fetched ahead. */
struct first {
    const struct nicsim_subtable *subtable;
    struct nicsim_key key;
    uint32_t hash;
};

static struct nicsim_rule *
find(struct nicsim_switch *sw, const struct nicsim_key *key, uint32_t hash)
{
    uint32_t pos = hash, ref;

    while ((ref = nicsim_table_next(&sw->match.table, hash, &pos)) != 0) {
        struct nicsim_rule *rule = nicsim_rule_at(sw, ref);

        if (nicsim_key_equal(&rule->key, key)) {
            return rule;
        }
    }
    return NULL;
}

/* `first` is NULL once the packet is another than it was. */
static struct nicsim_rule *
lookup(struct nicsim_switch *sw, const struct nicsim_group *group, const struct nicsim_packet *packet,
       const struct first *first)
{
    for (uint16_t i = 0; i < group->n_subtables; i++) {
        const struct nicsim_subtable *subtable = sw->match.subtables[group->subtables[i]];
        struct nicsim_rule *rule;

        if (first && subtable == first->subtable) {
            rule = find(sw, &first->key, first->hash);
        } else {
            struct nicsim_key key;
            uint32_t hash = nicsim_key_mask(&key, &packet->key, subtable);

            rule = find(sw, &key, hash);
        }
        if (rule) {
            return rule;
        }
    }
    return NULL;
}

static void
drop(struct nicsim_port *in, enum nicsim_drop why)
{
    in->counters.nic_dropped[why]++;
}

static void
to_host(struct nicsim_port *in, struct nicsim_port *port, const struct nicsim_packet *packet,
        const struct nicsim_delivery *delivery)
{
    enum nicsim_drop why;

    if (!nicsim_host_deliver(port, packet, delivery, &why)) {
        drop(in, why);
    } else if (port == in) {
        in->counters.host_rx++;
    } else {
        in->counters.nic_forwarded++;
        port->counters.nic_received++;
        port->counters.host_rx++;
    }
}

static void
to_wire(struct nicsim_port *in, uint8_t slot, const struct nicsim_packet *packet)
{
    struct nicsim_port *out = in->sw->ports[slot];

    if (!out || !nicsim_port_passes(out)) {
        drop(in, NICSIM_DROP_OUT_PORT_DOWN);
        return;
    }
    in->counters.nic_forwarded++;
    nicsim_wire_out(out, packet->data, packet->length);
}

/* No rule took it: to the host, as the port is set up. */
static void
by_default(struct nicsim_port *in, const struct nicsim_packet *packet, struct nicsim_delivery *delivery)
{
    if (in->is_isolated) {
        drop(in, NICSIM_DROP_ISOLATED);
        return;
    }
    if (!in->is_promiscuous && packet->length >= RTE_ETHER_ADDR_LEN && !(packet->data[0] & 1) &&
        memcmp(packet->data, in->mac, sizeof in->mac) != 0) {
        drop(in, NICSIM_DROP_NOT_OURS);
        return;
    }
    delivery->queue = in->reta[nicsim_packet_rss(packet) % NICSIM_RETA_SIZE];
    to_host(in, in, packet, delivery);
}

static void
by_fate(struct nicsim_port *in, const struct nicsim_packet *packet, const struct nicsim_rule *rule,
        struct nicsim_delivery *delivery)
{
    struct nicsim_port *port;

    switch (rule->fate) {
    case NICSIM_FATE_QUEUE:
        delivery->queue = rule->fate_arg;
        to_host(in, in, packet, delivery);
        break;
    case NICSIM_FATE_RSS:
        delivery->queue = in->rss[rule->fate_arg].queues[nicsim_packet_rss(packet) % in->rss[rule->fate_arg].n];
        to_host(in, in, packet, delivery);
        break;
    case NICSIM_FATE_WIRE:
        to_wire(in, rule->fate_arg, packet);
        break;
    case NICSIM_FATE_HOST:
        port = in->sw->ports[rule->fate_arg];
        if (!nicsim_port_passes(port)) {
            drop(in, NICSIM_DROP_OUT_PORT_DOWN);
            break;
        }
        delivery->queue = port->reta[nicsim_packet_rss(packet) % NICSIM_RETA_SIZE];
        to_host(in, port, packet, delivery);
        break;
    case NICSIM_FATE_GONE:
        drop(in, NICSIM_DROP_OUT_PORT_DOWN);
        break;
    default:
        drop(in, NICSIM_DROP_RULE);
        break;
    }
}

/* What a rule does beside counting: it marks, asks the connection's context, rewrites. */
static void
act(struct nicsim_port *owner, const struct nicsim_rule *rule, struct nicsim_packet *packet,
    struct nicsim_delivery *delivery)
{
    const struct nicsim_extra *extra = nicsim_rule_extra(owner, rule);

    if (rule->flags & NICSIM_RULE_MARK) {
        delivery->has_mark = true;
        delivery->mark = rule->mark;
    }
    if (rule->flags & NICSIM_RULE_CONNTRACK) {
        packet->key.conntrack =
            nicsim_conntrack_judge(&owner->objects[extra->conntrack_object].conntrack, extra->is_original, packet);
    }
    if (rule->flags & NICSIM_RULE_REWRITE) {
        nicsim_rewrite_apply(&extra->rewrite, packet, owner->sw->scratch);
    }
}

/* Follows the rules of one domain from its root. Returns true where one decided on the packet. */
static bool
walk(struct nicsim_port *in, const struct nicsim_group *group, struct nicsim_packet *packet, const struct first *first,
     struct nicsim_delivery *delivery, int64_t now_ms)
{
    struct nicsim_switch *sw = in->sw;

    for (int n_jumps = 0; group; n_jumps++) {
        struct nicsim_rule *rule = lookup(sw, group, packet, first);
        struct nicsim_port *owner;

        if (!rule) {
            return false;
        }
        owner = nicsim_rule_port(sw, rule);
        nicsim_rule_hit(owner, rule, packet->length, now_ms);
        act(owner, rule, packet, delivery);
        if (rule->flags & (NICSIM_RULE_CONNTRACK | NICSIM_RULE_REWRITE)) {
            first = NULL;
        }
        if (rule->fate != NICSIM_FATE_JUMP) {
            by_fate(in, packet, rule, delivery);
            return true;
        }
        if (n_jumps == MAX_JUMPS) {
            drop(in, NICSIM_DROP_LOOP);
            return true;
        }
        group = sw->match.groups[rule->fate_arg];
    }
    return false;
}

static const struct nicsim_group *
root_of(const struct nicsim_match *match, uint16_t port)
{
    uint32_t index = nicsim_group_find(match, port, 0);

    return index == NICSIM_NO_GROUP || match->groups[index]->n_subtables == 0 ? NULL : match->groups[index];
}

static void
look_ahead(struct nicsim_switch *sw, const struct nicsim_group *root, const struct nicsim_packet *packets, uint32_t n,
           struct first *first)
{
    const struct nicsim_subtable *subtable = root ? sw->match.subtables[root->subtables[0]] : NULL;

    for (uint32_t i = 0; i < n; i++) {
        first[i].subtable = subtable;
        if (subtable) {
            first[i].hash = nicsim_key_mask(&first[i].key, &packets[i].key, subtable);
            nicsim_table_prefetch(&sw->match.table, first[i].hash);
        }
    }
    for (uint32_t i = 0; subtable && i < n; i++) {
        uint32_t pos = first[i].hash;
        uint32_t ref = nicsim_table_next(&sw->match.table, first[i].hash, &pos);

        if (ref) {
            const struct nicsim_rule *rule = nicsim_rule_at(sw, ref);

            rte_prefetch0(rule);
            rte_prefetch0(&rule->packets);
        }
    }
}

static void
burst(struct nicsim_port *in, struct nicsim_packet *packets, uint32_t n, int64_t now_ms)
{
    struct nicsim_switch *sw = in->sw;
    const struct nicsim_group *transfer = root_of(&sw->match, 0), *ingress = root_of(&sw->match, in->uid);
    struct first first[NICSIM_BURST];

    look_ahead(sw, transfer ? transfer : ingress, packets, n, first);
    for (uint32_t i = 0; i < n; i++) {
        struct nicsim_delivery delivery = {0};

        if (packets[i].length > NICSIM_MAX_FRAME) {
            drop(in, NICSIM_DROP_TOO_LONG);
            continue;
        }
        if (!walk(in, transfer, &packets[i], &first[i], &delivery, now_ms) &&
            !walk(in, ingress, &packets[i], &first[i], &delivery, now_ms)) {
            by_default(in, &packets[i], &delivery);
        }
    }
}

void
nicsim_pipeline(struct nicsim_port *in, struct nicsim_packet *packets, uint32_t n)
{
    int64_t now_ms = nicsim_clock_ms(&in->sw->clock);

    in->counters.wire_in += n;
    if (!in->is_started || !in->is_link_up) {
        in->counters.nic_dropped[in->is_started ? NICSIM_DROP_LINK_DOWN : NICSIM_DROP_NOT_STARTED] += n;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        nicsim_packet_dissect(&packets[i], in->uid);
    }
    burst(in, packets, n, now_ms);
}
