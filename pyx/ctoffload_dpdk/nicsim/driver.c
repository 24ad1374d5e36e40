/* The driver as DPDK's vdev bus sees it: net_nicsim. */
#include <stdio.h>
#include <string.h>

#include <rte_version.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>

#include "nicsim.h"
#include "profile.h"

/* The private headers have no promise of a stable ABI: they fit exactly one version. */
#if RTE_VERSION_NUM(RTE_VER_YEAR, RTE_VER_MONTH, RTE_VER_MINOR, 0) !=                                                  \
    RTE_VERSION_NUM(NICSIM_HEADERS_YEAR, NICSIM_HEADERS_MONTH, NICSIM_HEADERS_MINOR, 0)
#error                                                                                                                 \
    "the driver headers are of another DPDK version than the public ones: fetch them again (build_support/dpdk_source.py)"
#endif

RTE_LOG_REGISTER(nicsim_logtype, pmd.net.nicsim, NOTICE);

#define BUILT_FOR "DPDK " NICSIM_DPDK_VERSION

bool
nicsim_version_fits(void)
{
    return strcmp(rte_version(), BUILT_FOR) == 0;
}

__attribute__((visibility("default"))) nicsim_versions_function nicsim_versions;

void
nicsim_versions(const char **built_for, const char **running)
{
    *built_for = BUILT_FOR;
    *running = rte_version();
}

static int
fill_device(struct rte_eth_dev *dev, struct nicsim_port *port)
{
    struct rte_ether_addr *mac = rte_zmalloc(NICSIM_NAME, NICSIM_MAX_ADDRESSES * sizeof *mac, 0);

    if (!mac) {
        return ENOMEM;
    }
    /* Locally administered, and the same for the same port number in every run. */
    *mac = (struct rte_ether_addr){{0x02, 'n', 'i', 'c', port->port_id >> 8, port->port_id & 0xff}};
    memcpy(port->mac, mac->addr_bytes, sizeof port->mac);
    dev->data->mac_addrs = mac;
    dev->data->promiscuous = 1;
    dev->data->all_multicast = 1;
    dev->data->dev_link = (struct rte_eth_link){
        .link_speed = RTE_ETH_SPEED_NUM_100G,
        .link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
        .link_autoneg = RTE_ETH_LINK_AUTONEG,
    };
    dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_INTR_RMV;
    if (port->config.mtsafe) {
        dev->data->dev_flags |= RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE;
    }
    dev->dev_ops = &nicsim_dev_ops;
    dev->rx_queue_count = nicsim_rx_queue_count;
    dev->rx_descriptor_status = nicsim_rx_descriptor_status;
    dev->tx_descriptor_status = nicsim_tx_descriptor_status;
    dev->rx_pkt_burst = nicsim_rx_burst;
    dev->tx_pkt_burst = nicsim_tx_burst;
    return 0;
}

static int
probe(struct rte_vdev_device *vdev)
{
    const char *name = rte_vdev_device_name(vdev);
    struct nicsim_far far = {0};
    struct nicsim_config config;
    struct nicsim_port *port;
    struct rte_eth_dev *dev;
    int error;

    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        NICSIM_LOG(ERR, "%s: works in a primary process only", name);
        return -ENOTSUP;
    }
    error = nicsim_config_parse(name, rte_vdev_device_args(vdev), &config, &far);
    if (error) {
        return -error;
    }
    if (vdev->device.numa_node == SOCKET_ID_ANY) {
        vdev->device.numa_node = rte_socket_id() == (unsigned int) SOCKET_ID_ANY ? 0 : (int) rte_socket_id();
    }
    dev = rte_eth_vdev_allocate(vdev, sizeof(struct nicsim_private));
    if (!dev) {
        NICSIM_LOG(ERR, "%s: DPDK has no room for a further port (RTE_MAX_ETHPORTS, or memory)", name);
        return -ENOMEM;
    }
    error = nicsim_port_new(&config, dev, &port);
    if (error) {
        NICSIM_LOG(ERR, "%s: cannot make the port: %s", name, strerror(error));
        rte_eth_dev_release_port(dev);
        return -error;
    }
    ((struct nicsim_private *) dev->data->dev_private)->port = port;
    port->far = far;
    error = fill_device(dev, port);
    if (!error) {
        error = nicsim_far_open(port);
    }
    if (error) {
        nicsim_far_close(port);
        nicsim_port_leave(port);
        rte_eth_dev_release_port(dev);
        return -error;
    }
    nicsim_profile_set_queue_ops(dev);
    rte_eth_dev_probing_finish(dev);
    return 0;
}

static int
forget(struct rte_vdev_device *vdev)
{
    struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

    if (!dev) {
        return 0; /* was closed before */
    }
    nicsim_dev_ops.dev_close(dev);
    return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver nicsim_driver = {.probe = probe, .remove = forget};

/* Says why, and leaves the driver unknown to DPDK, where it meets another version than it was built for. */
__attribute__((constructor)) static void
announce(void)
{
    if (!nicsim_version_fits()) {
        fprintf(stderr, NICSIM_NAME ": built for %s, this process runs %s; build it again against that one\n",
                BUILT_FOR, rte_version());
        return;
    }
    nicsim_driver.driver.name = NICSIM_NAME;
    rte_vdev_register(&nicsim_driver);
    nicsim_telemetry_register();
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 7, 0, 0)
RTE_PMD_EXPORT_NAME(net_nicsim);
#else
RTE_PMD_EXPORT_NAME(net_nicsim, __COUNTER__);
#endif
RTE_PMD_REGISTER_PARAM_STRING(
    net_nicsim,
    "capacity=<int> objects=<int> queues=<int> switch=<int> "
    "mtsafe=<0|1> loopback=<0|1> clock=<real|manual> "
    "prefault=<0|1> profile=<free|connectx-sws|connectx-hws|tap|queue-only|no-flow> "
    "counters=<int> ages=<int> contexts=<int> flow_queues=<int> queue_size=<int> completion_delay_ms=<int> "
    "counter_refresh_ms=<int> age_check_ms=<int> ageing=<again|final> aged=<keep|consume> aged_overreport=<0|1> "
    "aged_percent=<int> aged_needs_ages=<0|1> age_update=<0|1> age_takes_counter=<0|1> counter_rest=<0|1> "
    "counters_full=<enospc|enoent> queue_full=<eagain|enomem> small_handles=<0|1> proxy_order=<0|1> "
    "proxy_needs_switch=<0|1> context_ports=<int> round_contexts=<0|1> stopped_contexts=<free|keep>");
