/* Pattern templates: items whose masks say once for many rules what is compared. */
#include <errno.h>
#include <stdlib.h>

#include <rte_flow_driver.h>

#include "nicsim.h"
#include "profile.h"

/* Bytes of an item's value. */
static int
value_bytes(const struct rte_flow_item *item, struct rte_flow_error *error)
{
    struct rte_flow_item alone = {.type = item->type, .spec = item->mask};
    int n = rte_flow_conv(RTE_FLOW_CONV_OP_ITEM, NULL, 0, &alone, error);

    return n < 0 ? n : n - (int) sizeof alone;
}

static uint16_t
type_before(enum rte_flow_item_type next)
{
    switch (next) {
    case RTE_FLOW_ITEM_TYPE_VLAN:
        return RTE_BE16(RTE_ETHER_TYPE_VLAN);
    case RTE_FLOW_ITEM_TYPE_IPV4:
        return RTE_BE16(RTE_ETHER_TYPE_IPV4);
    case RTE_FLOW_ITEM_TYPE_IPV6:
        return RTE_BE16(RTE_ETHER_TYPE_IPV6);
    default:
        return 0;
    }
}

static uint8_t
proto_before(enum rte_flow_item_type next)
{
    switch (next) {
    case RTE_FLOW_ITEM_TYPE_TCP:
        return IPPROTO_TCP;
    case RTE_FLOW_ITEM_TYPE_UDP:
        return IPPROTO_UDP;
    case RTE_FLOW_ITEM_TYPE_ICMP:
        return IPPROTO_ICMP;
    case RTE_FLOW_ITEM_TYPE_ICMP6:
        return IPPROTO_ICMPV6;
    default:
        return 0;
    }
}

/* A value that agrees with the item behind, so that the template can be read like a rule. */
static void
give_value(const struct nicsim_port *port, struct rte_flow_item *item, enum rte_flow_item_type next)
{
    void *value = (void *) (uintptr_t) item->spec;

    switch (item->type) {
    case RTE_FLOW_ITEM_TYPE_ETH:
        ((struct rte_flow_item_eth *) value)->hdr.ether_type = type_before(next);
        break;
    case RTE_FLOW_ITEM_TYPE_VLAN:
        ((struct rte_flow_item_vlan *) value)->hdr.eth_proto = type_before(next);
        break;
    case RTE_FLOW_ITEM_TYPE_IPV4:
        ((struct rte_flow_item_ipv4 *) value)->hdr.next_proto_id = proto_before(next);
        break;
    case RTE_FLOW_ITEM_TYPE_IPV6:
        ((struct rte_flow_item_ipv6 *) value)->hdr.proto = proto_before(next);
        break;
    case RTE_FLOW_ITEM_TYPE_PORT_ID:
        ((struct rte_flow_item_port_id *) value)->id = port->port_id;
        break;
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
    case RTE_FLOW_ITEM_TYPE_PORT_REPRESENTOR:
        ((struct rte_flow_item_ethdev *) value)->port_id = port->port_id;
        break;
    default:
        break;
    }
}

/* The items in one piece of memory; what they said beside their masks is not taken over. */
static struct rte_flow_item *
copy_items(const struct nicsim_port *port, const struct rte_flow_item *items, uint32_t n, struct rte_flow_error *error)
{
    struct rte_flow_item masks[NICSIM_TEMPLATE_MOST] = {{0}}, *copy;
    int n_bytes;

    for (uint32_t i = 0; i < n; i++) {
        masks[i] = (struct rte_flow_item){.type = items[i].type, .spec = items[i].mask, .mask = items[i].mask};
    }
    n_bytes = rte_flow_conv(RTE_FLOW_CONV_OP_PATTERN, NULL, 0, masks, error);
    if (n_bytes < 0) {
        return NULL;
    }
    copy = calloc(1, n_bytes);
    if (!copy) {
        FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the template");
        return NULL;
    }
    rte_flow_conv(RTE_FLOW_CONV_OP_PATTERN, copy, n_bytes, masks, error);
    for (uint32_t i = 0; i < n; i++) {
        int size = copy[i].spec ? value_bytes(&copy[i], error) : 0;

        if (size > 0) {
            memset((void *) (uintptr_t) copy[i].spec, 0, size);
            give_value(port, &copy[i], copy[i + 1].type);
        }
    }
    return copy;
}

