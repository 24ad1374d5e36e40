/* Switches and the ports in them: made when a port is probed, freed when the last reference to one goes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nicsim.h"

/* All switches. Taken before a switch's own lock, never after. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct nicsim_switch *switches;
static uint16_t last_uid;

static struct nicsim_switch *
switch_new(int32_t id, bool manual_clock)
{
    struct nicsim_switch *sw = calloc(1, sizeof *sw);

    if (!sw) {
        return NULL;
    }
    if (nicsim_match_init(&sw->match)) {
        free(sw);
        return NULL;
    }
    pthread_mutex_init(&sw->lock, NULL);
    nicsim_clock_init(&sw->clock, manual_clock);
    sw->id = id;
    sw->next = switches;
    switches = sw;
    return sw;
}

static void
switch_free(struct nicsim_switch *sw)
{
    struct nicsim_switch **link = &switches;

    while (*link != sw) {
        link = &(*link)->next;
    }
    *link = sw->next;
    nicsim_match_free(&sw->match);
    pthread_mutex_destroy(&sw->lock);
    free(sw);
}

static struct nicsim_switch *
switch_find(int32_t id)
{
    struct nicsim_switch *sw = switches;

    while (sw && (id < 0 || sw->id != id || sw->n_ports == 0)) {
        sw = sw->next;
    }
    return sw;
}

static size_t
rules_bytes(const struct nicsim_port *port)
{
    return (size_t) port->config.capacity * sizeof *port->rules;
}

static size_t
objects_bytes(const struct nicsim_port *port)
{
    return (size_t) port->config.objects * sizeof *port->objects;
}

static size_t
sampled_bytes(const struct nicsim_port *port)
{
    return (size_t) port->config.capacity * sizeof *port->sampled;
}

static size_t
extras_bytes(const struct nicsim_port *port)
{
    return (size_t) port->config.capacity * sizeof *port->extras;
}

static int
port_alloc(struct nicsim_port *port)
{
    port->rules = nicsim_memory_get(rules_bytes(port));
    port->objects = nicsim_memory_get(objects_bytes(port));
    port->extras = nicsim_memory_get(extras_bytes(port));
    if (nicsim_is_sampled(port)) {
        port->sampled = nicsim_memory_get(sampled_bytes(port));
    }
    if (!port->rules || !port->objects || !port->extras || (nicsim_is_sampled(port) && !port->sampled)) {
        return ENOMEM;
    }
    if (port->config.prefault) {
        nicsim_memory_touch(port->rules, rules_bytes(port));
    }
    return 0;
}

static uint64_t
capacity_of(const struct nicsim_switch *sw)
{
    uint64_t n = 0;

    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        n += sw->ports[i] ? sw->ports[i]->config.capacity : 0;
    }
    return n;
}

/* Puts the port into a free place of its switch. */
static int
switch_join(struct nicsim_switch *sw, struct nicsim_port *port)
{
    uint8_t slot = 0;
    int error;

    while (slot < NICSIM_MAX_PORTS && sw->ports[slot]) {
        slot++;
    }
    if (slot == NICSIM_MAX_PORTS) {
        return ENOSPC;
    }
    error = nicsim_table_grow(&sw->match.table, capacity_of(sw) + port->config.capacity);
    if (error) {
        return error;
    }
    if (port->config.prefault) {
        nicsim_memory_touch(sw->match.table.slots, nicsim_table_bytes(&sw->match.table));
    }
    port->sw = sw;
    port->slot = slot;
    sw->ports[slot] = port;
    sw->n_ports++;
    return 0;
}

static void
port_free(struct nicsim_port *port)
{
    nicsim_wire_free(&port->wire);
    nicsim_flow_queues_free(port);
    nicsim_memory_put(port->rules, rules_bytes(port));
    nicsim_memory_put(port->objects, objects_bytes(port));
    nicsim_memory_put(port->extras, extras_bytes(port));
    nicsim_wide_free(port);
    nicsim_memory_put(port->sampled, sampled_bytes(port));
    free(port);
}

static struct nicsim_port *
port_make(const struct nicsim_config *config, struct rte_eth_dev *dev)
{
    struct nicsim_port *port = calloc(1, sizeof *port);

    if (!port) {
        return NULL;
    }
    port->config = *config;
    if (port_alloc(port)) {
        port_free(port);
        return NULL;
    }
    port->dev = dev;
    port->port_id = dev->data->port_id;
    port->n_references = 1;
    port->is_link_up = true;
    port->is_promiscuous = true;
    port->addresses.all_multicast = true;
    port->mtu = RTE_ETHER_MTU;
    port->free_rule = NICSIM_NO_INDEX;
    port->free_object = NICSIM_NO_INDEX;
    port->free_extra = NICSIM_NO_INDEX;
    port->free_wide = NICSIM_NO_INDEX;
    port->meta_offset = -1;
    port->completion_delay_ms = config->completion_delay_ms;
    nicsim_sizes_init(port);
    nicsim_rss_init(port);
    return port;
}

/* The switch of that number, or a new one. The ports of one share its clock, so they have to agree on it. */
static int
switch_for(const struct nicsim_config *config, struct nicsim_switch **out)
{
    struct nicsim_switch *sw = switch_find(config->switch_id);

    if (sw && atomic_load(&sw->clock.is_manual) != config->manual_clock) {
        NICSIM_LOG(ERR, "switch %d has a %s clock; give the same clock= to all of its ports", config->switch_id,
                   config->manual_clock ? "real" : "manual");
        return EINVAL;
    }
    *out = sw ? sw : switch_new(config->switch_id, config->manual_clock);
    return *out ? 0 : ENOMEM;
}

