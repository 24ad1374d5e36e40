# What names a connection, in one order of its two ends, so that both directions give the same key and the same hash.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from * nogil:
    ctypedef unsigned long long uint128_t "unsigned __int128"
    bint likely "__builtin_expect"(bint claim, bint likely_value)
    void prefetch "__builtin_prefetch"(const void *address)

# 40 bytes, compared as five words. End a is the lower one by (address, port).
# IPv4 addresses stand in the first word alone. ICMP: a_port is the identifier, b_port the type that end a sends.
cdef struct Key:
    uint64_t a[2]
    uint64_t b[2]
    uint16_t a_port
    uint16_t b_port
    uint16_t zone
    uint8_t proto
    uint8_t family           # 4 or 6

# What the parser found in one packet.
cdef struct Parsed:
    Key key
    const uint8_t *l4        # the packet's own, also for an ICMP error
    uint32_t l4_size
    uint32_t hash
    uint8_t refusal          # Refusal; the rest is valid only where it is REFUSED_NOT
    uint8_t swapped          # end b sent it
    uint8_t related          # an ICMP error; key is the embedded packet's, seen from the other side
    uint8_t proto            # the packet's own protocol

cdef struct Seed:
    uint64_t word[6]


cdef inline uint64_t fold(uint64_t x, uint64_t y) noexcept nogil:
    cdef uint128_t product = <uint128_t> x * y
    return <uint64_t> product ^ <uint64_t> (product >> 64)


# The last word of a key. Put together in a register: writing it by its members and reading it as a word stalls the
# processor until the stores are done (36 -> 29 ns for a hot packet, with the words of the hash handed over likewise).
cdef inline uint64_t key_tail(uint16_t a_port, uint16_t b_port, uint16_t zone, uint8_t proto, uint8_t family) noexcept nogil:
    return (a_port | <uint64_t> b_port << 16 | <uint64_t> zone << 32 | <uint64_t> proto << 48
            | <uint64_t> family << 56)


# Multiply-fold under a random seed: nobody outside can choose tuples that share a bucket.
cdef inline uint32_t finish_hash(uint64_t mixed, const Seed *seed) noexcept nogil:
    mixed = fold(mixed ^ seed.word[2], seed.word[3] | 1)
    return <uint32_t> (mixed ^ (mixed >> 32))


cdef inline uint32_t hash_v4(uint64_t a, uint64_t b, uint64_t tail, const Seed *seed) noexcept nogil:
    return finish_hash(fold(a ^ (b << 32) ^ seed.word[0], tail ^ seed.word[1]), seed)


cdef inline uint32_t hash_v6(uint64_t a0, uint64_t a1, uint64_t b0, uint64_t b1, uint64_t tail,
                             const Seed *seed) noexcept nogil:
    cdef uint64_t mixed = fold(a0 ^ seed.word[0], a1 ^ seed.word[1]) ^ fold(b0 ^ seed.word[2], b1 ^ seed.word[3])
    return finish_hash(fold(mixed ^ seed.word[4], tail ^ seed.word[5]), seed)


cdef inline uint32_t key_hash(const Key *key, const Seed *seed) noexcept nogil:
    cdef const uint64_t *word = <const uint64_t *> key
    if key.family == 4:
        return hash_v4(word[0], word[2], word[4], seed)
    return hash_v6(word[0], word[1], word[2], word[3], word[4], seed)


cdef inline bint key_equal(const Key *left, const Key *right) noexcept nogil:
    cdef const uint64_t *x = <const uint64_t *> left
    cdef const uint64_t *y = <const uint64_t *> right
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0


cdef inline bint is_icmp(const Key *key) noexcept nogil:
    return (key.family == 4 and key.proto == 1) or (key.family == 6 and key.proto == 58)


# The type the other end answers an echo, timestamp or information message with.
cdef inline uint8_t icmp_answer(uint8_t family, uint8_t kind) noexcept nogil:
    if family == 6:
        return <uint8_t> (257 - kind)
    return <uint8_t> (8 - kind if kind <= 8 else kind + 1 if kind & 1 else kind - 1)
