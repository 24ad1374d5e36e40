/* load.c: refuses to be loaded by accident, reads the environment, hands out object numbers.
 *
 * The library changes what a process believes about its hardware, so it works only where CTOFFLOAD_MLX5_STANDIN=1 says
 * that this is meant, and only under the DPDK whose private headers it was compiled with.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>
#include "standin.h"

struct standin_settings standin_settings;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t next_id = 0x100;

void
standin_lock(void)
{
    pthread_mutex_lock(&lock);
}

void
standin_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void
standin_abort(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("mlx5 stand-in: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(EXIT_FAILURE);
}

uint32_t
standin_next_ids(uint32_t n)
{
    uint32_t mine, after;

    do {
        mine = __atomic_load_n(&next_id, __ATOMIC_RELAXED);
        after = (mine + n - 1) / n * n + n;
    } while (!__atomic_compare_exchange_n(&next_id, &mine, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return after - n;
}

uint32_t
standin_next_id(void)
{
    return standin_next_ids(1);
}

static const char *
setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && value[0] ? value : otherwise;
}

/* DPDK's libraries need not be visible to everyone (Python loads them privately), so each is asked by its name. */
void *
standin_real(const char *library, const char *symbol)
{
    char name[64];

    snprintf(name, sizeof name, "%s.so.%d", library, RELEASE_ABI);
    void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    void *found = handle ? dlsym(handle, symbol) : NULL;
    if (handle) {
        dlclose(handle); /* gives back the reference of this call only */
    }
    return found;
}

/* The libraries of DPDK may come later than this one: called at load, and again when the driver looks for devices. */
void
standin_check_version(void)
{
    const char *(*version)(void) = (const char *(*)(void) ) standin_real("librte_eal", "rte_version");

    if (version && strcmp(version(), "DPDK " STANDIN_DPDK_VERSION)) {
        standin_abort("built for DPDK %s, but this process runs %s; build it again: python -m build_support.standin",
                      STANDIN_DPDK_VERSION, version());
    }
}

__attribute__((constructor)) static void
load(void)
{
    const char *meant = getenv("CTOFFLOAD_MLX5_STANDIN");

    if (!meant || strcmp(meant, "1")) {
        standin_abort("this library replaces the RDMA libraries by a fake device and is for tests only; "
                      "set CTOFFLOAD_MLX5_STANDIN=1 if that is meant");
    }
    standin_check_version();
    standin_settings.root = setting("CTOFFLOAD_MLX5_STANDIN_ROOT", "");
    standin_settings.netdev = setting("CTOFFLOAD_MLX5_STANDIN_NETDEV", "mlx");
    standin_settings.socket = setting("CTOFFLOAD_MLX5_STANDIN_SOCKET", NULL);
    standin_settings.n_devices = atoi(setting("CTOFFLOAD_MLX5_STANDIN_DEVICES", "1"));
    standin_settings.n_ports = atoi(setting("CTOFFLOAD_MLX5_STANDIN_PORTS", "1"));
    if (setting("CTOFFLOAD_MLX5_STANDIN_PROFILE", NULL)) {
        profile_read(getenv("CTOFFLOAD_MLX5_STANDIN_PROFILE"));
    }
    standin_settings.is_switch = standin_settings.n_ports > 1 || getenv("CTOFFLOAD_MLX5_STANDIN_SWITCH");
}
