"""Conditions over a connection, as the filters of conntrack(8) have them: over the table itself, and over records of it."""

import errno as _errno
import ipaddress

import numpy as np

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.conntrack._conntrack import CONNECTION

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ctoffload_dpdk.conntrack._life cimport conn_offload
from ctoffload_dpdk.conntrack._nat cimport conn_tuple
from ctoffload_dpdk.conntrack._segment cimport peer_state
from ctoffload_dpdk.conntrack._state cimport CONN_LABELLED, CONN_SWAPPED, Conn, Record, Shard
from ctoffload_dpdk.conntrack._tuple cimport Tuple

cdef enum:
    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_ICMPV6 = 58

# The conditions that are one number, by name, with the highest that it can be.
NUMBERS = {"proto": (WANTS_PROTO, 0xff), "zone": (WANTS_ZONE, 0xffff), "offload": (WANTS_OFFLOAD, 0xff),
           "reason": (WANTS_REASON, 0xffff), "src_port": (WANTS_SRC_PORT, 0xffff), "dst_port": (WANTS_DST_PORT, 0xffff),
           "tcp_state": (WANTS_STATE, 0xff)}
ADDRESSES = ("src", "dst", "reply_src", "reply_dst")

cdef uint64_t[2] NO_LABEL = [0, 0]

# What conditions are about, wherever it stands.
cdef struct Seen:
    const uint8_t *addresses[N_ADDRESSES]
    uint32_t mark
    uint16_t zone
    uint16_t reason
    uint16_t src_port
    uint16_t dst_port
    uint8_t family
    uint8_t proto
    uint8_t offload
    uint8_t tcp_state[2]


cdef bint is_within(const Network *network, uint8_t family, const uint8_t *address) noexcept nogil:
    cdef int i
    if network.family == 0:
        return True
    if network.family != family:
        return False
    for i in range(4 if family == 4 else 16):
        if address[i] & network.mask[i] != network.address[i]:
            return False
    return True


cdef bint numbers_fit(const Wanted *wanted, const Seen *seen) noexcept nogil:
    cdef uint32_t conditions = wanted.conditions
    if conditions & WANTS_PROTO and seen.proto != wanted.proto:
        return False
    if conditions & WANTS_ZONE and seen.zone != wanted.zone:
        return False
    if conditions & WANTS_MARK and seen.mark & wanted.mark_mask != wanted.mark:
        return False
    # An identifier of ICMP is no port.
    if conditions & (WANTS_SRC_PORT | WANTS_DST_PORT) and (seen.proto == PROTO_ICMP or seen.proto == PROTO_ICMPV6):
        return False
    if conditions & WANTS_SRC_PORT and seen.src_port != wanted.src_port:
        return False
    if conditions & WANTS_DST_PORT and seen.dst_port != wanted.dst_port:
        return False
    if conditions & WANTS_STATE:
        if seen.proto != PROTO_TCP:
            return False
        return seen.tcp_state[0] == wanted.tcp_state or seen.tcp_state[1] == wanted.tcp_state
    return True


cdef inline bint label_fits(const Wanted *wanted, const uint64_t *label) noexcept nogil:
    return not wanted.conditions & WANTS_LABEL or (label[0] & wanted.label_mask[0] == wanted.label[0]
                                                   and label[1] & wanted.label_mask[1] == wanted.label[1])


cdef bint addresses_fit(const Wanted *wanted, const Seen *seen) noexcept nogil:
    cdef int i
    for i in range(N_ADDRESSES):
        if not is_within(&wanted.networks[i], seen.family, seen.addresses[i]):
            return False
    return True


cdef bint offload_fits(const Wanted *wanted, const Seen *seen) noexcept nogil:
    if wanted.conditions & WANTS_OFFLOAD and seen.offload != wanted.offload:
        return False
    return not wanted.conditions & WANTS_REASON or seen.reason == wanted.reason


cdef bint record_fits(const Wanted *wanted, const Record *record) noexcept nogil:
    cdef Seen seen
    if wanted.is_empty:
        return True
    seen.addresses = [&record.orig.src[0], &record.orig.dst[0], &record.reply.src[0], &record.reply.dst[0]]
    seen.mark = record.mark
    seen.zone = record.zone
    seen.reason = record.reason
    seen.src_port = record.orig.src_port
    seen.dst_port = record.orig.dst_port
    seen.family = record.family
    seen.proto = record.proto
    seen.offload = record.offload
    seen.tcp_state = [record.tcp_state[0], record.tcp_state[1]]
    return (numbers_fit(wanted, &seen) and label_fits(wanted, record.label) and addresses_fit(wanted, &seen)
            and offload_fits(wanted, &seen))


