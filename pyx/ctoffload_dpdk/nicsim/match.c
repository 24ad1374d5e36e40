#include "match.h"

#include <errno.h>
#include <stdlib.h>

int
nicsim_match_init(struct nicsim_match *match)
{
    memset(match, 0, sizeof *match);
    return nicsim_table_init(&match->table, 0);
}

void
nicsim_match_free(struct nicsim_match *match)
{
    nicsim_table_free(&match->table);
    for (uint32_t i = 0; i <= NICSIM_MAX_SUBTABLES; i++) {
        free(match->subtables[i]);
    }
    for (uint32_t i = 0; i < match->n_groups; i++) {
        free(match->groups[i]);
    }
}

uint32_t
nicsim_group_find(const struct nicsim_match *match, uint16_t port, uint32_t number)
{
    for (uint32_t i = 0; i < match->n_groups; i++) {
        const struct nicsim_group *group = match->groups[i];

        if (group && group->n_users && group->port == port && group->number == number) {
            return i;
        }
    }
    return NICSIM_NO_GROUP;
}

static uint32_t
free_group_index(const struct nicsim_match *match)
{
    uint32_t i = 0;

    while (i < match->n_groups && match->groups[i]->n_users) {
        i++;
    }
    return i;
}

int
nicsim_group_use(struct nicsim_match *match, uint16_t port, uint32_t number, uint32_t *index)
{
    uint32_t i = nicsim_group_find(match, port, number);

    if (i == NICSIM_NO_GROUP) {
        i = free_group_index(match);
        if (i == NICSIM_MAX_GROUPS) {
            return ENOSPC;
        }
        if (i == match->n_groups) {
            match->groups[i] = calloc(1, sizeof *match->groups[i]);
            if (!match->groups[i]) {
                return ENOMEM;
            }
            match->n_groups++;
        }
        match->groups[i]->number = number;
        match->groups[i]->port = port;
        match->groups[i]->n_subtables = 0;
    }
    match->groups[i]->n_users++;
    *index = i;
    return 0;
}

void
nicsim_group_unuse(struct nicsim_match *match, uint32_t index)
{
    match->groups[index]->n_users--;
}

static uint32_t
n_bits(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t n = 0;

    for (size_t i = 0; i < size; i++) {
        n += __builtin_popcount(bytes[i]);
    }
    return n;
}

static uint32_t
n_compared(const struct nicsim_subtable *subtable)
{
    return n_bits(&subtable->mask, sizeof subtable->mask) +
           (subtable->is_wide ? n_bits(&subtable->wide_mask, sizeof subtable->wide_mask) : 0);
}

/* True where a is asked before b. */
static bool
comes_before(const struct nicsim_subtable *a, const struct nicsim_subtable *b)
{
    if (a->priority != b->priority) {
        return a->priority < b->priority;
    }
    return n_compared(a) > n_compared(b);
}

static void
group_insert(struct nicsim_match *match, struct nicsim_group *group, const struct nicsim_subtable *subtable)
{
    uint16_t i = group->n_subtables++;

    for (; i > 0 && comes_before(subtable, match->subtables[group->subtables[i - 1]]); i--) {
        group->subtables[i] = group->subtables[i - 1];
    }
    group->subtables[i] = subtable->id;
}

static bool
same_wide(const struct nicsim_subtable *subtable, const struct nicsim_wide *wide)
{
    return subtable->is_wide == (wide != NULL) && (!wide || memcmp(&subtable->wide_mask, wide, sizeof *wide) == 0);
}

static struct nicsim_subtable *
subtable_find(const struct nicsim_match *match, uint32_t group, uint32_t priority, const struct nicsim_key *mask,
              const struct nicsim_wide *wide)
{
    const struct nicsim_group *in = match->groups[group];

    for (uint16_t i = 0; i < in->n_subtables; i++) {
        struct nicsim_subtable *subtable = match->subtables[in->subtables[i]];

        if (subtable->priority == priority && nicsim_key_equal(&subtable->mask, mask) && same_wide(subtable, wide)) {
            return subtable;
        }
    }
    return NULL;
}

static int
subtable_new(struct nicsim_match *match, uint32_t group, uint32_t priority, const struct nicsim_key *mask,
             const struct nicsim_wide *wide, struct nicsim_subtable **out)
{
    struct nicsim_subtable *subtable;
    uint16_t id = 1;

    while (id <= NICSIM_MAX_SUBTABLES && match->subtables[id]) {
        id++;
    }
    if (id > NICSIM_MAX_SUBTABLES) {
        return ENOSPC;
    }
    subtable = calloc(1, sizeof *subtable);
    if (!subtable) {
        return ENOMEM;
    }
    *subtable = (struct nicsim_subtable){.mask = *mask, .group = group, .priority = priority, .id = id};
    subtable->name.subtable = id;
    if (wide) {
        subtable->is_wide = true;
        subtable->wide_mask = *wide;
        match->n_wide++;
    }
    match->subtables[id] = subtable;
    group_insert(match, match->groups[group], subtable);
    *out = subtable;
    return 0;
}

int
nicsim_subtable_use(struct nicsim_match *match, uint16_t port, uint32_t number, uint32_t priority,
                    const struct nicsim_key *mask, const struct nicsim_wide *wide, struct nicsim_subtable **subtable)
{
    uint32_t group = nicsim_group_find(match, port, number);
    int error;

    *subtable = group == NICSIM_NO_GROUP ? NULL : subtable_find(match, group, priority, mask, wide);
    if (!*subtable) {
        error = nicsim_group_use(match, port, number, &group);
        if (error) {
            return error;
        }
        error = subtable_new(match, group, priority, mask, wide, subtable);
        if (error) {
            nicsim_group_unuse(match, group);
            return error;
        }
    }
    (*subtable)->n_rules++;
    return 0;
}

void
nicsim_subtable_unuse(struct nicsim_match *match, uint16_t id)
{
    struct nicsim_subtable *subtable = match->subtables[id];
    struct nicsim_group *group = match->groups[subtable->group];
    uint16_t i = 0;

    if (--subtable->n_rules) {
        return;
    }
    while (group->subtables[i] != id) {
        i++;
    }
    group->n_subtables--;
    memmove(&group->subtables[i], &group->subtables[i + 1], (group->n_subtables - i) * sizeof group->subtables[0]);
    match->subtables[id] = NULL;
    match->n_wide -= subtable->is_wide;
    nicsim_group_unuse(match, subtable->group);
    free(subtable);
}
