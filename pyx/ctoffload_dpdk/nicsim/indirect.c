/* Indirect actions: a counter, an age or the context of a connection that several rules share. */
#include <errno.h>

#include "nicsim.h"

#define INJECTED NICSIM_INJECTED

struct rte_flow_action_handle *
nicsim_object_handle(const struct nicsim_object *object, uint32_t index)
{
    return (struct rte_flow_action_handle *) (uintptr_t) ((uint64_t) object->generation << 32 |
                                                          (uint32_t) object->age.owner << 24 | (index + 1));
}

struct nicsim_object *
nicsim_object_of(struct nicsim_port *port, const struct rte_flow_action_handle *handle, uint32_t *index)
{
    uint64_t number = (uintptr_t) handle;

    *index = ((uint32_t) number & 0xffffff) - 1;
    if (((number >> 24) & 0xff) != port->slot) {
        return NULL;
    }
    if (*index >= port->objects_top || port->objects[*index].type == 0 ||
        port->objects[*index].generation != number >> 32) {
        return NULL;
    }
    return &port->objects[*index];
}

struct nicsim_object *
nicsim_object_for_rule(struct nicsim_port *port, const struct rte_flow_action_handle *handle, uint32_t *index)
{
    uint8_t slot = ((uint64_t) (uintptr_t) handle >> 24) & 0xff;
    struct nicsim_port *owner = slot < NICSIM_MAX_PORTS ? port->sw->ports[slot] : NULL;
    struct nicsim_object *object = owner ? nicsim_object_of(owner, handle, index) : NULL;
    bool is_ours = owner == port ||
                   (object && object->type == NICSIM_RULE_CONNTRACK && object->conntrack.peer_port == port->port_id);

    return is_ours ? object : NULL;
}

static struct nicsim_object *
object_alloc(struct nicsim_port *port, uint32_t *index)
{
    if (port->free_object != NICSIM_NO_INDEX) {
        *index = port->free_object;
        port->free_object = port->objects[*index].next_free;
    } else if (port->objects_top < port->config.objects) {
        *index = port->objects_top++;
    } else {
        return NULL;
    }
    return &port->objects[*index];
}

void
nicsim_object_drop(struct nicsim_port *port, uint32_t index)
{
    struct nicsim_object *object = &port->objects[index];

    nicsim_sizes_give(port, object->type);
    object->type = 0;
    object->stage = NICSIM_STAGE_DONE;
    object->generation += !port->config.manners[NICSIM_SMALL_HANDLES];
    object->next_free = port->free_object;
    port->free_object = index;
    port->n_objects--;
}

void
nicsim_object_remove(struct nicsim_port *port, uint32_t index, bool lost)
{
    struct nicsim_object *object = &port->objects[index];

    if (object->age.state != NICSIM_AGE_OFF) {
        nicsim_wheel_remove(&port->wheel, &object->age);
    }
    nicsim_object_drop(port, index);
    nicsim_books_remove(&port->object_books, lost);
}

/* Rules of other ports that ask a context of this one ask none from now on. */
static void
forget_contexts(const struct nicsim_port *gone)
{
    for (int slot = 0; slot < NICSIM_MAX_PORTS; slot++) {
        struct nicsim_port *port = gone->sw->ports[slot];

        for (uint32_t i = 0; port && port != gone && i < port->top; i++) {
            uint32_t extra = port->rules[i].flags & NICSIM_RULE_CONNTRACK ? port->rules[i].extra : NICSIM_NO_INDEX;

            if (extra != NICSIM_NO_INDEX && port->extras[extra].conntrack_owner == gone->slot) {
                port->extras[extra].conntrack_object = NICSIM_NO_INDEX;
            }
        }
    }
}

void
nicsim_objects_clear(struct nicsim_port *port)
{
    if (port->n_objects) {
        forget_contexts(port);
    }
    for (uint32_t i = 0; i < port->objects_top && port->n_objects; i++) {
        if (port->objects[i].type == 0) {
            continue;
        }
        if (port->objects[i].stage == NICSIM_STAGE_QUEUED || port->objects[i].stage == NICSIM_STAGE_FAILED) {
            nicsim_object_drop(port, i);
        } else {
            nicsim_object_remove(port, i, true);
        }
    }
}

/* The kind of object an action becomes; 0 where it cannot be indirect. */
static uint8_t
object_type(enum rte_flow_action_type type)
{
    switch (type) {
    case RTE_FLOW_ACTION_TYPE_COUNT:
        return NICSIM_RULE_COUNT;
    case RTE_FLOW_ACTION_TYPE_AGE:
        return NICSIM_RULE_AGE;
    case RTE_FLOW_ACTION_TYPE_CONNTRACK:
        return NICSIM_RULE_CONNTRACK;
    default:
        return 0;
    }
}