cdef bint slot_fits(const Wanted *wanted, Shard *shard, uint32_t slot) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef bint swapped = conn.flags & CONN_SWAPPED != 0
    cdef const uint8_t *a = <const uint8_t *> &conn.key.a
    cdef const uint8_t *b = <const uint8_t *> &conn.key.b
    cdef Tuple reply
    cdef Seen seen
    cdef int error
    if wanted.is_empty:
        return True
    seen.mark = conn.mark
    seen.zone = conn.key.zone
    seen.src_port = conn.key.b_port if swapped else conn.key.a_port
    seen.dst_port = conn.key.a_port if swapped else conn.key.b_port
    seen.family = conn.key.family
    seen.proto = conn.key.proto
    seen.tcp_state = [peer_state(conn, 0), peer_state(conn, 1)]
    if not numbers_fit(wanted, &seen):
        return False
    if not label_fits(wanted, &shard.labels[slot].word[0] if conn.flags & CONN_LABELLED else &NO_LABEL[0]):
        return False
    seen.addresses[<int> ADDRESS_SRC] = b if swapped else a
    seen.addresses[<int> ADDRESS_DST] = a if swapped else b
    if wanted.networks[<int> ADDRESS_REPLY_SRC].family or wanted.networks[<int> ADDRESS_REPLY_DST].family:
        conn_tuple(shard, slot, True, &reply)
    seen.addresses[<int> ADDRESS_REPLY_SRC] = <const uint8_t *> &reply.src[0]
    seen.addresses[<int> ADDRESS_REPLY_DST] = <const uint8_t *> &reply.dst[0]
    if not addresses_fit(wanted, &seen):
        return False
    # last, as it lies in a cache line of its own
    if wanted.conditions & (WANTS_OFFLOAD | WANTS_REASON):
        seen.offload = conn_offload(shard, slot, &seen.reason, &error)
        return offload_fits(wanted, &seen)
    return True


# --- from Python -----------------------------------------------------------------------------------------------------

cdef tuple masked(str name, pair, int bits):
    """(value, mask), checked."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise UsageError(f"filter: {name} is no (value, mask)", errno=_errno.EINVAL, op="filter")
    return tuple(whole(part, 0, (1 << <object> bits) - 1, f"filter: {name}") for part in pair)


cdef int set_network(Network *wanted, str name, network) except -1:
    if not isinstance(network, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        raise UsageError(f"filter: {name} is no ipaddress network", errno=_errno.EINVAL, op="filter")
    cdef bytes address = network.network_address.packed
    cdef bytes mask = network.netmask.packed
    wanted.family = network.version
    for i in range(len(address)):
        wanted.address[i] = address[i]
        wanted.mask[i] = mask[i]
    return 0


cdef int set_wanted(Wanted *wanted, dict conditions) except -1:
    memset(wanted, 0, sizeof(Wanted))
    wanted.is_empty = not conditions
    for name, value in conditions.items():
        if name in NUMBERS:
            bit, most = NUMBERS[name]
            whole(value, 0, most, f"filter: {name}")
            wanted.conditions |= <uint32_t> bit
        elif name == "mark":
            wanted.conditions |= WANTS_MARK
            wanted.mark, wanted.mark_mask = masked(name, value, 32)
        elif name == "label":
            wanted.conditions |= WANTS_LABEL
            label, label_mask = masked(name, value, 128)
            for word in range(2):
                wanted.label[word] = label >> 64 * word & (1 << 64) - 1
                wanted.label_mask[word] = label_mask >> 64 * word & (1 << 64) - 1
        elif name in ADDRESSES:
            set_network(&wanted.networks[<int> ADDRESSES.index(name)], name, value)
        else:
            raise UsageError(f"there is no condition {name}", errno=_errno.EINVAL, op="filter")
    wanted.proto = conditions.get("proto", 0)
    wanted.zone = conditions.get("zone", 0)
    wanted.offload = conditions.get("offload", 0)
    wanted.reason = conditions.get("reason", 0)
    wanted.src_port = conditions.get("src_port", 0)
    wanted.dst_port = conditions.get("dst_port", 0)
    wanted.tcp_state = conditions.get("tcp_state", 0)
    return 0


cdef class Conditions:
    """Conditions that all hold of a connection; without any, every connection fits.

    proto, zone, src_port, dst_port (of the original direction; an identifier of ICMP is no port), tcp_state (of either
    peer), offload (0 no, 1 pending, 2 yes), reason: a number; mark, label: (value, mask), the value under the mask;
    src, dst, reply_src, reply_dst: an ipaddress network. Raises UsageError EINVAL for any other name, and for what
    is none of these or does not fit.
    """

    def __cinit__(self, **conditions):
        set_wanted(&self.wanted, conditions)

    def fits(self, rows):
        """bool[n]: which of these CONNECTION rows fit. Raises UsageError EINVAL for rows of another type."""
        if not isinstance(rows, np.ndarray) or rows.dtype != CONNECTION or rows.ndim != 1:
            raise UsageError("rows are no connections of a dump", errno=_errno.EINVAL)
        found = np.empty(len(rows), np.bool_)
        cdef const uint8_t[::1] raw = np.ascontiguousarray(rows).view(np.uint8) if len(rows) else np.zeros(1, np.uint8)
        cdef uint8_t[::1] out = found.view(np.uint8)
        cdef const Record *record = <const Record *> &raw[0]
        cdef Py_ssize_t i
        with nogil:
            for i in range(out.shape[0]):
                out[i] = record_fits(&self.wanted, record + i)
        return found
