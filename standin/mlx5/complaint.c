/* complaint.c: what the driver says of a rule it refuses, kept for tests.
 *
 * Drivers fill struct rte_flow_error by rte_flow_error_set(), which librte_ethdev exports; ours comes first, remembers and
 * passes on. So the driver's own words are known whatever the process under test makes of them.
 */
#include <rte_flow.h>
#include "standin.h"

#define MAX_KEPT 64

static struct {
    int error, type;
    const char *message; /* a constant of the driver */
} kept[MAX_KEPT];
static unsigned int n_kept;

int
rte_flow_error_set(struct rte_flow_error *error, int code, enum rte_flow_error_type type, const void *cause,
                   const char *message)
{
    static int (*real)(struct rte_flow_error *, int, enum rte_flow_error_type, const void *, const char *);

    standin_lock();
    if (!real) {
        real = (__typeof__(real)) standin_real("librte_ethdev", "rte_flow_error_set");
    }
    kept[n_kept % MAX_KEPT].error = code;
    kept[n_kept % MAX_KEPT].type = type;
    kept[n_kept++ % MAX_KEPT].message = message;
    standin_unlock();
    if (!real) {
        standin_abort("rte_flow_error_set is not to be found in librte_ethdev");
    }
    return real(error, code, type, cause, message);
}

/* The latest ones, oldest first; each is told once. */
void
complaint_list(struct text *out)
{
    for (unsigned int i = n_kept > MAX_KEPT ? n_kept - MAX_KEPT : 0; i < n_kept; i++) {
        text_add(out, "{\"errno\": %d, \"type\": %d, \"message\": \"%s\"}\n", kept[i % MAX_KEPT].error,
                 kept[i % MAX_KEPT].type, kept[i % MAX_KEPT].message ? kept[i % MAX_KEPT].message : "");
    }
    n_kept = 0;
}
