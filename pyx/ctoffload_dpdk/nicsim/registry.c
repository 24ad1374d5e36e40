/* What has a handle and is rarely made: templates and tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_flow_driver.h>

#include "nicsim.h"

static int
grow(struct nicsim_registry *registry)
{
    uint32_t room = registry->room ? registry->room * 2 : 16;
    struct nicsim_named **entries;

    if (registry->room == NICSIM_MAX_TEMPLATES) {
        return ENOSPC;
    }
    if (room > NICSIM_MAX_TEMPLATES) {
        room = NICSIM_MAX_TEMPLATES;
    }
    entries = realloc(registry->entries, room * sizeof *entries);
    if (!entries) {
        return ENOMEM;
    }
    memset(&entries[registry->room], 0, (room - registry->room) * sizeof *entries);
    registry->entries = entries;
    registry->room = room;
    return 0;
}

int
nicsim_registry_add(struct nicsim_registry *registry, struct nicsim_named *entry)
{
    int error = registry->n == registry->room ? grow(registry) : 0;
    uint32_t index = 0;

    if (error) {
        return error;
    }
    while (registry->entries[index]) {
        index++;
    }
    entry->index = index;
    entry->serial = ++registry->last_serial;
    registry->entries[index] = entry;
    registry->n++;
    return 0;
}

void
nicsim_registry_remove(struct nicsim_registry *registry, struct nicsim_named *entry)
{
    registry->entries[entry->index] = NULL;
    registry->n--;
}

int
nicsim_named_destroy(struct nicsim_port *port, struct nicsim_registry *registry, const void *handle,
                     nicsim_named_free free_it, const char *gone, const char *used, struct rte_flow_error *error)
{
    struct nicsim_named *entry;
    int rc = 0, injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_TEMPLATE_DESTROY);
    entry = nicsim_registry_find(registry, handle);
    if (injected) {
        rc = FAIL(injected, UNSPECIFIED, handle, NICSIM_INJECTED);
    } else if (!entry) {
        rc = FAIL(ENOENT, UNSPECIFIED, handle, gone);
    } else if (entry->n_users) {
        rc = FAIL(EBUSY, UNSPECIFIED, handle, used);
    } else {
        free_it(port, entry);
    }
    nicsim_unlock(port);
    return rc;
}

void
nicsim_registry_clear(struct nicsim_port *port, struct nicsim_registry *registry, nicsim_named_free free_it)
{
    for (uint32_t i = 0; i < registry->room; i++) {
        if (registry->entries[i]) {
            free_it(port, registry->entries[i]);
        }
    }
    free(registry->entries);
    *registry = (struct nicsim_registry){.last_serial = registry->last_serial};
}
