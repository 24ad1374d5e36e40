/* Faults on demand: the next n calls of a kind fail with an errno of choice. */
#include <errno.h>

#include "nicsim.h"

static bool
is_burst(enum nicsim_call call)
{
    return call == NICSIM_CALL_RX || call == NICSIM_CALL_TX;
}

int
nicsim_fault_take(struct nicsim_port *port, enum nicsim_call call)
{
    struct nicsim_fault *fault = &port->faults[call];

    if (__builtin_expect(fault->n == 0, 1)) {
        return 0;
    }
    if (--fault->n == 0 && is_burst(call)) {
        atomic_fetch_sub(&port->n_burst_faults, 1);
    }
    return fault->error;
}

int
nicsim_fault_set(struct nicsim_port *port, enum nicsim_call call, uint32_t n, int error)
{
    struct nicsim_fault *fault = &port->faults[call];

    if (n && error <= 0) {
        return EINVAL;
    }
    if (is_burst(call) && (n != 0) != (fault->n != 0)) {
        atomic_fetch_add(&port->n_burst_faults, n ? 1 : -1);
    }
    *fault = (struct nicsim_fault){.n = n, .error = error};
    return 0;
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
