/* The hash that spreads packets over queues: Toeplitz, with a key. Locked by the switch. */
#ifndef NICSIM_TOEPLITZ_H
#define NICSIM_TOEPLITZ_H

#include <stdbool.h>
#include <stdint.h>

#define NICSIM_RSS_KEY_SIZE 40
#define NICSIM_RSS_INPUT    36 /* bytes: two IPv6 addresses, two ports */

/* What each byte of the input contributes, by its place and value. */
struct nicsim_toeplitz {
    /* The key repeats after two bytes, so that only the sum (XOR) of the input's words counts: the same for both directions
     * of a connection, and two look-ups instead of up to 36. */
    bool is_periodic;
    uint32_t table[NICSIM_RSS_INPUT][256];
};

void nicsim_toeplitz_set(struct nicsim_toeplitz *toeplitz, const uint8_t key[NICSIM_RSS_KEY_SIZE]);

static inline uint32_t
nicsim_toeplitz_bytes(const struct nicsim_toeplitz *toeplitz, uint32_t at, const uint8_t *bytes, uint32_t n)
{
    uint32_t hash = 0;

    for (uint32_t i = 0; i < n; i++) {
        hash ^= toeplitz->table[at + i][bytes[i]];
    }
    return hash;
}

/* XOR of all words of the input, as it lies in memory. */
static inline uint32_t
nicsim_toeplitz_sum(const struct nicsim_toeplitz *toeplitz, uint64_t sum)
{
    sum ^= sum >> 32;
    sum ^= sum >> 16;
    return toeplitz->table[0][sum & 0xff] ^ toeplitz->table[1][sum >> 8 & 0xff];
}

#endif /* NICSIM_TOEPLITZ_H */
