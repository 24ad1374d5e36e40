/* Ageing as rte_flow shows it: a rule's idle time, the list of those idle for too long, the event that there are some. */
#include <errno.h>

#include <ethdev_driver.h>
#include <rte_alarm.h>

#include "nicsim.h"

#define TIMER_US 250000

/* sampled: NULL where the idle time is exact. */
static void
query(struct nicsim_port *port, const struct nicsim_age *age, const struct nicsim_sampled *sampled,
      struct rte_flow_query_age *out)
{
    bool is_final = port->config.manners[NICSIM_AGEING_FINAL];
    bool is_found = age->state >= NICSIM_AGE_AGED;
    int64_t idle_s =
        sampled ? nicsim_sampled_idle_s(port, sampled) : (nicsim_clock_ms(&port->sw->clock) - age->last_ms) / 1000;

    memset(out, 0, sizeof *out);
    out->aged = sampled ? is_found : (age->timeout_s && idle_s >= age->timeout_s) || (is_final && is_found);
    out->sec_since_last_hit_valid = !(is_final && out->aged);
    out->sec_since_last_hit = idle_s < 0xffffff ? idle_s : 0xffffff;
}

void
nicsim_rule_age_query(struct nicsim_port *port, struct nicsim_rule *rule, struct rte_flow_query_age *out)
{
    const struct nicsim_object *object = nicsim_rule_ager(port, rule);
    bool is_sampled = port->config.manners[NICSIM_AGE_CHECK_MS];

    if (object) {
        nicsim_object_age_query(port, object, out);
    } else {
        query(port, &rule->age, is_sampled ? &port->sampled[rule - port->rules] : NULL, out);
    }
}

void
nicsim_object_age_query(struct nicsim_port *port, const struct nicsim_object *object, struct rte_flow_query_age *out)
{
    query(port, &object->age, port->config.manners[NICSIM_AGE_CHECK_MS] ? &object->sampled : NULL, out);
}

/* One in a hundred or so of the counters asked for and a fifth more, rounded down, then up to a power of two. */
void
nicsim_aged_set_room(struct nicsim_port *port)
{
    uint64_t counters = port->sizes.counters.room, percent = port->config.manners[NICSIM_AGED_PERCENT];
    uint64_t room = (counters + counters / 5) * percent / 100;

    port->wheel.room = percent == 0 ? UINT64_MAX : room == 0 ? 0 : rte_align64pow2(room);
}

static void
turn_port(struct nicsim_port *port)
{
    if (nicsim_wheel_turn(&port->wheel, nicsim_clock_ms(&port->sw->clock)) && !port->sizes.is_strict) {
        port->is_event_due = true;
    }
}

void
nicsim_aged_turn(struct nicsim_switch *sw)
{
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        if (sw->ports[i]) {
            turn_port(sw->ports[i]);
        }
    }
}

/* The next port with news since the list was last read, or NULL. One event per reading. */
static struct rte_eth_dev *
next_event(struct nicsim_switch *sw)
{
    struct rte_eth_dev *dev = NULL;

    pthread_mutex_lock(&sw->lock);
    for (int i = 0; i < NICSIM_MAX_PORTS && !dev; i++) {
        struct nicsim_port *port = sw->ports[i];

        if (port && port->is_event_due && !port->is_event_sent) {
            port->is_event_due = false;
            port->is_event_sent = true;
            dev = port->dev;
        }
    }
    pthread_mutex_unlock(&sw->lock);
    return dev;
}

void
nicsim_aged_notify(struct nicsim_switch *sw)
{
    struct rte_eth_dev *dev;

    while ((dev = next_event(sw)) != NULL) {
        rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_FLOW_AGED, NULL);
    }
}

/* Software steering fills from two lists, and counts what the second holds beyond the room. */
static int64_t
read_two_lists(struct nicsim_port *port, void **contexts, uint32_t n, bool consume)
{
    uint32_t first = nicsim_wheel_aged(&port->wheel, 0, contexts, n, consume);
    uint64_t second = port->wheel.n_aged_of[NICSIM_LIST_BY_COUNTER];

    if (first == n) {
        return first + second;
    }
    return first + nicsim_wheel_aged(&port->wheel, NICSIM_LIST_BY_COUNTER, contexts + first, n - first, consume);
}

/* Without room it only counts; either way what comes later is news again. */
static int64_t
read_list(struct nicsim_port *port, uint8_t list, void **contexts, uint32_t n)
{
    bool consume = port->config.manners[NICSIM_AGED_CONSUME];

    turn_port(port);
    port->is_event_due = false;
    port->is_event_sent = false;
    if (n == 0 || !contexts) {
        return port->sizes.is_strict ? port->wheel.n_aged_of[list] : port->wheel.n_aged;
    }
    if (port->config.manners[NICSIM_AGED_OVERREPORT] && !port->sizes.is_strict) {
        return read_two_lists(port, contexts, n, consume);
    }
    return nicsim_wheel_aged(&port->wheel, list, contexts, n, consume);
}

static int
aged_get(struct nicsim_port *port, uint8_t list, const char *refusal, void **contexts, uint32_t n,
         struct rte_flow_error *error)
{
    int injected;
    int64_t found;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_AGED);
    if (injected) {
        found = FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else if (refusal) {
        found = FAIL(EINVAL, STATE, NULL, refusal);
    } else if (port->config.manners[NICSIM_AGED_NEEDS_AGES] && !(port->sizes.is_configured && port->sizes.ages.room)) {
        found = FAIL(ENOENT, UNSPECIFIED, NULL, "no ages were set aside (rte_flow_configure: nb_aging_objects)");
    } else {
        found = read_list(port, list, contexts, n);
    }
    nicsim_unlock(port);
    return found > INT32_MAX ? INT32_MAX : (int) found;
}

int
nicsim_aged_get(struct rte_eth_dev *dev, void **contexts, uint32_t n, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    const char *refusal =
        port->sizes.is_strict ? "with STRICT_QUEUE each queue is asked for its own (rte_flow_get_q_aged_flows)" : NULL;

    return aged_get(port, 0, refusal, contexts, n, error);
}

/* Without STRICT_QUEUE there is one list, whichever queue is named. */
int
nicsim_aged_get_of_queue(struct rte_eth_dev *dev, uint32_t queue, void **contexts, uint32_t n,
                         struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    const char *refusal = queue < port->sizes.n_queues ? NULL : "the port has no such flow queue";

    return aged_get(port, port->sizes.is_strict && !refusal ? queue : 0, refusal, contexts, n, error);
}

/* On the real clock nobody advances time, so a timer does. */
static void
tick(void *opaque)
{
    struct nicsim_switch *sw = opaque;

    pthread_mutex_lock(&sw->lock);
    nicsim_flow_queues_turn(sw);
    nicsim_aged_turn(sw);
    pthread_mutex_unlock(&sw->lock);
    nicsim_aged_notify(sw);
    rte_eal_alarm_set(TIMER_US, tick, sw);
}

void
nicsim_aged_set_timer(struct nicsim_switch *sw)
{
    bool is_needed = false;

    rte_eal_alarm_cancel(tick, sw);
    pthread_mutex_lock(&sw->lock);
    for (int i = 0; i < NICSIM_MAX_PORTS; i++) {
        is_needed |= sw->ports[i] && sw->ports[i]->is_started;
    }
    pthread_mutex_unlock(&sw->lock);
    if (is_needed && !atomic_load(&sw->clock.is_manual)) {
        rte_eal_alarm_set(TIMER_US, tick, sw);
    }
}
