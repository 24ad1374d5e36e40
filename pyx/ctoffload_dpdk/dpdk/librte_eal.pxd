# rte_eal.h and the headers around it as DPDK declares them; the C compiler lays the structs out.
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport FILE


cdef extern from "stdbool.h" nogil:
    ctypedef bint c_bool "bool"


cdef extern from "rte_config.h" nogil:
    enum:
        RTE_MAX_LCORE
        RTE_MAX_ETHPORTS


cdef extern from "rte_version.h" nogil:
    enum:
        RTE_VER_YEAR
        RTE_VER_MONTH
        RTE_VER_MINOR
        RTE_VER_RELEASE
    const unsigned int RTE_VERSION
    const char *RTE_VER_SUFFIX
    unsigned int RTE_VERSION_NUM(int year, int month, int minor, int release)
    const char *rte_version()
    const char *rte_version_prefix()
    unsigned int rte_version_year()
    unsigned int rte_version_month()
    unsigned int rte_version_minor()
    const char *rte_version_suffix()
    unsigned int rte_version_release()


cdef extern from "rte_errno.h" nogil:
    # A lvalue macro, one per thread.
    int rte_errno
    const char *rte_strerror(int errnum)


cdef extern from "rte_eal.h" nogil:
    enum rte_proc_type_t:
        RTE_PROC_AUTO
        RTE_PROC_PRIMARY
        RTE_PROC_SECONDARY
        RTE_PROC_INVALID

    enum rte_iova_mode:
        RTE_IOVA_DC
        RTE_IOVA_PA
        RTE_IOVA_VA

    int rte_eal_init(int argc, char **argv)
    int rte_eal_cleanup()
    rte_proc_type_t rte_eal_process_type()
    int rte_eal_has_hugepages()
    int rte_eal_has_pci()
    rte_iova_mode rte_eal_iova_mode()
    const char *rte_eal_get_runtime_dir()
    c_bool rte_mp_disable()


cdef extern from "rte_lcore.h" nogil:
    enum:
        LCORE_ID_ANY
    unsigned int rte_lcore_id()
    unsigned int rte_get_main_lcore()
    unsigned int rte_lcore_count()
    int rte_lcore_is_enabled(unsigned int lcore_id)
    unsigned int rte_socket_id()
    unsigned int rte_socket_count()
    int rte_thread_register()
    void rte_thread_unregister()


cdef extern from "rte_cycles.h" nogil:
    uint64_t rte_rdtsc()
    uint64_t rte_get_tsc_hz()
    uint64_t rte_get_timer_cycles()
    void rte_delay_us_sleep(unsigned int us)


cdef extern from "rte_log.h" nogil:
    enum:
        RTE_LOG_EMERG
        RTE_LOG_ALERT
        RTE_LOG_CRIT
        RTE_LOG_ERR
        RTE_LOG_WARNING
        RTE_LOG_NOTICE
        RTE_LOG_INFO
        RTE_LOG_DEBUG
    int rte_openlog_stream(FILE *f)
    FILE *rte_log_get_stream()
    void rte_log_set_global_level(uint32_t level)
    uint32_t rte_log_get_global_level()
    int rte_log_get_level(uint32_t logtype)
    int rte_log_set_level(uint32_t logtype, uint32_t level)
    int rte_log_set_level_pattern(const char *pattern, uint32_t level)
    int rte_log_set_level_regexp(const char *regex, uint32_t level)
    int rte_log_cur_msg_loglevel()
    int rte_log_cur_msg_logtype()
    void rte_log_dump(FILE *f)
    int rte_log(uint32_t level, uint32_t logtype, const char *format, ...)
    uint32_t RTE_LOGTYPE_USER1


cdef extern from "rte_dev.h" nogil:
    enum:
        RTE_DEV_NAME_MAX_LEN
    struct rte_device:
        pass
    struct rte_bus:
        pass
    struct rte_driver:
        pass
    struct rte_devargs:
        pass
    struct rte_dev_iterator:
        const char *dev_str
        const char *bus_str
        const char *cls_str

    const char *rte_dev_name(const rte_device *dev)
    const char *rte_dev_bus_info(const rte_device *dev)
    const rte_bus *rte_dev_bus(const rte_device *dev)
    const rte_driver *rte_dev_driver(const rte_device *dev)
    const rte_devargs *rte_dev_devargs(const rte_device *dev)
    int rte_dev_numa_node(const rte_device *dev)
    const char *rte_driver_name(const rte_driver *driver)
    int rte_dev_is_probed(const rte_device *dev)
    int rte_dev_probe(const char *devargs)
    int rte_dev_remove(rte_device *dev)
    int rte_eal_hotplug_add(const char *busname, const char *devname, const char *drvargs)
    int rte_eal_hotplug_remove(const char *busname, const char *devname)
    int rte_dev_iterator_init(rte_dev_iterator *it, const char *text)
    rte_device *rte_dev_iterator_next(rte_dev_iterator *it)


cdef extern from "rte_bus.h" nogil:
    const char *rte_bus_name(const rte_bus *bus)


cdef extern from "rte_bus_vdev.h" nogil:
    int rte_vdev_init(const char *name, const char *args)
    int rte_vdev_uninit(const char *name)


cdef extern from "rte_malloc.h" nogil:
    struct rte_malloc_socket_stats:
        size_t heap_totalsz_bytes
        size_t heap_freesz_bytes
        size_t greatest_free_size
        unsigned int free_count
        unsigned int alloc_count
        size_t heap_allocsz_bytes
    void *rte_zmalloc(const char *type, size_t size, unsigned int align)
    void *rte_malloc(const char *type, size_t size, unsigned int align)
    void rte_free(void *ptr)
    int rte_malloc_get_socket_stats(int socket, rte_malloc_socket_stats *socket_stats)


cdef extern from "dpdk_compat.h" nogil:
    # The driver's arguments of a device, NULL where it has none.
    const char *dpdk_devargs_text(const rte_devargs *devargs)
