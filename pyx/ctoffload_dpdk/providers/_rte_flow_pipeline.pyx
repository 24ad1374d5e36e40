"""The static rules of a port: entry, gate, a group of connections per zone, check groups, catch-alls."""
from libc.errno cimport EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_eal cimport RTE_MAX_ETHPORTS
from ctoffload_dpdk.providers._rte_flow_engine cimport (
    ENGINE_ASYNC,
    engine_create_now,
    engine_destroy_now,
    engine_table_add,
    engine_table_remove,
)
from ctoffload_dpdk.providers._rte_flow_rule cimport (
    DOES_CONTEXT,
    DOMAIN_INGRESS,
    DOMAIN_TRANSFER,
    FAMILY_ANY,
    FAMILY_IPV4,
    FATE_JUMP,
    FATE_PORT,
    FATE_QUEUE,
    FATE_RSS,
    FATE_SOFTWARE,
    MAX_QUEUES,
    N_FAMILIES,
    N_PROTOS,
    PROTO_ANY,
    PROTO_ICMP,
    ShapeKind,
    shape_init,
)

cdef enum:
    GATE_GROUPS = 1                                   # + ethdev
    CONNECTION_GROUPS = GATE_GROUPS + RTE_MAX_ETHPORTS
    CHECK_GROUPS = 0x8000
    LAST_PRIORITY = 1        # of catch-alls; everything else is 0
    N_GATE_RULES = 1024      # room in a queued gate's table
    FEWEST_RULES = 1024      # a table of connections with less room is not worth having

# ICMP types of an echo and its reply.
cdef uint8_t[2][2] ECHO = [[8, 0], [128, 129]]


# ---- groups and zones --------------------------------------------------------------------------------------------------

cdef int group_take(GroupPool *groups, uint32_t first, uint32_t end, uint16_t *group) noexcept nogil:
    cdef uint32_t i
    for i in range(first, end):
        if not groups.used[i]:
            groups.used[i] = 1
            group[0] = <uint16_t> i
            return 0
    return ENOSPC


cdef int zone_map_add(ZoneMap *zones, const ZoneLine *line) noexcept nogil:
    cdef ZoneLine *lines
    cdef uint32_t i, size
    for i in range(zones.n_lines):
        if (zones.lines[i].n_tags == line.n_tags and zones.lines[i].tags[0] == line.tags[0]
                and zones.lines[i].tags[1] == line.tags[1]):
            return 0 if zones.lines[i].zone == line.zone else EEXIST
    if zones.n_lines == zones.size:
        size = zones.size * 2 if zones.size else 16
        lines = <ZoneLine *> realloc(zones.lines, size * sizeof(ZoneLine))
        if lines == NULL:
            return ENOMEM
        zones.lines, zones.size = lines, size
    zones.lines[zones.n_lines] = line[0]
    zones.n_lines += 1
    return 0


cdef void zone_map_free(ZoneMap *zones) noexcept nogil:
    free(zones.lines)
    memset(zones, 0, sizeof(ZoneMap))


cdef int tags_of(const ZoneMap *zones, uint16_t zone, uint8_t *n_tags) noexcept nogil:
    """How many tags the packets of a zone have on this port; EOPNOTSUPP where none has it, or they differ."""
    cdef bint untagged_elsewhere = False, found = False
    cdef uint32_t i
    for i in range(zones.n_lines):
        untagged_elsewhere |= zones.lines[i].n_tags == 0
        if zones.lines[i].zone == zone:
            if found and n_tags[0] != zones.lines[i].n_tags:
                return EOPNOTSUPP
            n_tags[0] = zones.lines[i].n_tags
            found = True
    if zone == 0 and not untagged_elsewhere:
        if found and n_tags[0] != 0:
            return EOPNOTSUPP
        n_tags[0] = 0
        found = True
    return 0 if found else EOPNOTSUPP


# ---- rules -------------------------------------------------------------------------------------------------------------

