/* The controls: the table of nicsim_ctl.h, each call locked and refused once the port is gone. */
#include <errno.h>

#include "nicsim.h"

/* Locks a port that is still there. */
static int
enter(struct nicsim_port *port)
{
    nicsim_lock(port);
    if (!port->dev) {
        nicsim_unlock(port);
        return -ENODEV;
    }
    return 0;
}

static int
ctl_open(uint16_t port_id, struct nicsim_port **port)
{
    *port = nicsim_port_get(port_id);
    return *port ? 0 : -ENODEV;
}

static int
ctl_wire_send(struct nicsim_port *port, const uint8_t *data, const uint64_t *offset, const uint32_t *length, uint32_t n)
{
    return nicsim_wire_in(port, data, offset, length, n);
}

static int
ctl_wire_keep(struct nicsim_port *port, uint64_t max_bytes)
{
    int rc = enter(port);

    if (rc == 0 && port->far.kind == NICSIM_FAR_PYTHON) {
        port->wire.max_bytes = max_bytes;
        if (max_bytes == 0) {
            nicsim_wire_free(&port->wire);
        }
    }
    if (rc == 0) {
        nicsim_unlock(port);
    }
    return rc;
}

/* What a port sent before it went can still be received. */
static int
ctl_wire_pending(struct nicsim_port *port, uint64_t *n_packets, uint64_t *n_bytes)
{
    if (port->far.kind != NICSIM_FAR_PYTHON) {
        return -EOPNOTSUPP;
    }
    nicsim_lock(port);
    *n_packets = port->wire.n_packets - port->wire.n_read;
    *n_bytes = port->wire.data_used - port->wire.data_read;
    nicsim_unlock(port);
    return 0;
}

static int64_t
ctl_wire_receive(struct nicsim_port *port, uint8_t *data, uint64_t n_bytes, uint64_t *offset, uint32_t *length,
                 int64_t *time_ms, uint64_t n_packets)
{
    int64_t n;

    if (port->far.kind != NICSIM_FAR_PYTHON) {
        return -EOPNOTSUPP;
    }
    nicsim_lock(port);
    n = nicsim_wire_receive(port, data, n_bytes, offset, length, time_ms, n_packets);
    nicsim_unlock(port);
    return n;
}

static int64_t
ctl_wire_poll(struct nicsim_port *port)
{
    int rc = enter(port);

    if (rc) {
        return rc;
    }
    nicsim_unlock(port);
    return nicsim_far_poll(port);
}

/* The books outlive the port. */
static int
ctl_counters(struct nicsim_port *port, struct nicsim_counters *counters)
{
    nicsim_counters_read(port, counters);
    return 0;
}

static int
ctl_audit(struct nicsim_port *port, struct nicsim_audit *audit)
{
    nicsim_lock(port);
    nicsim_audit(port, audit);
    nicsim_unlock(port);
    return 0;
}

static int64_t
ctl_rules(struct nicsim_port *port, struct nicsim_rule_info *info, uint64_t max)
{
    int64_t n = enter(port);

    if (n == 0) {
        n = nicsim_audit_rules(port, info, max);
        nicsim_unlock(port);
    }
    return n;
}

static int
ctl_fail(struct nicsim_port *port, enum nicsim_call call, const struct nicsim_fault_plan *plan)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = call < NICSIM_N_CALLS ? -nicsim_fault_set(port, call, plan) : -EINVAL;
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_slow(struct nicsim_port *port, enum nicsim_call call, uint32_t n, uint32_t ms)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = call < NICSIM_N_CALLS ? -nicsim_fault_set_slow(port, call, n, ms) : -EINVAL;
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_fault_info(struct nicsim_port *port, enum nicsim_call call, struct nicsim_fault_info *info)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = call < NICSIM_N_CALLS ? 0 : -EINVAL;
        if (rc == 0) {
            nicsim_fault_info(port, call, info);
        }
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_lie(struct nicsim_port *port, enum nicsim_answer answer, const struct nicsim_lie *lie)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = answer < NICSIM_N_ANSWERS ? -nicsim_lie_set(port, answer, lie) : -EINVAL;
        nicsim_unlock(port);
    }
    return rc;
}

