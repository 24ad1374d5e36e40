/* The books, to be read from outside: DPDK's telemetry answers for the emulated ports of any process that loaded the
 * driver. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_telemetry.h>

#include "nicsim.h"

/* So many rules that their answer fits into a telemetry message of 16 KiB. */
#define RULES_OF_A_PAGE 16u

#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
#define add_u64 rte_tel_data_add_dict_uint
#else
#define add_u64 rte_tel_data_add_dict_u64
#endif

static const char *const drop_names[NICSIM_N_DROPS] = {
    [NICSIM_DROP_RULE] = "rule",
    [NICSIM_DROP_RX_FULL] = "rx_full",
    [NICSIM_DROP_NO_MBUF] = "no_mbuf",
    [NICSIM_DROP_LINK_DOWN] = "link_down",
    [NICSIM_DROP_NOT_STARTED] = "not_started",
    [NICSIM_DROP_TOO_LONG] = "too_long",
    [NICSIM_DROP_NOT_OURS] = "not_ours",
    [NICSIM_DROP_ISOLATED] = "isolated",
    [NICSIM_DROP_OUT_PORT_DOWN] = "out_port_down",
    [NICSIM_DROP_LOOP] = "loop",
    [NICSIM_DROP_HAIRPIN] = "hairpin",
};

_Static_assert(NICSIM_N_DROPS == 11, "each reason has a name here");

static const char *const fate_names[] = {
    [NICSIM_FATE_NONE] = "none", [NICSIM_FATE_QUEUE] = "queue", [NICSIM_FATE_RSS] = "rss",
    [NICSIM_FATE_DROP] = "drop", [NICSIM_FATE_WIRE] = "wire",   [NICSIM_FATE_HOST] = "host",
    [NICSIM_FATE_JUMP] = "jump", [NICSIM_FATE_GONE] = "gone",   [NICSIM_FATE_PASSTHRU] = "passthru",
};

const char *
nicsim_drop_name(enum nicsim_drop drop)
{
    return drop_names[drop];
}

/* "port,start,count": as many numbers as are there. Returns how many, -1 where one is none. */
static int
read_numbers(const char *params, uint32_t *numbers, int max)
{
    int n = 0;

    while (params && *params) {
        char *end;
        unsigned long number = strtoul(params, &end, 10);

        if (n == max || end == params || (*end && *end != ',') || number > UINT32_MAX) {
            return -1;
        }
        numbers[n++] = number;
        params = *end ? end + 1 : end;
    }
    return n;
}

/* The port that the first number names, with a reference; NULL where there is none. */
static struct nicsim_port *
named_port(const char *params, uint32_t *numbers, int max)
{
    int n = read_numbers(params, numbers, max);

    return n < 1 || numbers[0] > UINT16_MAX ? NULL : nicsim_port_get(numbers[0]);
}

/* A dictionary inside another: the only nesting that telemetry takes. */
static void
add_inner(struct rte_tel_data *d, const char *name, struct rte_tel_data *inner)
{
    if (rte_tel_data_add_dict_container(d, name, inner, 0)) {
        rte_tel_data_free(inner);
    }
}

static void
add_books(struct rte_tel_data *d, const char *name, const struct nicsim_books *books)
{
    struct rte_tel_data *inner = rte_tel_data_alloc();

    if (!inner) {
        return;
    }
    rte_tel_data_start_dict(inner);
    add_u64(inner, "live", books->live);
    add_u64(inner, "created", books->created);
    add_u64(inner, "destroyed", books->destroyed);
    add_u64(inner, "lost", books->lost);
    add_u64(inner, "most", books->most);
    add_u64(inner, "capacity", books->capacity);
    add_inner(d, name, inner);
}

static int
on_ports(const char *cmd, const char *params, struct rte_tel_data *d)
{
    uint16_t ids[RTE_MAX_ETHPORTS];
    uint16_t n = nicsim_port_ids(ids);

    rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
    for (uint16_t i = 0; i < n; i++) {
        rte_tel_data_add_array_int(d, ids[i]);
    }
    return 0;
}

static int
on_audit(const char *cmd, const char *params, struct rte_tel_data *d)
{
    uint32_t number;
    struct nicsim_port *port = named_port(params, &number, 1);
    struct nicsim_audit audit;

    if (!port) {
        return -1;
    }
    nicsim_lock(port);
    nicsim_audit(port, &audit);
    rte_tel_data_start_dict(d);
    rte_tel_data_add_dict_string(d, "name", port->dev ? port->dev->data->name : "");
    rte_tel_data_add_dict_int(d, "switch", port->sw->id);
    rte_tel_data_add_dict_int(d, "is_started", port->is_started);
    rte_tel_data_add_dict_int(d, "is_link_up", nicsim_port_passes(port));
    add_u64(d, "now_ms", nicsim_clock_ms(&port->sw->clock));
    nicsim_unlock(port);
    add_books(d, "rules", &audit.rules);
    add_books(d, "objects", &audit.objects);
    add_u64(d, "bytes_per_rule", audit.bytes_per_rule);
    add_u64(d, "aged", audit.aged);
    nicsim_port_unref(port);
    return 0;
}

