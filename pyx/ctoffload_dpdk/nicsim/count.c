/* Counting: what a hit adds, and what a query reads. */
#include "nicsim.h"

void
nicsim_rule_hit(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t length, int64_t now_ms)
{
    struct nicsim_object *counter;

    rule->packets++;
    rule->bytes += length;
    if (__builtin_expect(rule->extra == NICSIM_NO_INDEX, 1)) {
        nicsim_age_hit(&port->wheel, &rule->age, now_ms);
        return;
    }
    counter = nicsim_rule_counter(port, rule);
    if (counter) {
        counter->packets++;
        counter->bytes += length;
    }
    nicsim_age_hit(&port->wheel, nicsim_rule_age(port, rule), now_ms);
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
