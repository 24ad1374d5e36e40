#include "age.h"

static void
list_init(struct nicsim_age_link *list)
{
    list->next = list;
    list->prev = list;
}

static void
list_append(struct nicsim_age_link *list, struct nicsim_age_link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static void
list_remove(struct nicsim_age_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = NULL;
    link->prev = NULL;
}

static int64_t
floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

static int64_t
tick_ms(const struct nicsim_wheel *wheel)
{
    return wheel->check_ms ? wheel->check_ms : 1000;
}

/* A check before it was made counts as the one that saw it. */
int64_t
nicsim_wheel_born_ms(const struct nicsim_wheel *wheel, int64_t now_ms)
{
    return wheel->check_ms ? floor_div(now_ms, wheel->check_ms) * wheel->check_ms - 1 : now_ms;
}

/* The first whole second at which it has been idle for its timeout; with checks the first that finds it idle for
 * longer, in whole seconds since the check that saw the last hit. */
static int64_t
due_tick(const struct nicsim_wheel *wheel, const struct nicsim_age *age)
{
    int64_t seen_ms;

    if (!wheel->check_ms) {
        return (age->last_ms + (int64_t) age->timeout_s * 1000 + 999) / 1000;
    }
    seen_ms = (floor_div(age->last_ms, wheel->check_ms) + 1) * wheel->check_ms;
    return ((seen_ms / 1000 + age->timeout_s + 1) * 1000 + wheel->check_ms - 1) / wheel->check_ms;
}

void
nicsim_wheel_init(struct nicsim_wheel *wheel, int64_t now_ms, int64_t check_ms)
{
    wheel->check_ms = check_ms;
    wheel->tick = now_ms / tick_ms(wheel);
    wheel->room = UINT64_MAX;
    wheel->n_aged = 0;
    for (uint32_t i = 0; i < NICSIM_AGE_LISTS; i++) {
        wheel->n_aged_of[i] = 0;
        list_init(&wheel->aged[i]);
    }
    for (uint32_t i = 0; i < NICSIM_AGE_SLOTS; i++) {
        list_init(&wheel->slots[i]);
    }
}

void
nicsim_wheel_add(struct nicsim_wheel *wheel, struct nicsim_age *age)
{
    int64_t due = due_tick(wheel, age);

    if (due <= wheel->tick) {
        due = wheel->tick + 1;
    }
    age->state = NICSIM_AGE_WAITING;
    list_append(&wheel->slots[due % NICSIM_AGE_SLOTS], &age->link);
}

void
nicsim_wheel_remove(struct nicsim_wheel *wheel, struct nicsim_age *age)
{
    if (age->state == NICSIM_AGE_AGED) {
        wheel->n_aged--;
        wheel->n_aged_of[age->list]--;
    }
    if (age->state == NICSIM_AGE_WAITING || age->state == NICSIM_AGE_AGED) {
        list_remove(&age->link);
    }
    age->state = NICSIM_AGE_OFF;
}

void
nicsim_wheel_revive(struct nicsim_wheel *wheel, struct nicsim_age *age)
{
    nicsim_wheel_remove(wheel, age);
    nicsim_wheel_add(wheel, age);
}

/* Those of one slot that are due age, as far as there is room; those that were hit since, or wait for a later turn of
 * the wheel, are put back. */
static uint64_t
work_slot(struct nicsim_wheel *wheel, struct nicsim_age_link *slot)
{
    struct nicsim_age_link due;
    uint64_t n_aged = 0;

    if (slot->next == slot) {
        return 0;
    }
    due = *slot;
    due.next->prev = &due;
    due.prev->next = &due;
    list_init(slot);
    while (due.next != &due) {
        struct nicsim_age *age = (struct nicsim_age *) due.next;

        bool is_due = due_tick(wheel, age) <= wheel->tick;

        list_remove(&age->link);
        n_aged += is_due;
        if (is_due && wheel->n_aged < wheel->room) {
            age->state = NICSIM_AGE_AGED;
            list_append(&wheel->aged[age->list], &age->link);
            wheel->n_aged_of[age->list]++;
            wheel->n_aged++;
        } else {
            nicsim_wheel_add(wheel, age);
        }
    }
    return n_aged;
}

uint64_t
nicsim_wheel_turn(struct nicsim_wheel *wheel, int64_t now_ms)
{
    int64_t first = wheel->tick + 1, last = now_ms / tick_ms(wheel);
    uint64_t n_aged = 0;

    if (last < first) {
        return 0;
    }
    /* However far the clock went, once round is enough. */
    if (last - first >= NICSIM_AGE_SLOTS) {
        first = last - NICSIM_AGE_SLOTS + 1;
    }
    wheel->tick = last;
    for (int64_t tick = first; tick <= last; tick++) {
        n_aged += work_slot(wheel, &wheel->slots[tick % NICSIM_AGE_SLOTS]);
    }
    return n_aged;
}

uint32_t
nicsim_wheel_aged(struct nicsim_wheel *wheel, uint8_t list, void **contexts, uint32_t max, bool consume)
{
    struct nicsim_age_link *link = wheel->aged[list].next;
    uint32_t n = 0;

    while (link != &wheel->aged[list] && n < max) {
        struct nicsim_age *age = (struct nicsim_age *) link;

        link = link->next;
        contexts[n++] = age->context;
        if (consume) {
            nicsim_wheel_remove(wheel, age);
            age->state = NICSIM_AGE_TAKEN;
        }
    }
    return n;
}
