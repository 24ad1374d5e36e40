"""What a shard holds besides connections, as lists: what helpers expect, and datagrams that are not whole yet."""
import ipaddress

from libc.stdint cimport uint8_t, uint32_t

from ctoffload_dpdk.conntrack._conntrack cimport Conntrack, Shard
from ctoffload_dpdk.conntrack._fragments cimport (
    LIST_COMPLETE,
    LIST_FAILED,
    Datagram,
    Fragments,
)
from ctoffload_dpdk.conntrack._life cimport conn_record
from ctoffload_dpdk.conntrack._state cimport CONN_LIVE, MORE_HELPED, Expectation, Record
from ctoffload_dpdk.offload.libspsc cimport shared_get

HELPER_NAMES = ("", "ftp", "tftp")


cdef str address(const uint8_t *packed, int family):
    return str(ipaddress.ip_address(<bytes> packed[:4 if family == 4 else 16]))


def expectations(Conntrack tracker not None, at_most: int = 10_000) -> list:
    """What is expected: dicts of proto, zone, mark, label, src, dst, dport, helper, parent (src, dst, sport, dport).

    The source port of what is expected is open. Where a thread runs the tracker, hold it meanwhile.
    """
    cdef Shard *shard = tracker.opened()
    cdef uint32_t slot, at
    cdef const Expectation *one
    cdef Record parent
    found = []
    if shard.expectations == NULL or shared_get(&shard.expectations.n) == 0:
        return found
    for slot in range(1, shard.slot_top):
        if not (shard.conns[slot].flags & CONN_LIVE and shard.conns[slot].generation & MORE_HELPED):
            continue
        at = shard.helpers[slot].first_expected
        if at:
            conn_record(shard, slot, shard.now_ms, &parent)
        while at and len(found) < at_most:
            one = &shard.expectations.pool[at]
            found.append({
                "proto": one.proto, "zone": one.zone, "mark": one.mark, "label": one.label[0] | <object> one.label[1] << 64,
                "src": address(<const uint8_t *> one.src, one.family), "dst": address(<const uint8_t *> one.dst, one.family),
                "dport": one.dst_port, "helper": HELPER_NAMES[shard.helpers[slot].kind],
                "parent": {"src": address(parent.orig.src, parent.family), "dst": address(parent.orig.dst, parent.family),
                           "sport": parent.orig.src_port, "dport": parent.orig.dst_port},
            })
            at = one.sibling
    return found


cdef str state_of(const Datagram *datagram):
    """As OVS names it."""
    if datagram.state == LIST_COMPLETE:
        return "complete"
    if datagram.state == LIST_FAILED:
        return "reassemble fail"
    if datagram.saw_first and datagram.saw_last:
        return "first/last frag"
    return "first frag" if datagram.saw_first else "last frag" if datagram.saw_last else "other frag"


def datagrams(Conntrack tracker not None, at_most: int = 10_000) -> list:
    """Datagrams of which fragments are held, oldest first: dicts of src, dst, id, family, zone, proto, fragments, state.

    proto is 0 for IPv6, whose fragments do not tell. Where a thread runs the tracker, hold it meanwhile.
    """
    cdef Shard *shard = tracker.opened()
    cdef Fragments *fragments = <Fragments *> shard.fragments
    cdef const Datagram *datagram
    cdef uint32_t at, first
    found = []
    if fragments == NULL:
        return found
    for first in (fragments.oldest, fragments.first_complete):
        at = first
        while at and len(found) < at_most:
            datagram = &fragments.datagrams[at - 1]
            found.append({
                "src": address(datagram.key.src, datagram.key.family), "dst": address(datagram.key.dst, datagram.key.family),
                "id": datagram.key.id, "family": datagram.key.family, "zone": datagram.key.zone, "proto": datagram.key.proto,
                "fragments": datagram.n, "state": state_of(datagram),
            })
            at = datagram.newer
    return found
