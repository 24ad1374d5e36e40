/* Which calls of rte_flow a profile has at all; the others are missing, as in the real driver. */
#include <errno.h>

#include <rte_version.h>

#include <ethdev_driver.h>
#include <rte_flow_driver.h>

#include "nicsim.h"
#include "profile.h"

static struct rte_flow_ops with_isolate, with_query, without_templates, without_sync;

/* From 24.03 on the calls of queues are a table of their own, which the port holds; what is missing there answers ENOSYS. */
#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
static struct rte_flow_fp_ops of_queues;

__attribute__((constructor)) static void
fill_of_queues(void)
{
    of_queues = rte_flow_fp_default_ops;
    of_queues.async_create = nicsim_async_create;
    of_queues.async_destroy = nicsim_async_destroy;
    of_queues.push = nicsim_flow_push;
    of_queues.pull = nicsim_flow_pull;
    of_queues.async_action_handle_create = nicsim_async_indirect_create;
    of_queues.async_action_handle_destroy = nicsim_async_indirect_destroy;
    of_queues.async_action_handle_update = nicsim_async_indirect_update;
    of_queues.async_action_handle_query = nicsim_async_indirect_query;
}

void
nicsim_profile_set_queue_ops(struct rte_eth_dev *dev)
{
    if (nicsim_profile_of(nicsim_port_of(dev))->has_templates) {
        dev->flow_fp_ops = &of_queues;
    }
}
#else
void
nicsim_profile_set_queue_ops(struct rte_eth_dev *dev)
{
}
#endif

static int
query_nothing(struct rte_eth_dev *dev, struct rte_flow *handle, const struct rte_flow_action *actions, void *data,
              struct rte_flow_error *error)
{
    return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, actions, "this NIC counts nothing per rule");
}

static int
destroy_nothing(struct rte_eth_dev *dev, struct rte_flow *handle, struct rte_flow_error *error)
{
    return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
                              nicsim_profile_of(nicsim_port_of(dev))->no_sync);
}

/* Once, when the driver is loaded: made of the NIC's own calls. */
__attribute__((constructor)) static void
fill(void)
{
    const struct rte_flow_ops *all = &nicsim_flow_ops;
    struct rte_flow_ops basic = {
        .validate = all->validate, .create = all->create, .destroy = all->destroy, .flush = all->flush};

    with_isolate = basic;
    with_isolate.isolate = all->isolate;
    with_query = basic;
    with_query.query = query_nothing;
    without_sync = *all;
    without_sync.destroy = destroy_nothing;
    without_templates = *all;
    without_templates.configure = NULL;
    without_templates.info_get = NULL;
    without_templates.pattern_template_create = NULL;
    without_templates.actions_template_create = NULL;
    without_templates.template_table_create = NULL;
}

const struct rte_flow_ops *
nicsim_profile_ops(const struct nicsim_port *port)
{
    const struct nicsim_profile *profile = nicsim_profile_of(port);

    if (!profile->has_flow) {
        return NULL;
    }
    if (profile->has_only == NICSIM_HAS_ISOLATE) {
        return &with_isolate;
    }
    if (profile->has_only == NICSIM_HAS_QUERY) {
        return &with_query;
    }
    if (profile->no_sync) {
        return &without_sync;
    }
    return profile->has_templates ? &nicsim_flow_ops : &without_templates;
}
