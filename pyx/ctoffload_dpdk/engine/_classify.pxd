# Which packets the tracker sees at all.
from libc.stdint cimport uint8_t, uint16_t, uint32_t

cpdef enum Untracked:
    TRACKED = 0
    UNTRACKED_NON_IP = 1                # ARP, LLDP, spanning tree, ...
    UNTRACKED_LINK_LOCAL_MULTICAST = 2  # 224.0.0.0/24, ff02::/16: routing and name protocols of this link
    UNTRACKED_NEIGHBOUR_DISCOVERY = 3   # ICMPv6 133 to 137: IPv6's ARP, which conntrack would call invalid
    UNTRACKED_FRAGMENT = 4              # where the settings say so. classify: or may be one, ask is_fragment
    N_UNTRACKED = 5


# Hop-by-hop options, routing, fragment, authentication, destination options.
cdef inline bint is_extension(uint8_t header) noexcept nogil:
    return header == 44 or header == 0 or header == 43 or header == 51 or header == 60


cdef inline int classify(const uint8_t *data, uint32_t length, uint16_t *tags, int *n_tags) noexcept nogil:
    """TRACKED, or why the packet passes by the tracker; and the ids of its first two VLAN tags.

    Looks at headers only as far as they are there. An IPv6 packet whose first header is an extension may be a fragment.
    """
    cdef uint32_t at = 12
    cdef uint16_t kind
    n_tags[0] = 0
    if length < 14:
        return UNTRACKED_NON_IP
    kind = (<uint16_t> data[at] << 8) | data[at + 1]
    while n_tags[0] < 2 and (kind == 0x8100 or kind == 0x88a8):
        if length < at + 6:
            return UNTRACKED_NON_IP
        tags[n_tags[0]] = ((<uint16_t> data[at + 2] << 8) | data[at + 3]) & 0xfff
        n_tags[0] += 1
        at += 4
        if length < at + 2:
            return UNTRACKED_NON_IP
        kind = (<uint16_t> data[at] << 8) | data[at + 1]
    at += 2
    if kind == 0x0800:
        if length >= at + 20 and data[at + 16] == 224 and data[at + 17] == 0 and data[at + 18] == 0:
            return UNTRACKED_LINK_LOCAL_MULTICAST
        # more fragments, or an offset
        if length >= at + 20 and (data[at + 6] & 0x3f or data[at + 7]):
            return UNTRACKED_FRAGMENT
        return TRACKED
    if kind != 0x86dd:
        return UNTRACKED_NON_IP
    if length >= at + 41:
        if data[at + 6] == 58 and 133 <= data[at + 40] <= 137:
            return UNTRACKED_NEIGHBOUR_DISCOVERY
        if data[at + 24] == 0xff and (data[at + 25] & 0x0f) <= 2:
            return UNTRACKED_LINK_LOCAL_MULTICAST
        if is_extension(data[at + 6]):
            return UNTRACKED_FRAGMENT
    return TRACKED
