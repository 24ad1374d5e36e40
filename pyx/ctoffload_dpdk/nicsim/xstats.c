/* Extended statistics: where the packets went, under the names of struct nicsim_counters, since the last reset. */
#include <stddef.h>
#include <stdio.h>

#include "nicsim.h"

#define FIELD(name) {#name, offsetof(struct nicsim_counters, name)}

const struct nicsim_counter_field nicsim_counter_fields[NICSIM_N_COUNTERS] = {
    FIELD(wire_in), FIELD(nic_forwarded), FIELD(nic_received),     FIELD(host_rx),       FIELD(host_pending),
    FIELD(host_tx), FIELD(wire_out),      FIELD(wire_out_dropped), FIELD(host_switched), FIELD(hairpinned),
};

/* Each counter is told once, here and in telemetry. */
_Static_assert(sizeof(struct nicsim_counters) == (NICSIM_N_COUNTERS + NICSIM_N_DROPS) * sizeof(uint64_t),
               "a counter without a name");

enum { N_XSTATS = NICSIM_N_COUNTERS + NICSIM_N_DROPS };

uint64_t
nicsim_counter(const struct nicsim_counters *counters, uint32_t i)
{
    return *(const uint64_t *) ((const char *) counters + nicsim_counter_fields[i].offset);
}

static uint64_t
value_of(const struct nicsim_counters *counters, unsigned int i)
{
    return i < NICSIM_N_COUNTERS ? nicsim_counter(counters, i) : counters->nic_dropped[i - NICSIM_N_COUNTERS];
}

int
nicsim_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
    if (names && n >= N_XSTATS) {
        for (unsigned int i = 0; i < NICSIM_N_COUNTERS; i++) {
            snprintf(names[i].name, sizeof names[i].name, "%s", nicsim_counter_fields[i].name);
        }
        for (unsigned int i = 0; i < NICSIM_N_DROPS; i++) {
            snprintf(names[NICSIM_N_COUNTERS + i].name, sizeof names[0].name, "nic_dropped_%s", nicsim_drop_name(i));
        }
    }
    return N_XSTATS;
}

int
nicsim_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *stats, unsigned int n)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_counters now, base;

    if (!stats || n < N_XSTATS) {
        return N_XSTATS;
    }
    nicsim_counters_read(port, &now);
    nicsim_lock(port);
    base = port->counters_base;
    nicsim_unlock(port);
    for (unsigned int i = 0; i < N_XSTATS; i++) {
        stats[i].id = i;
        stats[i].value = value_of(&now, i) - value_of(&base, i);
    }
    return N_XSTATS;
}
