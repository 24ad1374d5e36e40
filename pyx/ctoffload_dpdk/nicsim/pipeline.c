/* The way of a packet from the wire through the rules: transfer rules first, then those of the port. */
#include "nicsim.h"

/* Jumps from group to group before a packet is taken for one that runs in circles. */
#define MAX_JUMPS 32

/* Jumps that are followed to fetch memory ahead. */
#define MAX_SEEK 3

/* What a rule may do that makes another key of a packet's, marks aside. */
#define CHANGES_KEY (NICSIM_RULE_CONNTRACK | NICSIM_RULE_REWRITE)

/* Where a packet is in a domain. */
struct way {
    const struct nicsim_group *group;
    bool needs_port; /* what a host sends meets in the root only rules that name a port */
};

/* One packet's first lookup among many rules, made ahead so that memory can be fetched. */
struct first {
    const struct nicsim_subtable *subtable;
    struct nicsim_key key;
    uint32_t hash;
};

static bool
same_wide(const struct nicsim_switch *sw, const struct nicsim_rule *rule, const struct nicsim_wide *wide)
{
    return !wide || memcmp(&nicsim_rule_port(sw, rule)->wides[rule->wide].wide, wide, sizeof *wide) == 0;
}

struct nicsim_rule *
nicsim_rule_find(const struct nicsim_switch *sw, const struct nicsim_key *key, const struct nicsim_wide *wide,
                 uint32_t hash)
{
    uint32_t pos = hash, ref;

    while ((ref = nicsim_table_next(&sw->match.table, hash, &pos)) != 0) {
        struct nicsim_rule *rule = nicsim_rule_at(sw, ref);

        if (nicsim_key_equal(&rule->key, key) && same_wide(sw, rule, wide)) {
            return rule;
        }
    }
    return NULL;
}

/* The rule of one mask. */
static struct nicsim_rule *
ask(struct nicsim_switch *sw, const struct nicsim_subtable *subtable, const struct nicsim_packet *packet)
{
    struct nicsim_wide wide;
    struct nicsim_key key;
    uint32_t hash = nicsim_key_mask(&key, &packet->key, subtable);

    if (!subtable->is_wide) {
        return nicsim_rule_find(sw, &key, NULL, hash);
    }
    hash = nicsim_wide_mask(&wide, &packet->wide, subtable, hash);
    return nicsim_rule_find(sw, &key, &wide, hash);
}