static void
object_fill(const struct nicsim_port *port, struct nicsim_object *object, uint32_t index,
            const struct rte_flow_action *action)
{
    const struct rte_flow_action_age *age = action->conf;

    object->packets = 0;
    object->bytes = 0;
    object->n_rules = 0;
    object->n_repeats = 0;
    object->type = object_type(action->type);
    object->stage = NICSIM_STAGE_DONE;
    memset(&object->age, 0, sizeof object->age);
    object->age.owner = port->slot;
    if (object->type == NICSIM_RULE_AGE) {
        object->age.timeout_s = age->timeout;
        object->age.context = age->context ? age->context : (void *) nicsim_object_handle(object, index);
    } else if (object->type == NICSIM_RULE_CONNTRACK) {
        memcpy(&object->conntrack, action->conf, sizeof object->conntrack);
    }
}

static int
check_wish(const struct nicsim_port *port, const struct rte_flow_indir_action_conf *conf,
           const struct rte_flow_action *action, struct rte_flow_error *error)
{
    uint8_t type = action ? object_type(action->type) : 0;

    if (!action) {
        return FAIL(EINVAL, ACTION, NULL, "no action given");
    }
    if (!type) {
        return FAIL(ENOTSUP, ACTION, action, "only COUNT, AGE and CONNTRACK can be indirect");
    }
    if (type == NICSIM_RULE_CONNTRACK && port->config.manners[NICSIM_CONTEXT_PORTS] &&
        port->port_id >= port->config.manners[NICSIM_CONTEXT_PORTS]) {
        return FAIL(EINVAL, UNSPECIFIED, NULL, "the driver has contexts on ports of lower numbers only");
    }
    if (type != NICSIM_RULE_COUNT && !action->conf) {
        return FAIL(EINVAL, ACTION_CONF, action, "the action has no configuration");
    }
    if (type == NICSIM_RULE_CONNTRACK && nicsim_conntrack_check(action->conf)) {
        return FAIL(EINVAL, ACTION_CONF, action, "there is no such state of a connection");
    }
    return 0;
}

int
nicsim_object_new(struct nicsim_port *port, const struct rte_flow_indir_action_conf *conf,
                  const struct rte_flow_action *action, uint32_t *index, struct rte_flow_error *error)
{
    struct nicsim_object *object;
    int rc = check_wish(port, conf, action, error);

    if (rc == 0) {
        rc = nicsim_sizes_take(port, object_type(action->type), error);
    }
    if (rc) {
        return rc;
    }
    object = object_alloc(port, index);
    if (!object) {
        nicsim_sizes_give(port, object_type(action->type));
        return FAIL(ENOSPC, ACTION, action, "no room for further indirect actions");
    }
    object_fill(port, object, *index, action);
    port->n_objects++;
    return 0;
}

void
nicsim_object_enter(struct nicsim_port *port, uint32_t index, int64_t now_ms)
{
    struct nicsim_object *object = &port->objects[index];

    object->stage = NICSIM_STAGE_DONE;
    object->age.last_ms = nicsim_wheel_born_ms(&port->wheel, now_ms);
    nicsim_sampled_begin(port, &object->sampled, now_ms);
    if (object->type == NICSIM_RULE_AGE && object->age.timeout_s) {
        nicsim_wheel_add(&port->wheel, &object->age);
    }
    nicsim_books_add(&port->object_books);
}

int
nicsim_object_ready(const struct nicsim_object *object, const void *cause, struct rte_flow_error *error)
{
    if (!object) {
        return FAIL(ENOENT, ACTION, cause, "no such indirect action on this port");
    }
    switch (object->stage) {
    case NICSIM_STAGE_QUEUED:
        return FAIL(EBUSY, ACTION, cause, "the indirect action's creation was not executed yet");
    case NICSIM_STAGE_FAILED:
        return FAIL(EINVAL, ACTION, cause, "the indirect action's creation failed; it can only be destroyed");
    case NICSIM_STAGE_LEAVING:
        return FAIL(EBUSY, ACTION, cause, "the indirect action is about to be destroyed");
    default:
        return 0;
    }
}

struct rte_flow_action_handle *
nicsim_indirect_create(struct rte_eth_dev *dev, const struct rte_flow_indir_action_conf *conf,
                       const struct rte_flow_action *action, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct rte_flow_action_handle *handle = NULL;
    uint32_t index;
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_INDIRECT_CREATE);
    if (injected) {
        FAIL(injected, ACTION, action, INJECTED);
    } else if (action && action->type == RTE_FLOW_ACTION_TYPE_AGE && port->sizes.is_strict) {
        FAIL(EINVAL, STATE, action, "with STRICT_QUEUE an indirect AGE is made through a queue");
    } else if (nicsim_object_new(port, conf, action, &index, error) == 0) {
        nicsim_object_enter(port, index, nicsim_clock_ms(&port->sw->clock));
        handle = nicsim_object_handle(&port->objects[index], index);
    }
    nicsim_unlock(port);
    return handle;
}

static bool
is_kept(const struct nicsim_port *port, const struct nicsim_object *object)
{
    return port->config.manners[NICSIM_STOPPED_CONTEXTS] && !port->is_started && object->type == NICSIM_RULE_CONNTRACK;
}

