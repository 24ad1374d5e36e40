/* device.c: RDMA devices, found and opened; what each says of itself and of its ports. */
#include <sys/eventfd.h>
#include <stdatomic.h>
#include <unistd.h>
#include "standin.h"

/* mlx5_common.h turns this into a call through the device's operations. */
#undef ibv_query_port

#define FIRMWARE     "22.35.1012"
#define UPLINK_VPORT 0xffff
#define N_VECTORS    8
#define MAX_DEVICES  8
#define NAME_PREFIX  "mlx5_"

static struct ibv_device devices[MAX_DEVICES];

static void
describe(struct ibv_device *d, int number)
{
    d->node_type = IBV_NODE_CA;
    d->transport_type = IBV_TRANSPORT_IB;
    snprintf(d->name, sizeof d->name, NAME_PREFIX "%d", number);
    snprintf(d->dev_name, sizeof d->dev_name, "uverbs%d", number);
    snprintf(d->dev_path, sizeof d->dev_path, "/nonexistent");
    snprintf(d->ibdev_path, sizeof d->ibdev_path, "%s/infiniband/" NAME_PREFIX "%d", standin_settings.root, number);
}

struct ibv_device **
ibv_get_device_list(int *n)
{
    struct ibv_device **list = calloc(MAX_DEVICES + 1, sizeof *list);

    standin_check_version();
    control_start();
    for (int i = 0; i < standin_settings.n_devices; i++) {
        describe(&devices[i], i);
        list[i] = &devices[i];
    }
    if (n) {
        *n = standin_settings.n_devices;
    }
    return list;
}

int
device_number(const char *name)
{
    return atoi(name + strlen(NAME_PREFIX));
}

void
ibv_free_device_list(struct ibv_device **list)
{
    free(list);
}

const char *
ibv_get_device_name(struct ibv_device *d)
{
    return d->name;
}

int
ibv_fork_init(void)
{
    return 0;
}

enum ibv_fork_status
ibv_is_fork_initialized(void)
{
    return IBV_FORK_UNNEEDED;
}

const char *
ibv_port_state_str(enum ibv_port_state state)
{
    return state == IBV_PORT_ACTIVE ? "active" : "unknown";
}

/* --- what the device is asked ---------------------------------------------------------------------------------------- */

/* It was pulled out: what the kernel is asked about it fails with EIO, by which the driver knows. */
static atomic_bool is_gone;

static int
query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                struct ibv_device_attr_ex *a, size_t size)
{
    memset(a, 0, size);
    if (is_gone) {
        return EIO;
    }
    snprintf(a->orig_attr.fw_ver, sizeof a->orig_attr.fw_ver, "%s", FIRMWARE);
    a->orig_attr.max_qp_wr = 1 << 15;
    a->orig_attr.max_sge = 30;
    a->orig_attr.max_cq = 1 << 20;
    a->orig_attr.max_qp = 1 << 17;
    a->orig_attr.max_cqe = (1 << 22) - 1;
    a->orig_attr.max_mr = 1 << 20;
    a->orig_attr.max_mr_size = UINT64_MAX;
    a->orig_attr.phys_port_cnt = standin_settings.n_ports;
    a->device_cap_flags_ex = IBV_DEVICE_RAW_IP_CSUM;
    a->raw_packet_caps =
        IBV_RAW_PACKET_CAP_CVLAN_STRIPPING | IBV_RAW_PACKET_CAP_SCATTER_FCS | IBV_RAW_PACKET_CAP_IP_CSUM;
    a->rss_caps.max_rwq_indirection_table_size = 2048;
    a->rss_caps.max_rwq_indirection_tables = 1 << 20;
    a->tso_caps.max_tso = 1 << 18;
    a->tso_caps.supported_qpts = 1 << IBV_QPT_RAW_PACKET;
    return 0;
}

int
ibv_query_device(struct ibv_context *context, struct ibv_device_attr *a)
{
    struct ibv_device_attr_ex extended;
    int error = query_device_ex(context, NULL, &extended, sizeof extended);

    *a = extended.orig_attr;
    return error;
}

static int
query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *a, size_t size)
{
    memset(a, 0, size);
    a->state = IBV_PORT_ACTIVE;
    a->link_layer = IBV_LINK_LAYER_ETHERNET;
    a->max_mtu = a->active_mtu = IBV_MTU_4096;
    return 0;
}

int
ibv_query_port(struct ibv_context *context, uint8_t port, struct _compat_ibv_port_attr *a)
{
    return query_port(context, port, (struct ibv_port_attr *) a, sizeof(struct ibv_port_attr));
}

