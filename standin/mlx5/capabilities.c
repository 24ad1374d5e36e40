/* capabilities.c: what the device can do, as the driver asks firmware for it.
 *
 * Each part is as a real card answered where the profile has it recorded. Else it is written here, with what the profile
 * says of the card: ASO objects, contexts, steering by queue entries, room.
 */
#include "standin.h"

static void
fill_general(void *out)
{
#define S(field, value) MLX5_SET(cmd_hca_cap, out, field, value)
    S(hca_cap_2, 1);
    S(eswitch_manager, standin_settings.is_switch);
    S(vhca_id, 1);
    S(num_lag_ports, 2);
    S(device_frequency_khz, 1000000);
    /* queues and memory */
    S(log_max_cq, 20);
    S(log_max_cq_sz, 22);
    S(log_max_qp, 17);
    S(log_max_qp_sz, 15);
    S(log_max_wq_sz, 15);
    S(log_max_srq, 20);
    S(log_max_srq_sz, 15);
    S(log_max_pd, 20);
    S(log_max_mrw_sz, 63);
    S(log_max_rmp, 16);
    S(log_max_rqt_size, 11);
    S(mem_rq_rmp, 1);
    S(max_wqe_sz_sq, 1024);
    S(relaxed_ordering_write, 1);
    S(relaxed_ordering_read, 1);
    S(cqe_compression, 1);
    S(rq_ts_format, 2);
    S(sq_ts_format, 2);
    S(hairpin, 1);
    S(log_max_hairpin_queues, 10);
    S(log_max_hairpin_wq_data_sz, 16);
    S(log_min_hairpin_wq_data_sz, 5);
    /* rules */
    S(eth_net_offloads, 1);
    S(nic_flow_table, 1);
    S(qos, 1);
    S(reg_c_preserve, 1);
    S(flow_counter_bulk_alloc, 0xff);
    S(flow_counters_dump, 1);
    S(max_flow_counter_15_0, 0xffff);
    S(max_flow_counter_31_16, 0xff);
    S(alloc_flow_counter_pd, 1);
    MLX5_SET64(cmd_hca_cap, out, match_definer_format_supported, UINT64_MAX);
    S(steering_format_version, standin_profile.steering_format);
    if (!standin_profile.aso) {
        return;
    }
    S(flow_counter_access_aso, 1);
    S(flow_access_aso_opc_mod, 5);
    S(wqe_based_flow_table_update_cap, standin_profile.queue_steering);
    S(log_header_modify_argument_max_alloc, 20);
    /* The types above 63 (RTC, STC, STE) do not fit in here; the driver does not ask for them. */
    MLX5_SET64(cmd_hca_cap, out, general_obj_types,
               MLX5_GENERAL_OBJ_TYPES_CAP_FLOW_HIT_ASO | MLX5_GENERAL_OBJ_TYPES_CAP_FLOW_METER_ASO |
                   (standin_profile.contexts ? MLX5_GENERAL_OBJ_TYPES_CAP_CONN_TRACK_OFFLOAD : 0) |
                   MLX5_GENERAL_OBJ_TYPES_CAP_DEFINER);
#undef S
}

static void
fill_general_2(void *out)
{
#define S(field, value) MLX5_SET(cmd_hca_cap_2, out, field, value)
    S(log_min_stride_wqe_sz, 14);
    S(log_conn_track_max_alloc, standin_profile.log_contexts);
    S(log_max_conn_track_offload, standin_profile.log_contexts);
    S(flow_counter_bulk_log_max_alloc, standin_profile.log_counters);
    S(format_select_dw_8_6_ext, 1);
    S(max_num_prog_sample_field, 8);
#undef S
}

static void
fill_qos(void *out)
{
#define S(field, value) MLX5_SET(qos_cap, out, field, value)
    S(flow_meter_old, 1);
    S(flow_meter, 1);
    S(log_max_flow_meter, 16);
    S(log_meter_aso_max_alloc, 16);
    S(log_max_num_meter_aso, 16);
    S(flow_meter_reg_id, 0xff); /* includes REG_C_3, which AGE and CONNTRACK write their result to */
#undef S
}

static void
fill_ethernet(void *out)
{
#define S(field, value) MLX5_SET(per_protocol_networking_offload_caps, out, field, value)
    S(csum_cap, 1);
    S(vlan_cap, 1);
    S(lro_cap, 1);
    S(lro_min_mss_size, 536);
    S(max_lso_cap, 18);
    S(wqe_vlan_insert, 1);
    S(scatter_fcs, 1);
    S(swp, 1);
    S(swp_csum, 1);
    S(swp_lso, 1);
    S(tunnel_stateless_vxlan, 1);
    S(tunnel_stateless_gre, 1);
    S(rss_ind_tbl_cap, 11);
#undef S
}

