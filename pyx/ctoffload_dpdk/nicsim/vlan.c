/* VLAN tags taken off, put on and written. */
#include <errno.h>

#include <rte_byteorder.h>
#include <rte_ether.h>

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

#define VID_MASK  0x0fffu
#define PCP_SHIFT 13

static bool
names_tag(const struct nicsim_spec *spec)
{
    return (spec->mask.bits & spec->key.bits & NICSIM_KEY_TAGGED) != 0;
}

static int
parse_pop(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    if (!names_tag(spec)) {
        return REFUSE(EINVAL, ACTION, action, "a tag is taken off where the pattern names it");
    }
    if (spec->extra.rewrite.what & NICSIM_ANY_VLAN) {
        return REFUSE(ENOTSUP, ACTION, action, "one tag is taken off, before another is put on or written");
    }
    spec->extra.rewrite.what |= NICSIM_POP_VLAN;
    return 0;
}

static int
parse_push(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_of_push_vlan *push = action->conf;

    if (!push ||
        (push->ethertype != RTE_BE16(RTE_ETHER_TYPE_VLAN) && push->ethertype != RTE_BE16(RTE_ETHER_TYPE_QINQ))) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a tag has the EtherType 0x8100 or 0x88a8");
    }
    if (spec->extra.rewrite.what & (NICSIM_ANY_VLAN & ~NICSIM_POP_VLAN)) {
        return REFUSE(ENOTSUP, ACTION, action, "one tag is put on, before it is written");
    }
    spec->extra.rewrite.what |= NICSIM_PUSH_VLAN;
    spec->extra.rewrite.vlan_type = push->ethertype;
    return 0;
}

static int
parse_set(struct nicsim_spec *spec, uint16_t what, uint16_t value, const struct rte_flow_action *action,
          struct rte_flow_error *error)
{
    bool has_tag = spec->extra.rewrite.what & NICSIM_PUSH_VLAN ||
                   (names_tag(spec) && !(spec->extra.rewrite.what & NICSIM_POP_VLAN));

    if (!has_tag) {
        return REFUSE(EINVAL, ACTION, action, "a tag is written where the pattern names it or it was put on before");
    }
    spec->extra.rewrite.what |= what;
    spec->extra.rewrite.vlan_tci |= value;
    return 0;
}

static int
parse_set_vid(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_of_set_vlan_vid *vid = action->conf;

    if (!vid || rte_be_to_cpu_16(vid->vlan_vid) > VID_MASK) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a VLAN has a number from 0 to 4095");
    }
    spec->extra.rewrite.vlan_tci &= ~VID_MASK;
    return parse_set(spec, NICSIM_SET_VID, rte_be_to_cpu_16(vid->vlan_vid), action, error);
}

static int
parse_set_pcp(struct nicsim_spec *spec, const struct rte_flow_action *action, struct rte_flow_error *error)
{
    const struct rte_flow_action_of_set_vlan_pcp *pcp = action->conf;

    if (!pcp || pcp->vlan_pcp > 7) {
        return REFUSE(EINVAL, ACTION_CONF, action, "a VLAN has a priority from 0 to 7");
    }
    spec->extra.rewrite.vlan_tci &= VID_MASK;
    return parse_set(spec, NICSIM_SET_PCP, pcp->vlan_pcp << PCP_SHIFT, action, error);
}

int
nicsim_vlan_parse(const struct rte_flow_action *action, struct nicsim_spec *spec, struct rte_flow_error *error)
{
    if (spec->fate != NICSIM_FATE_NONE) {
        return REFUSE(ENOTSUP, ACTION, action, "a tag is written before the fate");
    }
    spec->flags |= NICSIM_RULE_REWRITE;
    switch (action->type) {
    case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN:
        return parse_pop(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN:
        return parse_push(spec, action, error);
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID:
        return parse_set_vid(spec, action, error);
    default:
        return parse_set_pcp(spec, action, error);
    }
}

static void
pop(struct nicsim_packet *packet, uint8_t *data)
{
    memmove(data + 12, data + 12 + RTE_VLAN_HLEN, packet->length - 12 - RTE_VLAN_HLEN);
    packet->length -= RTE_VLAN_HLEN;
}

/* The new tag starts as a copy of the one behind it, if there is one. */
static void
push(struct nicsim_packet *packet, uint8_t *data, uint16_t type, bool is_tagged)
{
    uint16_t tci = 0;

    if (is_tagged) {
        memcpy(&tci, data + RTE_ETHER_HDR_LEN, sizeof tci);
    }
    memmove(data + 12 + RTE_VLAN_HLEN, data + 12, packet->length - 12);
    memcpy(data + 12, &type, sizeof type);
    memcpy(data + RTE_ETHER_HDR_LEN, &tci, sizeof tci);
    packet->length += RTE_VLAN_HLEN;
}

static void
set(const struct nicsim_rewrite *rewrite, uint8_t *data)
{
    uint16_t tci,
        mask = (rewrite->what & NICSIM_SET_VID ? VID_MASK : 0) | (rewrite->what & NICSIM_SET_PCP ? 7u << PCP_SHIFT : 0);

    memcpy(&tci, data + RTE_ETHER_HDR_LEN, sizeof tci);
    tci = rte_cpu_to_be_16((rte_be_to_cpu_16(tci) & ~mask) | (rewrite->vlan_tci & mask));
    memcpy(data + RTE_ETHER_HDR_LEN, &tci, sizeof tci);
}

void
nicsim_vlan_apply(const struct nicsim_rewrite *rewrite, struct nicsim_packet *packet, uint8_t *scratch)
{
    uint8_t bits = packet->key.bits;
    bool is_tagged = (bits & NICSIM_KEY_TAGGED) != 0;

    if (rewrite->what & NICSIM_POP_VLAN && is_tagged) {
        pop(packet, scratch);
        is_tagged = (bits & NICSIM_KEY_TWO_TAGS) != 0;
    }
    if (rewrite->what & NICSIM_PUSH_VLAN) {
        push(packet, scratch, rewrite->vlan_type, is_tagged);
        is_tagged = true;
    }
    if (rewrite->what & (NICSIM_SET_VID | NICSIM_SET_PCP) && is_tagged) {
        set(rewrite, scratch);
    }
    nicsim_packet_dissect_again(packet);
}