int
mlx5dv_query_device(struct ibv_context *context, struct mlx5dv_context *a)
{
    uint64_t answered = a->comp_mask & (MLX5DV_CONTEXT_MASK_SWP | MLX5DV_CONTEXT_MASK_TUNNEL_OFFLOADS |
                                        MLX5DV_CONTEXT_MASK_STRIDING_RQ);

    memset(a, 0, sizeof *a);
    a->comp_mask = answered;
    a->flags = MLX5DV_CONTEXT_FLAGS_CQE_V1 | MLX5DV_CONTEXT_FLAGS_MPW_ALLOWED | MLX5DV_CONTEXT_FLAGS_ENHANCED_MPW |
               MLX5DV_CONTEXT_FLAGS_DEVX;
    a->sw_parsing_caps.sw_parsing_offloads = MLX5DV_SW_PARSING | MLX5DV_SW_PARSING_CSUM | MLX5DV_SW_PARSING_LSO;
    a->sw_parsing_caps.supported_qpts = 1 << IBV_QPT_RAW_PACKET;
    a->striding_rq_caps = (struct mlx5dv_striding_rq_caps){
        .min_single_stride_log_num_of_bytes = 6,
        .max_single_stride_log_num_of_bytes = 13,
        .min_single_wqe_log_num_of_strides = 3,
        .max_single_wqe_log_num_of_strides = 16,
        .supported_qpts = 1 << IBV_QPT_RAW_PACKET,
    };
    a->tunnel_offloads_caps = MLX5DV_RAW_PACKET_CAP_TUNNELED_OFFLOAD_VXLAN |
                              MLX5DV_RAW_PACKET_CAP_TUNNELED_OFFLOAD_GRE |
                              MLX5DV_RAW_PACKET_CAP_TUNNELED_OFFLOAD_GENEVE;
    return 0;
}

/* The first port is the uplink, the others are VFs. reg_c0 is how rules recognise the port a packet came in on. */
int
_mlx5dv_query_port(struct ibv_context *context, uint32_t port, struct mlx5dv_port *info, size_t size)
{
    if (!port || port > (uint32_t) standin_settings.n_ports) {
        return ENODEV;
    }
    memset(info, 0, size);
    info->flags = MLX5DV_QUERY_PORT_VPORT | MLX5DV_QUERY_PORT_VPORT_VHCA_ID | MLX5DV_QUERY_PORT_ESW_OWNER_VHCA_ID |
                  MLX5DV_QUERY_PORT_VPORT_REG_C0;
    info->vport = port == 1 ? UPLINK_VPORT : port - 1;
    info->vport_vhca_id = port;
    info->esw_owner_vhca_id = 1;
    info->reg_c0.value = (0x100 + port) << 16;
    info->reg_c0.mask = 0xffff0000;
    return 0;
}

/* The one that was opened last; removal is told by its descriptor. */
static struct ibv_context *current;

/* --- opening --------------------------------------------------------------------------------------------------------- */

/* fd: its command descriptor, which the context closes. */
static struct ibv_context *
new_context(struct ibv_device *d, int fd)
{
    struct verbs_context *v = calloc(1, sizeof *v);

    v->sz = sizeof *v;
    v->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
    v->context.device = d;
    v->context.cmd_fd = fd;
    v->context.async_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    v->context.num_comp_vectors = N_VECTORS;
    v->query_port = query_port;
    v->query_device_ex = query_device_ex;
    verbs_set_operations(v);
    return &v->context;
}

struct ibv_context *
mlx5dv_open_device(struct ibv_device *d, struct mlx5dv_context_attr *attributes)
{
    current = new_context(d, eventfd(d - devices + 1, EFD_CLOEXEC));
    return current;
}

/* The driver falls back to this where DevX cannot be had; it always can. */
struct ibv_context *
ibv_open_device(struct ibv_device *d)
{
    errno = ENOTSUP;
    return NULL;
}

/* The same device once more: the driver of 25.11 opens a second context for what belongs to the whole device. */
struct ibv_context *
ibv_import_device(int fd)
{
    eventfd_t number; /* as mlx5dv_open_device() put it into the descriptor, of which this is a copy */

    if (eventfd_read(fd, &number) || eventfd_write(fd, number)) {
        return NULL;
    }
    return new_context(&devices[number - 1], fd);
}

int
ibv_close_device(struct ibv_context *context)
{
    current = current == context ? NULL : current;
    close(context->async_fd);
    close(context->cmd_fd);
    free(verbs_get_ctx(context));
    return 0;
}

int
mlx5dv_set_context_attr(struct ibv_context *context, enum mlx5dv_set_ctx_attr_type type, void *attribute)
{
    return 0;
}

void
device_remove(void)
{
    is_gone = true;
    if (current && eventfd_write(current->async_fd, 1)) {
        standin_abort("the removal cannot be told: %s", strerror(errno));
    }
}

int
ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
    eventfd_t n;

    if (eventfd_read(context->async_fd, &n)) {
        errno = EAGAIN;
        return -1;
    }
    memset(event, 0, sizeof *event);
    event->event_type = IBV_EVENT_DEVICE_FATAL;
    return 0;
}

void
ibv_ack_async_event(struct ibv_async_event *event)
{
}
