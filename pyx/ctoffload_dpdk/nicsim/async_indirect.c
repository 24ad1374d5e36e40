/* Indirect actions through a queue. */
#include <errno.h>

#include <rte_flow_driver.h>

#include "nicsim.h"

/* The queue of a call that is not to fail, locked; NULL and the error otherwise. */
static struct nicsim_flow_queue *
enter(struct nicsim_port *port, enum nicsim_call call, uint32_t number, struct rte_flow_error *error)
{
    int injected = nicsim_fault_take(port, call);

    if (injected) {
        FAIL(injected, ACTION, NULL, NICSIM_INJECTED);
        return NULL;
    }
    return nicsim_flow_queue_use(port, number, error);
}

static void
push_unless_postponed(struct nicsim_port *port, struct nicsim_flow_queue *queue, const struct rte_flow_op_attr *attr)
{
    if (!attr || !attr->postpone) {
        nicsim_flow_queue_push(port, queue);
    }
}

struct rte_flow_action_handle *
nicsim_async_indirect_create(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                             const struct rte_flow_indir_action_conf *conf, const struct rte_flow_action *action,
                             void *user_data, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct rte_flow_action_handle *handle = NULL;
    struct nicsim_flow_queue *queue;
    uint32_t index;

    nicsim_lock(port);
    queue = enter(port, NICSIM_CALL_ASYNC_INDIRECT_CREATE, number, error);
    if (queue && nicsim_object_new(port, conf, action, &index, error) == 0) {
        struct nicsim_object *object = &port->objects[index];

        object->stage = NICSIM_STAGE_QUEUED;
        object->age.list = port->sizes.is_strict ? number : 0;
        handle = nicsim_object_handle(object, index);
        nicsim_flow_queue_put(queue, NICSIM_OP_OBJECT_CREATE, index, user_data);
        push_unless_postponed(port, queue, attr);
    }
    nicsim_unlock(port);
    return handle;
}

int
nicsim_async_indirect_destroy(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                              struct rte_flow_action_handle *handle, void *user_data, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_flow_queue *queue;
    struct nicsim_object *object;
    uint32_t index;
    int rc;

    nicsim_lock(port);
    queue = enter(port, NICSIM_CALL_ASYNC_INDIRECT_DESTROY, number, error);
    object = nicsim_object_of(port, handle, &index);
    if (!queue) {
        rc = -rte_errno;
    } else if (object && object->stage == NICSIM_STAGE_FAILED) {
        rc = 0;
    } else {
        rc = nicsim_object_ready(object, handle, error);
    }
    if (rc == 0 && object->n_rules) {
        rc = FAIL(EBUSY, ACTION, handle, "rules still use it");
    }
    if (rc == 0) {
        struct nicsim_op *op = nicsim_flow_queue_put(queue, NICSIM_OP_OBJECT_DESTROY, index, user_data);

        op->was_failed = object->stage == NICSIM_STAGE_FAILED;
        object->stage = NICSIM_STAGE_LEAVING;
        push_unless_postponed(port, queue, attr);
    }
    nicsim_unlock(port);
    return rc;
}

/* The direction of a context counts for the next rule that is enqueued; its state changes when the update is executed. */
static void
keep_update(struct nicsim_object *object, const void *update, union nicsim_update *kept)
{
    if (object->type == NICSIM_RULE_AGE) {
        memcpy(&kept->age, update, sizeof kept->age);
        return;
    }
    memcpy(&kept->conntrack, update, sizeof kept->conntrack);
    if (kept->conntrack.direction) {
        object->conntrack.is_original_dir = kept->conntrack.new_ct.is_original_dir;
        kept->conntrack.direction = 0;
    }
}

int
nicsim_async_indirect_update(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                             struct rte_flow_action_handle *handle, const void *update, void *user_data,
                             struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_flow_queue *queue;
    struct nicsim_object *object;
    uint32_t index;
    int rc;

    nicsim_lock(port);
    queue = enter(port, NICSIM_CALL_ASYNC_INDIRECT_UPDATE, number, error);
    object = nicsim_object_of(port, handle, &index);
    rc = queue ? nicsim_object_ready(object, handle, error) : -rte_errno;
    if (rc == 0) {
        rc = nicsim_object_check_update(port, object, update, handle, error);
    }
    if (rc == 0) {
        struct nicsim_op *op = nicsim_flow_queue_put(queue, NICSIM_OP_OBJECT_UPDATE, index, user_data);

        op->generation = object->generation;
        keep_update(object, update, &queue->updates[op - queue->ops]);
        push_unless_postponed(port, queue, attr);
    }
    nicsim_unlock(port);
    return rc;
}

int
nicsim_async_indirect_query(struct rte_eth_dev *dev, uint32_t number, const struct rte_flow_op_attr *attr,
                            const struct rte_flow_action_handle *handle, void *data, void *user_data,
                            struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_flow_queue *queue;
    struct nicsim_object *object;
    uint32_t index;
    int rc;

    nicsim_lock(port);
    queue = enter(port, NICSIM_CALL_ASYNC_INDIRECT_QUERY, number, error);
    object = nicsim_object_of(port, handle, &index);
    rc = queue ? nicsim_object_ready(object, handle, error) : -rte_errno;
    if (rc == 0 && !data) {
        rc = FAIL(EINVAL, ACTION, handle, "a query needs room for its answer");
    }
    if (rc == 0) {
        struct nicsim_op *op = nicsim_flow_queue_put(queue, NICSIM_OP_OBJECT_QUERY, index, user_data);

        op->generation = object->generation;
        op->data = data;
        push_unless_postponed(port, queue, attr);
    }
    nicsim_unlock(port);
    return rc;
}
