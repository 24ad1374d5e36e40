/* Very many operations of all kinds on one emulated port, with faults: the books have to close, and no memory may be lost.
 *
 * Usage: soak_check DRIVER OPERATIONS SEED LEAK EAL-ARGUMENTS...   LEAK: bytes lost on purpose at each operation, to show that
 * the measurement sees it. Prints the figures; status 1 where books do not close, 3 where memory grew. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "nicsim_ctl.h"

#define N_RULES   512
#define N_OBJECTS 64
#define N_BUFFERS 511
#define MAY_GROW  (512L << 10) /* bytes; what the C library itself keeps back varies */

static const struct nicsim_ctl *ctl;
static struct nicsim_port *nic;
static struct rte_mempool *pool;
static uint16_t port_id;
static uint64_t dice;
static uint64_t n_refused;
static uint64_t n_lost; /* rules, with ports that were pulled out */
static int64_t now_ms;  /* of the NIC */

static struct rte_flow *rules[N_RULES];
static struct object {
    struct rte_flow_action_handle *handle;
    enum rte_flow_action_type type;
    uint32_t n_rules;
} objects[N_OBJECTS];
static int object_of_rule[N_RULES]; /* -1: none */

struct memory {
    long heap, rss, dpdk;
};

static uint32_t
throw_dice(uint32_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t) ((dice >> 32) % n);
}

static void
die(const char *what)
{
    printf("%s\n", what);
    exit(1);
}

static struct memory
measure(void)
{
    struct rte_malloc_socket_stats stats;
    struct memory m = {.heap = (long) mallinfo2().uordblks};
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (!file || fscanf(file, "%*s %ld", &pages) != 1) {
        die("/proc/self/statm cannot be read");
    }
    fclose(file);
    rte_malloc_get_socket_stats(0, &stats);
    m.rss = pages * sysconf(_SC_PAGESIZE);
    m.dpdk = (long) stats.heap_allocsz_bytes;
    return m;
}

static void
start_port(void)
{
    struct rte_eth_conf conf = {0};

    if (rte_eth_dev_configure(port_id, 1, 1, &conf) ||
        rte_eth_rx_queue_setup(port_id, 0, 128, SOCKET_ID_ANY, NULL, pool) ||
        rte_eth_tx_queue_setup(port_id, 0, 128, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(port_id)) {
        die("the port does not start");
    }
}

static void
forget_rules(void)
{
    memset(rules, 0, sizeof rules);
    for (int i = 0; i < N_OBJECTS; i++) {
        objects[i].n_rules = 0;
    }
}

static void
create_rule(uint32_t n)
{
    struct rte_flow_attr attr = {.ingress = 1};
    struct rte_flow_item_udp udp = {.hdr = {.src_port = rte_cpu_to_be_16(n), .dst_port = RTE_BE16(53)}};
    struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4},
        {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &rte_flow_item_udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    struct rte_flow_action_age age = {.timeout = 1 + n % 5};
    struct rte_flow_action_queue queue = {.index = 0};
    struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_COUNT},
        {.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age},
        {.type = n % 3 ? RTE_FLOW_ACTION_TYPE_QUEUE : RTE_FLOW_ACTION_TYPE_DROP, .conf = &queue},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    struct rte_flow_error error;
    int object = (int) throw_dice(N_OBJECTS);

    object_of_rule[n] = -1;
    if (n % 2 && objects[object].handle && objects[object].type != RTE_FLOW_ACTION_TYPE_CONNTRACK) {
        actions[objects[object].type == RTE_FLOW_ACTION_TYPE_AGE].type = RTE_FLOW_ACTION_TYPE_INDIRECT;
        actions[objects[object].type == RTE_FLOW_ACTION_TYPE_AGE].conf = objects[object].handle;
        object_of_rule[n] = object;
    }
    rules[n] = rte_flow_create(port_id, &attr, items, actions, &error);
    if (!rules[n]) {
        n_refused++;
    } else if (object_of_rule[n] >= 0) {
        objects[object].n_rules++;
    }
}

static void
change_rule(void)
{
    uint32_t n = throw_dice(N_RULES);
    struct rte_flow_error error;

    if (!rules[n]) {
        create_rule(n);
    } else if (rte_flow_destroy(port_id, rules[n], &error)) {
        n_refused++;
    } else {
        rules[n] = NULL;
        if (object_of_rule[n] >= 0) {
            objects[object_of_rule[n]].n_rules--;
        }
    }
}