static void
fill_table_properties(void *out)
{
#define S(field, value) MLX5_SET(flow_table_nic_cap, out, flow_table_properties_nic_receive.field, value)
    S(sw_owner, 1);
    S(sw_owner_v2, 1);
    S(max_ft_level, 64);
    S(max_modify_header_actions, 32);
    S(log_max_ft_sampler_num, 8);
    S(reparse, 1);
#undef S
}

static void
fill_nic_tables(void *out)
{
#define S(field, value) MLX5_SET(flow_table_nic_cap, out, field, value)
    S(flow_table_properties_nic_transmit.sw_owner, 1);
    S(flow_table_properties_nic_transmit.sw_owner_v2, 1);
    S(ft_header_modify_nic_receive.metadata_reg_c_x, 0xff);
    S(ft_header_modify_nic_transmit.metadata_reg_c_x, 0xff);
    S(ft_field_support_2_nic_receive.outer_l3_ok, 1);
    S(ft_field_support_2_nic_receive.outer_l4_ok, 1);
    S(ft_field_support_2_nic_receive.inner_l3_ok, 1);
    S(ft_field_support_2_nic_receive.inner_l4_ok, 1);
    S(ft_field_support_2_nic_receive.outer_ipv4_checksum_ok, 1);
    S(ft_field_support_2_nic_receive.inner_ipv4_checksum_ok, 1);
    S(ft_field_support_2_nic_receive.outer_l4_checksum_ok, 1);
    S(ft_field_support_2_nic_receive.inner_l4_checksum_ok, 1);
#undef S
    fill_table_properties(out);
}

static void
fill_switch_tables(void *out)
{
    MLX5_SET(flow_table_esw_cap, out, ft_header_modify_esw_fdb.metadata_reg_c_x, 0xff);
    fill_table_properties(out); /* both layouts begin with the properties of their first table */
}

static void
fill_switch(void *out)
{
    MLX5_SET(esw_cap, out, esw_manager_vport_number_valid, 1);
}

/* What hws/mlx5dr_context.c asks for before it offers steering by queue entries. */
static void
fill_queue_steering(void *out)
{
#define S(field, value) MLX5_SET(wqe_based_flow_table_cap, out, field, value)
    S(rtc_reparse_mode, 1 << MLX5_IFC_RTC_REPARSE_NEVER | 1 << MLX5_IFC_RTC_REPARSE_ALWAYS);
    S(ste_format, 1 << MLX5_IFC_RTC_STE_FORMAT_8DW | 1 << MLX5_IFC_RTC_STE_FORMAT_11DW);
    S(rtc_index_mode, 1 << MLX5_IFC_RTC_STE_UPDATE_MODE_BY_HASH | 1 << MLX5_IFC_RTC_STE_UPDATE_MODE_BY_OFFSET);
    S(rtc_log_depth_max, 6);
    S(ste_alloc_log_max, 20);
    S(stc_alloc_log_max, 20);
    S(log_max_num_ste, 20);
    S(log_max_num_stc, 20);
    S(log_max_num_rtc, 16);
    S(trivial_match_definer, 1);
#if RELEASE_AT_LEAST(25, 11)
    S(max_header_modify_pattern_length, 32);
#endif
#undef S
}

static const struct {
    uint32_t op_mod; /* without the bit that tells "largest" from "current" */
    void (*fill)(void *out);
} parts[] = {
    {MLX5_GET_HCA_CAP_OP_MOD_GENERAL_DEVICE, fill_general},
    {MLX5_GET_HCA_CAP_OP_MOD_GENERAL_DEVICE_2, fill_general_2},
    {MLX5_GET_HCA_CAP_OP_MOD_QOS_CAP, fill_qos},
    {MLX5_GET_HCA_CAP_OP_MOD_ETHERNET_OFFLOAD_CAPS, fill_ethernet},
    {MLX5_GET_HCA_CAP_OP_MOD_NIC_FLOW_TABLE, fill_nic_tables},
    {MLX5_GET_HCA_CAP_OP_MOD_ESW_FLOW_TABLE, fill_switch_tables},
    {MLX5_SET_HCA_CAP_OP_MOD_ESW, fill_switch},
    {MLX5_GET_HCA_CAP_OP_MOD_WQE_BASED_FLOW_TABLE, fill_queue_steering},
};

void
capabilities_fill(uint32_t op_mod, void *out)
{
    if (profile_recorded(op_mod, out)) {
        return;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if ((parts[i].op_mod & ~1u) == (op_mod & ~1u)) {
            parts[i].fill(out);
            return;
        }
    }
}