cdef RuleShape *shape_new(Pipeline *pl, ShapeKind *kind, uint32_t n_rules, int *failed,
                          rte_flow_error *error) noexcept nogil:
    """A shape with its table in the engine. NULL: *failed says why."""
    cdef RuleShape *shape = <RuleShape *> calloc(1, sizeof(RuleShape))
    cdef int i
    if shape == NULL:
        failed[0] = ENOMEM
        return NULL
    kind.domain = pl.domain
    kind.queued = pl.engine.kind == ENGINE_ASYNC
    failed[0] = shape_init(shape, kind)
    if failed[0] == 0:
        shape.engine = pl.engine
        shape.in_port.port_id = pl.ethdev
        shape.rss.queue_num = pl.n_queues
        for i in range(min(<int> pl.n_queues, <int> MAX_QUEUES)):
            shape.queues[i] = <uint16_t> i
        failed[0] = table_add(shape, n_rules, error)
    if failed[0] != 0:
        free(shape)
        return NULL
    return shape


cdef int table_add(RuleShape *shape, uint32_t n_rules, rte_flow_error *error) noexcept nogil:
    """Room for n_rules in a queued table, or as much of it as the driver has memory for."""
    cdef int failed
    while True:
        failed = engine_table_add(shape.engine, &shape.table, &shape.attr, shape.items, shape.actions,
                                  shape.action_masks, n_rules, error)
        if failed == 0 or shape.engine.kind != ENGINE_ASYNC or n_rules <= FEWEST_RULES:
            return failed
        n_rules //= 4


cdef void shape_free(Pipeline *pl, RuleShape *shape) noexcept nogil:
    cdef rte_flow_error error
    memset(&error, 0, sizeof(error))
    if engine_table_remove(pl.engine, &shape.table, &error) != EBUSY:
        free(shape)                      # else the engine still reaches for its table: rare, and never freed


cdef int rule_make(Pipeline *pl, RuleShape *shape, rte_flow_error *error) noexcept nogil:
    """Creates what the shape says now and notes it. The shape is the pipeline's, or freed with the rule."""
    cdef StaticRule *made = <StaticRule *> calloc(1, sizeof(StaticRule))
    cdef int failed
    if made == NULL:
        return ENOMEM
    failed = engine_create_now(pl.engine, &shape.table, shape.items, shape.actions, &made.rule, error)
    if failed:
        free(made)
        return failed
    made.shape = shape
    made.before = pl.rules
    pl.rules = made
    return 0


cdef int rules_unmake(Pipeline *pl, StaticRule *until, bint gone) noexcept nogil:
    """Takes out the latest rules, up to one that stays. 0, or the errno of a rule that could not be removed."""
    cdef StaticRule *last
    cdef int failed
    while pl.rules != until:
        last = pl.rules
        failed = 0 if gone else rule_remove(pl, last)
        if failed:
            return failed
        pl.rules = last.before
        rule_free(pl, last)
    return 0


cdef int rule_remove(Pipeline *pl, StaticRule *rule) noexcept nogil:
    cdef rte_flow_error error
    cdef int failed
    memset(&error, 0, sizeof(error))
    failed = engine_destroy_now(pl.engine, &rule.shape.table, &rule.rule, &error)
    if failed == ENODEV or failed == ENOENT:
        rule.shape.table.n_live -= not pl.engine.is_gone     # it went before us
        pl.engine.counts.lost += not pl.engine.is_gone
        return 0
    return failed


cdef void rule_free(Pipeline *pl, StaticRule *rule) noexcept nogil:
    if not is_gate(pl, rule.shape):
        shape_free(pl, rule.shape)
    free(rule)


cdef bint is_gate(const Pipeline *pl, const RuleShape *shape) noexcept nogil:
    """Shapes of the gate serve several rules and stay with the pipeline."""
    return shape.kind.group == pl.gate and shape.kind.family != FAMILY_ANY


cdef int single(Pipeline *pl, ShapeKind *kind, uint16_t value, rte_flow_error *error) noexcept nogil:
    """One rule with a shape of its own. value: the group, port or queue of its fate."""
    cdef int failed = 0
    cdef RuleShape *shape = shape_new(pl, kind, 1, &failed, error)
    if shape == NULL:
        return failed
    shape.jump.group = value
    shape.fate_port.port_id = value
    shape.queue.index = value
    failed = rule_make(pl, shape, error)
    if failed:
        shape_free(pl, shape)
    return failed


