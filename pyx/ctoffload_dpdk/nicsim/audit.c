/* The books: what is in the NIC, what was, and where it went. */
#include <rte_byteorder.h>

#include "nicsim.h"

void
nicsim_books_add(struct nicsim_books_of *books)
{
    books->created++;
    if (++books->live > books->most) {
        books->most = books->live;
    }
}

void
nicsim_books_remove(struct nicsim_books_of *books, bool lost)
{
    books->live--;
    if (lost) {
        books->lost++;
    } else {
        books->destroyed++;
    }
}

void
nicsim_counters_read(struct nicsim_port *port, struct nicsim_counters *counters)
{
    nicsim_lock(port);
    *counters = port->counters;
    for (int i = 0; i < NICSIM_MAX_QUEUES; i++) {
        counters->host_pending += port->rxq[i] ? nicsim_rxq_pending(port->rxq[i]) : 0;
    }
    nicsim_unlock(port);
}

static struct nicsim_books
books_out(const struct nicsim_books_of *books, uint64_t capacity)
{
    return (struct nicsim_books){
        .live = books->live,
        .created = books->created,
        .destroyed = books->destroyed,
        .lost = books->lost,
        .most = books->most,
        .capacity = capacity,
    };
}

void
nicsim_audit(const struct nicsim_port *port, struct nicsim_audit *audit)
{
    uint64_t n_slots = (uint64_t) port->sw->match.table.mask + 1, n_rules = 0;

    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        n_rules += port->sw->ports[i] ? port->sw->ports[i]->config.capacity : 0;
    }
    audit->rules = books_out(&port->rule_books, port->config.capacity);
    audit->objects = books_out(&port->object_books, port->config.objects);
    audit->bytes_per_rule = sizeof(struct nicsim_rule) + (n_rules ? n_slots * sizeof(struct nicsim_slot) / n_rules : 0);
    audit->aged = port->wheel.n_aged;
}

static uint32_t
fields_of(const struct nicsim_subtable *subtable)
{
    static const uint8_t none[16];
    const struct nicsim_key *mask = &subtable->mask;

    return (memcmp(mask->src, none, 16) ? NICSIM_MATCH_SRC : 0) | (memcmp(mask->dst, none, 16) ? NICSIM_MATCH_DST : 0) |
           (mask->src_port ? NICSIM_MATCH_SRC_PORT : 0) | (mask->dst_port ? NICSIM_MATCH_DST_PORT : 0) |
           (mask->proto ? NICSIM_MATCH_PROTO : 0) | (mask->eth_type ? NICSIM_MATCH_ETH_TYPE : 0) |
           (mask->bits & NICSIM_KEY_TAGGED ? NICSIM_MATCH_VLAN : 0) | (mask->in_port ? NICSIM_MATCH_IN_PORT : 0) |
           (mask->tcp_flags ? NICSIM_MATCH_TCP_FLAGS : 0) |
           (mask->bits & (NICSIM_KEY_FRAGMENT | NICSIM_KEY_FRAG_EXT) ? NICSIM_MATCH_FRAGMENT : 0) |
           (subtable->is_wide ? NICSIM_MATCH_MORE : 0);
}

static uint16_t
port_id_of(const struct nicsim_switch *sw, uint16_t in_port)
{
    uint16_t uid = in_port & ~NICSIM_FROM_HOST;

    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        if (sw->ports[i] && sw->ports[i]->uid == uid) {
            return sw->ports[i]->port_id;
        }
    }
    return UINT16_MAX;
}

static uint32_t
fate_arg_of(const struct nicsim_port *port, const struct nicsim_rule *rule)
{
    switch (rule->fate) {
    case NICSIM_FATE_RSS:
        return port->rss[rule->fate_arg].n;
    case NICSIM_FATE_WIRE:
    case NICSIM_FATE_HOST:
        return port->sw->ports[rule->fate_arg]->port_id;
    case NICSIM_FATE_JUMP:
        return port->sw->match.groups[rule->fate_arg]->number;
    case NICSIM_FATE_QUEUE:
        return rule->fate_arg;
    default:
        return 0;
    }
}

static void
fill_match(const struct nicsim_port *port, const struct nicsim_rule *rule, struct nicsim_rule_info *info)
{
    const struct nicsim_subtable *subtable = port->sw->match.subtables[rule->key.subtable];
    const struct nicsim_group *group = port->sw->match.groups[subtable->group];

    memcpy(info->src, rule->key.src, sizeof info->src);
    memcpy(info->dst, rule->key.dst, sizeof info->dst);
    info->fields = fields_of(subtable);
    info->group = group->number;
    info->transfer = group->port == 0;
    info->priority = subtable->priority;
    info->src_port = rte_be_to_cpu_16(rule->key.src_port);
    info->dst_port = rte_be_to_cpu_16(rule->key.dst_port);
    info->eth_type = rte_be_to_cpu_16(rule->key.eth_type);
    info->vlan_tci = rte_be_to_cpu_16(rule->key.vlan_tci);
    info->in_port = info->fields & NICSIM_MATCH_IN_PORT ? port_id_of(port->sw, rule->key.in_port)
                    : info->transfer                    ? UINT16_MAX
                                                        : port->port_id;
    info->proto = rule->key.proto;
}

static void
fill_info(const struct nicsim_port *port, uint32_t index, struct nicsim_rule_info *info)
{
    struct nicsim_rule *rule = &port->rules[index];
    const struct nicsim_object *counter = nicsim_rule_counter(port, rule);
    const struct nicsim_age *age = nicsim_rule_age(port, rule);

    memset(info, 0, sizeof *info);
    fill_match(port, rule, info);
    info->handle = (uintptr_t) nicsim_rule_handle(rule, index);
    info->packets = counter ? counter->packets : rule->packets;
    info->bytes = counter ? counter->bytes : rule->bytes;
    info->last_hit_ms = age->last_ms;
    info->timeout_s = age->timeout_s;
    info->is_aged = age->state >= NICSIM_AGE_AGED;
    info->has_count = (rule->flags & NICSIM_RULE_COUNT) != 0;
    info->has_age = (rule->flags & NICSIM_RULE_AGE) != 0;
    info->context = info->has_age ? (uintptr_t) age->context : 0;
    info->has_mark = (rule->flags & NICSIM_RULE_MARK) != 0;
    info->mark = rule->mark;
    info->table = nicsim_rule_table(rule);
    info->fate = rule->fate;
    info->fate_arg = fate_arg_of(port, rule);
}

int64_t
nicsim_audit_rules(const struct nicsim_port *port, struct nicsim_rule_info *info, uint64_t max)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < port->top && n < max; i++) {
        if (port->rules[i].flags & NICSIM_RULE_LIVE) {
            fill_info(port, i, &info[n++]);
        }
    }
    return (int64_t) port->rule_books.live;
}

uint32_t
nicsim_audit_page(const struct nicsim_port *port, uint32_t start, uint32_t max, uint32_t *indices,
                  struct nicsim_rule_info *info)
{
    uint32_t n = 0;

    for (uint32_t i = start; i < port->top && n < max; i++) {
        if (port->rules[i].flags & NICSIM_RULE_LIVE) {
            indices[n] = i;
            fill_info(port, i, &info[n++]);
        }
    }
    return n;
}
