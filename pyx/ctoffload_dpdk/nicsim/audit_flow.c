/* The books of what rules go through: sizes, tables, queues. */
#include <errno.h>

#include "nicsim.h"

static struct nicsim_room_info
room_out(const struct nicsim_room *room)
{
    return (struct nicsim_room_info){.used = room->used, .room = room->room};
}

void
nicsim_audit_flow(const struct nicsim_port *port, struct nicsim_flow_audit *audit)
{
    *audit = (struct nicsim_flow_audit){
        .counters = room_out(&port->sizes.counters),
        .ages = room_out(&port->sizes.ages),
        .contexts = room_out(&port->sizes.contexts),
        .pattern_templates = port->patterns.n,
        .actions_templates = port->actions.n,
        .tables = port->tables.n,
        .queues = port->sizes.n_queues,
        .is_configured = port->sizes.is_configured,
        .is_strict = port->sizes.is_strict,
    };
}

int64_t
nicsim_audit_tables(const struct nicsim_port *port, struct nicsim_table_info *info, uint64_t max)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < port->tables.room && n < max; i++) {
        const struct nicsim_template_table *table = (const void *) port->tables.entries[i];

        if (table) {
            info[n++] = (struct nicsim_table_info){
                .number = i + 1,
                .group = table->attr.group,
                .priority = table->attr.priority,
                .room = table->room,
                .n_rules = table->named.n_users,
                .n_patterns = table->n_patterns,
                .n_actions = table->n_actions,
                .transfer = table->attr.transfer,
                .egress = table->attr.egress,
            };
        }
    }
    return port->tables.n;
}

int64_t
nicsim_audit_queues(const struct nicsim_port *port, struct nicsim_queue_info *info, uint64_t max)
{
    for (uint32_t i = 0; i < port->sizes.n_queues && i < max; i++) {
        const struct nicsim_flow_queue *queue = &port->flow_queues[i];

        /* The positions in the ring went on over what was cancelled and what was dropped. */
        info[i] = (struct nicsim_queue_info){
            .enqueued = queue->enqueued,
            .waiting = queue->enqueued - queue->executed,
            .executed = queue->executed - queue->n_cancelled,
            .failed = queue->n_failed,
            .results = queue->executed - queue->pulled,
            .told = queue->pulled - queue->n_dropped - queue->n_cancelled,
            .dropped = queue->n_dropped,
            .cancelled = queue->n_cancelled,
            .size = queue->size,
            .is_stalled = queue->is_stalled,
        };
    }
    return port->sizes.n_queues;
}