int
nicsim_pattern_merge(const struct nicsim_pattern_template *pattern, const struct rte_flow_item *items,
                     struct rte_flow_item *out, struct rte_flow_error *error)
{
    for (uint32_t i = 0; i < pattern->n; i++) {
        const struct rte_flow_item *own = &pattern->items[i];

        if (items && items[i].type != own->type) {
            return FAIL(EINVAL, ITEM, &items[i], "the items are not those of the template");
        }
        out[i] = *own;
        if (items && own->mask) {
            if (!items[i].spec) {
                return FAIL(EINVAL, ITEM_SPEC, &items[i], "the template compares this item; it needs a value");
            }
            out[i].spec = items[i].spec;
        }
        if (!own->mask && pattern->attr.relaxed_matching) {
            out[i].type = RTE_FLOW_ITEM_TYPE_VOID;
        }
    }
    if (items && items[pattern->n].type != RTE_FLOW_ITEM_TYPE_END) {
        return FAIL(EINVAL, ITEM, &items[pattern->n], "more items than the template has");
    }
    out[pattern->n] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_END};
    return 0;
}

/* Whether a rule of these items could be made at all; groups above 0 take the most. */
static int
check(struct nicsim_port *port, const struct nicsim_pattern_template *pattern, struct rte_flow_error *error)
{
    struct rte_flow_item items[NICSIM_TEMPLATE_MOST];
    struct nicsim_spec spec = {.group = 1, .transfer = pattern->attr.transfer && !pattern->attr.ingress};
    int rc = nicsim_pattern_merge(pattern, NULL, items, error);

    if (rc == 0 && !nicsim_profile_of(port)->judges_late) {
        rc = nicsim_items_parse(port, items, &spec, error);
    }
    if (rc && error) {
        error->cause = NULL; /* it points into what is gone now */
    }
    return rc;
}

static int
check_wish(const struct rte_flow_pattern_template_attr *attr, const struct rte_flow_item *items, uint32_t *n,
           struct rte_flow_error *error)
{
    if (!attr->ingress && !attr->egress && !attr->transfer) {
        return FAIL(EINVAL, ATTR, attr, "a template is for ingress, egress or transfer");
    }
    for (*n = 0; items[*n].type != RTE_FLOW_ITEM_TYPE_END; (*n)++) {
        if (*n == NICSIM_TEMPLATE_MOST - 1) {
            return FAIL(E2BIG, ITEM_NUM, &items[*n], "too many items");
        }
        if (items[*n].last) {
            return FAIL(ENOTSUP, ITEM_LAST, &items[*n], "ranges of values cannot be matched");
        }
    }
    return 0;
}

static struct nicsim_pattern_template *
create(struct nicsim_port *port, const struct rte_flow_pattern_template_attr *attr, const struct rte_flow_item *items,
       struct rte_flow_error *error)
{
    struct rte_flow_attr direction = {.ingress = attr->ingress, .egress = attr->egress, .transfer = attr->transfer};
    struct nicsim_pattern_template *pattern;
    uint32_t n = 0;

    if (check_wish(attr, items, &n, error) || nicsim_profile_pattern_template(port, &direction, items, error)) {
        return NULL;
    }
    pattern = calloc(1, sizeof *pattern);
    if (!pattern) {
        FAIL(ENOMEM, UNSPECIFIED, NULL, "no memory for the template");
        return NULL;
    }
    pattern->attr = *attr;
    pattern->n = n;
    pattern->items = copy_items(port, items, n, error);
    if (pattern->items && check(port, pattern, error) == 0) {
        int failure = nicsim_registry_add(&port->patterns, &pattern->named);

        if (!failure) {
            return pattern;
        }
        FAIL(failure, UNSPECIFIED, NULL, "no room for further templates");
    }
    free(pattern->items);
    free(pattern);
    return NULL;
}

struct rte_flow_pattern_template *
nicsim_pattern_template_create(struct rte_eth_dev *dev, const struct rte_flow_pattern_template_attr *attr,
                               const struct rte_flow_item items[], struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);
    struct nicsim_pattern_template *pattern = NULL;
    int injected;

    nicsim_lock(port);
    injected = nicsim_fault_take(port, NICSIM_CALL_PATTERN_TEMPLATE);
    if (injected) {
        FAIL(injected, UNSPECIFIED, NULL, NICSIM_INJECTED);
    } else {
        pattern = create(port, attr, items, error);
    }
    nicsim_unlock(port);
    return pattern ? nicsim_registry_handle(&pattern->named) : NULL;
}

static void
pattern_free(struct nicsim_port *port, struct nicsim_named *entry)
{
    struct nicsim_pattern_template *pattern = (struct nicsim_pattern_template *) entry;

    nicsim_registry_remove(&port->patterns, entry);
    free(pattern->items);
    free(pattern);
}

int
nicsim_pattern_template_destroy(struct rte_eth_dev *dev, struct rte_flow_pattern_template *handle,
                                struct rte_flow_error *error)
{
    struct nicsim_port *port = nicsim_port_of(dev);

    return nicsim_named_destroy(port, &port->patterns, handle, pattern_free, "no such pattern template on this port",
                                "template tables still use it", error);
}

void
nicsim_pattern_templates_clear(struct nicsim_port *port)
{
    nicsim_registry_clear(port, &port->patterns, pattern_free);
}
