/* Flow queues: rings of operations that are enqueued, pushed, executed and pulled, in that order. */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "nicsim.h"

int
nicsim_flow_queues_init(struct nicsim_port *port, uint16_t n, const struct rte_flow_queue_attr *queues[])
{
    port->flow_queues = calloc(n, sizeof *port->flow_queues);
    if (!port->flow_queues) {
        return ENOMEM;
    }
    port->sizes.n_queues = n;
    for (uint16_t i = 0; i < n; i++) {
        struct nicsim_flow_queue *queue = &port->flow_queues[i];

        queue->size = queues[i]->size;
        queue->mask = rte_align32pow2(queue->size) - 1;
        queue->ops = calloc((size_t) queue->mask + 1, sizeof *queue->ops);
        queue->updates = calloc((size_t) queue->mask + 1, sizeof *queue->updates);
        if (!queue->ops || !queue->updates) {
            nicsim_flow_queues_free(port);
            return ENOMEM;
        }
    }
    return 0;
}

void
nicsim_flow_queues_free(struct nicsim_port *port)
{
    for (uint32_t i = 0; i < port->sizes.n_queues; i++) {
        free(port->flow_queues[i].ops);
        free(port->flow_queues[i].updates);
    }
    free(port->flow_queues);
    port->flow_queues = NULL;
    port->sizes.n_queues = 0;
}

struct nicsim_flow_queue *
nicsim_flow_queue_use(struct nicsim_port *port, uint32_t number, struct rte_flow_error *error)
{
    struct nicsim_flow_queue *queue;

    if (number >= port->sizes.n_queues) {
        FAIL(EINVAL, UNSPECIFIED, NULL, "the port has no such flow queue");
        return NULL;
    }
    if (!port->is_started) {
        FAIL(ENODEV, STATE, NULL, "the port is not started");
        return NULL;
    }
    queue = &port->flow_queues[number];
    if (queue->enqueued - queue->pulled + queue->n_untold >= queue->size) {
        FAIL(port->config.manners[NICSIM_QUEUE_FULL] ? ENOMEM : EAGAIN, UNSPECIFIED, NULL,
             "the flow queue is full: push, and pull results");
        return NULL;
    }
    return queue;
}

struct nicsim_op *
nicsim_flow_queue_put(struct nicsim_flow_queue *queue, enum nicsim_op_type type, uint32_t index, void *user_data)
{
    struct nicsim_op *op = &queue->ops[queue->enqueued++ & queue->mask];

    *op = (struct nicsim_op){.user_data = user_data, .index = index, .type = type};
    return op;
}

/* --- execution ---------------------------------------------------------------------------------------------------- */

static bool
execute_create(struct nicsim_port *port, const struct nicsim_op *op, bool fails)
{
    struct nicsim_rule *rule = &port->rules[op->index];

    if (fails || nicsim_rule_enter(port, op->index, op->due_ms)) {
        nicsim_rule_set_stage(rule, NICSIM_STAGE_FAILED, nicsim_rule_table(rule));
        port->n_failed_rules++;
        return false;
    }
    nicsim_rule_set_stage(rule, NICSIM_STAGE_DONE, nicsim_rule_table(rule));
    return true;
}

/* A rule that was to go is what it was. */
static void
stay(struct nicsim_rule *rule)
{
    bool is_live = (rule->flags & NICSIM_RULE_LIVE) != 0;

    nicsim_rule_set_stage(rule, is_live ? NICSIM_STAGE_DONE : NICSIM_STAGE_FAILED, nicsim_rule_table(rule));
}

static bool
execute_destroy(struct nicsim_port *port, const struct nicsim_op *op, bool fails)
{
    struct nicsim_rule *rule = &port->rules[op->index];
    bool is_live = (rule->flags & NICSIM_RULE_LIVE) != 0;

    if (fails) {
        stay(rule);
    } else if (is_live) {
        nicsim_rule_remove(port, op->index, false);
    } else {
        nicsim_rule_drop(port, op->index);
        port->n_failed_rules--;
    }
    return !fails;
}

static bool
execute_object(struct nicsim_port *port, struct nicsim_flow_queue *queue, const struct nicsim_op *op, bool fails)
{
    struct nicsim_object *object = &port->objects[op->index];

    switch (op->type) {
    case NICSIM_OP_OBJECT_CREATE:
        if (fails) {
            object->stage = NICSIM_STAGE_FAILED;
        } else {
            nicsim_object_enter(port, op->index, op->due_ms);
        }
        break;
    case NICSIM_OP_OBJECT_DESTROY:
        if (fails) {
            object->stage = op->was_failed ? NICSIM_STAGE_FAILED : NICSIM_STAGE_DONE;
        } else if (op->was_failed) {
            nicsim_object_drop(port, op->index);
        } else {
            nicsim_object_remove(port, op->index, false);
        }
        break;
    case NICSIM_OP_OBJECT_UPDATE:
        if (!fails && object->generation == op->generation) {
            nicsim_object_update(port, object, &queue->updates[op - queue->ops]);
        }
        return !fails && object->generation == op->generation;
    default:
        if (!fails && object->generation == op->generation) {
            nicsim_object_query(port, object, op->data);
        }
        return !fails && object->generation == op->generation;
    }
    return !fails;
}

static void
execute(struct nicsim_port *port, struct nicsim_flow_queue *queue, struct nicsim_op *op)
{
    bool fails = nicsim_fault_take(port, NICSIM_CALL_COMPLETION) != 0, is_done;

    switch (op->type) {
    case NICSIM_OP_CREATE:
        is_done = execute_create(port, op, fails);
        break;
    case NICSIM_OP_DESTROY:
        is_done = execute_destroy(port, op, fails);
        break;
    default:
        is_done = execute_object(port, queue, op, fails);
        break;
    }
    queue->n_failed += !is_done;
    op->state = is_done ? NICSIM_OP_OK : NICSIM_OP_FAILED;
    if (queue->n_to_drop) {
        queue->n_to_drop--;
        op->state = NICSIM_OP_UNTOLD;
    }
    queue->executed++;
}