cdef int catch_all(Pipeline *pl, uint16_t group, rte_flow_error *error) noexcept nogil:
    """What no rule of the group matches goes to software."""
    cdef ShapeKind kind
    cdef int failed
    memset(&kind, 0, sizeof(kind))
    kind.family, kind.proto = FAMILY_ANY, PROTO_ANY
    kind.group, kind.priority = group, LAST_PRIORITY
    if pl.domain == DOMAIN_TRANSFER:
        if pl.misses_reach_software:
            return 0
        kind.fate = FATE_SOFTWARE
        return single(pl, &kind, pl.ethdev, error)
    kind.fate = FATE_RSS if pl.n_queues > 1 else FATE_QUEUE
    return single(pl, &kind, 0, error)


# ---- the pipeline ------------------------------------------------------------------------------------------------------

cdef void pipeline_init(Pipeline *pl, uint8_t domain, uint16_t ethdev, RuleEngine *engine, GroupPool *groups,
                        const ZoneMap *zones) noexcept nogil:
    memset(pl, 0, sizeof(Pipeline))
    pl.domain = domain
    pl.ethdev = ethdev
    pl.engine = engine
    pl.groups = groups
    pl.zones = zones
    pl.gate = <uint16_t> (GATE_GROUPS + ethdev)


cdef int make_ready(Pipeline *pl, rte_flow_error *error) noexcept nogil:
    """From the end to the beginning, so that no packet enters before its way is there."""
    cdef StaticRule *before = pl.rules
    cdef ShapeKind kind
    cdef int failed
    memset(&kind, 0, sizeof(kind))
    kind.family, kind.proto, kind.fate = FAMILY_ANY, PROTO_ANY, FATE_JUMP
    failed = catch_all(pl, pl.gate, error)
    if failed == 0:
        failed = single(pl, &kind, pl.gate, error)
    if failed:
        rules_unmake(pl, before, False)
        return failed
    pl.is_ready = True
    return 0


cdef int let_in(Pipeline *pl, ZoneGroup *zone, int family, int proto, rte_flow_error *error) noexcept nogil:
    """Rules of the gate: packets of this family and protocol with the zone's tags go on to its group."""
    cdef StaticRule *before = pl.rules
    cdef int failed = 0
    cdef RuleShape *shape = gate_shape(pl, zone.n_tags, family, proto, &failed, error)
    cdef bint default_zone = zone.zone == 0 and zone.n_tags == 0
    cdef uint32_t i
    if shape == NULL:
        return failed
    shape.jump.group = zone.group
    if default_zone:
        failed = gate_rules(pl, shape, error)
    for i in range(pl.zones.n_lines):
        if failed or pl.zones.lines[i].zone != zone.zone or (default_zone and pl.zones.lines[i].n_tags == 0):
            continue
        shape.vlan[0].hdr.vlan_tci = to_be16(pl.zones.lines[i].tags[0])
        shape.vlan[1].hdr.vlan_tci = to_be16(pl.zones.lines[i].tags[1])
        failed = gate_rules(pl, shape, error)
    if failed:
        rules_unmake(pl, before, False)
        return failed
    zone.gated |= 1 << (family * N_PROTOS + proto)
    return 0


cdef inline uint16_t to_be16(uint16_t value) noexcept nogil:
    return <uint16_t> (value >> 8 | value << 8)


cdef int gate_rules(Pipeline *pl, RuleShape *shape, rte_flow_error *error) noexcept nogil:
    """One rule, or for ICMP one per kind of echo."""
    cdef int i, failed = 0
    if shape.kind.proto != PROTO_ICMP:
        return rule_make(pl, shape, error)
    for i in range(2):
        shape.icmp.hdr.icmp_type = shape.icmp6.type = ECHO[shape.kind.family][i]
        failed = rule_make(pl, shape, error)
        if failed:
            break
    return failed