int
nicsim_indirect_destroy(struct rte_eth_dev *dev, struct rte_flow_action_handle *handle, struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_object *object;
    uint32_t index;
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_INDIRECT_DESTROY);
    object = nicsim_object_of(port, handle, &index);
    if (injected) {
        rc = FAIL(injected, ACTION, handle, INJECTED);
    } else if (object && object->stage == NICSIM_STAGE_FAILED) {
        nicsim_object_drop(port, index);
    } else if ((rc = nicsim_object_ready(object, handle, error)) == 0) {
        if (object->n_rules) {
            rc = FAIL(EBUSY, ACTION, handle, "rules still use it");
        } else if (is_kept(port, object)) {
            rc = FAIL(EAGAIN, ACTION, NULL, "a context cannot be destroyed while the port is stopped");
        } else {
            nicsim_object_remove(port, index, false);
        }
    }
    nicsim_unlock(port);
    return rc;
}

static void
age_update(struct nicsim_port *port, struct nicsim_age *age, const struct rte_flow_update_age *update)
{
    if (age->state != NICSIM_AGE_OFF) {
        nicsim_wheel_remove(&port->wheel, age);
    }
    if (update->timeout_valid) {
        age->timeout_s = update->timeout;
    }
    if (update->touch) {
        age->last_ms = nicsim_clock_ms(&port->sw->clock);
    }
    if (age->timeout_s) {
        nicsim_wheel_add(&port->wheel, age);
    }
}

/* What was checked before: a state that can be. */
static void
conntrack_update(struct rte_flow_action_conntrack *conntrack, const struct rte_flow_modify_conntrack *update)
{
    uint32_t is_original = conntrack->is_original_dir;

    if (update->state) {
        memcpy(conntrack, &update->new_ct, sizeof *conntrack);
        conntrack->is_original_dir = is_original;
    }
    if (update->direction) {
        conntrack->is_original_dir = update->new_ct.is_original_dir;
    }
}

int
nicsim_object_check_update(const struct nicsim_port *port, const struct nicsim_object *object, const void *update,
                           const void *cause, struct rte_flow_error *error)
{
    const struct rte_flow_modify_conntrack *modify = update;

    if (object->type == NICSIM_RULE_COUNT) {
        return FAIL(ENOTSUP, ACTION, cause, "a counter cannot be updated");
    }
    if (object->type == NICSIM_RULE_AGE && !port->config.manners[NICSIM_AGE_UPDATE]) {
        return FAIL(ENOTSUP, ACTION, cause, "an age cannot be updated");
    }
    if (!update) {
        return FAIL(EINVAL, ACTION_CONF, cause, "no update given");
    }
    if (object->type == NICSIM_RULE_CONNTRACK && modify->state && nicsim_conntrack_check(&modify->new_ct)) {
        return FAIL(EINVAL, ACTION_CONF, cause, "there is no such state of a connection");
    }
    return 0;
}

void
nicsim_object_update(struct nicsim_port *port, struct nicsim_object *object, const void *update)
{
    if (object->type == NICSIM_RULE_AGE) {
        age_update(port, &object->age, update);
    } else {
        conntrack_update(&object->conntrack, update);
        object->n_repeats = 0;
    }
}

void
nicsim_object_query(struct nicsim_port *port, struct nicsim_object *object, void *data)
{
    if (object->type == NICSIM_RULE_COUNT) {
        nicsim_object_count_query(port, object, data);
        nicsim_lie_tell(port, NICSIM_ANSWER_COUNT, data);
    } else if (object->type == NICSIM_RULE_AGE) {
        nicsim_object_age_query(port, object, data);
        nicsim_lie_tell(port, NICSIM_ANSWER_AGE, data);
    } else {
        memcpy(data, &object->conntrack, sizeof object->conntrack);
        nicsim_lie_tell(port, NICSIM_ANSWER_CONNTRACK, data);
    }
}

int
nicsim_indirect_update(struct rte_eth_dev *dev, struct rte_flow_action_handle *handle, const void *update,
                       struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_object *object;
    uint32_t index;
    int rc, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_INDIRECT_UPDATE);
    object = nicsim_object_of(port, handle, &index);
    rc = injected ? FAIL(injected, ACTION, handle, INJECTED) : nicsim_object_ready(object, handle, error);
    if (rc == 0) {
        rc = nicsim_object_check_update(port, object, update, handle, error);
    }
    if (rc == 0) {
        nicsim_object_update(port, object, update);
    }
    nicsim_unlock(port);
    return rc;
}

int
nicsim_indirect_query(struct rte_eth_dev *dev, const struct rte_flow_action_handle *handle, void *data,
                      struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_object *object;
    uint32_t index;
    int rc, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_INDIRECT_QUERY);
    object = nicsim_object_of(port, handle, &index);
    rc = injected ? FAIL(injected, ACTION, handle, INJECTED) : nicsim_object_ready(object, handle, error);
    if (rc == 0 && !data) {
        rc = FAIL(EINVAL, ACTION, handle, "a query needs room for its answer");
    }
    if (rc == 0) {
        nicsim_object_query(port, object, data);
    }
    nicsim_unlock(port);
    return rc;
}
