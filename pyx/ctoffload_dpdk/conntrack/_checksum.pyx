"""CRC32c of SCTP packets; the Internet checksum is inline in _checksum.pxd."""

cdef uint32_t[8][256] TABLE


cdef void fill_table() noexcept nogil:
    cdef uint32_t value, crc
    cdef int bit, row
    for value in range(256):
        crc = value
        for bit in range(8):
            crc = (crc >> 1) ^ (0x82f63b78U if crc & 1 else 0)
        TABLE[0][value] = crc
    for value in range(256):
        for row in range(1, 8):
            TABLE[row][value] = (TABLE[row - 1][value] >> 8) ^ TABLE[0][TABLE[row - 1][value] & 0xff]


fill_table()


# CRC32c with the four bytes at skip_at taken as zero: they hold the checksum itself.
cdef uint32_t crc32c(const uint8_t *at, uint32_t size, uint32_t skip_at) noexcept nogil:
    cdef uint32_t crc = 0xffffffffU
    cdef uint32_t i = 0
    while i < size and i < skip_at + 4:
        crc = (crc >> 8) ^ TABLE[0][(crc ^ (0 if i >= skip_at else at[i])) & 0xff]
        i += 1
    while i + 8 <= size:
        crc ^= at[i] | <uint32_t> at[i + 1] << 8 | <uint32_t> at[i + 2] << 16 | <uint32_t> at[i + 3] << 24
        crc = (TABLE[7][crc & 0xff] ^ TABLE[6][crc >> 8 & 0xff] ^ TABLE[5][crc >> 16 & 0xff] ^ TABLE[4][crc >> 24]
               ^ TABLE[3][at[i + 4]] ^ TABLE[2][at[i + 5]] ^ TABLE[1][at[i + 6]] ^ TABLE[0][at[i + 7]])
        i += 8
    while i < size:
        crc = (crc >> 8) ^ TABLE[0][(crc ^ at[i]) & 0xff]
        i += 1
    return ~crc