/* What the books say of a port that is gone is what was so at its end: nothing is left. */
static int
ctl_flow_audit(struct nicsim_port *port, struct nicsim_flow_audit *audit)
{
    nicsim_lock(port);
    nicsim_audit_flow(port, audit);
    nicsim_unlock(port);
    return 0;
}

static int64_t
ctl_tables(struct nicsim_port *port, struct nicsim_table_info *info, uint64_t max)
{
    int64_t n;

    nicsim_lock(port);
    n = nicsim_audit_tables(port, info, max);
    nicsim_unlock(port);
    return n;
}

static int64_t
ctl_flow_queues(struct nicsim_port *port, struct nicsim_queue_info *info, uint64_t max)
{
    int64_t n;

    nicsim_lock(port);
    n = nicsim_audit_queues(port, info, max);
    nicsim_unlock(port);
    return n;
}

static int
ctl_queue_stall(struct nicsim_port *port, uint32_t queue, int on)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = -nicsim_flow_queue_stall(port, queue, on != 0);
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_queue_drop(struct nicsim_port *port, uint32_t queue, uint32_t n)
{
    int rc = enter(port);

    if (rc == 0) {
        rc = -nicsim_flow_queue_drop(port, queue, n);
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_completion_delay(struct nicsim_port *port, uint32_t ms)
{
    int rc = enter(port);

    if (rc == 0) {
        port->completion_delay_ms = ms;
        nicsim_unlock(port);
    }
    return rc;
}

static int
ctl_link(struct nicsim_port *port, int up)
{
    return nicsim_port_set_link(port, up != 0);
}

static int
ctl_clock_now(struct nicsim_port *port, int64_t *now_ms)
{
    *now_ms = nicsim_clock_ms(&port->sw->clock);
    return 0;
}

static int
ctl_clock_set(struct nicsim_port *port, int64_t now_ms)
{
    int error;

    nicsim_lock(port);
    error = nicsim_clock_set(&port->sw->clock, now_ms);
    if (!error) {
        nicsim_flow_queues_turn(port->sw);
        nicsim_aged_turn(port->sw);
    }
    nicsim_unlock(port);
    if (!error) {
        nicsim_aged_notify(port->sw);
    }
    return -error;
}

static int
ctl_clock_manual(struct nicsim_port *port, int manual)
{
    nicsim_lock(port);
    nicsim_clock_make_manual(&port->sw->clock, manual != 0);
    nicsim_unlock(port);
    nicsim_aged_set_timer(port->sw);
    return 0;
}

static const struct nicsim_ctl table = {
    .version = NICSIM_CTL_VERSION,
    .size = sizeof(struct nicsim_ctl),
    .open = ctl_open,
    .close = nicsim_port_unref,
    .wire_send = ctl_wire_send,
    .wire_keep = ctl_wire_keep,
    .wire_pending = ctl_wire_pending,
    .wire_receive = ctl_wire_receive,
    .wire_poll = ctl_wire_poll,
    .counters = ctl_counters,
    .audit = ctl_audit,
    .rules = ctl_rules,
    .flow_audit = ctl_flow_audit,
    .tables = ctl_tables,
    .flow_queues = ctl_flow_queues,
    .fail = ctl_fail,
    .slow = ctl_slow,
    .fault_info = ctl_fault_info,
    .lie = ctl_lie,
    .queue_stall = ctl_queue_stall,
    .queue_drop = ctl_queue_drop,
    .completion_delay = ctl_completion_delay,
    .link = ctl_link,
    .demand_reset = nicsim_port_break,
    .unplug = nicsim_port_unplug,
    .clock_now = ctl_clock_now,
    .clock_set = ctl_clock_set,
    .clock_manual = ctl_clock_manual,
};

__attribute__((visibility("default"))) nicsim_ctl_get_function nicsim_ctl_get;

const struct nicsim_ctl *
nicsim_ctl_get(uint32_t version)
{
    return version == NICSIM_CTL_VERSION && nicsim_version_fits() ? &table : NULL;
}
