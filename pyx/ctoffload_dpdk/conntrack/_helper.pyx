"""Helpers for FTP and TFTP: expectations, rewritten addresses, sequence numbers that stay in step."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from ctoffload_dpdk.conntrack._checksum cimport (
    adjust, folded, load16, load32, replace, sum_bytes, sum_pseudo,
)
from ctoffload_dpdk.conntrack._expect cimport expect
from ctoffload_dpdk.conntrack._ftp cimport (
    FTP_EXTENDED_PASSIVE, FTP_NOTHING, FTP_PASSIVE, FTP_PORT, FTP_WRONG, FtpLine, ftp_read, ftp_write,
)
from ctoffload_dpdk.conntrack._key cimport Parsed
from ctoffload_dpdk.conntrack._nat cimport conn_tuple
from ctoffload_dpdk.conntrack._packet cimport (
    ANY_ZONE, CS_INVALID, HELPER_FTP, HELPER_TFTP, NAT_DST, NAT_SRC, PKT_WHOLE, REFUSED_HELPER, Action, HelperChoice, Packet,
    Verdict,
)
from ctoffload_dpdk.conntrack._parse cimport Layers, find_l3
from ctoffload_dpdk.conntrack._state cimport (
    CONN_LABELLED, CONN_NAT, MORE_CHILD, MORE_HELPED, Conn, Expectation, Helper, Shard, Skew,
)
from ctoffload_dpdk.conntrack._tuple cimport Tuple, tuple_of_key

cdef enum:
    PROTO_TCP = 6
    PROTO_UDP = 17
    UDP_HEADER = 8
    TCP_CHECKSUM = 16
    TCP_OPTIONS = 20
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_SACK = 5
    TFTP_READ = 1
    TFTP_WRITE = 2


cdef inline bint is_for(uint8_t helper, uint8_t proto) noexcept nogil:
    return (helper == HELPER_FTP and proto == PROTO_TCP) or (helper == HELPER_TFTP and proto == PROTO_UDP)


cdef uint8_t helper_for(const Action *action, const Parsed *parsed) noexcept nogil:
    cdef const HelperChoice *choice
    cdef Tuple ends
    cdef uint32_t i
    if is_for(action.helper, parsed.key.proto):
        return action.helper
    if not action.n_helpers:
        return 0
    tuple_of_key(&parsed.key, parsed.swapped, &ends)
    for i in range(action.n_helpers):
        choice = &action.helpers[i]
        if (choice.port == ends.dst_port and (choice.zone == ANY_ZONE or choice.zone == parsed.key.zone)
                and is_for(choice.helper, parsed.key.proto)):
            return choice.helper
    return 0


cdef void helper_begin(Shard *shard, uint32_t slot, uint8_t kind) noexcept nogil:
    memset(&shard.helpers[slot], 0, sizeof(Helper))
    shard.helpers[slot].kind = kind
    shard.conns[slot].generation |= MORE_HELPED


cdef void helper_child(Shard *shard, uint32_t slot, const Expectation *expectation) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    conn.generation |= MORE_CHILD
    conn.mark = expectation.mark
    if expectation.label[0] or expectation.label[1]:
        memcpy(shard.labels[slot].word, expectation.label, 16)
        conn.flags |= CONN_LABELLED


# --- sequence numbers ------------------------------------------------------------------------------------------------

cdef inline bint is_after(uint32_t left, uint32_t right) noexcept nogil:
    return <int32_t> (left - right) > 0


# Writes a 32-bit field of the TCP header and mends the checksum; options may lie at odd places.
cdef void put32(uint8_t *tcp, uint32_t at, uint32_t value) noexcept nogil:
    cdef uint8_t bytes[4]
    cdef uint64_t difference
    cdef int i
    for i in range(4):
        bytes[i] = <uint8_t> (value >> (24 - 8 * i) & 0xff)
    difference = folded(replace(tcp + at, bytes, 4))
    if at & 1:
        difference = (difference << 8 | difference >> 8) & 0xffff
    adjust(tcp + TCP_CHECKSUM, difference)


# What an acknowledgement of the longer stream is in the numbers of its sender.
cdef inline uint32_t unskewed(const Skew *skew, uint32_t ack) noexcept nogil:
    return ack - <uint32_t> (skew.after if is_after(ack - <uint32_t> skew.before, skew.at) else skew.before)


cdef void unskew_sack(uint8_t *tcp, const Skew *skew) noexcept nogil:
    cdef uint32_t at = TCP_OPTIONS
    cdef uint32_t end = (tcp[12] >> 4) * 4
    cdef uint32_t size, edge
    while at < end and tcp[at] != OPTION_END:
        if tcp[at] == OPTION_NOP:
            at += 1
            continue
        if at + 1 >= end or tcp[at + 1] < 2 or at + tcp[at + 1] > end:
            return
        size = tcp[at + 1]
        if tcp[at] == OPTION_SACK:
            edge = 2
            while edge + 4 <= size:
                put32(tcp, at + edge, unskewed(skew, load32(tcp + at + edge)))
                edge += 4
        at += size


cdef void helper_before(Shard *shard, uint32_t slot, const Packet *packet, const Parsed *parsed, bint reply) noexcept nogil:
    cdef const Skew *skew = &shard.helpers[slot].skew[not reply]
    cdef uint8_t *tcp = <uint8_t *> parsed.l4
    if parsed.related or parsed.key.proto != PROTO_TCP or not skew.is_used or not tcp[13] & 0x10:
        return
    put32(tcp, 8, unskewed(skew, load32(tcp + 8)))
    unskew_sack(tcp, skew)


# Remembers where the stream became longer or shorter. A retransmission finds its own place again.
cdef void note_skew(Skew *skew, uint32_t seq, int32_t difference) noexcept nogil:
    if skew.is_used and seq == skew.at:
        skew.after = skew.before + difference
    elif difference and (not skew.is_used or is_after(seq, skew.at)):
        skew.before = skew.after
        skew.after += difference
        skew.at = seq
        skew.is_used = True


cdef void skew_seq(const Skew *skew, uint8_t *tcp) noexcept nogil:
    cdef uint32_t seq = load32(tcp + 4)
    if skew.is_used:
        put32(tcp, 4, seq + <uint32_t> (skew.after if is_after(seq, skew.at) else skew.before))


# --- the payload -----------------------------------------------------------------------------------------------------

cdef void put16(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 8 & 0xff)
    at[1] = <uint8_t> (value & 0xff)


# Lengths and checksums after the payload became longer or shorter; the transport's is made anew.
cdef void mend_lengths(uint8_t *ip, const Parsed *parsed, uint8_t family) noexcept nogil:
    cdef uint8_t *tcp = <uint8_t *> parsed.l4
    cdef uint32_t header = <uint32_t> (parsed.l4 - ip)
    cdef uint64_t total
    cdef uint8_t length[2]
    cdef uint16_t value
    put16(length, header + parsed.l4_size if family == 4 else header - 40 + parsed.l4_size)
    if family == 4:
        adjust(ip + 10, replace(ip + 2, length, 2))
    else:
        memcpy(ip + 4, length, 2)
    memset(tcp + TCP_CHECKSUM, 0, 2)
    total = sum_bytes(sum_pseudo(PROTO_TCP, parsed.l4_size), ip + (12 if family == 4 else 8), 8 if family == 4 else 32)
    value = <uint16_t> (0xffff ^ folded(sum_bytes(total, tcp, parsed.l4_size)))
    memcpy(tcp + TCP_CHECKSUM, &value, 2)


# Puts another address where the announcement has one. Returns by how much the payload became longer.
cdef int32_t rewrite(Shard *shard, const Packet *packet, Parsed *parsed, const FtpLine *line, const uint64_t *address,
                     Verdict *verdict) noexcept nogil:
    cdef uint8_t text[46]
    cdef Layers layers
    cdef uint32_t size = ftp_write(line.form, line.family, address, text)
    cdef int32_t longer = <int32_t> size - <int32_t> line.address_size
    cdef uint8_t *payload = <uint8_t *> parsed.l4 + (parsed.l4[12] >> 4) * 4
    cdef uint8_t *at = payload + line.address_at
    cdef uint32_t end, tail
    find_l3(packet, &layers)
    end = <uint32_t> (parsed.l4 - packet.data) + parsed.l4_size
    if (end + longer > max(packet.room, packet.length) or end - layers.l3 + longer > 65535
            or (longer and packet.flags & PKT_WHOLE)):
        shard.counters.no_room += 1
        return 0
    tail = parsed.l4_size - <uint32_t> (at + line.address_size - parsed.l4)
    memmove(at + size, at + line.address_size, tail)
    memcpy(at, text, size)
    parsed.l4_size += longer
    mend_lengths(<uint8_t *> packet.data + layers.l3, parsed, <uint8_t> layers.family)
    verdict.grown = <int16_t> (<int32_t> (end + longer) - <int32_t> packet.length)
    return longer


# --- what is announced -----------------------------------------------------------------------------------------------

cdef inline bint same_address(const uint64_t *left, const uint64_t *right) noexcept nogil:
    return left[0] == right[0] and left[1] == right[1]


cdef void wanted_from(const Shard *shard, uint32_t slot, uint16_t port, Expectation *wanted) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    memset(wanted, 0, sizeof(Expectation))
    wanted.dst_port = port
    wanted.zone = conn.key.zone
    wanted.proto = conn.key.proto
    wanted.family = conn.key.family
    wanted.mark = conn.mark
    if conn.flags & CONN_LABELLED:
        memcpy(wanted.label, shard.labels[slot].word, 16)


# The client listens: the server begins, towards the address it knows the client by.
cdef void towards_client(Shard *shard, uint32_t slot, uint16_t port, uint16_t real_port) noexcept nogil:
    cdef uint8_t what = shard.nats[slot].what if shard.conns[slot].flags & CONN_NAT else 0
    cdef Expectation wanted
    cdef Tuple orig, back
    conn_tuple(shard, slot, False, &orig)
    conn_tuple(shard, slot, True, &back)
    wanted_from(shard, slot, port, &wanted)
    memcpy(wanted.src, back.src, 16)
    memcpy(wanted.dst, back.dst, 16)
    memcpy(wanted.nat_src, orig.dst, 16)
    memcpy(wanted.nat_dst, orig.src, 16)
    wanted.nat_dst_port = real_port
    wanted.nat = (NAT_DST if what & NAT_SRC else 0) | (NAT_SRC if what & NAT_DST else 0)
    if not expect(shard, slot, &wanted):
        shard.counters.not_expected += 1


# The server listens: the client begins, towards the address it knows the server by.
cdef void towards_server(Shard *shard, uint32_t slot, uint16_t port) noexcept nogil:
    cdef Expectation wanted
    cdef Tuple orig, back
    conn_tuple(shard, slot, False, &orig)
    conn_tuple(shard, slot, True, &back)
    wanted_from(shard, slot, port, &wanted)
    memcpy(wanted.src, orig.src, 16)
    memcpy(wanted.dst, orig.dst, 16)
    memcpy(wanted.nat_src, back.dst, 16)
    memcpy(wanted.nat_dst, back.src, 16)
    wanted.nat = shard.nats[slot].what if shard.conns[slot].flags & CONN_NAT else 0
    if not expect(shard, slot, &wanted):
        shard.counters.not_expected += 1


# Nobody may announce for others: the address has to be the sender's own, before or behind translation.
cdef bint is_own(const FtpLine *line, const Tuple *orig, const Tuple *back, bint reply) noexcept nogil:
    if line.kind == FTP_EXTENDED_PASSIVE:
        return True
    if reply:
        return same_address(line.address, back.src) or same_address(line.address, orig.dst)
    return same_address(line.address, orig.src) or same_address(line.address, back.dst)


cdef int32_t ftp_packet(Shard *shard, uint32_t slot, const Packet *packet, Parsed *parsed, bint reply, bint translated,
                        Verdict *verdict) noexcept nogil:
    cdef uint32_t header = (parsed.l4[12] >> 4) * 4
    cdef FtpLine line
    cdef Tuple orig, back
    cdef const uint64_t *shown
    ftp_read(parsed.l4 + header, parsed.l4_size - header, parsed.key.family, not reply, &line)
    if line.kind == FTP_NOTHING:
        return 0
    conn_tuple(shard, slot, False, &orig)
    conn_tuple(shard, slot, True, &back)
    if line.kind == FTP_WRONG or not is_own(&line, &orig, &back, reply):
        verdict.state |= CS_INVALID
        verdict.reason = REFUSED_HELPER
        return 0
    if line.kind == FTP_PORT:
        towards_client(shard, slot, line.port, 0)
        shown = back.dst
    else:
        towards_server(shard, slot, line.port)
        shown = orig.dst
    if not translated or line.kind == FTP_EXTENDED_PASSIVE or same_address(line.address, shown):
        return 0
    return rewrite(shard, packet, parsed, &line, shown, verdict)


cdef void tftp_packet(Shard *shard, uint32_t slot, const Parsed *parsed, bint reply) noexcept nogil:
    cdef Tuple orig, back
    cdef uint16_t what
    if reply or parsed.l4_size < UDP_HEADER + 2:
        return
    what = load16(parsed.l4 + UDP_HEADER)
    if what == TFTP_READ or what == TFTP_WRITE:
        conn_tuple(shard, slot, False, &orig)
        conn_tuple(shard, slot, True, &back)
        towards_client(shard, slot, back.dst_port, orig.src_port)


cdef void helper_after(Shard *shard, uint32_t slot, const Packet *packet, Parsed *parsed, bint reply, bint translated,
                       Verdict *verdict) noexcept nogil:
    cdef Helper *helper = &shard.helpers[slot]
    cdef uint8_t *tcp = <uint8_t *> parsed.l4
    cdef int32_t longer
    if parsed.related or verdict.state & CS_INVALID:
        return
    if helper.kind == HELPER_TFTP:
        tftp_packet(shard, slot, parsed, reply)
        return
    longer = ftp_packet(shard, slot, packet, parsed, reply, translated, verdict)
    if translated:
        note_skew(&helper.skew[reply], load32(tcp + 4), longer)
        skew_seq(&helper.skew[reply], tcp)
