/* The parameters of a port: name=value, each checked; what is wrong is said with all that is allowed. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "nicsim.h"
#include "profile.h"

struct parameter {
    const char *name;
    const char *words; /* for 0, 1, ...: "no|yes"; NULL: a number */
    int64_t min;
    int64_t max;
    int64_t value; /* the default, then what was asked for */
};

enum {
    CAPACITY,
    OBJECTS,
    QUEUES,
    SWITCH,
    MTSAFE,
    LOOPBACK,
    CLOCK,
    PREFAULT,
    PROFILE,
    COUNTERS,
    AGES,
    CONTEXTS,
    FLOW_QUEUES,
    QUEUE_SIZE,
    COMPLETION_DELAY_MS,
    N_OWN,
    N_PARAMETERS = N_OWN + NICSIM_N_MANNERS
};

static const struct parameter own[N_OWN] = {
    [CAPACITY] = {"capacity", NULL, 1, NICSIM_MAX_RULES, 1 << 20},
    [OBJECTS] = {"objects", NULL, 1, NICSIM_MAX_RULES, 1 << 16},
    [QUEUES] = {"queues", NULL, 1, NICSIM_MAX_QUEUES, 16},
    [SWITCH] = {"switch", NULL, 0, 65535, -1},
    [MTSAFE] = {"mtsafe", NULL, 0, 1, 1},
    [LOOPBACK] = {"loopback", NULL, 0, 1, 0},
    [CLOCK] = {"clock", "real|manual", 0, 1, 0},
    [PREFAULT] = {"prefault", NULL, 0, 1, 0},
    [COUNTERS] = {"counters", NULL, 0, 2 * (int64_t) NICSIM_MAX_RULES, -1},
    [AGES] = {"ages", NULL, 0, 2 * (int64_t) NICSIM_MAX_RULES, -1},
    [CONTEXTS] = {"contexts", NULL, 0, NICSIM_MAX_RULES, -1},
    [FLOW_QUEUES] = {"flow_queues", NULL, 1, NICSIM_MAX_FLOW_QUEUES, NICSIM_MAX_FLOW_QUEUES},
    [QUEUE_SIZE] = {"queue_size", NULL, 1, NICSIM_MAX_QUEUE_SIZE, 65536},
    [COMPLETION_DELAY_MS] = {"completion_delay_ms", NULL, 0, 3600000, 0},
    [PROFILE] = {"profile", NICSIM_PROFILE_NAMES, 0, NICSIM_N_PROFILES - 1, NICSIM_FREE},
};

#define WIRES "wire=python|ring:NAME|port:NAME"

/* Those of the port, then its manners; -1: as the profile has it. */
static void
fill_defaults(struct parameter *p)
{
    memcpy(p, own, sizeof own);
    for (int i = 0; i < NICSIM_N_MANNERS; i++) {
        const struct nicsim_manner_of *m = &nicsim_manners[i];

        p[N_OWN + i] = (struct parameter){m->name, m->words, m->min, m->max, -1};
    }
}

/* "capacity=1..16777215 ... clock=real|manual" */
static const char *
allowed(char *text, size_t size)
{
    struct parameter defaults[N_PARAMETERS];
    size_t used = 0;

    fill_defaults(defaults);

    for (int i = 0; i < N_PARAMETERS; i++) {
        const struct parameter *p = &defaults[i];
        int n = p->words ? snprintf(text + used, size - used, "%s=%s ", p->name, p->words)
                         : snprintf(text + used, size - used, "%s=%lld..%lld ", p->name, (long long) p->min,
                                    (long long) p->max);

        used += n > 0 && (size_t) n < size - used ? (size_t) n : 0;
    }
    snprintf(text + used, size - used, WIRES);
    return text;
}

static bool
read_number(const char *text, int64_t *value)
{
    char *end;

    if (!isdigit((unsigned char) text[0])) {
        return false;
    }
    errno = 0;
    *value = strtoll(text, &end, 0);
    return errno == 0 && *end == '\0';
}

static bool
read_word(const char *words, const char *text, int64_t *value)
{
    size_t length = strlen(text);

    *value = 0;
    for (const char *word = words; length; (*value)++) {
        const char *bar = strchr(word, '|');
        size_t n = bar ? (size_t) (bar - word) : strlen(word);

        if (n == length && memcmp(word, text, n) == 0) {
            return true;
        }
        if (!bar) {
            return false;
        }
        word = bar + 1;
    }
    return false;
}

/* One name=value. `opaque` is the array of parameters. */
static int
take(const char *key, const char *value, void *opaque)
{
    struct parameter *parameters = opaque;

    for (int i = 0; i < N_PARAMETERS; i++) {
        struct parameter *p = &parameters[i];

        if (strcmp(p->name, key) == 0) {
            bool good = value && (p->words ? read_word(p->words, value, &p->value) : read_number(value, &p->value));

            return good && p->value >= p->min && p->value <= p->max ? 0 : -1;
        }
    }
    return -1;
}

/* A size that was not named: as many as there can be. */
static uint32_t
given_or(const struct parameter *p, int64_t most)
{
    return p->value < 0 ? most : p->value;
}

int
nicsim_config_parse(const char *name, const char *args, struct nicsim_config *config, struct nicsim_far *far)
{
    struct parameter p[N_PARAMETERS];
    struct rte_kvargs *kvargs = rte_kvargs_parse(args ? args : "", NULL);
    char text[2048];
    int error = 0;

    fill_defaults(p);
    for (unsigned int i = 0; kvargs && i < kvargs->count && !error; i++) {
        const struct rte_kvargs_pair *pair = &kvargs->pairs[i];

        if (strcmp(pair->key, "wire") == 0 && pair->value && nicsim_far_parse(pair->value, far)) {
            continue;
        }
        if (take(pair->key, pair->value, p) < 0) {
            NICSIM_LOG(ERR, "%s: cannot take %s=%s; allowed: %s", name, pair->key, pair->value ? pair->value : "",
                       allowed(text, sizeof text));
            error = EINVAL;
        }
    }
    if (!kvargs) {
        NICSIM_LOG(ERR, "%s: cannot read the parameters \"%s\"; allowed: %s", name, args, allowed(text, sizeof text));
        error = EINVAL;
    }
    rte_kvargs_free(kvargs);
    *config = (struct nicsim_config){
        .capacity = p[CAPACITY].value,
        .objects = p[OBJECTS].value,
        .queues = p[QUEUES].value,
        .switch_id = p[SWITCH].value,
        .mtsafe = p[MTSAFE].value,
        .loopback = p[LOOPBACK].value,
        .manual_clock = p[CLOCK].value,
        .prefault = p[PREFAULT].value,
        .profile = p[PROFILE].value,
        .counters = given_or(&p[COUNTERS], p[CAPACITY].value + p[OBJECTS].value),
        .ages = given_or(&p[AGES], p[CAPACITY].value + p[OBJECTS].value),
        .contexts = given_or(&p[CONTEXTS], p[OBJECTS].value),
        .flow_queues = p[FLOW_QUEUES].value,
        .queue_size = p[QUEUE_SIZE].value,
        .completion_delay_ms = p[COMPLETION_DELAY_MS].value,
        .template_full_errno = ENOSPC,
    };
    for (int i = 0; i < NICSIM_N_MANNERS; i++) {
        config->manners[i] = given_or(&p[N_OWN + i], nicsim_manners[i].by_profile[config->profile]);
    }
    return error;
}
