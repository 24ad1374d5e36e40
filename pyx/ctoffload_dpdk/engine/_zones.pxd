# Which conntrack zone the packets of a port are in, by their VLAN ids.
from libc.stdint cimport int32_t, uint16_t, uint32_t

cdef enum:
    MAX_TAGS = 2
    N_VLANS = 4096
    NO_ZONE = -1

# Two tags, outer first, and their zone.
cdef struct PairZone:
    uint16_t tags[MAX_TAGS]
    uint16_t zone

cdef struct PortZones:
    int32_t untagged         # 0 where nothing else was said
    int32_t *single          # by VLAN id, NO_ZONE where there is none; NULL: nowhere
    PairZone *pairs
    uint32_t n_pairs


cdef inline int32_t zone_of(const PortZones *zones, const uint16_t *tags, int n_tags) noexcept nogil:
    """The zone, or NO_ZONE where these tags are in none."""
    cdef uint32_t i
    if n_tags == 0:
        return zones.untagged
    if n_tags == 1:
        return zones.single[tags[0]] if zones.single != NULL else NO_ZONE
    for i in range(zones.n_pairs):
        if zones.pairs[i].tags[0] == tags[0] and zones.pairs[i].tags[1] == tags[1]:
            return zones.pairs[i].zone
    return NO_ZONE