/* The first rule in the masks from *next on that the packet meets; *next is then what comes behind it. */
static struct nicsim_rule *
lookup(struct nicsim_switch *sw, const struct way *way, const struct nicsim_packet *packet, const struct first *first,
       uint16_t *next)
{
    for (uint16_t i = *next; i < way->group->n_subtables; i++) {
        const struct nicsim_subtable *subtable = sw->match.subtables[way->group->subtables[i]];
        struct nicsim_rule *rule;

        if (way->needs_port && !subtable->mask.in_port) {
            continue;
        }
        rule = subtable == first->subtable ? nicsim_rule_find(sw, &first->key, NULL, first->hash)
                                           : ask(sw, subtable, packet);
        if (rule) {
            *next = i + 1;
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
to_host(struct nicsim_port *in, struct nicsim_port *port, const struct nicsim_packet *packet, uint16_t queue)
{
    enum nicsim_drop why;

    if (!nicsim_host_deliver(port, packet, queue, &why)) {
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

/* To a queue of the port, or through a hairpin. */
static void
to_queue(struct nicsim_port *in, const struct nicsim_packet *packet, uint16_t index)
{
    const struct nicsim_rxq *queue = in->rxq[index];

    if (!queue || !queue->hairpin.is_one) {
        to_host(in, in, packet, index);
    } else if (!queue->hairpin.is_bound) {
        drop(in, NICSIM_DROP_HAIRPIN);
    } else {
        uint64_t before = in->counters.nic_forwarded;

        to_wire(in, queue->hairpin.slot, packet);
        in->counters.hairpinned += in->counters.nic_forwarded - before;
    }
}

/* No rule took it: to the host, as the port is set up. */
static void
by_default(struct nicsim_port *in, const struct nicsim_packet *packet)
{
    if (in->is_isolated) {
        drop(in, NICSIM_DROP_ISOLATED);
        return;
    }
    if (!nicsim_is_ours(in, packet)) {
        drop(in, NICSIM_DROP_NOT_OURS);
        return;
    }
    to_host(in, in, packet, in->reta[nicsim_packet_rss(in, packet) % NICSIM_RETA_SIZE]);
}

static void
by_fate(struct nicsim_port *in, const struct nicsim_packet *packet, const struct nicsim_rule *rule)
{
    const struct nicsim_rss *rss;
    struct nicsim_port *port;

    switch (rule->fate) {
    case NICSIM_FATE_QUEUE:
        to_queue(in, packet, rule->fate_arg);
        break;
    case NICSIM_FATE_RSS:
        rss = &in->rss[rule->fate_arg];
        to_queue(in, packet, rss->queues[nicsim_packet_rss(in, packet) % rss->n]);
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
        to_host(in, port, packet, port->reta[nicsim_packet_rss(port, packet) % NICSIM_RETA_SIZE]);
        break;
    case NICSIM_FATE_GONE:
        drop(in, NICSIM_DROP_OUT_PORT_DOWN);
        break;
    default:
        drop(in, NICSIM_DROP_RULE);
        break;
    }
}

/* Writes headers. False where the packet cannot become that long. */
static bool
rewrite(struct nicsim_switch *sw, const struct nicsim_rewrite *what, struct nicsim_packet *packet)
{
    if (!nicsim_rewrite_apply(what, packet, sw->scratch)) {
        return false;
    }
    if (sw->match.n_wide) {
        nicsim_wide_read(packet);
    }
    return true;
}

/* What a rule does beside counting: it marks, asks the connection's context, rewrites. False where that is the packet's
 * end. */
static bool
act(struct nicsim_port *owner, const struct nicsim_rule *rule, struct nicsim_packet *packet)
{
    const struct nicsim_extra *extra = nicsim_rule_extra(owner, rule);

    if (rule->flags & NICSIM_RULE_MARK) {
        packet->key.bits |= NICSIM_KEY_MARKED;
        packet->wide.registers.mark = rule->mark;
    }
    if (rule->flags & NICSIM_RULE_FLAG) {
        packet->key.bits |= NICSIM_KEY_FLAGGED;
    }
    if (rule->flags & NICSIM_RULE_CONNTRACK) {
        struct nicsim_object *context = nicsim_extra_context(owner->sw, extra);

        packet->key.conntrack = context ? nicsim_conntrack_judge(context, extra->is_original, packet)
                                        : RTE_FLOW_CONNTRACK_PKT_STATE_DISABLED;
    }
    if (rule->flags & NICSIM_RULE_REGISTERS) {
        nicsim_register_apply(extra, packet);
    }
    return !(rule->flags & NICSIM_RULE_REWRITE) || rewrite(owner->sw, &extra->rewrite, packet);
}

/* Follows the rules of one domain from its root. Returns true where one decided on the packet. */
static bool
walk(struct nicsim_port *in, const struct nicsim_group *root, struct nicsim_packet *packet, struct first *first,
     int64_t now_ms)
{
    struct nicsim_switch *sw = in->sw;
    struct way way = {.group = root, .needs_port = (packet->key.in_port & NICSIM_FROM_HOST) != 0};
    uint16_t next = 0;

    for (int n_jumps = 0; way.group;) {
        struct nicsim_rule *rule = lookup(sw, &way, packet, first, &next);
        struct nicsim_port *owner;

        if (!rule) {
            return false;
        }
        owner = nicsim_rule_port(sw, rule);
        nicsim_rule_hit(owner, rule, packet->length, now_ms);
        if (!act(owner, rule, packet)) {
            drop(in, NICSIM_DROP_TOO_LONG);
            return true;
        }
        if (rule->flags & CHANGES_KEY) {
            first->subtable = NULL;
        }
        if (rule->fate == NICSIM_FATE_PASSTHRU) {
            continue;
        }
        if (rule->fate == NICSIM_FATE_NONE) {
            return false; /* an egress rule that lets it go */
        }
        if (rule->fate != NICSIM_FATE_JUMP) {
            by_fate(in, packet, rule);
            return true;
        }
        if (n_jumps++ == MAX_JUMPS) {
            drop(in, NICSIM_DROP_LOOP);
            return true;
        }
        way = (struct way){.group = sw->match.groups[rule->fate_arg]};
        next = 0;
    }
    return false;
}

static const struct nicsim_group *
root_of(const struct nicsim_match *match, uint16_t port)
{
    uint32_t index = nicsim_group_find(match, port, 0);

    return index == NICSIM_NO_GROUP || match->groups[index]->n_subtables == 0 ? NULL : match->groups[index];
}

/* From the switch's rules to those of the port: TAGs do not cross, META does. */
static void
leave_switch(struct nicsim_packet *packet)
{
    memset(packet->wide.registers.tags, 0, sizeof packet->wide.registers.tags);
}

/* So many rules that their memory is not close by, looked up by the key alone. */
static bool
is_large(const struct nicsim_subtable *subtable)
{
    return subtable->n_rules >= 1024 && !subtable->is_wide &&
           !(subtable->mask.bits & (NICSIM_KEY_MARKED | NICSIM_KEY_FLAGGED));
}

static void
read_headers(struct nicsim_port *in, struct nicsim_packet *packet)
{
    nicsim_packet_dissect(packet, in->uid);
    if (in->sw->match.n_wide) {
        nicsim_wide_read(packet);
    }
}

/* The first lookup that memory has to be fetched for: that of the root, or one that jumps of small masks lead to. What
 * they do on the way is left for later; a rule that changes the packet's key ends the search. False on a miss. */
static bool
seek(struct nicsim_switch *sw, const struct nicsim_group *group, const struct nicsim_packet *packet,
     struct first *first)
{
    for (int n_jumps = 0; group && n_jumps < MAX_SEEK; n_jumps++) {
        const struct nicsim_rule *rule = NULL;

        for (uint16_t i = 0; i < group->n_subtables && !rule; i++) {
            const struct nicsim_subtable *subtable = sw->match.subtables[group->subtables[i]];

            if (is_large(subtable)) {
                first->subtable = subtable;
                first->hash = nicsim_key_mask(&first->key, &packet->key, subtable);
                nicsim_table_prefetch(&sw->match.table, first->hash);
                return true;
            }
            rule = ask(sw, subtable, packet);
        }
        if (!rule) {
            return false;
        }
        if (rule->fate != NICSIM_FATE_JUMP || rule->flags & CHANGES_KEY) {
            return true;
        }
        group = sw->match.groups[rule->fate_arg];
    }
    return group != NULL;
}

/* The rule itself. */
static void
fetch(const struct nicsim_switch *sw, const struct first *first)
{
    uint32_t pos = first->hash;
    uint32_t ref = first->subtable ? nicsim_table_next(&sw->match.table, first->hash, &pos) : 0;

    if (ref) {
        const struct nicsim_rule *rule = nicsim_rule_at(sw, ref);

        rte_prefetch0(rule);
        rte_prefetch0(&rule->packets);
    }
}

static void
finish(struct nicsim_port *in, const struct nicsim_group *transfer, const struct nicsim_group *ingress,
       struct nicsim_packet *packet, struct first *first, int64_t now_ms)
{
    if (packet->length > NICSIM_MAX_FRAME) {
        drop(in, NICSIM_DROP_TOO_LONG);
        return;
    }
    if (transfer) {
        if (walk(in, transfer, packet, first, now_ms)) {
            return;
        }
        leave_switch(packet);
    }
    if (!walk(in, ingress, packet, first, now_ms)) {
        by_default(in, packet);
    }
}

/* How many packets a step is behind the one before, so that memory has come meanwhile; and the key, whose bytes are written
 * one by one, can be read in words without a stall. */
#define SEEK_AFTER   2
#define FETCH_AFTER  (SEEK_AFTER + 8)
#define FINISH_AFTER (FETCH_AFTER + 8)

static void
burst(struct nicsim_port *in, struct nicsim_packet *packets, uint32_t n, int64_t now_ms)
{
    struct nicsim_switch *sw = in->sw;
    const struct nicsim_group *transfer = root_of(&sw->match, 0), *ingress = root_of(&sw->match, in->uid);
    struct first first[NICSIM_BURST];

    for (uint32_t i = 0; i < n + FINISH_AFTER; i++) {
        if (i < n) {
            read_headers(in, &packets[i]);
        }
        if (i - SEEK_AFTER < n) {
            first[i - SEEK_AFTER].subtable = NULL;
            if (!seek(sw, transfer, &packets[i - SEEK_AFTER], &first[i - SEEK_AFTER])) {
                seek(sw, ingress, &packets[i - SEEK_AFTER], &first[i - SEEK_AFTER]);
            }
        }
        if (i - FETCH_AFTER < n) {
            fetch(sw, &first[i - FETCH_AFTER]);
        }
        if (i - FINISH_AFTER < n) {
            finish(in, transfer, ingress, &packets[i - FINISH_AFTER], &first[i - FINISH_AFTER], now_ms);
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
    burst(in, packets, n, now_ms);
}

bool
nicsim_pipeline_from_host(struct nicsim_port *from, struct nicsim_packet *packet)
{
    struct nicsim_switch *sw = from->sw;
    const struct nicsim_group *egress;
    struct first none = {0};
    int64_t now_ms;

    if (!sw->n_from_host || !nicsim_port_passes(from)) {
        return false;
    }
    nicsim_packet_dissect(packet, from->uid | NICSIM_FROM_HOST);
    if (sw->match.n_wide) {
        nicsim_wide_read(packet);
    }
    now_ms = nicsim_clock_ms(&sw->clock);
    egress = root_of(&sw->match, from->uid | NICSIM_FROM_HOST);
    if (!walk(from, egress, packet, &none, now_ms)) {
        leave_switch(packet);
        if (!walk(from, root_of(&sw->match, 0), packet, &none, now_ms)) {
            return false;
        }
    }
    from->counters.host_switched++;
    return true;
}