cdef RuleShape *gate_shape(Pipeline *pl, int n_tags, int family, int proto, int *failed,
                           rte_flow_error *error) noexcept nogil:
    cdef int index = (n_tags * N_FAMILIES + family) * N_PROTOS + proto
    cdef ShapeKind kind
    if pl.gates[index] == NULL:
        memset(&kind, 0, sizeof(kind))
        kind.family, kind.proto, kind.n_tags = <uint8_t> family, <uint8_t> proto, <uint8_t> n_tags
        kind.tags_valued = n_tags > 0
        kind.group, kind.fate = pl.gate, FATE_JUMP
        pl.gates[index] = shape_new(pl, &kind, N_GATE_RULES, failed, error)
    return pl.gates[index]


cdef ZoneGroup *zone_new(Pipeline *pl, uint16_t zone, int *failed) noexcept nogil:
    cdef ZoneGroup ***page = &pl.pages[zone >> 8]
    cdef ZoneGroup *made
    cdef uint8_t n_tags = 0
    failed[0] = tags_of(pl.zones, zone, &n_tags)
    if failed[0] == 0 and pl.has_one_group and n_tags:
        failed[0] = EOPNOTSUPP               # a tag would have to be matched with the connection
    if failed[0]:
        return NULL
    failed[0] = ENOMEM
    if page[0] == NULL:
        page[0] = <ZoneGroup **> calloc(ZONES_PER_PAGE, sizeof(ZoneGroup *))
        if page[0] == NULL:
            return NULL
    made = <ZoneGroup *> calloc(1, sizeof(ZoneGroup))
    if made == NULL:
        return NULL
    made.shapes = <RuleShape **> calloc(N_SHAPES, sizeof(RuleShape *))
    if made.shapes == NULL:
        free(made)
        return NULL
    failed[0] = 0 if pl.has_one_group else group_take(pl.groups, CONNECTION_GROUPS, CHECK_GROUPS, &made.group)
    if failed[0]:
        free(made.shapes)
        free(made)
        return NULL
    made.zone = zone
    made.n_tags = n_tags
    page[0][zone & 0xff] = made
    return made


cdef int zone_ready(Pipeline *pl, uint16_t zone, int family, int proto, ZoneGroup **found,
                    rte_flow_error *error) noexcept nogil:
    """A zone's group, made where there is none, with packets of this family and protocol let in."""
    cdef int failed = 0
    if found[0] == NULL:
        found[0] = zone_new(pl, zone, &failed)
        if found[0] == NULL:
            return failed
    if pl.has_one_group:
        found[0].gated |= 1 << (family * N_PROTOS + proto)
        return 0
    if not pl.is_ready:
        failed = make_ready(pl, error)
    if failed == 0 and not found[0].has_catch_all:
        failed = catch_all(pl, found[0].group, error)
        found[0].has_catch_all = failed == 0
    if failed == 0:
        failed = let_in(pl, found[0], family, proto, error)
    return failed


cdef int pipeline_check(Pipeline *pl, uint16_t out_ethdev, uint16_t queue, uint16_t *group,
                        rte_flow_error *error) noexcept nogil:
    cdef StaticRule *before = pl.rules
    cdef CheckGroup *check
    cdef ShapeKind kind
    cdef int failed = 0
    if pl.checks == NULL:
        pl.checks = <CheckGroup *> calloc(RTE_MAX_ETHPORTS, sizeof(CheckGroup))
        if pl.checks == NULL:
            return ENOMEM
    check = &pl.checks[out_ethdev]
    group[0] = check.group
    if check.is_ready:
        return 0
    if check.group == 0:
        failed = group_take(pl.groups, CHECK_GROUPS, N_GROUPS, &check.group)
        if failed:
            return failed
    group[0] = check.group
    memset(&kind, 0, sizeof(kind))
    kind.family, kind.proto, kind.checked, kind.group = FAMILY_ANY, PROTO_ANY, True, check.group
    kind.fate = FATE_PORT if pl.domain == DOMAIN_TRANSFER else FATE_QUEUE
    failed = catch_all(pl, check.group, error)
    if failed == 0:
        failed = single(pl, &kind, out_ethdev if pl.domain == DOMAIN_TRANSFER else queue, error)
    if failed:
        rules_unmake(pl, before, False)
    check.is_ready = failed == 0
    return failed


