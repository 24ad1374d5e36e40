/* Rules made, asked about and destroyed by two threads, and by two more through flow queues, while one sends, one receives,
 * one moves the clock and reads the aged list and the books, one makes calls fail, answers wrong, queues stall and the
 * link go down, and one is the host at the other end of the wire, a ring. Built with ThreadSanitizer together with the
 * driver's own sources.
 *
 * Usage: race_check STEPS EAL-ARGUMENTS... Exits with 1 where the account or the books do not close. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>

#include "nicsim_ctl.h"
#include "race_queues.h"

#define N_CONNECTIONS 64
#define PACKET_BYTES  60

const struct nicsim_ctl *nicsim_ctl_get(uint32_t version);

static const struct nicsim_ctl *ctl;
static struct nicsim_port *nic;
static uint16_t port_id, other_id;
static long steps;
static atomic_bool is_over;
static atomic_long n_read, n_echoed;

static struct rte_flow *
make_rule(uint16_t number, uint16_t group_of_ports)
{
    struct rte_flow_attr attr = {.ingress = 1};
    struct rte_flow_item_ipv4 ip = {.hdr = {.src_addr = RTE_BE32(0x0a000001)}},
                              ip_mask = {.hdr = {.src_addr = UINT32_MAX}};
    struct rte_flow_item_udp udp = {.hdr = {.src_port = number, .dst_port = group_of_ports}};
    struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
        {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &rte_flow_item_udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    struct rte_flow_action_age age = {.timeout = 1 + number % 3};
    struct rte_flow_action_queue queue = {.index = 0};
    struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_COUNT},
        {.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age},
        {.type = number % 2 ? RTE_FLOW_ACTION_TYPE_QUEUE : RTE_FLOW_ACTION_TYPE_DROP, .conf = &queue},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    struct rte_flow_error error;

    return rte_flow_create(port_id, &attr, items, actions, &error);
}

static void *
change_rules(void *opaque)
{
    uint16_t own = (uint16_t) (uintptr_t) opaque;
    struct rte_flow *rules[N_CONNECTIONS] = {NULL};
    struct rte_flow_action ask[] = {{.type = RTE_FLOW_ACTION_TYPE_COUNT}, {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_query_count count = {0};
    struct rte_flow_error error;

    for (long i = 0; i < steps; i++) {
        uint16_t n = i * 7 % N_CONNECTIONS;

        if (rules[n]) {
            if (rte_flow_query(port_id, rules[n], ask, &count, &error) || rte_flow_destroy(port_id, rules[n], &error)) {
                printf("lost a rule: %s\n", error.message);
                exit(1);
            }
            rules[n] = NULL;
        } else {
            rules[n] = make_rule(n, own);
        }
    }
    return NULL;
}

static void
make_packets(uint8_t *data, uint64_t *offset, uint32_t *length)
{
    /* Ethernet, IPv4 10.0.0.1 with a right checksum, UDP without one. */
    static const uint8_t head[34] = {2,  0, 0, 0, 0, 2,  2,  0,    0,    0,  0, 1, 8, 0,  0x45, 0, 0,
                                     46, 0, 0, 0, 0, 64, 17, 0x66, 0xbc, 10, 0, 0, 1, 10, 0,    0, 2};

    memset(data, 0, N_CONNECTIONS * PACKET_BYTES);
    for (uint16_t n = 0; n < N_CONNECTIONS; n++) {
        uint8_t *packet = data + n * PACKET_BYTES;
        uint16_t ports[4] = {n, n % 2, RTE_BE16(26), 0};

        memcpy(packet, head, sizeof head);
        memcpy(packet + sizeof head, ports, sizeof ports);
        offset[n] = n * PACKET_BYTES;
        length[n] = PACKET_BYTES;
    }
}

static void *
send_packets(void *opaque)
{
    uint8_t data[N_CONNECTIONS * PACKET_BYTES];
    uint64_t offset[N_CONNECTIONS];
    uint32_t length[N_CONNECTIONS];

    make_packets(data, offset, length);
    while (!atomic_load(&is_over)) {
        ctl->wire_send(nic, data, offset, length, N_CONNECTIONS);
    }
    return NULL;
}

static void *
receive_packets(void *opaque)
{
    struct rte_mbuf *packets[32];

    while (!atomic_load(&is_over)) {
        uint16_t n = rte_eth_rx_burst(port_id, 0, packets, 32);

        /* Half of them go out again, the others end here. */
        uint16_t sent = rte_eth_tx_burst(port_id, 0, packets, n / 2);

        rte_pktmbuf_free_bulk(packets + sent, n - sent);
        atomic_fetch_add(&n_read, n);
    }
    return NULL;
}

static void *
let_age(void *opaque)
{
    void *contexts[N_CONNECTIONS];
    struct rte_flow_error error;
    struct nicsim_rule_info rules[N_CONNECTIONS];
    struct nicsim_queue_info queues[N_FLOW_QUEUES];
    struct nicsim_table_info tables[N_FLOW_QUEUES];
    struct nicsim_audit audit;
    int64_t now_ms = 0;

    while (!atomic_load(&is_over)) {
        ctl->clock_set(nic, now_ms += 500);
        rte_flow_get_aged_flows(port_id, contexts, N_CONNECTIONS, &error);
        ctl->rules(nic, rules, N_CONNECTIONS);
        ctl->audit(nic, &audit);
        ctl->flow_queues(nic, queues, N_FLOW_QUEUES);
        ctl->tables(nic, tables, N_FLOW_QUEUES);
    }
    return NULL;
}

