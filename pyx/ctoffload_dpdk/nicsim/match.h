/* Which rule a packet meets: groups of subtables, each of one mask and one priority, all in one table of keys. */
#ifndef NICSIM_MATCH_H
#define NICSIM_MATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "table.h"

enum {
    NICSIM_KEY_TAGGED = 1,   /* has a VLAN tag */
    NICSIM_KEY_TWO_TAGS = 2, /* has more than one */
    NICSIM_KEY_L4 = 4,       /* TCP, UDP, ICMP: complete, in one piece, with right checksums; only then are ports set */
    NICSIM_KEY_FRAGMENT = 8, /* one piece of several */
    NICSIM_KEY_FRAG_EXT = 16, /* has IPv6's fragment header, of one piece or several */
    NICSIM_KEY_TUNNEL = 32,   /* has a VXLAN header behind UDP */
    NICSIM_KEY_MARKED = 64,   /* a rule marked it */
    NICSIM_KEY_FLAGGED = 128  /* or flagged it */
};

/* What can be matched, as a packet has it. Network byte order where a header has it so. */
struct nicsim_key {
    uint8_t src[16]; /* IPv4: the first four bytes */
    uint8_t dst[16];
    uint16_t src_port; /* ICMP: type and code, as they stand there */
    uint16_t dst_port; /* ICMP: identifier */
    uint16_t eth_type; /* behind the VLAN tags */
    uint16_t vlan_tci; /* of the outermost tag */
    uint16_t
        in_port; /* uid of the port whose wire it came in by, host order; with NICSIM_FROM_HOST: whose host sent it */
    uint16_t subtable; /* 0 in a packet's key; set once the mask was applied */
    uint8_t proto;
    uint8_t tcp_flags;
    uint8_t bits;      /* NICSIM_KEY_* */
    uint8_t conntrack; /* what a CONNTRACK action said of it: RTE_FLOW_CONNTRACK_PKT_STATE_* */
};

#define NICSIM_FROM_HOST 0x8000u

#define NICSIM_KEY_WORDS (sizeof(struct nicsim_key) / sizeof(uint64_t))
_Static_assert(sizeof(struct nicsim_key) == 48, "a key is six words, so that a rule's first line holds it");

#define NICSIM_N_TAGS 6

/* What rules write for later ones and for the host. */
struct nicsim_registers {
    uint32_t mark;
    uint32_t meta;
    uint32_t tags[NICSIM_N_TAGS];
};

/* What few rules compare beside the key: headers that are read only while a rule of the switch asks for them, and
 * registers. Network byte order, registers in host order. */
struct nicsim_wide {
    struct nicsim_key inner; /* behind VXLAN */
    uint32_t vni;            /* as it stands there */
    uint8_t src_mac[6];
    uint8_t dst_mac[6];
    uint8_t inner_src_mac[6];
    uint8_t inner_dst_mac[6];
    uint32_t fragment_id; /* IPv6 */
    uint16_t fragment;    /* IPv4: flags and offset; IPv6: offset and "more" */
    uint16_t outer_type;  /* in the Ethernet header */
    uint16_t second_type; /* in the first tag */
    uint16_t second_tci;
    uint16_t icmp_seq;
    uint8_t tos;
    uint8_t ttl;
    uint8_t fragment_next; /* IPv6: what follows the fragment header */
    uint8_t vxlan_flags;
    uint8_t reserved[2];
    struct nicsim_registers registers;
};

#define NICSIM_WIDE_WORDS (sizeof(struct nicsim_wide) / sizeof(uint64_t))
_Static_assert(sizeof(struct nicsim_wide) == 128, "two cache lines");

#define NICSIM_MAX_SUBTABLES 256
#define NICSIM_MAX_GROUPS    4096

/* Rules of one mask and one priority in one group. */
struct nicsim_subtable {
    struct nicsim_key mask;
    struct nicsim_key name; /* nothing but the subtable's id */
    uint32_t group;         /* index */
    uint32_t priority;
    uint32_t n_rules;
    uint16_t id;  /* 1 and up */
    bool is_wide; /* its rules have a second part */
    struct nicsim_wide wide_mask;
};

/* Where a packet is looked up together: group `number` of a domain. */
struct nicsim_group {
    uint32_t number;
    uint16_t
        port; /* uid of the port whose ingress domain it is in, with NICSIM_FROM_HOST its egress domain; 0: transfer */
    uint16_t n_subtables;
    uint32_t n_users;                         /* subtables in it and rules that jump to it; 0: the index is free */
    uint16_t subtables[NICSIM_MAX_SUBTABLES]; /* lower priority value first, then the mask with more bits */
};