cdef RuleShape *zone_shape(Pipeline *pl, ZoneGroup *zone, int family, int proto, int does, int rewrites,
                           int *failed, rte_flow_error *error) noexcept nogil:
    cdef RuleShape **place = &zone.shapes[shape_index(family, proto, does, rewrites)]
    cdef ShapeKind kind
    memset(&kind, 0, sizeof(kind))
    kind.family, kind.proto, kind.does = <uint8_t> family, <uint8_t> proto, <uint8_t> does
    kind.rewrites, kind.n_tags = <uint8_t> rewrites, zone.n_tags
    kind.group, kind.of_connection = zone.group, True
    kind.fate = FATE_JUMP if does & DOES_CONTEXT else FATE_PORT if pl.domain == DOMAIN_TRANSFER else FATE_QUEUE
    place[0] = shape_new(pl, &kind, pl.n_rules, failed, error)
    if place[0] != NULL:
        place[0].n_users = &zone.n_users
    return place[0]


# ---- the end -----------------------------------------------------------------------------------------------------------

cdef void zone_free(Pipeline *pl, ZoneGroup *zone) noexcept nogil:
    cdef int i
    for i in range(N_SHAPES):
        if zone.shapes[i] != NULL:
            shape_free(pl, zone.shapes[i])
    if not pl.has_one_group:
        pl.groups.used[zone.group] = 0
    free(zone.shapes)
    free(zone)


cdef bint pipeline_has_users(const Pipeline *pl) noexcept nogil:
    cdef int page, i
    for page in range(N_PAGES):
        if pl.pages[page] != NULL:
            for i in range(ZONES_PER_PAGE):
                if pl.pages[page][i] != NULL and pl.pages[page][i].n_users:
                    return True
    return False


cdef void make_unready(Pipeline *pl) noexcept nogil:
    """Nothing counts as there any more, so that what comes next makes it anew."""
    cdef int page, i
    pl.is_ready = False
    for page in range(N_PAGES):
        if pl.pages[page] != NULL:
            for i in range(ZONES_PER_PAGE):
                if pl.pages[page][i] != NULL:
                    pl.pages[page][i].has_catch_all = False
                    pl.pages[page][i].gated = 0
    if pl.checks != NULL:
        for i in range(RTE_MAX_ETHPORTS):
            pl.checks[i].is_ready = False


cdef int pipeline_close(Pipeline *pl, bint gone) noexcept nogil:
    cdef int failed, page, i
    if not gone and pipeline_has_users(pl):
        return EBUSY
    make_unready(pl)
    failed = rules_unmake(pl, NULL, gone)
    if failed:
        return failed
    for page in range(N_PAGES):
        if pl.pages[page] == NULL:
            continue
        for i in range(ZONES_PER_PAGE):
            if pl.pages[page][i] != NULL:
                zone_free(pl, pl.pages[page][i])
        free(pl.pages[page])
        pl.pages[page] = NULL
    for i in range(18):
        if pl.gates[i] != NULL:
            shape_free(pl, pl.gates[i])
            pl.gates[i] = NULL
    if pl.checks != NULL:
        for i in range(RTE_MAX_ETHPORTS):
            if pl.checks[i].group:
                pl.groups.used[pl.checks[i].group] = 0
        free(pl.checks)
        pl.checks = NULL
    return 0


cdef int pipeline_forget_way(Pipeline *pl, uint16_t out_ethdev) noexcept nogil:
    cdef CheckGroup *check = &pl.checks[out_ethdev] if pl.checks != NULL else NULL
    cdef StaticRule **link = &pl.rules
    cdef StaticRule *rule
    cdef int failed
    if check == NULL or check.group == 0:
        return 0
    check.is_ready = False
    while link[0] != NULL:
        rule = link[0]
        if rule.shape.kind.group != check.group:
            link = &rule.before
            continue
        failed = rule_remove(pl, rule)
        if failed:
            return failed
        link[0] = rule.before
        rule_free(pl, rule)
    pl.groups.used[check.group] = 0
    check.group = 0
    return 0


cdef uint32_t pipeline_rules(const Pipeline *pl) noexcept nogil:
    cdef StaticRule *rule = pl.rules
    cdef uint32_t n = 0
    while rule != NULL:
        n += 1
        rule = rule.before
    return n
