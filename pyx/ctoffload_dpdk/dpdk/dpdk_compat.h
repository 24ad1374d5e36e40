/* dpdk_compat.h: what differs between DPDK 22.11 and 26.07, in one place, because Cython cannot #ifdef.
 *
 * A function that a version does not have answers -ENOTSUP, as does the setter of a member it does not have. Everything
 * else is used as DPDK's own headers declare it.
 */
#ifndef CTOFFLOAD_DPDK_COMPAT_H
#define CTOFFLOAD_DPDK_COMPAT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#define DPDK_AT_LEAST(year, month) (RTE_VERSION >= RTE_VERSION_NUM(year, month, 0, 0))

#if !DPDK_AT_LEAST(22, 11)
#error "DPDK 22.11 is the oldest version that is supported"
#endif

/* A device's arguments: reached through an unnamed union, which Cython cannot name. */
static inline const char *
dpdk_devargs_text(const struct rte_devargs *devargs)
{
    return devargs == NULL ? NULL : devargs->args;
}

/* mlx5 of 22.11 takes a table whose order of actions is invalid for valid where rte_errno happens to be 0, and crashes when
 * a rule is made in it: a value of our own stands there before it is asked. */
static inline void
dpdk_errno_not_zero(void)
{
    if (rte_errno == 0) {
        rte_errno = EINVAL;
    }
}

/* For a driver that says why only in some cases: what is there afterwards is its own word, or this. */
static inline void
dpdk_errno_set(int error)
{
    rte_errno = error;
}

/* Packet data; rte_pktmbuf_mtod is a macro that takes a type. */
static inline uint8_t *
dpdk_pktmbuf_mtod(const struct rte_mbuf *m)
{
    return rte_pktmbuf_mtod(m, uint8_t *);
}

/* IPv6 addresses: uint8_t[16] until 24.07, struct rte_ipv6_addr from 24.11; the same bytes. */
static inline uint8_t *
dpdk_ipv6_src(struct rte_ipv6_hdr *hdr)
{
    return (uint8_t *) &hdr->src_addr;
}

static inline uint8_t *
dpdk_ipv6_dst(struct rte_ipv6_hdr *hdr)
{
    return (uint8_t *) &hdr->dst_addr;
}

static inline uint8_t *
dpdk_set_ipv6_addr(struct rte_flow_action_set_ipv6 *conf)
{
    return (uint8_t *) &conf->ipv6_addr;
}

/* MODIFY_FIELD: a side's struct has another name from 24.03 on, and the tag index a place of its own from 23.07 on. */
#if !DPDK_AT_LEAST(24, 3)
#define rte_flow_field_data rte_flow_action_modify_data
#endif

static inline void
dpdk_field_at(struct rte_flow_field_data *side, enum rte_flow_field_id field, uint8_t level, uint8_t tag_index,
              uint32_t offset)
{
    memset(side, 0, sizeof *side);
    side->field = field;
    side->offset = offset;
#if DPDK_AT_LEAST(23, 7)
    side->level = level;
    if (field == RTE_FLOW_FIELD_TAG) {
        side->tag_index = tag_index;
    }
#else
    side->level = field == RTE_FLOW_FIELD_TAG ? tag_index : level;
#endif
}

static inline void
dpdk_field_value(struct rte_flow_field_data *side, const void *value, size_t n_bytes)
{
    memset(side, 0, sizeof *side);
    side->field = RTE_FLOW_FIELD_VALUE;
    memcpy(side->value, value, n_bytes < sizeof side->value ? n_bytes : sizeof side->value);
}

/* Sharing indirect objects with a second port, 23.03. */
#if DPDK_AT_LEAST(23, 3)
#define DPDK_FLOW_PORT_FLAG_SHARE_INDIRECT RTE_FLOW_PORT_FLAG_SHARE_INDIRECT
#else
#define DPDK_FLOW_PORT_FLAG_SHARE_INDIRECT 0
#endif

static inline int
dpdk_flow_port_attr_share(struct rte_flow_port_attr *attr, uint16_t host_port_id)
{
#if DPDK_AT_LEAST(23, 3)
    attr->flags |= RTE_FLOW_PORT_FLAG_SHARE_INDIRECT;
    attr->host_port_id = host_port_id;
    return 0;
#else
    (void) attr;
    (void) host_port_id;
    return -ENOTSUP;
#endif
}

