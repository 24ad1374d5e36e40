/* Calls that fail or take long because they were told to. */
#include <errno.h>
#include <time.h>

#include "nicsim.h"

#define A_MILLION 1000000u

static bool
is_burst(enum nicsim_call call)
{
    return call == NICSIM_CALL_RX || call == NICSIM_CALL_TX;
}

/* A burst looks at its faults only where there is one. */
static void
arm(struct nicsim_port *port, enum nicsim_call call)
{
    struct nicsim_fault *fault = &port->faults[call];
    bool is_armed = fault->plan.when != NICSIM_FAULT_NEVER || fault->n_slow;

    if (is_burst(call) && is_armed != fault->is_armed) {
        atomic_fetch_add(&port->n_burst_faults, is_armed ? 1 : -1);
    }
    fault->is_armed = is_armed;
}

static bool
is_due(struct nicsim_fault *fault)
{
    switch (fault->plan.when) {
    case NICSIM_FAULT_NEXT:
        if (--fault->plan.n == 0) {
            fault->plan.when = NICSIM_FAULT_NEVER;
        }
        return true;
    case NICSIM_FAULT_EVERY:
        return fault->n_calls % fault->plan.n == 0;
    case NICSIM_FAULT_RANDOM:
        return (nicsim_dice(&fault->dice) >> 32) % A_MILLION < fault->plan.n;
    default:
        return false;
    }
}

/* In real time, and without the lock: the rest of the NIC goes on. */
static void
be_slow(struct nicsim_port *port, uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nicsim_unlock(port);
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    nicsim_lock(port);
}

int
nicsim_fault_take(struct nicsim_port *port, enum nicsim_call call)
{
    struct nicsim_fault *fault = &port->faults[call];
    int error = 0;

    if (__builtin_expect(!fault->is_armed, 1)) {
        return 0;
    }
    fault->n_calls++;
    if (is_due(fault)) {
        fault->n_failed++;
        error = fault->plan.error;
    }
    if (fault->n_slow) {
        uint32_t ms = fault->slow_ms;

        fault->n_slow--;
        arm(port, call);
        be_slow(port, ms);
    } else {
        arm(port, call);
    }
    return error;
}

int
nicsim_fault_set(struct nicsim_port *port, enum nicsim_call call, const struct nicsim_fault_plan *plan)
{
    struct nicsim_fault *fault = &port->faults[call];
    bool is_off = plan->when == NICSIM_FAULT_NEVER || (plan->when == NICSIM_FAULT_NEXT && plan->n == 0);

    if (plan->when > NICSIM_FAULT_RANDOM || (!is_off && plan->error <= 0) ||
        (plan->when == NICSIM_FAULT_EVERY && plan->n == 0) ||
        (plan->when == NICSIM_FAULT_RANDOM && plan->n > A_MILLION)) {
        return EINVAL;
    }
    fault->plan = is_off ? (struct nicsim_fault_plan){.when = NICSIM_FAULT_NEVER} : *plan;
    fault->n_calls = 0;
    fault->n_failed = 0;
    fault->dice = nicsim_seed(plan->seed);
    arm(port, call);
    return 0;
}

int
nicsim_fault_set_slow(struct nicsim_port *port, enum nicsim_call call, uint32_t n, uint32_t ms)
{
    if (call == NICSIM_CALL_COMPLETION && ms) {
        return EINVAL; /* no call that could wait; completion_delay_ms is for that */
    }
    port->faults[call].n_slow = ms ? n : 0;
    port->faults[call].slow_ms = ms;
    arm(port, call);
    return 0;
}

void
nicsim_fault_info(const struct nicsim_port *port, enum nicsim_call call, struct nicsim_fault_info *info)
{
    const struct nicsim_fault *fault = &port->faults[call];

    *info = (struct nicsim_fault_info){
        .left = fault->plan.when == NICSIM_FAULT_NEXT ? fault->plan.n : 0,
        .failed = fault->n_failed,
        .slow_left = fault->n_slow,
    };
}

bool
nicsim_fault_in_burst(struct nicsim_port *port, enum nicsim_call call)
{
    int error;

    if (__builtin_expect(atomic_load_explicit(&port->n_burst_faults, memory_order_relaxed) == 0, 1)) {
        return false;
    }
    nicsim_lock(port);
    error = nicsim_fault_take(port, call);
    nicsim_unlock(port);
    return error != 0;
}
