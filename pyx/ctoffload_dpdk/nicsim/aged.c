/* Ageing as rte_flow shows it: a rule's idle time, the list of those idle for too long, the event that there are some. */
#include <errno.h>

#include <ethdev_driver.h>
#include <rte_alarm.h>

#include "nicsim.h"

#define TIMER_US 250000

#define FAIL(number, type, cause, message) rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

void
nicsim_age_query(struct nicsim_port *port, const struct nicsim_age *age, struct rte_flow_query_age *out)
{
    int64_t idle_s = (nicsim_clock_ms(&port->sw->clock) - age->last_ms) / 1000;

    memset(out, 0, sizeof *out);
    out->aged = (age->timeout_s && idle_s >= age->timeout_s) || (port->wheel.is_final && age->state >= NICSIM_AGE_AGED);
    out->sec_since_last_hit_valid = !(port->wheel.is_final && out->aged);
    out->sec_since_last_hit = idle_s < 0xffffff ? idle_s : 0xffffff;
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

/* Without room it only counts; either way what comes later is news again. */
static int64_t
read_list(struct nicsim_port *port, uint8_t list, void **contexts, uint32_t n)
{
    turn_port(port);
    port->is_event_due = false;
    port->is_event_sent = false;
    return n && contexts ? nicsim_wheel_aged(&port->wheel, list, contexts, n, port->config.consume_aged)
                         : (int64_t) port->wheel.n_aged_of[list];
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
