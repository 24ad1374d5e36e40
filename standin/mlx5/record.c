/* record.c: the rules the driver made, kept as JSON, and those the stand-in refused. */
#include "standin.h"

TAILQ_HEAD(records, record);

static struct records live = TAILQ_HEAD_INITIALIZER(live);
static struct text refusals;
static uint64_t n_records;

struct record *
record_new(void)
{
    struct record *r = calloc(1, sizeof *r);

    if (!r) {
        standin_abort("out of memory");
    }
    r->number = ++n_records;
    return r;
}

void
record_target_add(struct record *r, int type, uint32_t id, uint32_t offset)
{
    if (r->n_targets < RECORD_MAX_TARGETS) {
        r->targets[r->n_targets++] = (struct record_target){.type = type, .id = id, .offset = offset};
    }
}

void
record_keep(struct record *r)
{
    TAILQ_INSERT_TAIL(&live, r, next);
}

static void
record_free(struct record *r)
{
    text_free(&r->body);
    free(r);
}

void
record_drop(struct record *r)
{
    TAILQ_REMOVE(&live, r, next);
    record_free(r);
}

void
record_refuse(struct record *r, int error, const char *why)
{
    text_add(&refusals, "{\"refused\": %" PRIu64 ", \"errno\": %d, \"why\": \"%s\", %s}\n", r->number, error, why,
             r->body.s ? r->body.s : "");
    record_free(r);
}

void
record_list(struct text *out)
{
    struct record *r;

    TAILQ_FOREACH(r, &live, next)
    {
        text_add(out, "{\"rule\": %" PRIu64 ", %s}\n", r->number, r->body.s);
    }
}

void
record_refusals(struct text *out)
{
    if (refusals.s) {
        text_add(out, "%s", refusals.s);
        text_free(&refusals);
    }
}

/* As if packets had hit the rule: its counters grow and its age bits are set. False: no such rule. */
bool
record_hit(uint64_t number, uint64_t packets, uint64_t bytes)
{
    struct record *r;

    TAILQ_FOREACH(r, &live, next)
    {
        if (r->number == number) {
            for (size_t i = 0; i < r->n_targets; i++) {
                if (r->targets[i].type == TARGET_COUNTER) {
                    counter_hit(r->targets[i].id, packets, bytes);
                } else {
                    age_hit(r->targets[i].id, r->targets[i].offset);
                }
            }
            return true;
        }
    }
    return false;
}
