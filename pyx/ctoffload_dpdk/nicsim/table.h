/* Where a rule lies, by the hash of its key: open addressing, linear probing, deletion without tombstones. */
#ifndef NICSIM_TABLE_H
#define NICSIM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nicsim_slot {
    uint32_t hash;
    uint32_t ref; /* what the caller wants to find; 0: empty */
};

struct nicsim_table {
    struct nicsim_slot *slots;
    uint32_t mask;
    uint32_t n;
};

/* Room for so many entries at half load. 0 or ENOMEM. */
int nicsim_table_init(struct nicsim_table *table, uint32_t n_entries);
void nicsim_table_free(struct nicsim_table *table);
size_t nicsim_table_bytes(const struct nicsim_table *table);
/* Makes room for more entries; keeps those that are there. 0 or ENOMEM. */
int nicsim_table_grow(struct nicsim_table *table, uint32_t n_entries);
/* The caller has seen to it that there is room. */
void nicsim_table_add(struct nicsim_table *table, uint32_t hash, uint32_t ref);
/* False where it was not there. */
bool nicsim_table_del(struct nicsim_table *table, uint32_t hash, uint32_t ref);

/* Steps through the entries of one hash: pos starts at the hash; 0 means there is no further one. */
static inline uint32_t
nicsim_table_next(const struct nicsim_table *table, uint32_t hash, uint32_t *pos)
{
    for (;;) {
        const struct nicsim_slot *slot = &table->slots[*pos & table->mask];

        (*pos)++;
        if (slot->ref == 0 || slot->hash == hash) {
            return slot->ref;
        }
    }
}

static inline void
nicsim_table_prefetch(const struct nicsim_table *table, uint32_t hash)
{
    __builtin_prefetch(&table->slots[hash & table->mask]);
}

#endif /* NICSIM_TABLE_H */