static void
turn(struct nicsim_port *port, struct nicsim_flow_queue *queue, int64_t now_ms)
{
    while (!queue->is_stalled && queue->executed < queue->pushed) {
        struct nicsim_op *op = &queue->ops[queue->executed & queue->mask];

        if (op->due_ms > now_ms) {
            break;
        }
        execute(port, queue, op);
    }
}

void
nicsim_flow_queue_push(struct nicsim_port *port, struct nicsim_flow_queue *queue)
{
    int64_t now_ms = nicsim_clock_ms(&port->sw->clock);

    for (; queue->pushed < queue->enqueued; queue->pushed++) {
        queue->ops[queue->pushed & queue->mask].due_ms = now_ms + port->completion_delay_ms;
    }
    turn(port, queue, now_ms);
}

void
nicsim_flow_queues_turn(struct nicsim_switch *sw)
{
    int64_t now_ms = nicsim_clock_ms(&sw->clock);

    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        struct nicsim_port *port = sw->ports[slot];

        for (uint32_t i = 0; port && i < port->sizes.n_queues; i++) {
            turn(port, &port->flow_queues[i], now_ms);
        }
    }
}

int
nicsim_flow_queue_stall(struct nicsim_port *port, uint32_t number, bool on)
{
    if (number >= port->sizes.n_queues) {
        return EINVAL;
    }
    port->flow_queues[number].is_stalled = on;
    turn(port, &port->flow_queues[number], nicsim_clock_ms(&port->sw->clock));
    return 0;
}

int
nicsim_flow_queue_drop(struct nicsim_port *port, uint32_t number, uint32_t n)
{
    if (number >= port->sizes.n_queues) {
        return EINVAL;
    }
    port->flow_queues[number].n_to_drop = n;
    return 0;
}

/* The operation never happens. */
static void
cancel(struct nicsim_port *port, struct nicsim_op *op)
{
    struct nicsim_object *object = &port->objects[op->index];

    switch (op->type) {
    case NICSIM_OP_CREATE:
        nicsim_rule_drop(port, op->index);
        break;
    case NICSIM_OP_DESTROY:
        stay(&port->rules[op->index]);
        break;
    case NICSIM_OP_OBJECT_CREATE:
        nicsim_object_drop(port, op->index);
        break;
    case NICSIM_OP_OBJECT_DESTROY:
        object->stage = op->was_failed ? NICSIM_STAGE_FAILED : NICSIM_STAGE_DONE;
        break;
    default:
        break;
    }
}

/* What would be executed later is now. */
static void
hurry(struct nicsim_port *port, struct nicsim_flow_queue *queue)
{
    int64_t now_ms = nicsim_clock_ms(&port->sw->clock);

    for (uint64_t i = queue->executed; i < queue->pushed; i++) {
        struct nicsim_op *op = &queue->ops[i & queue->mask];

        op->due_ms = RTE_MIN(op->due_ms, now_ms);
    }
    turn(port, queue, now_ms);
}

void
nicsim_flow_queues_drain(struct nicsim_port *port, bool executes)
{
    for (uint32_t i = 0; i < port->sizes.n_queues; i++) {
        struct nicsim_flow_queue *queue = &port->flow_queues[i];

        if (executes) {
            nicsim_flow_queue_push(port, queue);
            hurry(port, queue);
        }
        /* What became of these is asked for no more. */
        for (; queue->pulled < queue->executed; queue->pulled++) {
            queue->n_dropped++;
        }
        for (; queue->executed < queue->enqueued; queue->executed++, queue->pulled++, queue->pushed++) {
            cancel(port, &queue->ops[queue->executed & queue->mask]);
            queue->n_cancelled++;
        }
        queue->pushed = queue->enqueued;
        queue->n_untold = 0;
    }
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

int
nicsim_flow_push(struct rte_eth_dev *dev, uint32_t number, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_PUSH);
    if (injected) {
        rc = FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else if (number >= port->sizes.n_queues) {
        rc = FAIL(EINVAL, UNSPECIFIED, NULL, "the port has no such flow queue");
    } else {
        nicsim_flow_queue_push(port, &port->flow_queues[number]);
    }
    nicsim_unlock(port);
    return rc;
}

static int
pull(struct nicsim_flow_queue *queue, struct rte_flow_op_result *results, uint16_t n)
{
    int found = 0;

    for (; found < n && queue->pulled < queue->executed; queue->pulled++) {
        const struct nicsim_op *op = &queue->ops[queue->pulled & queue->mask];

        if (op->state == NICSIM_OP_UNTOLD) {
            queue->n_untold++;
            queue->n_dropped++;
            continue;
        }
        results[found].user_data = op->user_data;
        results[found].status = op->state == NICSIM_OP_OK ? RTE_FLOW_OP_SUCCESS : RTE_FLOW_OP_ERROR;
        found++;
    }
    return found;
}

int
nicsim_flow_pull(struct rte_eth_dev *dev, uint32_t number, struct rte_flow_op_result results[], uint16_t n,
                 struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    int rc, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_PULL);
    if (injected) {
        rc = FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else if (number >= port->sizes.n_queues) {
        rc = FAIL(EINVAL, UNSPECIFIED, NULL, "the port has no such flow queue");
    } else {
        turn(port, &port->flow_queues[number], nicsim_clock_ms(&port->sw->clock));
        rc = pull(&port->flow_queues[number], results, n);
    }
    nicsim_unlock(port);
    return rc;
}
