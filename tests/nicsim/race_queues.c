#include "race_queues.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_ethdev.h>
#include <rte_flow.h>

#define N_RULES    32
#define QUEUE_SIZE 16

long queue_steps;

static uint16_t port;
static struct rte_flow_template_table *tables[N_FLOW_QUEUES];
static _Atomic uint64_t n_done;

/* What a queue's thread has under way or in the NIC. */
struct slot {
    struct rte_flow *rule;
    struct rte_flow_action_handle *counter;
    int n_waiting; /* operations without a result */
    bool has_failed;
};

uint64_t
queues_done(void)
{
    return atomic_load(&n_done);
}

int
queues_configure(uint16_t port_id)
{
    struct rte_flow_port_attr attr = {.nb_counters = 1024, .nb_aging_objects = 1024, .nb_conn_tracks = 16};
    struct rte_flow_queue_attr queue = {.size = QUEUE_SIZE};
    const struct rte_flow_queue_attr *queues[N_FLOW_QUEUES] = {&queue, &queue};
    struct rte_flow_error error;

    port = port_id;
    return rte_flow_configure(port_id, &attr, N_FLOW_QUEUES, queues, &error);
}

static struct rte_flow_template_table *
make_table(uint32_t priority)
{
    struct rte_flow_pattern_template_attr pattern_attr = {.ingress = 1};
    struct rte_flow_actions_template_attr actions_attr = {.ingress = 1};
    struct rte_flow_item_udp ports = {.hdr = {.src_port = UINT16_MAX}};
    struct rte_flow_item items[] = {{.type = RTE_FLOW_ITEM_TYPE_ETH},
                                    {.type = RTE_FLOW_ITEM_TYPE_IPV4},
                                    {.type = RTE_FLOW_ITEM_TYPE_UDP, .mask = &ports},
                                    {.type = RTE_FLOW_ITEM_TYPE_END}};
    struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_INDIRECT},
                                        {.type = RTE_FLOW_ACTION_TYPE_AGE},
                                        {.type = RTE_FLOW_ACTION_TYPE_DROP},
                                        {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_action masks[] = {{.type = RTE_FLOW_ACTION_TYPE_COUNT},
                                      {.type = RTE_FLOW_ACTION_TYPE_AGE},
                                      {.type = RTE_FLOW_ACTION_TYPE_DROP},
                                      {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_template_table_attr attr = {.flow_attr = {.ingress = 1, .priority = priority}, .nb_flows = N_RULES};
    struct rte_flow_error error;
    struct rte_flow_pattern_template *pattern = rte_flow_pattern_template_create(port, &pattern_attr, items, &error);
    struct rte_flow_actions_template *template =
        rte_flow_actions_template_create(port, &actions_attr, actions, masks, &error);

    return pattern && template ? rte_flow_template_table_create(port, &attr, &pattern, 1, &template, 1, &error) : NULL;
}

int
queues_prepare(uint16_t port_id)
{
    for (uint32_t i = 0; i < N_FLOW_QUEUES; i++) {
        tables[i] = make_table(i + 1);
        if (!tables[i]) {
            return -1;
        }
    }
    return 0;
}

static void
give_up(const char *what, const struct rte_flow_error *error)
{
    printf("%s: %s\n", what, error->message ? error->message : "no message");
    exit(1);
}

/* Takes results until so many operations at most are under way. */
static void
settle(uint32_t queue, uint32_t *n_under_way, uint32_t most)
{
    struct rte_flow_op_result results[QUEUE_SIZE];
    struct rte_flow_error error;

    if (rte_flow_push(port, queue, &error)) {
        give_up("push", &error);
    }
    while (*n_under_way > most) {
        int n = rte_flow_pull(port, queue, results, QUEUE_SIZE, &error);

        if (n < 0) {
            give_up("pull", &error);
        }
        for (int i = 0; i < n; i++) {
            struct slot *slot = results[i].user_data;

            slot->n_waiting--;
            slot->has_failed |= results[i].status != RTE_FLOW_OP_SUCCESS;
            atomic_fetch_add(&n_done, 1);
        }
        *n_under_way -= n;
    }
}

static void
create(uint32_t queue, uint16_t number, struct slot *slot, uint32_t *n_under_way)
{
    struct rte_flow_op_attr later = {.postpone = 1}, now = {.postpone = 0};
    struct rte_flow_indir_action_conf conf = {.ingress = 1};
    struct rte_flow_action count = {.type = RTE_FLOW_ACTION_TYPE_COUNT};
    struct rte_flow_item_udp udp = {.hdr = {.src_port = number}};
    struct rte_flow_item items[] = {{.type = RTE_FLOW_ITEM_TYPE_ETH},
                                    {.type = RTE_FLOW_ITEM_TYPE_IPV4},
                                    {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp},
                                    {.type = RTE_FLOW_ITEM_TYPE_END}};
    struct rte_flow_action_age age = {.timeout = 1 + number % 3};
    struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_INDIRECT},
                                        {.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age},
                                        {.type = RTE_FLOW_ACTION_TYPE_DROP},
                                        {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_error error;

    slot->counter = rte_flow_async_action_handle_create(port, queue, &now, &conf, &count, slot, &error);
    if (!slot->counter) {
        give_up("counter", &error);
    }
    slot->n_waiting++;
    (*n_under_way)++;
    settle(queue, n_under_way, 0); /* the rule can be made once its counter was */
    actions[0].conf = slot->counter;
    slot->rule = rte_flow_async_create(port, queue, &later, tables[queue], items, 0, actions, 0, slot, &error);
    if (!slot->rule) {
        give_up("rule", &error);
    }
    slot->n_waiting++;
    (*n_under_way)++;
}

static void
destroy(uint32_t queue, struct slot *slot, uint32_t *n_under_way)
{
    struct rte_flow_op_attr later = {.postpone = 1};
    struct rte_flow_error error;

    if (rte_flow_async_destroy(port, queue, &later, slot->rule, slot, &error)) {
        give_up("removal", &error);
    }
    slot->n_waiting++;
    (*n_under_way)++;
    settle(queue, n_under_way, 0); /* the counter can go once no rule uses it */
    if (rte_flow_async_action_handle_destroy(port, queue, &later, slot->counter, slot, &error)) {
        give_up("removal of a counter", &error);
    }
    slot->n_waiting++;
    (*n_under_way)++;
    slot->rule = NULL;
}

void *
change_through_queue(void *number)
{
    uint32_t queue = (uint32_t) (uintptr_t) number, n_under_way = 0;
    struct slot slots[N_RULES] = {{0}};
    struct rte_flow_error error = {0};

    for (long i = 0; i < queue_steps; i++) {
        struct slot *slot = &slots[i * 7 % N_RULES];

        settle(queue, &n_under_way, slot->n_waiting ? 0 : QUEUE_SIZE - 4);
        if (slot->rule) {
            destroy(queue, slot, &n_under_way);
        } else {
            create(queue, i * 7 % N_RULES, slot, &n_under_way);
        }
        if (slot->has_failed) {
            give_up("an operation failed", &error);
        }
    }
    settle(queue, &n_under_way, 0);
    return NULL;
}
