/* What has a handle and is rarely made: templates and tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "async.h"

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

void
nicsim_registry_free(struct nicsim_registry *registry)
{
    free(registry->entries);
    *registry = (struct nicsim_registry){.last_serial = registry->last_serial};
}
