/* Random operations on the driver's table, wheel and subtables, each compared with a model too simple to be wrong.
 *
 * Usage: model_check SEED STEPS. Prints what differed and exits with 1. */
#include <stdio.h>
#include <stdlib.h>

#include "age.h"
#include "match.h"
#include "table.h"

#define N 512

static uint64_t random_state;

static uint32_t
dice(uint32_t sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t) (random_state >> 33) % sides;
}

static void
expect(bool is_right, const char *what, uint64_t step)
{
    if (!is_right) {
        printf("%s differs from the model after step %llu\n", what, (unsigned long long) step);
        exit(1);
    }
}

/* Few different hashes, so that runs of entries meet and wrap around the end. */
static uint32_t
crowded_hash(uint32_t ref)
{
    static const uint32_t bases[] = {0, 1, 60, 63, 0x10000 - 1, UINT32_MAX};

    return bases[ref % 6] + ref % 3 * 0x10000;
}

static bool
is_found(const struct nicsim_table *table, uint32_t ref)
{
    uint32_t hash = crowded_hash(ref), pos = hash, found;

    while ((found = nicsim_table_next(table, hash, &pos)) != 0) {
        if (found == ref) {
            return true;
        }
    }
    return false;
}

static void
check_table(uint64_t steps)
{
    static bool model[N];
    struct nicsim_table table = {0};
    uint32_t n = 0, room = 8;

    expect(nicsim_table_init(&table, room) == 0, "memory", 0);
    for (uint64_t step = 0; step < steps; step++) {
        uint32_t ref = 1 + dice(N - 1);

        if (model[ref]) {
            expect(nicsim_table_del(&table, crowded_hash(ref), ref), "deletion", step);
        } else {
            room = n + 1 > room ? room * 2 : room;
            expect(nicsim_table_grow(&table, room) == 0, "growth", step);
            nicsim_table_add(&table, crowded_hash(ref), ref);
        }
        model[ref] = !model[ref];
        n += model[ref] ? 1 : -1;
        expect(table.n == n, "number of entries", step);
        ref = 1 + dice(N - 1);
        expect(is_found(&table, ref) == model[ref], "lookup", step);
        if (!model[ref]) {
            expect(!nicsim_table_del(&table, crowded_hash(ref), ref), "deletion of what is not there", step);
        }
    }
    nicsim_table_free(&table);
}

/* Idle for its timeout at a whole second that the clock has passed. */
static bool
should_be_aged(const struct nicsim_age *age, int64_t now_ms)
{
    int64_t due_ms = age->last_ms + (int64_t) age->timeout_s * 1000;

    return (due_ms + 999) / 1000 <= now_ms / 1000;
}

static void
compare_aged(struct nicsim_wheel *wheel, const struct nicsim_age *ages, int64_t now_ms, uint64_t step)
{
    static void *contexts[N];
    static bool listed[N];
    uint32_t n = nicsim_wheel_aged(wheel, 0, contexts, N, false);

    expect(n == wheel->n_aged, "length of the aged list", step);
    memset(listed, 0, sizeof listed);
    for (uint32_t i = 0; i < n; i++) {
        listed[(uintptr_t) contexts[i]] = true;
    }
    for (uint32_t i = 0; i < N; i++) {
        bool is_watched = ages[i].state == NICSIM_AGE_WAITING || ages[i].state == NICSIM_AGE_AGED;

        expect(listed[i] == (is_watched && should_be_aged(&ages[i], now_ms)), "the aged list", step);
    }
}

static void
check_wheel(uint64_t steps)
{
    static struct nicsim_wheel wheel;
    static struct nicsim_age ages[N];
    static void *taken[N];
    int64_t now_ms = 123;

    nicsim_wheel_init(&wheel, now_ms, 0);
    for (uint64_t step = 0; step < steps; step++) {
        struct nicsim_age *age = &ages[dice(N)];

        switch (dice(8)) {
        case 0:
            nicsim_wheel_remove(&wheel, age);
            break;
        case 1:
            now_ms += dice(50) ? dice(3000) : dice(10000000);
            nicsim_wheel_turn(&wheel, now_ms);
            compare_aged(&wheel, ages, now_ms, step);
            break;
        case 2:
            if (dice(20) == 0) {
                uint64_t before = wheel.n_aged;
                uint32_t n = nicsim_wheel_aged(&wheel, 0, taken, dice(N), true);

                expect(wheel.n_aged == before - n, "consumption", step);
            }
            break;
        default:
            if (age->state == NICSIM_AGE_OFF) {
                age->last_ms = now_ms;
                age->timeout_s = 1 + (dice(4) ? dice(20) : dice(20000));
                age->context = (void *) (uintptr_t) (age - ages);
                nicsim_wheel_add(&wheel, age);
            } else {
                nicsim_age_hit(&wheel, age, now_ms);
                expect(age->state == NICSIM_AGE_WAITING, "a hit", step);
            }
        }
    }
}

/* A subtable for each of a few masks, priorities, groups; in order within its group, gone with its last rule. */
static void
check_subtables(uint64_t steps)
{
    static struct nicsim_match match;
    static uint32_t users[2][2][3][4];
    static uint16_t ids[2][2][3][4];

    expect(nicsim_match_init(&match) == 0, "memory", 0);
    for (uint64_t step = 0; step < steps; step++) {
        uint32_t port = dice(2), group = dice(2), priority = dice(3), bits = dice(4), index;
        struct nicsim_key mask = {.src_port = (uint16_t) ((1u << bits * 4) - 1)};
        struct nicsim_subtable *subtable;

        if (users[port][group][priority][bits] && dice(2)) {
            nicsim_subtable_unuse(&match, ids[port][group][priority][bits]);
            users[port][group][priority][bits]--;
        } else {
            expect(nicsim_subtable_use(&match, port, group, priority, &mask, NULL, &subtable) == 0, "room", step);
            expect(subtable->n_rules == ++users[port][group][priority][bits], "number of rules", step);
            ids[port][group][priority][bits] = subtable->id;
        }
        index = nicsim_group_find(&match, port, group);
        for (uint16_t i = 1; index != NICSIM_NO_GROUP && i < match.groups[index]->n_subtables; i++) {
            const struct nicsim_subtable *a = match.subtables[match.groups[index]->subtables[i - 1]];
            const struct nicsim_subtable *b = match.subtables[match.groups[index]->subtables[i]];

            expect(a->priority < b->priority || (a->priority == b->priority && a->mask.src_port > b->mask.src_port),
                   "order", step);
        }
    }
    nicsim_match_free(&match);
}

int
main(int argc, char **argv)
{
    uint64_t steps = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;

    random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    check_table(steps);
    check_wheel(steps);
    check_subtables(steps);
    printf("%llu steps each, as the model\n", (unsigned long long) steps);
    return 0;
}
