/* A pattern while it is read, item by item. */
#ifndef NICSIM_ITEM_H
#define NICSIM_ITEM_H

#include "nicsim.h"

#define REFUSE(number, type, cause, message)                                                                           \
    rte_flow_error_set(error, number, RTE_FLOW_ERROR_TYPE_##type, cause, message)

/* What came before, so that layers are in order and none comes twice. */
struct pattern {
    const struct rte_flow_item *item;
    const void *spec; /* NULL: the item says only that the layer is there */
    const void *mask;
    bool is_inner; /* behind a tunnel's header */
    bool has_port, has_mark, has_meta;
    uint8_t tags; /* bits of the TAG indices that were named */
    /* Of this side of the tunnel's header: */
    bool has_eth, has_l3, has_l4;
    uint8_t n_vlans;
    uint16_t types[3]; /* EtherTypes that ETH and the VLANs name, and under which masks */
    uint16_t type_masks[3];
};

/* Compares `size` bytes at an offset of the key, or of the inner one, under a mask. */
void nicsim_match_key(const struct pattern *p, struct nicsim_spec *spec, size_t offset, const void *value,
                      const void *mask, size_t size);
/* The same in the second part of the key; a mask of zeroes leaves the rule without one. */
void nicsim_match_wide(struct nicsim_spec *spec, size_t offset, const void *value, const void *mask, size_t size);
/* NICSIM_KEY_* is set, or is not. */
void nicsim_match_bit(const struct pattern *p, struct nicsim_spec *spec, uint8_t bit, bool set);
bool nicsim_is_zero(const void *data, size_t size);

#define SIZE_OF(type, field) sizeof(((struct type *) 0)->field)
#define MATCH(p, spec, field, value, with_mask)                                                                        \
    nicsim_match_key(p, spec, offsetof(struct nicsim_key, field), value, with_mask, SIZE_OF(nicsim_key, field))
#define MATCH_WIDE(spec, field, value, with_mask)                                                                      \
    nicsim_match_wide(spec, offsetof(struct nicsim_wide, field), value, with_mask, SIZE_OF(nicsim_wide, field))

/* item_header.c: 0, or what rte_flow_error_set() returned. */
int nicsim_header_parse(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error);
/* What the EtherTypes and the absence of a VLAN item mean in the end. */
int nicsim_headers_finish(struct pattern *p, struct nicsim_spec *spec, struct rte_flow_error *error);

#endif /* NICSIM_ITEM_H */