static void
add_drops(struct rte_tel_data *d, const struct nicsim_counters *counters)
{
    struct rte_tel_data *inner = rte_tel_data_alloc();

    if (!inner) {
        return;
    }
    rte_tel_data_start_dict(inner);
    for (int i = 0; i < NICSIM_N_DROPS; i++) {
        add_u64(inner, drop_names[i], counters->nic_dropped[i]);
    }
    add_inner(d, "nic_dropped", inner);
}

static int
on_counters(const char *cmd, const char *params, struct rte_tel_data *d)
{
    uint32_t number;
    struct nicsim_port *port = named_port(params, &number, 1);
    struct nicsim_counters c;

    if (!port) {
        return -1;
    }
    nicsim_counters_read(port, &c);
    rte_tel_data_start_dict(d);
    for (uint32_t i = 0; i < NICSIM_N_COUNTERS; i++) {
        add_u64(d, nicsim_counter_fields[i].name, nicsim_counter(&c, i));
    }
    add_drops(d, &c);
    nicsim_port_unref(port);
    return 0;
}

static void
add_address(struct rte_tel_data *d, const char *name, const struct nicsim_rule_info *info, const uint8_t *address)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(info->eth_type == RTE_ETHER_TYPE_IPV6 ? AF_INET6 : AF_INET, address, text, sizeof text);
    rte_tel_data_add_dict_string(d, name, text);
}

/* What it matches: only what it does. Of a field that is matched in part, its value. */
static void
add_match(struct rte_tel_data *d, const struct nicsim_rule_info *info)
{
    if (info->in_port != UINT16_MAX) {
        rte_tel_data_add_dict_int(d, "in_port", info->in_port);
    }
    if (info->vlan_tci) {
        rte_tel_data_add_dict_int(d, "vlan_tci", info->vlan_tci);
    }
    if (info->fields & NICSIM_MATCH_ETH_TYPE) {
        rte_tel_data_add_dict_int(d, "eth_type", info->eth_type);
    }
    if (info->fields & NICSIM_MATCH_SRC) {
        add_address(d, "src", info, info->src);
    }
    if (info->fields & NICSIM_MATCH_DST) {
        add_address(d, "dst", info, info->dst);
    }
    if (info->fields & NICSIM_MATCH_PROTO) {
        rte_tel_data_add_dict_int(d, "proto", info->proto);
    }
    if (info->fields & NICSIM_MATCH_SRC_PORT) {
        rte_tel_data_add_dict_int(d, "src_port", info->src_port);
    }
    if (info->fields & NICSIM_MATCH_DST_PORT) {
        rte_tel_data_add_dict_int(d, "dst_port", info->dst_port);
    }
}

static void
add_rule(struct rte_tel_data *d, uint32_t index, const struct nicsim_rule_info *info)
{
    struct rte_tel_data *inner = rte_tel_data_alloc();
    char name[16];

    if (!inner) {
        return;
    }
    rte_tel_data_start_dict(inner);
    add_u64(inner, "index", index);
    add_u64(inner, "handle", info->handle);
    rte_tel_data_add_dict_string(inner, "domain", info->transfer ? "transfer" : "ingress");
    add_u64(inner, "group", info->group);
    add_u64(inner, "priority", info->priority);
    add_match(inner, info);
    rte_tel_data_add_dict_string(inner, "fate", info->fate < RTE_DIM(fate_names) ? fate_names[info->fate] : "other");
    add_u64(inner, "fate_arg", info->fate_arg);
    add_u64(inner, "packets", info->packets);
    add_u64(inner, "bytes", info->bytes);
    add_u64(inner, "last_hit_ms", info->last_hit_ms);
    if (info->has_age) {
        add_u64(inner, "timeout_s", info->timeout_s);
        rte_tel_data_add_dict_int(inner, "is_aged", info->is_aged);
    }
    if (info->has_mark) {
        add_u64(inner, "mark", info->mark);
    }
    snprintf(name, sizeof name, "%u", index);
    add_inner(d, name, inner);
}

/* port[,start[,count]]: live rules from index `start` on, no more than a page of them, by their index. */
static int
on_rules(const char *cmd, const char *params, struct rte_tel_data *d)
{
    uint32_t numbers[3] = {0, 0, RULES_OF_A_PAGE}, indices[RULES_OF_A_PAGE], n;
    struct nicsim_port *port = named_port(params, numbers, 3);
    struct nicsim_rule_info rules[RULES_OF_A_PAGE];

    if (!port) {
        return -1;
    }
    nicsim_lock(port);
    n = nicsim_audit_page(port, numbers[1], RTE_MIN(numbers[2], RULES_OF_A_PAGE), indices, rules);
    nicsim_unlock(port);
    rte_tel_data_start_dict(d);
    for (uint32_t i = 0; i < n; i++) {
        add_rule(d, indices[i], &rules[i]);
    }
    nicsim_port_unref(port);
    return 0;
}

void
nicsim_telemetry_register(void)
{
    rte_telemetry_register_cmd("/nicsim/ports", on_ports, "Emulated ports. No parameters.");
    rte_telemetry_register_cmd("/nicsim/audit", on_audit, "Books of rules and indirect actions. Parameter: port");
    rte_telemetry_register_cmd("/nicsim/counters", on_counters, "Where the packets went. Parameter: port");
    rte_telemetry_register_cmd("/nicsim/rules", on_rules,
                               "Live rules, at most 16. Parameters: port[,first index[,count]]");
}
