/* profile_checks.h: questions that several profiles ask of a rule. */
#ifndef NICSIM_PROFILE_CHECKS_H
#define NICSIM_PROFILE_CHECKS_H

#include "profile.h"

uint32_t nicsim_item_kind(const struct rte_flow_item *item);
/* An indirect action is of the kind of what it was made of, and NICSIM_A_SHARED. */
uint32_t nicsim_action_kind(struct nicsim_port *port, const struct rte_flow_action *action);

/* Of the whole rule. */
bool nicsim_has_no_switch(const struct nicsim_asked *asked);
bool nicsim_is_no_domain(const struct nicsim_asked *asked);
bool nicsim_is_first_of_switch(const struct nicsim_port *port);
/* Which port of the switch the packets come from. */
enum nicsim_origin { NICSIM_FROM_ANY, NICSIM_FROM_UPLINK, NICSIM_FROM_OTHER };
enum nicsim_origin nicsim_origin_of(const struct nicsim_asked *asked);

/* Of the item in question. False where an IPV4 item says nothing of fragments. */
bool nicsim_fragment_of(const struct nicsim_asked *asked, rte_be16_t *value, rte_be16_t *mask);

/* The bits of an item that can be compared. */
struct nicsim_field {
    uint32_t kind; /* 0: the end of the list */
    const void *mask;
    size_t size;
};
/* Addresses and protocol, or both ports. */
extern const struct rte_flow_item_ipv4 nicsim_whole_ipv4;
extern const struct rte_flow_item_ipv6 nicsim_whole_ipv6;
extern const struct rte_flow_item_tcp nicsim_whole_tcp;
extern const struct rte_flow_item_udp nicsim_whole_udp;
bool nicsim_is_mask_within(const struct nicsim_asked *asked, const struct nicsim_field *fields);
/* A TCP or UDP port, an IP address, compared in part. */
bool nicsim_has_partial_port(const struct nicsim_asked *asked);
bool nicsim_has_partial_address(const struct nicsim_asked *asked);

/* Of the action in question. */
bool nicsim_has_no_conf(const struct nicsim_asked *asked);
bool nicsim_is_mark_too_large(const struct nicsim_asked *asked);
bool nicsim_is_age_zero(const struct nicsim_asked *asked);
bool nicsim_is_no_queue(const struct nicsim_asked *asked);

#endif /* NICSIM_PROFILE_CHECKS_H */
