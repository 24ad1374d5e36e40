/* netlink.c: what the driver asks the kernel's RDMA and network stacks by netlink.
 *
 * librte_common_mlx5 exports these and calls them through its own symbol table, so ours come first. Their signatures are
 * DPDK's private ones: another reason why the library is built for one version.
 */
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/eventfd.h>
#include "standin.h"

#define SWITCH_ID 0x1234

static unsigned int
interface_of(int device, uint32_t port)
{
    char name[IF_NAMESIZE];

    snprintf(name, sizeof name, "%s%u", standin_settings.netdev, device * standin_settings.n_ports + port - 1);
    return if_nametoindex(name);
}

int
mlx5_nl_init(int protocol, int groups)
{
    int (*real)(int, int) = (int (*)(int, int)) standin_real("librte_common_mlx5", "mlx5_nl_init");

    /* There is no RDMA netlink family where no RDMA module is loaded; other families are real. */
    if (protocol == NETLINK_RDMA || !real) {
        return eventfd(0, EFD_CLOEXEC);
    }
    return real(protocol, groups);
}

unsigned int
mlx5_nl_portnum(int nl, const char *name RELEASE_RDMA_DEVICE)
{
    return standin_settings.n_ports;
}

unsigned int
mlx5_nl_ifindex(int nl, const char *name, uint32_t port RELEASE_RDMA_DEVICE)
{
    return interface_of(device_number(name), port);
}

int
mlx5_nl_port_state(int nl, const char *name, uint32_t port RELEASE_RDMA_DEVICE)
{
    return IBV_PORT_ACTIVE;
}

/* The first port is the uplink, the others represent VFs. */
int
mlx5_nl_switch_info(int nl, unsigned int ifindex, struct mlx5_switch_info *info)
{
    if (!standin_settings.is_switch) {
        return 0;
    }
    for (int port = 1; port <= standin_settings.n_ports; port++) {
        if (interface_of(0, port) == ifindex) {
            *info = (struct mlx5_switch_info){.master = port == 1,
                                              .representor = port > 1,
                                              .name_type = port == 1 ? MLX5_PHYS_PORT_NAME_TYPE_UPLINK
                                                                     : MLX5_PHYS_PORT_NAME_TYPE_PFVF,
                                              .ctrl_num = -1,
                                              .port_name = port == 1 ? 0 : port - 2,
                                              .switch_id = SWITCH_ID,
                                              RELEASE_NO_MPESW};
            return 0;
        }
    }
    return -ENODEV;
}