static void
ask_rule(void)
{
    struct rte_flow_action ask[] = {{.type = RTE_FLOW_ACTION_TYPE_COUNT}, {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_query_count count = {.reset = throw_dice(2)};
    struct rte_flow *rule = rules[throw_dice(N_RULES)];
    struct rte_flow_error error;

    if (rule && rte_flow_query(port_id, rule, ask, &count, &error)) {
        n_refused++;
    }
}

static void
change_object(void)
{
    struct object *object = &objects[throw_dice(N_OBJECTS)];
    struct rte_flow_action_age age = {.timeout = 3};
    struct rte_flow_action_conntrack conntrack = {.enable = 1, .state = RTE_FLOW_CONNTRACK_STATE_ESTABLISHED};
    struct rte_flow_indir_action_conf conf = {.ingress = 1};
    struct rte_flow_action kinds[] = {
        {.type = RTE_FLOW_ACTION_TYPE_COUNT},
        {.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age},
        {.type = RTE_FLOW_ACTION_TYPE_CONNTRACK, .conf = &conntrack},
    };
    struct rte_flow_error error;
    uint32_t kind = throw_dice(3);

    if (!object->handle) {
        object->handle = rte_flow_action_handle_create(port_id, &conf, &kinds[kind], &error);
        object->type = kinds[kind].type;
        object->n_rules = 0;
        n_refused += !object->handle;
    } else if (rte_flow_action_handle_destroy(port_id, object->handle, &error)) {
        n_refused++;
    } else {
        object->handle = NULL;
    }
}

static void
ask_object(void)
{
    struct object *object = &objects[throw_dice(N_OBJECTS)];
    struct rte_flow_update_age touch = {.touch = 1};
    struct rte_flow_action_conntrack answer; /* the largest of the three */
    struct rte_flow_error error;

    if (!object->handle) {
        return;
    }
    n_refused += rte_flow_action_handle_query(port_id, object->handle, &answer, &error) != 0;
    if (object->type == RTE_FLOW_ACTION_TYPE_AGE) {
        n_refused += rte_flow_action_handle_update(port_id, object->handle, &touch, &error) != 0;
    }
}

static void
flush(void)
{
    struct rte_flow_error error;

    if (rte_flow_flush(port_id, &error)) {
        n_refused++;
    } else {
        forget_rules();
    }
}

static void
let_age(void)
{
    void *contexts[64];
    struct rte_flow_error error;

    ctl->clock_set(nic, now_ms += 700);
    rte_flow_get_aged_flows(port_id, contexts, 64, &error);
}

static void
carry_packets(void)
{
    /* Ethernet, IPv4 10.0.0.1 > 10.0.0.2 with a right checksum, UDP without one. */
    static const uint8_t head[34] = {2,  0, 0, 0, 0, 2,  2,  0,    0,    0,  0, 1, 8, 0,  0x45, 0, 0,
                                     46, 0, 0, 0, 0, 64, 17, 0x66, 0xbc, 10, 0, 0, 1, 10, 0,    0, 2};
    uint8_t data[16][60] = {0};
    uint64_t offset[16];
    uint32_t length[16];
    struct rte_mbuf *got[32];
    uint16_t n;

    for (int i = 0; i < 16; i++) {
        uint16_t ports[4] = {rte_cpu_to_be_16(throw_dice(N_RULES)), RTE_BE16(53), RTE_BE16(26), 0};

        memcpy(data[i], head, sizeof head);
        memcpy(data[i] + sizeof head, ports, sizeof ports);
        offset[i] = i * sizeof data[0];
        length[i] = sizeof data[0];
    }
    ctl->wire_send(nic, data[0], offset, length, 16);
    n = rte_eth_rx_burst(port_id, 0, got, 32);
    if (n) {
        uint16_t sent = rte_eth_tx_burst(port_id, 0, got, n / 2);

        rte_pktmbuf_free_bulk(got + sent, n - sent);
    }
}

static void
restart(void)
{
    if (rte_eth_dev_stop(port_id)) {
        n_refused++;
        return;
    }
    forget_rules();
    while (rte_eth_dev_start(port_id)) {
        n_refused++;
    }
}

static void
recover(void)
{
    ctl->demand_reset(nic);
    if (rte_eth_dev_stop(port_id) || rte_eth_dev_reset(port_id)) {
        die("the port cannot be reset");
    }
    forget_rules();
    memset(objects, 0, sizeof objects);
    start_port();
}

static void
set_faults(int on)
{
    struct nicsim_fault_plan plan = {
        .when = on ? NICSIM_FAULT_RANDOM : NICSIM_FAULT_NEVER, .n = 30000, .seed = 5, .error = EBUSY};
    struct nicsim_lie lie = {.kind = NICSIM_LIE_GARBAGE, .n = on ? UINT32_MAX : 0};

    for (int call = NICSIM_CALL_VALIDATE; call <= NICSIM_CALL_INDIRECT_QUERY; call++) {
        ctl->fail(nic, call, &plan);
    }
    ctl->fail(nic, NICSIM_CALL_RX, &plan);
    ctl->fail(nic, NICSIM_CALL_TX, &plan);
    ctl->lie(nic, NICSIM_ANSWER_COUNT, &lie);
}

static void
plug_in(void)
{
    if (rte_vdev_init("net_nicsim0", "capacity=1024,objects=128,clock=manual") ||
        rte_eth_dev_get_port_by_name("net_nicsim0", &port_id) || ctl->open(port_id, &nic)) {
        die("there is no port");
    }
    start_port();
    set_faults(1);
}

static void
pull_out(void)
{
    struct nicsim_audit audit;

    ctl->unplug(nic);
    if (rte_vdev_uninit("net_nicsim0")) {
        die("the port that was pulled out cannot be removed");
    }
    ctl->audit(nic, &audit);
    n_lost += audit.rules.lost;
    if (audit.rules.live || audit.objects.live || ctl->unplug(nic) != -ENODEV) {
        die("something is left in a port that is gone");
    }
    ctl->close(nic);
    forget_rules();
    memset(objects, 0, sizeof objects);
    now_ms = 0;
    plug_in();
}

static void
operate(void)
{
    uint32_t n = throw_dice(20000);

    if (n == 0) {
        recover();
    } else if (n == 1) {
        pull_out();
    } else if (n < 8) {
        restart();
    } else if (n < 20) {
        flush();
    } else if (n < 40) {
        ctl->link(nic, 0);
        ctl->link(nic, 1);
    } else if (n < 400) {
        let_age();
    } else if (n < 1600) {
        carry_packets();
    } else if (n < 4000) {
        change_object();
    } else if (n < 6000) {
        ask_object();
    } else if (n < 10000) {
        ask_rule();
    } else {
        change_rule();
    }
}

/* What is still there is what was not destroyed; afterwards nothing is. */
static void
judge_books(void)
{
    struct nicsim_audit audit;
    struct nicsim_counters c;
    struct rte_flow_error error;
    uint64_t n_rules = 0, n_objects = 0, dropped = 0;

    for (int i = 0; i < N_RULES; i++) {
        n_rules += rules[i] != NULL;
    }
    for (int i = 0; i < N_OBJECTS; i++) {
        n_objects += objects[i].handle != NULL;
    }
    ctl->audit(nic, &audit);
    if (audit.rules.live != n_rules || audit.rules.created != n_rules + audit.rules.destroyed + audit.rules.lost ||
        audit.objects.live != n_objects ||
        audit.objects.created != n_objects + audit.objects.destroyed + audit.objects.lost) {
        die("the books do not close");
    }
    set_faults(0);
    flush();
    for (int i = 0; i < N_OBJECTS; i++) {
        if (objects[i].handle && rte_flow_action_handle_destroy(port_id, objects[i].handle, &error)) {
            die("an object is held by rules that are gone");
        }
    }
    ctl->audit(nic, &audit);
    ctl->counters(nic, &c);
    for (int i = 0; i < NICSIM_N_DROPS; i++) {
        dropped += c.nic_dropped[i];
    }
    if (audit.rules.live || audit.objects.live || c.wire_in != c.nic_forwarded + dropped + c.host_rx) {
        die("something is left, or the account does not close");
    }
    printf(
        "rules lost %llu, refused %llu; of the last port: rules created %llu, objects created %llu, packets in %llu\n",
        (unsigned long long) (n_lost + audit.rules.lost), (unsigned long long) n_refused,
        (unsigned long long) audit.rules.created, (unsigned long long) audit.objects.created,
        (unsigned long long) c.wire_in);
}

static void
open_port(const char *driver)
{
    void *library = dlopen(driver, RTLD_NOW | RTLD_LOCAL);
    nicsim_ctl_get_function *get = library ? (nicsim_ctl_get_function *) dlsym(library, "nicsim_ctl_get") : NULL;

    pool = rte_pktmbuf_pool_create("p", N_BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (!get || !pool || !(ctl = get(NICSIM_CTL_VERSION))) {
        die("there is no driver");
    }
    plug_in();
}

int
main(int argc, char **argv)
{
    long n_operations = atol(argv[2]), leak = atol(argv[4]);
    struct memory before, after;

    dice = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15u | 1;
    argv[4] = argv[0];
    if (rte_eal_init(argc - 4, argv + 4) < 0) {
        return 2;
    }
    open_port(argv[1]);
    for (long i = 0; i < n_operations / 5; i++) {
        operate(); /* every kind has been seen, what is cached is in its cache */
    }
    before = measure();
    for (long i = 0; i < n_operations; i++) {
        operate();
        if (leak) {
            memset(malloc(leak), 1, leak);
        }
    }
    after = measure();
    judge_books();
    printf("grown: heap %ld, resident %ld, dpdk %ld bytes\n", after.heap - before.heap, after.rss - before.rss,
           after.dpdk - before.dpdk);
    rte_eth_dev_stop(port_id);
    if (rte_mempool_avail_count(pool) != N_BUFFERS) {
        die("packet buffers were lost");
    }
    if (after.heap - before.heap > MAY_GROW || after.rss - before.rss > MAY_GROW || after.dpdk != before.dpdk) {
        printf("memory grew\n");
        return 3;
    }
    return 0;
}