/* All of one switch. Locked by the switch. */
struct nicsim_match {
    struct nicsim_table table;
    struct nicsim_subtable *subtables[NICSIM_MAX_SUBTABLES + 1]; /* by id */
    struct nicsim_group *groups[NICSIM_MAX_GROUPS];              /* by index */
    uint32_t n_groups;                                           /* indices in use end before */
    uint32_t n_wide;                                             /* subtables that are wide */
};

#define NICSIM_NO_GROUP UINT32_MAX

static inline bool
nicsim_key_equal(const struct nicsim_key *a, const struct nicsim_key *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline uint64_t
nicsim_mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

/* Odd constants with about as many ones as zeroes, so that a zero word leaves a mixed factor. */
static inline uint32_t
nicsim_words_hash(const uint64_t w[NICSIM_KEY_WORDS])
{
    uint64_t h = nicsim_mix(w[0] ^ 0x9e3779b97f4a7c15u, w[1] ^ 0xc2b2ae3d27d4eb4fu);

    h ^= nicsim_mix(w[2] ^ 0x165667b19e3779f9u, w[3] ^ 0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u;
    h = nicsim_mix(h ^ w[4] ^ 0xa0761d6478bd642fu, (h >> 32) ^ w[5] ^ 0xe7037ed1a0b428dbu);
    return (uint32_t) (h ^ (h >> 32));
}

static inline uint32_t
nicsim_key_hash(const struct nicsim_key *key)
{
    uint64_t w[NICSIM_KEY_WORDS];

    memcpy(w, key, sizeof w);
    return nicsim_words_hash(w);
}

/* The part of a packet's key that a subtable compares, and its hash. Word by word: a store of one field that is read
 * back as a word costs more than all of it. */
static inline uint32_t
nicsim_key_mask(struct nicsim_key *out, const struct nicsim_key *key, const struct nicsim_subtable *subtable)
{
    uint64_t w[NICSIM_KEY_WORDS], m[NICSIM_KEY_WORDS], name[NICSIM_KEY_WORDS];

    memcpy(w, key, sizeof w);
    memcpy(m, &subtable->mask, sizeof m);
    memcpy(name, &subtable->name, sizeof name);
    for (size_t i = 0; i < NICSIM_KEY_WORDS; i++) {
        w[i] = (w[i] & m[i]) | name[i];
    }
    memcpy(out, w, sizeof w);
    return nicsim_words_hash(w);
}

/* Mixes the second part into the hash of the first. */
static inline uint32_t
nicsim_wide_hash(const struct nicsim_wide *wide, uint32_t hash)
{
    uint64_t w[NICSIM_WIDE_WORDS], h = hash;

    memcpy(w, wide, sizeof w);
    for (size_t i = 0; i < NICSIM_WIDE_WORDS; i += 2) {
        h = nicsim_mix(h ^ w[i] ^ 0xa0761d6478bd642fu, w[i + 1] ^ 0xe7037ed1a0b428dbu);
    }
    return (uint32_t) (h ^ (h >> 32));
}

static inline uint32_t
nicsim_wide_mask(struct nicsim_wide *out, const struct nicsim_wide *wide, const struct nicsim_subtable *subtable,
                 uint32_t hash)
{
    uint64_t w[NICSIM_WIDE_WORDS], m[NICSIM_WIDE_WORDS];

    memcpy(w, wide, sizeof w);
    memcpy(m, &subtable->wide_mask, sizeof m);
    for (size_t i = 0; i < NICSIM_WIDE_WORDS; i++) {
        w[i] &= m[i];
    }
    memcpy(out, w, sizeof w);
    return nicsim_wide_hash(out, hash);
}

int nicsim_match_init(struct nicsim_match *match);
void nicsim_match_free(struct nicsim_match *match);

/* Index of a group, NICSIM_NO_GROUP where nothing uses it. */
uint32_t nicsim_group_find(const struct nicsim_match *match, uint16_t port, uint32_t number);
/* A group that has one user more from now on. 0, ENOMEM or ENOSPC. */
int nicsim_group_use(struct nicsim_match *match, uint16_t port, uint32_t number, uint32_t *index);
void nicsim_group_unuse(struct nicsim_match *match, uint32_t index);

/* The subtable a rule goes into, made where there is none; it has one rule more from now on. `wide` is NULL where the rule
 * compares the key alone. 0, ENOMEM or ENOSPC. */
int nicsim_subtable_use(struct nicsim_match *match, uint16_t port, uint32_t number, uint32_t priority,
                        const struct nicsim_key *mask, const struct nicsim_wide *wide,
                        struct nicsim_subtable **subtable);
void nicsim_subtable_unuse(struct nicsim_match *match, uint16_t id);

#endif /* NICSIM_MATCH_H */
