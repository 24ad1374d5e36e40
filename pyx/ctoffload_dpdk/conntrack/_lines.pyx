"""Connections as lines and as JSON, many at a time: what a dump of a million of them is made of."""
import errno as _errno

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack._conntrack import CONNECTION
from ctoffload_dpdk.conntrack.text import PROTOCOLS, TCP_STATES

from ctoffload_dpdk.conntrack._life cimport EVENT_DESTROY, EVENT_NEW, EVENT_OFFLOADED, EVENT_RETURNED
from ctoffload_dpdk.conntrack._packet cimport HELPER_FTP, HELPER_TFTP, NAT_DST, NAT_SRC
from ctoffload_dpdk.conntrack._state cimport CONN_ESTABLISHED, Record, RecordTuple

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int family, const void *address, char *text, uint32_t size)
    enum:
        AF_INET6

cdef enum:
    ROW_BYTES = 1408         # no row of any form is longer: four addresses of 45 characters, 25 numbers of 20, and words
    WORD_BYTES = 24
    N_REASONS = 64
    N_STATES = 16
    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_ICMPV6 = 58
    SYN_RECV = 3
    ESTABLISHED = 4
    FIN_WAIT_2 = 9
    TIME_WAIT = 10
    SCALE_ANNOUNCED = 0x80
    SCALE_UNKNOWN = 0x40
    SCALE_MASK = 0x0f

cdef enum Form:
    FORM_OVS = 0
    FORM_CONNTRACK = 1
    FORM_JSON = 2

cdef enum Wanted:
    WANT_MORE = 1            # ovs-appctl's -m
    WANT_STATISTICS = 2      # its -s
    WANT_OURS = 4            # counters and the offload state, which OVS does not print
    WANT_EVENTS = 8          # JSON: what happened, when and why

# What is looked up while the GIL is not held.
cdef char[256][WORD_BYTES] protocols
cdef char[N_REASONS][WORD_BYTES] reasons
cdef char[N_STATES][WORD_BYTES] states
cdef char[N_STATES][WORD_BYTES] kernel_states


cdef int keep(char *place, str word) except -1:
    cdef bytes text = word.encode()
    if len(text) >= WORD_BYTES:
        raise ImportError(f"conntrack: the word {word} is too long")
    memcpy(place, <const char *> text, len(text) + 1)
    return 0


# As conntrack(8) names what OVS's state machine knows.
KERNEL_STATES = (
    "CLOSE", "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
    "TIME_WAIT", "TIME_WAIT",
)

cdef int _i
for _i in range(256):
    keep(protocols[_i], PROTOCOLS.get(_i, str(_i)))
for _i in range(N_REASONS):
    keep(reasons[_i], Reason(_i).text if _i < len(Reason) else str(_i))
for _i in range(N_STATES):
    keep(states[_i], TCP_STATES[_i] if _i < len(TCP_STATES) else str(_i))
    keep(kernel_states[_i], KERNEL_STATES[_i] if _i < len(KERNEL_STATES) else str(_i))


# --- writing ---------------------------------------------------------------------------------------------------------

cdef inline char *put(char *at, const char *text) noexcept nogil:
    while text[0]:
        at[0] = text[0]
        at += 1
        text += 1
    return at


cdef inline char *put_number(char *at, uint64_t number) noexcept nogil:
    cdef char digits[20]
    cdef int n = 0
    while True:
        digits[n] = <char> (48 + number % 10)
        n += 1
        number //= 10
        if not number:
            break
    while n:
        n -= 1
        at[0] = digits[n]
        at += 1
    return at


cdef char *put_hex(char *at, uint64_t high, uint64_t low) noexcept nogil:
    """0x and 128 bits without leading zeros."""
    cdef int shift = 124
    cdef bint begun = False
    cdef int digit
    at = put(at, b"0x")
    while shift >= 0:
        digit = (high >> (shift - 64) if shift >= 64 else low >> shift) & 15
        begun = begun or digit != 0 or shift == 0
        if begun:
            at[0] = <char> (48 + digit if digit < 10 else 87 + digit)
            at += 1
        shift -= 4
    return at


cdef char *put_address(char *at, uint8_t family, const uint8_t *address) noexcept nogil:
    cdef int i
    if family != 4:
        inet_ntop(AF_INET6, address, at, 46)
        while at[0]:
            at += 1
        return at
    for i in range(4):
        at = put_number(at, address[i])
        at[0] = 46
        at += 1
    return at - 1


