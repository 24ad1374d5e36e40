/* Counting: what a hit adds, and what a query reads. */
#include "nicsim.h"

void
nicsim_rule_hit(struct nicsim_switch *sw, struct nicsim_rule *rule, uint32_t length, int64_t now_ms)
{
    struct nicsim_port *port;

    if (__builtin_expect(rule->count_object == NICSIM_NO_INDEX && rule->age_object == NICSIM_NO_INDEX, 1)) {
        rule->packets++;
        rule->bytes += length;
        if (__builtin_expect(rule->age.state >= NICSIM_AGE_AGED, 0)) {
            nicsim_wheel_revive(&nicsim_rule_port(sw, rule)->wheel, &rule->age);
        }
        rule->age.last_ms = now_ms;
        return;
    }
    port = nicsim_rule_port(sw, rule);
    if (rule->count_object != NICSIM_NO_INDEX) {
        port->objects[rule->count_object].packets++;
        port->objects[rule->count_object].bytes += length;
    }
    rule->packets++;
    rule->bytes += length;
    nicsim_age_hit(&port->wheel,
                   rule->age_object == NICSIM_NO_INDEX ? &rule->age : &port->objects[rule->age_object].age, now_ms);
}

void
nicsim_count_query(uint64_t *packets, uint64_t *bytes, struct rte_flow_query_count *out)
{
    out->hits = *packets;
    out->bytes = *bytes;
    out->hits_set = 1;
    out->bytes_set = 1;
    if (out->reset) {
        *packets = 0;
        *bytes = 0;
    }
}