int
nicsim_port_new(const struct nicsim_config *config, struct rte_eth_dev *dev, struct nicsim_port **out)
{
    struct nicsim_port *port = port_make(config, dev);
    struct nicsim_switch *sw = NULL;
    int error;

    if (!port) {
        return ENOMEM;
    }
    pthread_mutex_lock(&list_lock);
    error = last_uid == NICSIM_FROM_HOST - 1 ? ENOSPC : switch_for(config, &sw);
    if (!error) {
        pthread_mutex_lock(&sw->lock);
        error = switch_join(sw, port);
        pthread_mutex_unlock(&sw->lock);
        if (!error) {
            sw->n_references++;
            port->uid = ++last_uid;
            port->wheel.is_final = config->manners[NICSIM_AGEING_FINAL];
            nicsim_wheel_init(&port->wheel, nicsim_clock_ms(&sw->clock), config->manners[NICSIM_AGE_CHECK_MS]);
            nicsim_aged_set_room(port);
            nicsim_reta_reset(port, false);
        } else if (sw->n_references == 0) {
            switch_free(sw);
        }
    }
    pthread_mutex_unlock(&list_lock);
    if (error) {
        port_free(port);
        return error;
    }
    *out = port;
    return 0;
}

void
nicsim_port_leave(struct nicsim_port *port)
{
    struct nicsim_switch *sw = port->sw;

    pthread_mutex_lock(&list_lock);
    pthread_mutex_lock(&sw->lock);
    nicsim_flow_queues_drain(port, false);
    nicsim_hairpin_stop(port);
    nicsim_rules_clear(port, true);
    nicsim_objects_clear(port);
    nicsim_templates_clear(port);
    nicsim_rules_forget_port(sw, port);
    sw->ports[port->slot] = NULL;
    sw->n_ports--;
    port->dev = NULL;
    pthread_mutex_unlock(&sw->lock);
    pthread_mutex_unlock(&list_lock);
    nicsim_port_unref(port);
}

void
nicsim_port_unref(struct nicsim_port *port)
{
    pthread_mutex_lock(&list_lock);
    if (--port->n_references == 0) {
        struct nicsim_switch *sw = port->sw;

        port_free(port);
        if (--sw->n_references == 0) {
            switch_free(sw);
        }
    }
    pthread_mutex_unlock(&list_lock);
}

struct nicsim_port *
nicsim_port_get(uint16_t port_id)
{
    struct nicsim_port *found = NULL;

    pthread_mutex_lock(&list_lock);
    for (struct nicsim_switch *sw = switches; sw && !found; sw = sw->next) {
        for (int i = 0; i < NICSIM_MAX_PORTS && !found; i++) {
            if (sw->ports[i] && sw->ports[i]->port_id == port_id) {
                found = sw->ports[i];
                found->n_references++;
            }
        }
    }
    pthread_mutex_unlock(&list_lock);
    return found;
}

struct nicsim_port *
nicsim_port_by_far(uint16_t port_id)
{
    struct nicsim_port *found = NULL;

    pthread_mutex_lock(&list_lock);
    for (struct nicsim_switch *sw = switches; sw && !found; sw = sw->next) {
        for (int i = 0; i < NICSIM_MAX_PORTS && !found; i++) {
            struct nicsim_port *port = sw->ports[i];

            if (port && port->far.kind == NICSIM_FAR_PORT && port->far.port_id == port_id) {
                found = port;
                found->n_references++;
            }
        }
    }
    pthread_mutex_unlock(&list_lock);
    return found;
}

/* The n-th other port on the same ring. Called with the list locked. */
static struct nicsim_port *
on_ring(const struct nicsim_port *port, uint32_t n)
{
    for (struct nicsim_switch *sw = switches; sw; sw = sw->next) {
        for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
            struct nicsim_port *other = sw->ports[i];

            if (other && other != port && other->far.kind == NICSIM_FAR_RING &&
                strcmp(other->far.name, port->far.name) == 0 && n-- == 0) {
                return other;
            }
        }
    }
    return NULL;
}

uint32_t
nicsim_ring_ports(const struct nicsim_port *port)
{
    uint32_t n = 0;

    pthread_mutex_lock(&list_lock);
    while (on_ring(port, n)) {
        n++;
    }
    pthread_mutex_unlock(&list_lock);
    return n;
}

struct nicsim_port *
nicsim_ring_peer(const struct nicsim_port *port)
{
    struct nicsim_port *peer;

    pthread_mutex_lock(&list_lock);
    peer = on_ring(port, 0);
    if (peer) {
        peer->n_references++;
    }
    pthread_mutex_unlock(&list_lock);
    return peer;
}

uint16_t
nicsim_port_ids(uint16_t *ids)
{
    uint16_t n = 0;

    pthread_mutex_lock(&list_lock);
    for (uint16_t id = 0; id < RTE_MAX_ETHPORTS; id++) {
        for (struct nicsim_switch *sw = switches; sw; sw = sw->next) {
            for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
                if (sw->ports[i] && sw->ports[i]->port_id == id) {
                    ids[n++] = id;
                }
            }
        }
    }
    pthread_mutex_unlock(&list_lock);
    return n;
}