cdef inline bint is_echo(const Record *row) noexcept nogil:
    return row.proto == (PROTO_ICMP if row.family == 4 else PROTO_ICMPV6)


cdef inline int one_state(const Record *row) noexcept nogil:
    """Both peers in one word, as OVS shows them without -m."""
    cdef int state = max(row.tcp_state[0], row.tcp_state[1])
    if state == FIN_WAIT_2:
        return TIME_WAIT
    return ESTABLISHED if state == SYN_RECV else state & 15


cdef char *put_offloaded(char *at, const Record *row) noexcept nogil:
    """offloaded=yes|pending|no[,reason=R]"""
    at = put(at, b"offloaded=yes" if row.offload == 2 else b"offloaded=pending" if row.offload == 1 else b"offloaded=no")
    if row.offload != 2 and row.reason:
        at = put(at, b",reason=")
        at = put(at, reasons[row.reason % N_REASONS])
    return at


# --- the lines of ovs-appctl -----------------------------------------------------------------------------------------

cdef char *put_ovs_tuple(char *at, const Record *row, const RecordTuple *ends, int direction, int wanted) noexcept nogil:
    at = put(at, b"(src=")
    at = put_address(at, row.family, ends.src)
    at = put(at, b",dst=")
    at = put_address(at, row.family, ends.dst)
    if is_echo(row):
        at = put_number(put(at, b",id="), ends.src_port)
        at = put_number(put(at, b",type="), ends.dst_port >> 8)
        at = put_number(put(at, b",code="), ends.dst_port & 255)
    else:
        at = put_number(put(at, b",sport="), ends.src_port)
        at = put_number(put(at, b",dport="), ends.dst_port)
    if wanted & WANT_OURS:
        at = put_number(put(at, b",packets="), row.packets[direction])
        at = put_number(put(at, b",bytes="), row.bytes[direction])
    return put(at, b")")


cdef char *put_ovs_flags(char *at, uint8_t scale) noexcept nogil:
    if scale & SCALE_ANNOUNCED and scale & SCALE_UNKNOWN:
        return put(at, b"WINDOW_SCALE|BE_LIBERAL")
    return put(at, b"WINDOW_SCALE" if scale & SCALE_ANNOUNCED else b"BE_LIBERAL" if scale & SCALE_UNKNOWN else b"0")


cdef char *put_ovs_tcp(char *at, const Record *row, int wanted) noexcept nogil:
    if not wanted & WANT_MORE:
        at = put(at, b",protoinfo=(state=")
        return put(put(at, states[one_state(row)]), b")")
    at = put(put(at, b",protoinfo=(state_orig="), states[row.tcp_state[0] & 15])
    at = put(put(at, b",state_reply="), states[row.tcp_state[1] & 15])
    if (row.wscale[0] | row.wscale[1]) & SCALE_MASK:
        at = put_number(put(at, b",wscale_orig="), row.wscale[0] & SCALE_MASK)
        at = put_number(put(at, b",wscale_reply="), row.wscale[1] & SCALE_MASK)
    at = put_ovs_flags(put(at, b",flags_orig="), row.wscale[0])
    at = put_ovs_flags(put(at, b",flags_reply="), row.wscale[1])
    return put(at, b")")


