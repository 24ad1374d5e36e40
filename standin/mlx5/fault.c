/* fault.c: the Nth rule, queue entry or firmware object fails, when a test says so. */
#include "standin.h"

struct fault {
    unsigned int left; /* this many until it strikes; 0: not armed */
    int error;
};

static struct fault faults[N_FAULTS];
static const char *const names[N_FAULTS] = {"rule", "queue-entry", "object"};

/* The nth from now fails with error, once; nth 0 disarms. */
void
fault_arm(enum fault_kind kind, unsigned int nth, int error)
{
    faults[kind] = (struct fault){.left = nth, .error = error};
}

int
fault_strikes(enum fault_kind kind)
{
    struct fault *f = &faults[kind];

    return f->left && --f->left == 0 ? f->error : 0;
}

bool
fault_kind_of(const char *name, enum fault_kind *kind)
{
    for (int i = 0; i < N_FAULTS; i++) {
        if (!strcmp(name, names[i])) {
            *kind = i;
            return true;
        }
    }
    return false;
}