/* A table that may grow after its creation, 24.03. */
static inline int
dpdk_table_attr_resizable(struct rte_flow_template_table_attr *attr)
{
#if DPDK_AT_LEAST(24, 3)
    attr->specialize |= RTE_FLOW_TABLE_SPECIALIZE_RESIZABLE;
    return 0;
#else
    (void) attr;
    return -ENOTSUP;
#endif
}

/* Where a table's rules come from, which lets a driver spare half its memory, 23.03. */
static inline int
dpdk_table_attr_specialize(struct rte_flow_template_table_attr *attr, bool wire_origin, bool vport_origin)
{
#if DPDK_AT_LEAST(23, 3)
    attr->specialize |= (wire_origin ? RTE_FLOW_TABLE_SPECIALIZE_TRANSFER_WIRE_ORIG : 0) |
                        (vport_origin ? RTE_FLOW_TABLE_SPECIALIZE_TRANSFER_VPORT_ORIG : 0);
    return 0;
#else
    (void) attr;
    return wire_origin || vport_origin ? -ENOTSUP : 0;
#endif
}

/* rte_flow_actions_update, 23.07: replaces a rule's actions in place. */
static inline int
dpdk_flow_actions_update(uint16_t port_id, struct rte_flow *flow, const struct rte_flow_action actions[],
                         struct rte_flow_error *error)
{
#if DPDK_AT_LEAST(23, 7)
    return rte_flow_actions_update(port_id, flow, actions, error);
#else
    (void) port_id;
    (void) flow;
    (void) actions;
    return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
                              "rte_flow_actions_update needs DPDK 23.07");
#endif
}

/* rte_flow_group_set_miss_actions, 23.11: what a packet meets that no rule of the group matches. */
static inline int
dpdk_flow_group_set_miss_actions(uint16_t port_id, uint32_t group, const struct rte_flow_attr *flow_attr,
                                 const struct rte_flow_action actions[], struct rte_flow_error *error)
{
#if DPDK_AT_LEAST(23, 11)
    struct rte_flow_group_attr attr = {
        .ingress = flow_attr->ingress, .egress = flow_attr->egress, .transfer = flow_attr->transfer};

    return rte_flow_group_set_miss_actions(port_id, group, &attr, actions, error);
#else
    (void) port_id;
    (void) group;
    (void) flow_attr;
    (void) actions;
    return rte_flow_error_set(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, NULL,
                              "rte_flow_group_set_miss_actions needs DPDK 23.11");
#endif
}

/* Unsigned values in telemetry: renamed in 23.03, the old name removed in 23.11. */
#if DPDK_AT_LEAST(23, 3)
#define DPDK_TEL_UINT_VAL RTE_TEL_UINT_VAL
#else
#define DPDK_TEL_UINT_VAL RTE_TEL_U64_VAL
#endif

static inline int
dpdk_tel_dict_uint(struct rte_tel_data *data, const char *name, uint64_t value)
{
#if DPDK_AT_LEAST(23, 3)
    return rte_tel_data_add_dict_uint(data, name, value);
#else
    return rte_tel_data_add_dict_u64(data, name, value);
#endif
}

static inline int
dpdk_tel_array_uint(struct rte_tel_data *data, uint64_t value)
{
#if DPDK_AT_LEAST(23, 3)
    return rte_tel_data_add_array_uint(data, value);
#else
    return rte_tel_data_add_array_u64(data, value);
#endif
}

/* A rule's 24-bit mark, or the mark register where a driver has one: RTE_FLOW_DYNF_METADATA is a macro. */
static inline uint32_t
dpdk_mbuf_meta(struct rte_mbuf *m)
{
    return rte_flow_dynf_metadata_mask != 0 && (m->ol_flags & rte_flow_dynf_metadata_mask) != 0
               ? *RTE_FLOW_DYNF_METADATA(m)
               : 0;
}

#endif /* CTOFFLOAD_DPDK_COMPAT_H */
