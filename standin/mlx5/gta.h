/* gta.h: firmware objects that hardware steering's queue entries refer to, decoded. */
#ifndef STANDIN_GTA_H
#define STANDIN_GTA_H

#include "standin.h"

/* An action as the entries of a rule name it: an index into an STC object. */
struct stc {
    uint8_t type;      /* enum mlx5_ifc_stc_action_type */
    uint32_t param[4]; /* union mlx5_ifc_stc_param_bits, big-endian */
};

/* The entry's own words beside the action: the counter's offset, one word, two words. */
struct stc_data {
    uint32_t counter, single, first, second;
};

const struct stc *gta_stc(uint32_t base, uint32_t index);

/* The table a matcher (RTC) belongs to, by its number; 0 where that is not known. */
uint32_t gta_table_of(uint32_t rtc);

/* Adds the action to the rule's body, and what a hit on it moves. */
void gta_describe(struct record *, const struct stc *, const struct stc_data *, bool *is_first);

#endif
