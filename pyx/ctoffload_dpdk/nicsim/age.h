/* Who was idle for too long: a timing wheel of one slot per second, and the list of those that were. */
#ifndef NICSIM_AGE_H
#define NICSIM_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NICSIM_AGE_SLOTS         4096
#define NICSIM_AGE_LISTS         64
#define NICSIM_LIST_BY_COUNTER   1 /* of two, where one is of those that a counter tells to be idle */
#define NICSIM_AGE_MAX_TIMEOUT_S ((1u << 24) - 1)

enum nicsim_age_state {
    NICSIM_AGE_OFF = 0, /* in no list */
    NICSIM_AGE_WAITING, /* in a slot of the wheel */
    NICSIM_AGE_AGED,    /* in the aged list */
    NICSIM_AGE_TAKEN    /* aged, and taken from the list by a reader */
};

struct nicsim_age_link {
    struct nicsim_age_link *next;
    struct nicsim_age_link *prev;
};

/* Part of a rule or of an indirect object. */
struct nicsim_age {
    struct nicsim_age_link link; /* first member */
    int64_t last_ms;             /* last hit */
    void *context;               /* what the reader of the aged list gets */
    uint32_t timeout_s : 24;
    uint32_t list : 8; /* the aged list it comes into */
    uint8_t state;     /* enum nicsim_age_state */
    uint8_t owner;     /* for who embeds it */
    uint16_t tag;      /* likewise */
};

struct nicsim_wheel {
    int64_t check_ms; /* hits are seen at checks that far apart, and one late; 0: at once */
    uint64_t room;    /* in all lists; who has none waits for the next tick */
    int64_t tick;     /* last second that was worked on */
    uint64_t n_aged;  /* in all lists */
    uint64_t n_aged_of[NICSIM_AGE_LISTS];
    struct nicsim_age_link aged[NICSIM_AGE_LISTS]; /* oldest first */
    bool is_final;                                 /* what aged stays so, whatever packets still come (mlx5) */
    struct nicsim_age_link slots[NICSIM_AGE_SLOTS];
};

void nicsim_wheel_init(struct nicsim_wheel *wheel, int64_t now_ms, int64_t check_ms);
/* The last hit of one that nothing hit yet. */
int64_t nicsim_wheel_born_ms(const struct nicsim_wheel *wheel, int64_t now_ms);
/* Starts to watch it; its timeout is not 0 and last_ms is set. */
void nicsim_wheel_add(struct nicsim_wheel *wheel, struct nicsim_age *age);
void nicsim_wheel_remove(struct nicsim_wheel *wheel, struct nicsim_age *age);
/* A hit on one that had aged: it is watched again. */
void nicsim_wheel_revive(struct nicsim_wheel *wheel, struct nicsim_age *age);
/* Turns the wheel to now. Returns how many became aged, those without room included. */
uint64_t nicsim_wheel_turn(struct nicsim_wheel *wheel, int64_t now_ms);
/* Up to `max` contexts of a list, oldest first; consumed ones leave the list. Returns their number. */
uint32_t nicsim_wheel_aged(struct nicsim_wheel *wheel, uint8_t list, void **contexts, uint32_t max, bool consume);

static inline void
nicsim_age_hit(struct nicsim_wheel *wheel, struct nicsim_age *age, int64_t now_ms)
{
    if (__builtin_expect(age->state >= NICSIM_AGE_AGED, 0)) {
        if (wheel->is_final) {
            return;
        }
        age->last_ms = now_ms;
        nicsim_wheel_revive(wheel, age);
    }
    age->last_ms = now_ms;
}

#endif /* NICSIM_AGE_H */
