/* Counting: what a hit adds, and what a query reads. */
#include "nicsim.h"

void
nicsim_rule_hit(struct nicsim_port *port, struct nicsim_rule *rule, uint32_t length, int64_t now_ms)
{
    struct nicsim_object *counter;

    if (__builtin_expect(port->sampled != NULL, 0)) {
        nicsim_sampled_hit(port, rule, length, now_ms);
        return;
    }
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

static void
query(uint64_t *packets, uint64_t *bytes, struct rte_flow_query_count *out)
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

void
nicsim_object_count_query(struct nicsim_port *port, struct nicsim_object *object, struct rte_flow_query_count *out)
{
    if (port->sampled) {
        nicsim_sampled_count(port, &object->sampled, object->packets, object->bytes, out);
    } else {
        query(&object->packets, &object->bytes, out);
    }
}

void
nicsim_rule_count_query(struct nicsim_port *port, struct nicsim_rule *rule, struct rte_flow_query_count *out)
{
    struct nicsim_object *object = nicsim_rule_counter(port, rule);

    if (object) {
        nicsim_object_count_query(port, object, out);
    } else if (port->sampled) {
        nicsim_sampled_count(port, &port->sampled[rule - port->rules], rule->packets, rule->bytes, out);
    } else {
        query(&rule->packets, &rule->bytes, out);
    }
}
