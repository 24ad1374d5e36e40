/* counter.c: counters and age bits. Only a test moves them; what was never moved is zero and is not stored. */
#include <endian.h>
#include "standin.h"

struct counter {
    LIST_ENTRY(counter) next;
    uint32_t id;
    uint64_t packets, bytes;
};

#define AGES_PER_OBJECT 512

struct ages {
    LIST_ENTRY(ages) next;
    uint32_t object;
    uint8_t bits[AGES_PER_OBJECT / 8]; /* as the device writes them: bit 0 is the lowest of the last byte */
};

static LIST_HEAD(, counter) counters = LIST_HEAD_INITIALIZER(counters);
static LIST_HEAD(, ages) ages = LIST_HEAD_INITIALIZER(ages);

void
counter_hit(uint32_t id, uint64_t packets, uint64_t bytes)
{
    struct counter *c;

    LIST_FOREACH(c, &counters, next)
    {
        if (c->id == id) {
            break;
        }
    }
    if (!c) {
        c = calloc(1, sizeof *c);
        c->id = id;
        LIST_INSERT_HEAD(&counters, c, next);
    }
    c->packets += packets;
    c->bytes += bytes;
}

/* As the device writes them into memory: packets, bytes, each 64 bits big-endian. */
void
counter_read(uint32_t first, uint32_t n, void *to)
{
    uint64_t *pairs = to;
    struct counter *c;

    memset(pairs, 0, n * 2 * sizeof *pairs);
    LIST_FOREACH(c, &counters, next)
    {
        if (c->id - first < n) {
            pairs[2 * (c->id - first)] = htobe64(c->packets);
            pairs[2 * (c->id - first) + 1] = htobe64(c->bytes);
        }
    }
}

/* Freed with their object: a new object of the same number starts at zero. */
void
counter_forget(uint32_t first, uint32_t n)
{
    struct counter *c, *following;

    for (c = LIST_FIRST(&counters); c; c = following) {
        following = LIST_NEXT(c, next);
        if (c->id - first < n) {
            LIST_REMOVE(c, next);
            free(c);
        }
    }
}

void
counter_list(struct text *out)
{
    struct counter *c;

    LIST_FOREACH(c, &counters, next)
    {
        text_add(out, "{\"counter\": %u, \"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n", c->id, c->packets,
                 c->bytes);
    }
}

static struct ages *
ages_of(uint32_t object)
{
    struct ages *a;

    LIST_FOREACH(a, &ages, next)
    {
        if (a->object == object) {
            return a;
        }
    }
    a = calloc(1, sizeof *a);
    a->object = object;
    LIST_INSERT_HEAD(&ages, a, next);
    return a;
}

void
age_hit(uint32_t object, uint32_t offset)
{
    struct ages *a = ages_of(object + offset / AGES_PER_OBJECT);
    uint32_t bit = offset % AGES_PER_OBJECT;

    a->bits[sizeof a->bits - 1 - bit / 8] |= 1 << bit % 8;
}

/* A read with the clearing mask the driver uses: the bits say "hit since the last read". */
void
age_read_clear(uint32_t object, uint8_t bits[64])
{
    struct ages *a = ages_of(object);

    memcpy(bits, a->bits, sizeof a->bits);
    memset(a->bits, 0, sizeof a->bits);
}

/* Freed with their object. */
void
age_forget(uint32_t first, uint32_t n)
{
    struct ages *a, *following;

    for (a = LIST_FIRST(&ages); a; a = following) {
        following = LIST_NEXT(a, next);
        if (a->object - first < n) {
            LIST_REMOVE(a, next);
            free(a);
        }
    }
}
