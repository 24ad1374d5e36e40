/* Queries that are answered wrongly because they were told to. */
#include <errno.h>

#include "nicsim.h"

static const size_t sizes[NICSIM_N_ANSWERS] = {
    [NICSIM_ANSWER_COUNT] = sizeof(struct rte_flow_query_count),
    [NICSIM_ANSWER_AGE] = sizeof(struct rte_flow_query_age),
    [NICSIM_ANSWER_CONNTRACK] = sizeof(struct rte_flow_action_conntrack),
};

int
nicsim_lie_set(struct nicsim_port *port, enum nicsim_answer answer, const struct nicsim_lie *lie)
{
    struct nicsim_lying *lying = &port->lies[answer];

    if (lie->kind > NICSIM_LIE_GARBAGE || (lie->kind == NICSIM_LIE_GIVEN && answer == NICSIM_ANSWER_CONNTRACK)) {
        return EINVAL;
    }
    memset(lying, 0, sizeof *lying);
    lying->lie = *lie;
    lying->dice = nicsim_seed(lie->seed);
    return 0;
}

static void
tell_given(const struct nicsim_lie *lie, enum nicsim_answer answer, void *data)
{
    if (answer == NICSIM_ANSWER_COUNT) {
        struct rte_flow_query_count *count = data;

        count->hits_set = 1;
        count->bytes_set = 1;
        count->hits = lie->packets;
        count->bytes = lie->bytes;
    } else {
        struct rte_flow_query_age *age = data;

        age->aged = lie->is_aged != 0;
        age->sec_since_last_hit_valid = 1;
        age->sec_since_last_hit = lie->idle_s;
    }
}

/* Wrong, but what a driver could have read: the states are ones that exist. */
static void
make_possible(struct rte_flow_action_conntrack *conntrack)
{
    conntrack->state = (uint32_t) conntrack->state % (RTE_FLOW_CONNTRACK_STATE_TIME_WAIT + 1);
    conntrack->last_index = 1u << (uint32_t) conntrack->last_index % 5;
}

static void
tell_garbage(struct nicsim_lying *lying, enum nicsim_answer answer, void *data)
{
    uint8_t *bytes = data;

    for (size_t i = 0; i < sizes[answer]; i++) {
        bytes[i] = nicsim_dice(&lying->dice) >> 56;
    }
    if (answer == NICSIM_ANSWER_CONNTRACK) {
        make_possible(data);
    }
}

void
nicsim_lie_tell(struct nicsim_port *port, enum nicsim_answer answer, void *data)
{
    struct nicsim_lying *lying = &port->lies[answer];

    if (__builtin_expect(lying->lie.n == 0, 1)) {
        return;
    }
    lying->lie.n--;
    switch (lying->lie.kind) {
    case NICSIM_LIE_GIVEN:
        tell_given(&lying->lie, answer, data);
        break;
    case NICSIM_LIE_STALE:
        memcpy(lying->has_first ? data : &lying->first, lying->has_first ? &lying->first : data, sizes[answer]);
        lying->has_first = true;
        break;
    case NICSIM_LIE_GARBAGE:
        tell_garbage(lying, answer, data);
        break;
    default:
        break;
    }
}
