/* Calls that no binding makes: without a value, without a place for the answer, with numbers that wrap. Each is refused with
 * EINVAL, and the port works afterwards.
 *
 * Usage: hostile_check DRIVER EAL-ARGUMENTS... Prints what was not refused; its status is then 1. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>

#define NAME "net_nicsim0"

static const struct rte_flow_attr ingress = {.ingress = 1};
static const struct rte_flow_item ipv4[] = {
    {.type = RTE_FLOW_ITEM_TYPE_ETH}, {.type = RTE_FLOW_ITEM_TYPE_IPV4}, {.type = RTE_FLOW_ITEM_TYPE_END}};
static const struct rte_flow_action count_and_drop[] = {
    {.type = RTE_FLOW_ACTION_TYPE_COUNT}, {.type = RTE_FLOW_ACTION_TYPE_DROP}, {.type = RTE_FLOW_ACTION_TYPE_END}};

static uint16_t port_id;
static struct rte_flow_error error;

static void
die(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static void
expect_refused(int rc, const char *what)
{
    if (rc != -EINVAL) {
        printf("%s: %d instead of EINVAL\n", what, rc);
        exit(1);
    }
}

static int
modify(struct rte_flow_action_modify_field conf)
{
    struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, .conf = &conf},
                                        {.type = RTE_FLOW_ACTION_TYPE_DROP},
                                        {.type = RTE_FLOW_ACTION_TYPE_END}};

    return rte_flow_validate(port_id, &ingress, ipv4, actions, &error);
}

static void
modify_without_a_value(void)
{
    struct rte_flow_action_modify_field conf = {
        .operation = RTE_FLOW_MODIFY_SUB, .dst.field = RTE_FLOW_FIELD_IPV4_TTL, .src.field = RTE_FLOW_FIELD_POINTER};

    conf.width = 8;
    expect_refused(modify(conf), "a TTL is lowered by nothing");
    conf.operation = RTE_FLOW_MODIFY_SET;
    expect_refused(modify(conf), "a TTL is set to nothing");
    conf.dst.field = RTE_FLOW_FIELD_META;
    expect_refused(modify(conf), "META is set to nothing");
}

static void
modify_beyond_a_register(void)
{
    struct rte_flow_action_modify_field conf = {.dst.field = RTE_FLOW_FIELD_META, .src.field = RTE_FLOW_FIELD_META};

    conf.width = 32;
    conf.dst.offset = UINT32_MAX - 15;
    expect_refused(modify(conf), "META is written at bit 4294967280");
    conf.dst.offset = 0;
    conf.src.offset = UINT32_MAX - 15;
    expect_refused(modify(conf), "META is read at bit 4294967280");
}

static void
query_without_room(void)
{
    const struct rte_flow_indir_action_conf conf = {.ingress = 1};
    struct rte_flow *rule = rte_flow_create(port_id, &ingress, ipv4, count_and_drop, &error);
    struct rte_flow_action_handle *shared = rte_flow_action_handle_create(port_id, &conf, count_and_drop, &error);
    struct rte_flow_query_count count = {0};

    if (!rule || !shared) {
        die("the rule or the counter cannot be made");
    }
    expect_refused(rte_flow_query(port_id, rule, count_and_drop, NULL, &error), "a rule is asked without room");
    expect_refused(rte_flow_query(port_id, rule, NULL, &count, &error), "a rule is asked nothing");
    expect_refused(rte_flow_action_handle_query(port_id, shared, NULL, &error), "a counter is asked without room");
    if (rte_flow_action_handle_create(port_id, &conf, NULL, &error) || rte_errno != EINVAL) {
        die("an indirect action was made of nothing");
    }
    if (rte_flow_destroy(port_id, rule, &error) || rte_flow_action_handle_destroy(port_id, shared, &error)) {
        die("the rule or the counter does not go");
    }
}

static struct rte_flow_template_table *
make_table(void)
{
    const struct rte_flow_pattern_template_attr pattern_attr = {.ingress = 1};
    const struct rte_flow_actions_template_attr actions_attr = {.ingress = 1};
    const struct rte_flow_template_table_attr attr = {.flow_attr = {.ingress = 1, .group = 1}, .nb_flows = 8};
    struct rte_flow_pattern_template *pattern = rte_flow_pattern_template_create(port_id, &pattern_attr, ipv4, &error);
    struct rte_flow_actions_template *actions =
        rte_flow_actions_template_create(port_id, &actions_attr, count_and_drop, count_and_drop, &error);

    return pattern && actions ? rte_flow_template_table_create(port_id, &attr, &pattern, 1, &actions, 1, &error) : NULL;
}

static void
rules_without_their_own(void)
{
    const struct rte_flow_op_attr now = {0};
    struct rte_flow_template_table *table = make_table();

    if (!table) {
        die("the table cannot be made");
    }
    if (rte_flow_async_create(port_id, 0, &now, table, NULL, 0, count_and_drop, 0, NULL, &error) ||
        rte_errno != EINVAL) {
        die("a rule without items was made");
    }
    if (rte_flow_async_create(port_id, 0, &now, table, ipv4, 0, NULL, 0, NULL, &error) || rte_errno != EINVAL) {
        die("a rule without actions was made");
    }
    if (!rte_flow_async_create(port_id, 0, &now, table, ipv4, 0, count_and_drop, 0, NULL, &error)) {
        die("a rule with both was not made");
    }
}

static void
buffers_without_room(void)
{
    struct rte_mempool *empty = rte_pktmbuf_pool_create("empty", 63, 0, 0, RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);

    if (!empty) {
        die("the pool cannot be made");
    }
    expect_refused(rte_eth_rx_queue_setup(port_id, 0, 64, SOCKET_ID_ANY, NULL, empty), "buffers of no byte");
}

static void
start(void)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create("packets", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    const struct rte_flow_queue_attr queue = {.size = 16}, *queues[] = {&queue};
    const struct rte_flow_port_attr sizes = {.nb_counters = 64};
    struct rte_eth_conf conf = {0};

    if (!pool || rte_vdev_init(NAME, "") || rte_eth_dev_get_port_by_name(NAME, &port_id) ||
        rte_eth_dev_configure(port_id, 1, 1, &conf)) {
        die("the port cannot be made");
    }
    buffers_without_room();
    if (rte_eth_rx_queue_setup(port_id, 0, 64, SOCKET_ID_ANY, NULL, pool) ||
        rte_eth_tx_queue_setup(port_id, 0, 64, SOCKET_ID_ANY, NULL) ||
        rte_flow_configure(port_id, &sizes, 1, queues, &error) || rte_eth_dev_start(port_id)) {
        die("the port does not start");
    }
}

int
main(int argc, char **argv)
{
    if (argc < 2 || !dlopen(argv[1], RTLD_NOW) || rte_eal_init(argc - 1, argv + 1) < 0) {
        die("EAL or the driver does not start");
    }
    start();
    modify_without_a_value();
    modify_beyond_a_register();
    query_without_room();
    rules_without_their_own();
    return rte_eth_dev_stop(port_id) || rte_eth_dev_close(port_id);
}
