# The rules of a port that are there before any connection's: where packets enter, which of them may meet connections,
# and what becomes of the others.
#
#     group 0 --everything of the port--> gate --whitelist--> connections of (port, zone) --CONNTRACK--> check
#
# Each of the last three ends in a catch-all to software. A pipeline belongs to a port and a domain; its groups are its own.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_error
from ctoffload_dpdk.providers._rte_flow_engine cimport RuleEngine
from ctoffload_dpdk.providers._rte_flow_queue cimport EngineRule
from ctoffload_dpdk.providers._rte_flow_rule cimport N_FAMILIES, N_PROTOS, RuleShape

cdef enum:
    ZONES_PER_PAGE = 256
    N_PAGES = 256            # 65536 zones
    MAX_TAGS = 2
    N_SHAPES = 384           # kinds of connection rules in a zone: see shape_index
    N_GROUPS = 0x10000

# Which packets of a port are in which zone: VLAN ids, outer first. Untagged packets are in zone 0 unless a line says else.
cdef struct ZoneLine:
    uint16_t zone
    uint8_t n_tags
    uint16_t tags[MAX_TAGS]

cdef struct ZoneMap:
    ZoneLine *lines
    uint32_t n_lines
    uint32_t size

# Group numbers in use. A jump leads to a higher one: gates, connections, checks.
cdef struct GroupPool:
    uint8_t used[N_GROUPS]

# A rule of the pipeline.
cdef struct StaticRule:
    RuleShape *shape
    EngineRule rule
    StaticRule *before       # made before this one, hence removed after it

# The connections of one zone of the port.
cdef struct ZoneGroup:
    uint16_t zone
    uint16_t group
    uint8_t n_tags
    bint has_catch_all
    uint8_t gated            # bit family * 3 + proto: let in by the gate
    uint32_t n_users         # connections with rules in it
    RuleShape **shapes       # by shape_index

# What leads on from CONNTRACK to one port.
cdef struct CheckGroup:
    uint16_t group           # 0: none
    bint is_ready

cdef struct Pipeline:
    uint8_t domain
    uint16_t ethdev          # whose packets
    uint16_t gate
    uint16_t n_queues        # of the port, for what goes to software in its own domain
    bint is_ready
    bint misses_reach_software       # without a rule: said of this driver's switch
    bint has_one_group       # connections stand in group 0: no gate, no catch-all; for plans that end in software alone
    RuleEngine *engine       # of the port that owns the rules
    GroupPool *groups
    const ZoneMap *zones
    int64_t idle_since_ms    # no connection has rules in it since then; 0: some have
    uint32_t n_rules         # room in the table of each shape of connections
    StaticRule *rules        # the latest first
    RuleShape *gates[18]     # by n_tags * 6 + family * 3 + proto
    ZoneGroup **pages[N_PAGES]
    CheckGroup *checks       # by ethdev of the way out

cdef inline int shape_index(int family, int proto, int does, int rewrites) noexcept nogil:
    return ((does * 4 + rewrites) * N_FAMILIES + family) * N_PROTOS + proto

cdef void pipeline_init(Pipeline *pl, uint8_t domain, uint16_t ethdev, RuleEngine *engine, GroupPool *groups,
                        const ZoneMap *zones) noexcept nogil
# The group of a zone, its packets of this family and protocol let in. 0 or errno; EOPNOTSUPP: no VLAN of the port is in
# the zone, or packets with and without tags are.
cdef inline int pipeline_zone(Pipeline *pl, uint16_t zone, int family, int proto, ZoneGroup **out,
                              rte_flow_error *error) noexcept nogil:
    cdef ZoneGroup **page = pl.pages[zone >> 8]
    out[0] = page[zone & 0xff] if page != NULL else NULL
    if out[0] != NULL and out[0].gated & (1 << (family * N_PROTOS + proto)):
        return 0
    return zone_ready(pl, zone, family, proto, out, error)
cdef int zone_ready(Pipeline *pl, uint16_t zone, int family, int proto, ZoneGroup **found,
                    rte_flow_error *error) noexcept nogil
# The group behind CONNTRACK for packets that leave by a port, or by its hairpin queue. 0 or errno.
cdef int pipeline_check(Pipeline *pl, uint16_t out_ethdev, uint16_t queue, uint16_t *group,
                        rte_flow_error *error) noexcept nogil
# The shape of a kind of connection rule in the zone's group. NULL: *failed says why.
cdef inline RuleShape *pipeline_shape(Pipeline *pl, ZoneGroup *zone, int family, int proto, int does, int rewrites,
                                      int *failed, rte_flow_error *error) noexcept nogil:
    cdef RuleShape *shape = zone.shapes[shape_index(family, proto, does, rewrites)]
    return shape if shape != NULL else zone_shape(pl, zone, family, proto, does, rewrites, failed, error)
cdef RuleShape *zone_shape(Pipeline *pl, ZoneGroup *zone, int family, int proto, int does, int rewrites,
                           int *failed, rte_flow_error *error) noexcept nogil
# Takes its rules out, the entry first, and its tables. 0, EBUSY while connections have rules in it, or the errno of a rule
# that stays. gone: the port is no longer there, nothing is asked of the driver.
cdef int pipeline_close(Pipeline *pl, bint gone) noexcept nogil
# A port goes: the group behind CONNTRACK that led to it goes too. 0 or errno.
cdef int pipeline_forget_way(Pipeline *pl, uint16_t out_ethdev) noexcept nogil
# Whether connections have rules in it.
cdef bint pipeline_has_users(const Pipeline *pl) noexcept nogil
cdef uint32_t pipeline_rules(const Pipeline *pl) noexcept nogil

# 0: added. EEXIST: the tags are in another zone. ENOMEM.
cdef int zone_map_add(ZoneMap *zones, const ZoneLine *line) noexcept nogil
cdef void zone_map_free(ZoneMap *zones) noexcept nogil
