/* Counters and ages that are known by sampling: a query tells what the last refresh or check found. Nothing runs at the
 * time of a refresh; what it would have found is worked out from the last hit and what was before it. */
#include <string.h>

#include "nicsim.h"

static int64_t
manner(const struct nicsim_port *port, enum nicsim_manner which)
{
    return port->config.manners[which];
}

/* Which refresh, or check, was the last. */
static int64_t
last_of(const struct nicsim_port *port, enum nicsim_manner period, int64_t now_ms)
{
    int64_t ms = manner(port, period);

    return ms ? nicsim_floor_div(now_ms, ms) : now_ms;
}

bool
nicsim_is_sampled(const struct nicsim_port *port)
{
    return manner(port, NICSIM_COUNTER_REFRESH_MS) || manner(port, NICSIM_AGE_CHECK_MS);
}

/* A new rule counts as seen by the check before it was made. */
void
nicsim_sampled_begin(const struct nicsim_port *port, struct nicsim_sampled *sampled, int64_t now_ms)
{
    int64_t check = last_of(port, NICSIM_AGE_CHECK_MS, now_ms);

    *sampled = (struct nicsim_sampled){
        .period = last_of(port, NICSIM_COUNTER_REFRESH_MS, now_ms),
        .check = check - 1,
        .seen = check,
    };
}

static void
note_count(const struct nicsim_port *port, struct nicsim_sampled *sampled, uint64_t packets, uint64_t bytes,
           int64_t now_ms)
{
    int64_t period = last_of(port, NICSIM_COUNTER_REFRESH_MS, now_ms);

    if (sampled->period != period) {
        sampled->period = period;
        sampled->packets = packets;
        sampled->bytes = bytes;
    }
}

static void
note_age(const struct nicsim_port *port, struct nicsim_sampled *sampled, int64_t now_ms)
{
    int64_t check = last_of(port, NICSIM_AGE_CHECK_MS, now_ms);

    if (sampled->check != check) {
        sampled->seen = sampled->check + 1;
        sampled->check = check;
    }
}

void
nicsim_sampled_hit(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t length, int64_t now_ms)
{
    struct nicsim_sampled *own = &port->sampled[rule - port->rules];
    struct nicsim_object *counter = nicsim_rule_counter(port, rule), *ages = nicsim_rule_ager(port, rule);

    note_count(port, own, rule->packets, rule->bytes, now_ms);
    rule->packets++;
    rule->bytes += length;
    if (counter) {
        note_count(port, &counter->sampled, counter->packets, counter->bytes, now_ms);
        counter->packets++;
        counter->bytes += length;
    }
    note_age(port, ages ? &ages->sampled : own, now_ms);
    nicsim_age_hit(&port->wheel, ages ? &ages->age : &rule->age, now_ms);
}

void
nicsim_sampled_count(const struct nicsim_port *port, struct nicsim_sampled *sampled, uint64_t packets, uint64_t bytes,
                     struct rte_flow_query_count *out)
{
    if (sampled->period == last_of(port, NICSIM_COUNTER_REFRESH_MS, nicsim_clock_ms(&port->sw->clock)) &&
        manner(port, NICSIM_COUNTER_REFRESH_MS)) {
        packets = sampled->packets;
        bytes = sampled->bytes;
    }
    out->hits = packets - sampled->base_packets;
    out->bytes = bytes - sampled->base_bytes;
    out->hits_set = 1;
    out->bytes_set = 1;
    if (out->reset) {
        sampled->base_packets = packets;
        sampled->base_bytes = bytes;
    }
}

int64_t
nicsim_sampled_idle_s(const struct nicsim_port *port, const struct nicsim_sampled *sampled)
{
    int64_t check = last_of(port, NICSIM_AGE_CHECK_MS, nicsim_clock_ms(&port->sw->clock));
    int64_t seen = check > sampled->check ? sampled->check + 1 : sampled->seen;
    int64_t ms = manner(port, NICSIM_AGE_CHECK_MS);

    return check * ms / 1000 - seen * ms / 1000;
}