cdef char *put_ovs(char *at, const Record *row, int wanted) noexcept nogil:
    at = put(at, protocols[row.proto])
    at = put_ovs_tuple(put(at, b",orig="), row, &row.orig, 0, wanted)
    at = put_ovs_tuple(put(at, b",reply="), row, &row.reply, 1, wanted)
    if wanted & WANT_MORE:
        at = put(at, b",id=0")
    if row.zone:
        at = put_number(put(at, b",zone="), row.zone)
    if wanted & WANT_MORE:
        at = put(at, b",status=0")
    if wanted & WANT_STATISTICS:
        at = put_number(put(at, b",timeout="), max(row.timeout_ms, 0) // 1000)
    if row.mark:
        at = put_number(put(at, b",mark="), row.mark)
    if row.label[0] or row.label[1]:
        at = put_hex(put(at, b",labels="), row.label[1], row.label[0])
    if row.proto == PROTO_TCP:
        at = put_ovs_tcp(at, row, wanted)
    if wanted & WANT_OURS:
        at = put_offloaded(put(at, b","), row)
    return put(at, b"\n")


# --- the lines of conntrack(8) ---------------------------------------------------------------------------------------

cdef char *put_kernel_tuple(char *at, const Record *row, const RecordTuple *ends, int direction) noexcept nogil:
    at = put_address(put(at, b"src="), row.family, ends.src)
    at = put_address(put(at, b" dst="), row.family, ends.dst)
    if is_echo(row):
        at = put_number(put(at, b" type="), ends.dst_port >> 8)
        at = put_number(put(at, b" code="), ends.dst_port & 255)
        at = put_number(put(at, b" id="), ends.src_port)
    elif ends.src_port or ends.dst_port:
        at = put_number(put(at, b" sport="), ends.src_port)
        at = put_number(put(at, b" dport="), ends.dst_port)
    at = put_number(put(at, b" packets="), row.packets[direction])
    at = put_number(put(at, b" bytes="), row.bytes[direction])
    return put(at, b" ")


cdef char *put_kernel(char *at, const Record *row) noexcept nogil:
    cdef char *begin = at
    at = put(at, protocols[row.proto])
    while at - begin < 8:
        at = put(at, b" ")
    at = put_number(put(at, b" "), row.proto)
    at = put_number(put(at, b" "), max(row.timeout_ms, 0) // 1000)
    at = put(at, b" ")
    if row.proto == PROTO_TCP:
        at = put(put(at, kernel_states[one_state(row)]), b" ")
    at = put_kernel_tuple(at, row, &row.orig, 0)
    if not row.packets[1] and not row.flags & CONN_ESTABLISHED:
        at = put(at, b"[UNREPLIED] ")
    at = put_kernel_tuple(at, row, &row.reply, 1)
    if row.offload == 2:
        at = put(at, b"[HW_OFFLOAD] ")
    elif row.flags & CONN_ESTABLISHED:
        at = put(at, b"[ASSURED] ")
    at = put_number(put(at, b"mark="), row.mark)
    if row.zone:
        at = put_number(put(at, b" zone="), row.zone)
    at = put_offloaded(put(at, b" use=1 "), row)
    return put(at, b"\n")


# --- JSON ------------------------------------------------------------------------------------------------------------

cdef char *put_json_tuple(char *at, const Record *row, const RecordTuple *ends, int direction) noexcept nogil:
    at = put_address(put(at, b'{"src": "'), row.family, ends.src)
    at = put_address(put(at, b'", "dst": "'), row.family, ends.dst)
    if is_echo(row):
        at = put_number(put(at, b'", "id": '), ends.src_port)
        at = put_number(put(at, b', "type": '), ends.dst_port >> 8)
        at = put_number(put(at, b', "code": '), ends.dst_port & 255)
    else:
        at = put_number(put(at, b'", "sport": '), ends.src_port)
        at = put_number(put(at, b', "dport": '), ends.dst_port)
    at = put_number(put(at, b', "packets": '), row.packets[direction])
    at = put_number(put(at, b', "bytes": '), row.bytes[direction])
    return put(at, b"}")


cdef char *put_json_event(char *at, const Record *row) noexcept nogil:
    at = put(at, b'"event": "')
    at = put(at, b"new" if row.kind == EVENT_NEW else b"destroy" if row.kind == EVENT_DESTROY
             else b"offloaded" if row.kind == EVENT_OFFLOADED else b"returned" if row.kind == EVENT_RETURNED
             else b"update")
    at = put_number(put(at, b'", "time_ms": '), max(row.time_ms, 0))
    if row.kind == EVENT_DESTROY:
        at = put(at, b', "cause": "')
        at = put(at, b"expired" if row.cause == 0 else b"closed" if row.cause == 1 else b"flushed" if row.cause == 2
                 else b"replaced")
        at = put(at, b'"')
    return put(at, b", ")


cdef char *put_json_state(char *at, const Record *row) noexcept nogil:
    if row.proto != PROTO_TCP:
        at = put(at, b', "state": "')
        at = put(at, b"FIRST" if row.phase == 0 else b"SINGLE" if row.phase == 1 else b"MULTIPLE")
        return put(at, b'"')
    at = put(put(at, b', "state": "'), states[one_state(row)])
    at = put(put(at, b'", "tcp": {"orig": "'), states[row.tcp_state[0] & 15])
    at = put(put(at, b'", "reply": "'), states[row.tcp_state[1] & 15])
    return put(at, b'"}')


cdef char *put_json(char *at, const Record *row, int wanted) noexcept nogil:
    at = put(at, b"{")
    if wanted & WANT_EVENTS:
        at = put_json_event(at, row)
    at = put_hex(put(at, b'"id": "'), 0, row.conn_id)
    at = put(put(at, b'", "proto": "'), protocols[row.proto])
    at = put_number(put(at, b'", "family": '), row.family)
    at = put_json_tuple(put(at, b', "orig": '), row, &row.orig, 0)
    at = put_json_tuple(put(at, b', "reply": '), row, &row.reply, 1)
    at = put_number(put(at, b', "zone": '), row.zone)
    at = put_number(put(at, b', "mark": '), row.mark)
    at = put_hex(put(at, b', "labels": "'), row.label[1], row.label[0])
    at = put_number(put(at, b'", "timeout_ms": '), max(row.timeout_ms, 0))
    at = put_json_state(at, row)
    at = put(at, b', "established": ')
    at = put(at, b"true" if row.flags & CONN_ESTABLISHED else b"false")
    at = put(at, b', "nat": [')
    at = put(at, b'"snat", "dnat"]' if row.nat == (NAT_SRC | NAT_DST) else b'"snat"]' if row.nat & NAT_SRC
             else b'"dnat"]' if row.nat & NAT_DST else b"]")
    if row.helper:
        at = put(at, b', "helper": "')
        at = put(at, b'ftp"' if row.helper == HELPER_FTP else b'tftp"' if row.helper == HELPER_TFTP else b'other"')
    at = put(at, b', "offload": {"state": "')
    at = put(at, b'yes"' if row.offload == 2 else b'pending"' if row.offload == 1 else b'no"')
    if row.offload != 2 and row.reason:
        at = put(put(at, b', "reason": "'), reasons[row.reason % N_REASONS])
        at = put(at, b'"')
        if row.error:
            at = put_number(put(at, b', "errno": '), row.error)
    return put(at, b"}}")


# --- many ------------------------------------------------------------------------------------------------------------

cdef bytes many(rows, int form, int wanted):
    if not isinstance(rows, np.ndarray) or rows.dtype != CONNECTION or rows.ndim != 1:
        raise UsageError("rows are no connections of a dump", errno=_errno.EINVAL)
    cdef const uint8_t[::1] raw = np.ascontiguousarray(rows).view(np.uint8) if len(rows) else np.zeros(1, np.uint8)
    cdef const Record *row = <const Record *> &raw[0]
    cdef uint32_t n = len(rows)
    cdef char *text = <char *> malloc(<size_t> n * ROW_BYTES + 1)
    cdef char *at = text
    cdef uint32_t i
    if text == NULL:
        raise MemoryError
    with nogil:
        for i in range(n):
            if form == FORM_OVS:
                at = put_ovs(at, row + i, wanted)
            elif form == FORM_CONNTRACK:
                at = put_kernel(at, row + i)
            else:
                at = put_json(put(at, b",") if i else at, row + i, wanted)
    try:
        return PyBytes_FromStringAndSize(text, at - text)
    finally:
        free(text)


def ovs_text(rows, *, more: bool = False, statistics: bool = False, ours: bool = True) -> str:
    """Connections of a dump as lines of `ovs-appctl dpctl/dump-conntrack`; `more` is -m, `statistics` is -s.

    rows: CONNECTION[n], for all of these; of another type they raise UsageError.
    ours: with packets and bytes of each direction, and offloaded=yes|pending|no[,reason=R] at the end.
    """
    return many(rows, FORM_OVS, WANT_MORE * more | WANT_STATISTICS * statistics | WANT_OURS * ours).decode()


def ovs_lines(rows, *, more: bool = False, statistics: bool = False) -> list[str]:
    """Each connection of a dump (CONNECTION[n]) as OVS prints it, without what is ours."""
    return ovs_text(rows, more=more, statistics=statistics, ours=False).splitlines()


def conntrack_text(rows) -> str:
    """Connections of a dump (CONNECTION[n]) as lines of conntrack(8), with the offload state at the end."""
    return many(rows, FORM_CONNTRACK, 0).decode()


def json_rows(rows, *, events: bool = False) -> bytes:
    """Connections of a dump, or of events (CONNECTION[n]), as JSON objects joined by commas, in UTF-8."""
    return many(rows, FORM_JSON, WANT_EVENTS * events)
