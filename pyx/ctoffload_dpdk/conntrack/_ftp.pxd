# FTP's control connection: where it announces a data connection.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum FtpKind:
    FTP_NOTHING = 0          # no announcement
    FTP_WRONG = 1            # one that cannot be understood
    FTP_PORT = 2             # PORT and EPRT: the client listens
    FTP_PASSIVE = 3          # 227: the server listens
    FTP_EXTENDED_PASSIVE = 4 # 229: the server listens, at its own address

# How an address is written.
cdef enum FtpForm:
    FORM_COMMAS = 0
    FORM_PLAIN = 1

cdef struct FtpLine:
    uint8_t kind             # FtpKind
    uint8_t form             # FtpForm
    uint8_t family           # of the address; 0: none is given
    uint16_t port            # host order
    uint32_t address_at      # where the address is written in the payload, and how long
    uint32_t address_size
    uint64_t address[2]      # as in a packet

# Reads the first announcement in a segment's payload; from_client says which ones its sender may make.
cdef void ftp_read(const uint8_t *payload, uint32_t size, uint8_t family, bint from_client, FtpLine *line) noexcept nogil
# Writes an address as `form` has it; returns its length. `out` has 46 bytes.
cdef uint32_t ftp_write(uint8_t form, uint8_t family, const uint64_t *address, uint8_t *out) noexcept nogil
