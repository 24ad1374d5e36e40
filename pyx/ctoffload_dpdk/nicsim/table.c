#include "table.h"

#include <errno.h>

#include "memory.h"

static uint32_t
n_slots_for(uint32_t n_entries)
{
    uint32_t n = 64;

    while (n / 2 < n_entries) {
        n *= 2;
    }
    return n;
}

size_t
nicsim_table_bytes(const struct nicsim_table *table)
{
    return ((size_t) table->mask + 1) * sizeof *table->slots;
}

int
nicsim_table_init(struct nicsim_table *table, uint32_t n_entries)
{
    uint32_t n = n_slots_for(n_entries);

    table->slots = nicsim_memory_get(n * sizeof *table->slots);
    table->mask = n - 1;
    table->n = 0;
    return table->slots ? 0 : ENOMEM;
}

void
nicsim_table_free(struct nicsim_table *table)
{
    nicsim_memory_put(table->slots, nicsim_table_bytes(table));
    table->slots = NULL;
    table->n = 0;
}

int
nicsim_table_grow(struct nicsim_table *table, uint32_t n_entries)
{
    struct nicsim_table grown;
    int error;

    if (table->slots && n_slots_for(n_entries) <= table->mask + 1) {
        return 0;
    }
    error = nicsim_table_init(&grown, n_entries);
    if (error) {
        return error;
    }
    for (uint32_t i = 0; table->slots && i <= table->mask; i++) {
        if (table->slots[i].ref) {
            nicsim_table_add(&grown, table->slots[i].hash, table->slots[i].ref);
        }
    }
    nicsim_table_free(table);
    *table = grown;
    return 0;
}

void
nicsim_table_add(struct nicsim_table *table, uint32_t hash, uint32_t ref)
{
    uint32_t i = hash & table->mask;

    while (table->slots[i].ref) {
        i = (i + 1) & table->mask;
    }
    table->slots[i] = (struct nicsim_slot){.hash = hash, .ref = ref};
    table->n++;
}

/* Moves later entries of the run into the hole, as far as each may move without passing its own home. */
static void
close_gap(struct nicsim_table *table, uint32_t hole)
{
    for (uint32_t i = (hole + 1) & table->mask; table->slots[i].ref; i = (i + 1) & table->mask) {
        uint32_t home = table->slots[i].hash & table->mask;
        uint32_t from_home = (i - home) & table->mask;
        uint32_t from_hole = (i - hole) & table->mask;

        if (from_home >= from_hole) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole].ref = 0;
}

bool
nicsim_table_del(struct nicsim_table *table, uint32_t hash, uint32_t ref)
{
    for (uint32_t i = hash & table->mask; table->slots[i].ref; i = (i + 1) & table->mask) {
        if (table->slots[i].ref == ref) {
            close_gap(table, i);
            table->n--;
            return true;
        }
    }
    return false;
}
