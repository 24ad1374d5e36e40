# rte_telemetry.h as DPDK declares it. The calls for unsigned values were renamed: dpdk_compat.h.
from libc.stdint cimport int64_t, uint64_t


cdef extern from "rte_telemetry.h" nogil:
    enum:
        RTE_TEL_MAX_STRING_LEN
        RTE_TEL_MAX_SINGLE_STRING_LEN
        RTE_TEL_MAX_DICT_ENTRIES
        RTE_TEL_MAX_ARRAY_ENTRIES

    enum rte_tel_value_type:
        RTE_TEL_STRING_VAL
        RTE_TEL_INT_VAL
        RTE_TEL_CONTAINER

    struct rte_tel_data:
        pass

    ctypedef int (*telemetry_cb)(const char *cmd, const char *params, rte_tel_data *info) noexcept nogil

    int rte_tel_data_start_array(rte_tel_data *d, rte_tel_value_type type)
    int rte_tel_data_start_dict(rte_tel_data *d)
    int rte_tel_data_string(rte_tel_data *d, const char *text)
    int rte_tel_data_add_array_string(rte_tel_data *d, const char *text)
    int rte_tel_data_add_array_int(rte_tel_data *d, int64_t value)
    int rte_tel_data_add_array_container(rte_tel_data *d, rte_tel_data *value, int keep)
    int rte_tel_data_add_dict_string(rte_tel_data *d, const char *name, const char *value)
    int rte_tel_data_add_dict_int(rte_tel_data *d, const char *name, int64_t value)
    int rte_tel_data_add_dict_container(rte_tel_data *d, const char *name, rte_tel_data *value, int keep)
    rte_tel_data *rte_tel_data_alloc()
    void rte_tel_data_free(rte_tel_data *data)
    int rte_telemetry_register_cmd(const char *cmd, telemetry_cb fn, const char *help)


cdef extern from "dpdk_compat.h" nogil:
    rte_tel_value_type DPDK_TEL_UINT_VAL
    int dpdk_tel_dict_uint(rte_tel_data *data, const char *name, uint64_t value)
    int dpdk_tel_array_uint(rte_tel_data *data, uint64_t value)
