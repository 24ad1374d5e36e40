/* The NIC's own clock: real, or moved by hand to the millisecond. */
#include <errno.h>
#include <time.h>

#include "nicsim.h"

static int64_t
monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
nicsim_clock_init(struct nicsim_clock *clock, bool manual)
{
    clock->start_ms = monotonic_ms();
    atomic_init(&clock->is_manual, manual);
    atomic_init(&clock->manual_ms, 0);
}

int64_t
nicsim_clock_ms(const struct nicsim_clock *clock)
{
    if (atomic_load_explicit(&clock->is_manual, memory_order_relaxed)) {
        return atomic_load_explicit(&clock->manual_ms, memory_order_relaxed);
    }
    return monotonic_ms() - clock->start_ms;
}

int
nicsim_clock_set(struct nicsim_clock *clock, int64_t now_ms)
{
    if (!atomic_load(&clock->is_manual)) {
        return EPERM;
    }
    if (now_ms < atomic_load(&clock->manual_ms)) {
        return EINVAL;
    }
    if (now_ms > NICSIM_CLOCK_MAX_MS) {
        return ERANGE;
    }
    atomic_store(&clock->manual_ms, now_ms);
    return 0;
}

/* The time goes on from where it is: it never jumps. */
void
nicsim_clock_make_manual(struct nicsim_clock *clock, bool manual)
{
    int64_t now = nicsim_clock_ms(clock);

    clock->start_ms = monotonic_ms() - now;
    atomic_store(&clock->manual_ms, now);
    atomic_store(&clock->is_manual, manual);
}
