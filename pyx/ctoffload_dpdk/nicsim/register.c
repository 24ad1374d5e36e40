/* Registers: MARK, META and TAGs, what rules note of a packet for later rules and for the host. */
#include <errno.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

/* A side of MODIFY_FIELD has this name from DPDK 24.03 on. */
#if RTE_VERSION < RTE_VERSION_NUM(24, 3, 0, 0)
#define rte_flow_field_data rte_flow_action_modify_data
#endif

bool
nicsim_register_is_field(enum rte_flow_field_id field)
{
    return field == RTE_FLOW_FIELD_MARK || field == RTE_FLOW_FIELD_META || field == RTE_FLOW_FIELD_TAG;
}

static uint32_t
tag_index(const struct rte_flow_field_data *data)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 7, 0, 0)
    return data->tag_index;
#else
    return data->level;
#endif
}

/* The register a field is; false where there is no such TAG. */
static bool
register_of(const struct rte_flow_field_data *data, uint8_t *index)
{
    if (data->field == RTE_FLOW_FIELD_MARK) {
        *index = NICSIM_REGISTER_MARK;
    } else if (data->field == RTE_FLOW_FIELD_META) {
        *index = NICSIM_REGISTER_META;
    } else {
        *index = NICSIM_REGISTER_TAG + (uint8_t) tag_index(data);
        return tag_index(data) < NICSIM_N_TAGS;
    }
    return true;
}

static int
add_write(struct nicsim_spec *spec, const struct nicsim_register_write *write, const struct rte_flow_action *action,
          struct rte_flow_error *error)
{
    if (spec->fate != NICSIM_FATE_NONE) {
        return REFUSE(ENOTSUP, ACTION, action, "a register is written before the fate");
    }
    if (spec->extra.n_writes == NICSIM_REGISTER_WRITES) {
        return REFUSE(ENOTSUP, ACTION, action, "a rule writes at most four times to registers");
    }
    spec->extra.writes[spec->extra.n_writes++] = *write;
    spec->flags |= NICSIM_RULE_REGISTERS;
    return 0;
}

static int
parse_mark(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_mark *mark = action->conf;

    if (!mark) {
        return REFUSE(EINVAL, ACTION_CONF, action, "MARK needs an id");
    }
    if (spec->transfer || spec->egress) {
        return REFUSE(ENOTSUP, ACTION, action, "only an ingress rule can mark");
    }
    spec->flags |= NICSIM_RULE_MARK;
    spec->mark = mark->id;
    return 0;
}

static int
parse_flag(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    if (spec->transfer || spec->egress) {
        return REFUSE(ENOTSUP, ACTION, action, "only an ingress rule can mark");
    }
    spec->flags |= NICSIM_RULE_FLAG;
    return 0;
}

static int
parse_set_meta(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_set_meta *meta = action->conf;
    struct nicsim_register_write write = {.to = NICSIM_REGISTER_META, .from = NICSIM_REGISTER_VALUE};

    if (!meta) {
        return REFUSE(EINVAL, ACTION_CONF, action, "SET_META needs a value");
    }
    write.value = meta->data;
    write.mask = meta->mask;
    return add_write(spec, &write, action, error);
}

static int
parse_set_tag(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_set_tag *tag = action->conf;
    struct nicsim_register_write write = {.from = NICSIM_REGISTER_VALUE};

    if (!tag || tag->index >= NICSIM_N_TAGS) {
        return REFUSE(EINVAL, ACTION_CONF, action, "there are TAGs 0 to 5");
    }
    write.to = NICSIM_REGISTER_TAG + tag->index;
    write.value = tag->data;
    write.mask = tag->mask;
    return add_write(spec, &write, action, error);
}

/* A value is given in place: the bits that are written are taken from where they go. */
static int
take_source(const struct rte_flow_action_modify_field *modify, struct nicsim_register_write *write,
            const struct rte_flow_action *action, struct rte_flow_error *error)
{
    write->from = NICSIM_REGISTER_VALUE;
    if (modify->src.field == RTE_FLOW_FIELD_VALUE) {
        memcpy(&write->value, modify->src.value, sizeof write->value);
    } else if (modify->src.field == RTE_FLOW_FIELD_POINTER && !modify->src.pvalue) {
        return REFUSE(EINVAL, ACTION_CONF, action, "no value given");
    } else if (modify->src.field == RTE_FLOW_FIELD_POINTER) {
        memcpy(&write->value, modify->src.pvalue, sizeof write->value);
    } else if (!nicsim_register_is_field(modify->src.field)) {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "a register takes a value or another register");
    } else if (!register_of(&modify->src, &write->from)) {
        return REFUSE(EINVAL, ACTION_CONF, action, "there are TAGs 0 to 5");
    } else if (modify->src.offset > 32 - modify->width) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a register has 32 bits");
    } else {
        write->from_offset = modify->src.offset;
    }
    return 0;
}

static int
parse_modify_field(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_modify_field *modify = action->conf;
    struct nicsim_register_write write = {0};
    int rc;

    if (modify->operation != RTE_FLOW_MODIFY_SET) {
        return REFUSE(ENOTSUP, ACTION_CONF, action, "a register can be set, not counted up or down");
    }
    if (!register_of(&modify->dst, &write.to)) {
        return REFUSE(EINVAL, ACTION_CONF, action, "there are TAGs 0 to 5");
    }
    if (write.to == NICSIM_REGISTER_MARK && (spec->transfer || spec->egress)) {
        return REFUSE(ENOTSUP, ACTION, action, "only an ingress rule can mark");
    }
    if (modify->width == 0 || modify->width > 32 || modify->dst.offset > 32 - modify->width) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a register has 32 bits");
    }
    write.mask = (uint32_t) ((((uint64_t) 1 << modify->width) - 1) << modify->dst.offset);
    rc = take_source(modify, &write, action, error);
    return rc ? rc : add_write(spec, &write, action, error);
}

int
nicsim_register_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_MARK:
        return parse_mark(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_FLAG:
        return parse_flag(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_META:
        return parse_set_meta(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_SET_TAG:
        return parse_set_tag(spec, action, error);
    default:
        return parse_modify_field(spec, action, error);
    }
}

void
nicsim_register_apply(const struct nicsim_extra *extra, struct nicsim_packet *packet)
{
    uint32_t r[sizeof(struct nicsim_registers) / sizeof(uint32_t)];

    memcpy(r, &packet->wide.registers, sizeof r);
    for (uint8_t i = 0; i < extra->n_writes; i++) {
        const struct nicsim_register_write *write = &extra->writes[i];
        uint32_t value = write->value;

        if (write->from != NICSIM_REGISTER_VALUE) {
            value = r[write->from] >> write->from_offset << __builtin_ctz(write->mask);
        }
        r[write->to] = (r[write->to] & ~write->mask) | (value & write->mask);
        if (write->to == NICSIM_REGISTER_MARK) {
            packet->key.bits |= NICSIM_KEY_MARKED;
        }
    }
    memcpy(&packet->wide.registers, r, sizeof r);
}