/* Creation and bursts fail, never a removal: what was made can always be taken out again. */
static void *
make_trouble(void *opaque)
{
    static const enum nicsim_call calls[] = {NICSIM_CALL_CREATE, NICSIM_CALL_RX, NICSIM_CALL_TX, NICSIM_CALL_AGED};
    struct nicsim_fault_info info;

    for (uint64_t n = 0; !atomic_load(&is_over); n++) {
        enum nicsim_call call = calls[n % RTE_DIM(calls)];
        struct nicsim_fault_plan plan = {
            .when = n % 3 ? NICSIM_FAULT_RANDOM : NICSIM_FAULT_NEVER, .n = 100000, .seed = n, .error = 5};
        struct nicsim_lie lie = {.kind = NICSIM_LIE_GARBAGE, .n = 10, .seed = n};
        struct rte_eth_link link;

        ctl->fail(nic, call, &plan);
        ctl->slow(nic, NICSIM_CALL_QUERY, n % 16 == 0, 1);
        ctl->fault_info(nic, call, &info);
        ctl->lie(nic, NICSIM_ANSWER_COUNT, &lie);
        ctl->queue_stall(nic, n % N_FLOW_QUEUES, n % 4 == 1);
        ctl->completion_delay(nic, n % 3);
        ctl->link(nic, 0);
        rte_eth_link_get_nowait(port_id, &link);
        ctl->link(nic, 1);
        usleep(500); /* the link is up most of the time */
    }
    return NULL;
}

/* What comes is sent back. */
static void *
echo(void *opaque)
{
    struct rte_mbuf *packets[32];

    while (!atomic_load(&is_over)) {
        uint16_t n = rte_eth_rx_burst(other_id, 0, packets, 32), sent = rte_eth_tx_burst(other_id, 0, packets, n);

        rte_pktmbuf_free_bulk(packets + sent, n - sent);
        atomic_fetch_add(&n_echoed, n);
    }
    return NULL;
}

static void
start_port(const char *name, const char *args, uint16_t *id)
{
    struct rte_eth_conf conf = {0};
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

    if (!pool || rte_vdev_init(name, args) || rte_eth_dev_get_port_by_name(name, id) ||
        rte_eth_dev_configure(*id, 1, 1, &conf) || rte_eth_rx_queue_setup(*id, 0, 128, SOCKET_ID_ANY, NULL, pool) ||
        rte_eth_tx_queue_setup(*id, 0, 128, SOCKET_ID_ANY, NULL) || (id == &port_id && queues_configure(*id)) ||
        rte_eth_dev_start(*id)) {
        printf("the port could not be started\n");
        exit(1);
    }
}

static int
judge(void)
{
    struct nicsim_counters c;
    struct nicsim_audit audit;
    struct nicsim_queue_info queues[N_FLOW_QUEUES];
    uint64_t dropped = 0, told = 0;
    bool is_settled = true;

    ctl->counters(nic, &c);
    ctl->audit(nic, &audit);
    for (int i = 0; i < NICSIM_N_DROPS; i++) {
        dropped += c.nic_dropped[i];
    }
    ctl->flow_queues(nic, queues, N_FLOW_QUEUES);
    for (int i = 0; i < N_FLOW_QUEUES; i++) {
        told += queues[i].told;
        is_settled &= queues[i].enqueued == queues[i].told && queues[i].failed == 0;
    }
    printf("%llu packets in, %llu to the host, %llu rules made, %llu operations on queues\n",
           (unsigned long long) c.wire_in, (unsigned long long) c.host_rx, (unsigned long long) audit.rules.created,
           (unsigned long long) told);
    return is_settled && told == queues_done() && told > 0 && c.wire_in == dropped + c.host_rx &&
           c.host_rx == (uint64_t) atomic_load(&n_read) + c.host_pending &&
           audit.rules.created == audit.rules.live + audit.rules.destroyed && audit.rules.created > 0 &&
           c.host_rx > 0 && atomic_load(&n_echoed) > 0;
}

int
main(int argc, char **argv)
{
    void *(*others[])(void *) = {send_packets, receive_packets, let_age, make_trouble, echo};
    pthread_t changers[2], queue_changers[N_FLOW_QUEUES], threads[RTE_DIM(others)];
    int is_right;

    steps = argc > 1 ? atol(argv[1]) : 1000;
    argv[1] = argv[0];
    if (rte_eal_init(argc - 1, argv + 1) < 0) {
        return 2;
    }
    start_port("net_nicsim0", "capacity=1024,clock=manual,wire=ring:r", &port_id);
    start_port("net_nicsim1", "capacity=16,clock=manual,wire=ring:r", &other_id);
    if (!(ctl = nicsim_ctl_get(NICSIM_CTL_VERSION)) || ctl->open(port_id, &nic) || queues_prepare(port_id)) {
        return 2;
    }
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&changers[i], NULL, change_rules, (void *) i);
    }
    queue_steps = steps;
    for (uintptr_t i = 0; i < N_FLOW_QUEUES; i++) {
        pthread_create(&queue_changers[i], NULL, change_through_queue, (void *) i);
    }
    for (size_t i = 0; i < RTE_DIM(others); i++) {
        pthread_create(&threads[i], NULL, others[i], NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(changers[i], NULL);
    }
    for (int i = 0; i < N_FLOW_QUEUES; i++) {
        pthread_join(queue_changers[i], NULL);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < RTE_DIM(others); i++) {
        pthread_join(threads[i], NULL);
    }
    is_right = judge();
    rte_eth_dev_stop(port_id);
    rte_eth_dev_stop(other_id);
    rte_vdev_uninit("net_nicsim0");
    rte_vdev_uninit("net_nicsim1");
    ctl->close(nic);
    return is_right ? 0 : 1;
}
