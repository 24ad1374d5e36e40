# Checksums: verified by the parser, mended by the difference where a packet is rewritten.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef inline uint16_t load16(const uint8_t *at) noexcept nogil:
    return <uint16_t> (at[0] << 8 | at[1])


cdef inline uint32_t load32(const uint8_t *at) noexcept nogil:
    return <uint32_t> at[0] << 24 | <uint32_t> at[1] << 16 | <uint32_t> at[2] << 8 | at[3]


# The ones' complement sum of bytes, in memory order, not folded yet.
cdef inline uint64_t sum_bytes(uint64_t total, const uint8_t *at, uint32_t size) noexcept nogil:
    cdef uint32_t word = 0
    cdef uint16_t half = 0
    while size >= 4:
        memcpy(&word, at, 4)
        total += word
        at += 4
        size -= 4
    if size >= 2:
        memcpy(&half, at, 2)
        total += half
        at += 2
        size -= 2
    if size:
        total += at[0]
    return total


# A sum in 16 bits.
cdef inline uint64_t folded(uint64_t total) noexcept nogil:
    total = (total >> 32) + (total & 0xffffffffU)
    total = (total >> 32) + (total & 0xffffffffU)
    total = (total >> 16) + (total & 0xffff)
    return (total >> 16) + (total & 0xffff)


# True where a sum that includes the checksum field proves it right.
cdef inline bint sum_is_good(uint64_t total) noexcept nogil:
    return folded(total) == 0xffff


# What a pseudo-header adds: protocol and length, as their big-endian bytes lie in memory.
cdef inline uint64_t sum_pseudo(uint8_t proto, uint32_t size) noexcept nogil:
    return (<uint64_t> proto << 8) + ((size & 0xff) << 8) + (size >> 8 & 0xff)


# Writes new bytes over old ones; returns what that adds to a ones' complement sum over them.
cdef inline uint64_t replace(uint8_t *at, const void *value, uint32_t size) noexcept nogil:
    cdef uint64_t removed = 0xffff ^ folded(sum_bytes(0, at, size))
    memcpy(at, value, size)
    return removed + sum_bytes(0, at, size)


cdef inline void adjust(uint8_t *field, uint64_t difference) noexcept nogil:
    cdef uint16_t value = 0
    memcpy(&value, field, 2)
    value = <uint16_t> (0xffff ^ folded((0xffff ^ <uint64_t> value) + difference))
    memcpy(field, &value, 2)


cdef uint32_t crc32c(const uint8_t *at, uint32_t size, uint32_t skip_at) noexcept nogil
