"""Reads PORT, EPRT, 227 and 229 out of a segment. Any bytes may come; nothing is read behind the payload."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "<arpa/inet.h>" nogil:
    enum: AF_INET
    enum: AF_INET6
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, uint32_t size)

cdef enum:
    MAX_LINE = 512           # of what a line may be long; the rest of it is not looked at
    MAX_ADDRESS = 46

# A place in a line.
cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return 48 <= byte <= 57


cdef inline uint8_t upper(uint8_t byte) noexcept nogil:
    return byte - 32 if 97 <= byte <= 122 else byte


# Moves over a word, whatever its case; False leaves the cursor where it is.
cdef bint skip_word(Cursor *cursor, const char *word) noexcept nogil:
    cdef const uint8_t *at = cursor.at
    while word[0]:
        if at == cursor.end or upper(at[0]) != <uint8_t> word[0]:
            return False
        at += 1
        word += 1
    cursor.at = at
    return True


cdef bint skip_byte(Cursor *cursor, uint8_t byte) noexcept nogil:
    if cursor.at == cursor.end or cursor.at[0] != byte:
        return False
    cursor.at += 1
    return True


cdef bint read_number(Cursor *cursor, uint32_t highest, uint32_t *value) noexcept nogil:
    cdef int digits = 0
    value[0] = 0
    while cursor.at < cursor.end and is_digit(cursor.at[0]) and digits < 6:
        value[0] = value[0] * 10 + cursor.at[0] - 48
        cursor.at += 1
        digits += 1
    return 0 < digits and value[0] <= highest


# h1,h2,h3,h4,p1,p2
cdef bint read_commas(Cursor *cursor, const uint8_t *payload, FtpLine *line) noexcept nogil:
    cdef uint8_t *address = <uint8_t *> line.address
    cdef uint32_t value = 0, high = 0
    cdef int i
    line.form = FORM_COMMAS
    line.family = 4
    line.address_at = <uint32_t> (cursor.at - payload)
    for i in range(4):
        if (i and not skip_byte(cursor, c',')) or not read_number(cursor, 255, &value):
            return False
        address[i] = <uint8_t> value
    line.address_size = <uint32_t> (cursor.at - payload) - line.address_at
    if not skip_byte(cursor, c',') or not read_number(cursor, 255, &high):
        return False
    if not skip_byte(cursor, c',') or not read_number(cursor, 255, &value):
        return False
    line.port = <uint16_t> (high << 8 | value)
    return line.port != 0


# The text up to a delimiter, as an address.
cdef bint read_address(Cursor *cursor, uint8_t delimiter, const uint8_t *payload, FtpLine *line) noexcept nogil:
    cdef char text[MAX_ADDRESS]
    cdef const uint8_t *start = cursor.at
    cdef uint32_t size
    while cursor.at < cursor.end and cursor.at[0] != delimiter:
        cursor.at += 1
    size = <uint32_t> (cursor.at - start)
    if cursor.at == cursor.end or size == 0 or size >= MAX_ADDRESS:
        return False
    memcpy(text, start, size)
    text[size] = 0
    line.address_at = <uint32_t> (start - payload)
    line.address_size = size
    return inet_pton(AF_INET if line.family == 4 else AF_INET6, text, line.address) == 1


# |1|10.0.0.1|1234| or |2|2001:db8::1|1234|; any delimiter
cdef bint read_extended_port(Cursor *cursor, const uint8_t *payload, FtpLine *line) noexcept nogil:
    cdef uint32_t value = 0
    cdef uint8_t delimiter
    if cursor.at == cursor.end or is_digit(cursor.at[0]):
        return False
    delimiter = cursor.at[0]
    cursor.at += 1
    if not read_number(cursor, 2, &value) or value == 0 or not skip_byte(cursor, delimiter):
        return False
    line.form = FORM_PLAIN
    line.family = 4 if value == 1 else 6
    if not read_address(cursor, delimiter, payload, line):
        return False
    cursor.at += 1
    if not read_number(cursor, 65535, &value) or not skip_byte(cursor, delimiter):
        return False
    line.port = <uint16_t> value
    return value != 0


# 229 words (|||1234|): the words may hold anything, digits too
cdef bint read_extended_passive(Cursor *cursor, FtpLine *line) noexcept nogil:
    cdef uint32_t value = 0
    cdef uint8_t delimiter
    while cursor.at < cursor.end and cursor.at[0] != c'(':
        cursor.at += 1
    if cursor.end - cursor.at < 5:
        return False
    delimiter = cursor.at[1]
    cursor.at += 2
    if is_digit(delimiter) or not skip_byte(cursor, delimiter) or not skip_byte(cursor, delimiter):
        return False
    if not read_number(cursor, 65535, &value) or not skip_byte(cursor, delimiter):
        return False
    line.port = <uint16_t> value
    return value != 0


# 227 words (h1,h2,h3,h4,p1,p2): the parentheses may be missing
cdef bint read_passive(Cursor *cursor, const uint8_t *payload, FtpLine *line) noexcept nogil:
    cdef const uint8_t *at = cursor.at
    while at < cursor.end and at[0] != c'(':
        at += 1
    if at < cursor.end:
        cursor.at = at + 1
    while cursor.at < cursor.end and not is_digit(cursor.at[0]):
        cursor.at += 1
    return read_commas(cursor, payload, line)


cdef void read_line(Cursor *cursor, const uint8_t *payload, bint from_client, FtpLine *line) noexcept nogil:
    cdef bint good
    if from_client and skip_word(cursor, "PORT "):
        line.kind = FTP_PORT
        good = read_commas(cursor, payload, line)
    elif from_client and skip_word(cursor, "EPRT "):
        line.kind = FTP_PORT
        good = read_extended_port(cursor, payload, line)
    elif not from_client and (skip_word(cursor, "227 ") or skip_word(cursor, "227-")):
        line.kind = FTP_PASSIVE
        good = read_passive(cursor, payload, line)
    elif not from_client and (skip_word(cursor, "229 ") or skip_word(cursor, "229-")):
        line.kind = FTP_EXTENDED_PASSIVE
        good = read_extended_passive(cursor, line)
    else:
        return
    if not good:
        line.kind = FTP_WRONG


cdef void ftp_read(const uint8_t *payload, uint32_t size, uint8_t family, bint from_client, FtpLine *line) noexcept nogil:
    cdef const uint8_t *end = payload + size
    cdef const uint8_t *start = payload
    cdef Cursor cursor
    memset(line, 0, sizeof(FtpLine))
    while start < end and line.kind == FTP_NOTHING:
        cursor.at = start
        while start < end and start[0] != c'\n':
            start += 1
        cursor.end = start if start - cursor.at < MAX_LINE else cursor.at + MAX_LINE
        read_line(&cursor, payload, from_client, line)
        start += 1
    if line.family and line.family != family:
        line.kind = FTP_WRONG


cdef uint32_t put_decimal(uint8_t value, uint8_t *out) noexcept nogil:
    cdef uint32_t n = 0
    if value >= 100:
        out[n] = 48 + value // 100
        n += 1
    if value >= 10:
        out[n] = 48 + value // 10 % 10
        n += 1
    out[n] = 48 + value % 10
    return n + 1


cdef uint32_t ftp_write(uint8_t form, uint8_t family, const uint64_t *address, uint8_t *out) noexcept nogil:
    cdef const uint8_t *bytes = <const uint8_t *> address
    cdef uint32_t n = 0
    cdef int i
    if form == FORM_COMMAS:
        for i in range(4):
            if i:
                out[n] = c','
                n += 1
            n += put_decimal(bytes[i], out + n)
        return n
    inet_ntop(AF_INET if family == 4 else AF_INET6, address, <char *> out, MAX_ADDRESS)
    while out[n]:
        n += 1
    return n
