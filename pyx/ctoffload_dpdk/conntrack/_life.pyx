"""The beginning and the end of connections, what is counted and told of it."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._expect cimport expect_no_more
from ctoffload_dpdk.conntrack._group cimport Group, stub_give_back
from ctoffload_dpdk.conntrack._key cimport Key, Parsed, is_icmp, key_hash
from ctoffload_dpdk.conntrack._others cimport others_begin
from ctoffload_dpdk.conntrack._packet cimport REFUSED_LIMIT, REFUSED_NO_MEMORY, REFUSED_ZONE_LIMIT, Action
from ctoffload_dpdk.conntrack._segment cimport TCP_CLOSING, peer_state
from ctoffload_dpdk.conntrack._state cimport (
    CAUSE_CLOSED, CAUSE_EXPIRED, CONN_HELD, CONN_LABELLED, CONN_LIVE, CONN_MIDSTREAM, CONN_NAT, CONN_SWAPPED, ENTRY_ALIAS,
    LIST_HELD, MORE_CHILD, MORE_HELPED, N_PROTOCOL_GROUPS, Conn, Label, Nat, Record, RecordTuple, Shard, Zone, ZoneLimit,
)
from ctoffload_dpdk.conntrack._table cimport index_put, index_remove, slot_give, slot_take
from ctoffload_dpdk.conntrack._tcp cimport tcp_begin
from ctoffload_dpdk.conntrack._timeouts cimport policy_index
from ctoffload_dpdk.conntrack._tuple cimport Tuple, told_ports, tuple_of_key
from ctoffload_dpdk.conntrack._wheel cimport list_append, list_pop, list_remove, wheel_put
from ctoffload_dpdk.offload._shard cimport (
    WANT_OUT, shard_holds, shard_standing, shard_want,
)
from ctoffload_dpdk.offload.libspsc cimport shared_add, shared_get, shared_set, shared_take, spin_give, spin_take
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_ID, CT_OFFLOAD_NO_PORT, CT_OFFLOAD_REASON_CLOSING

cdef enum:
    PROTO_TCP = 6


# --- limits ----------------------------------------------------------------------------------------------------------

# The zone's limit, made from the default where it has none; True where another connection fits, which is counted then.
cdef bint zone_take(Shard *shard, uint16_t zone) noexcept nogil:
    cdef ZoneLimit *limit = &shard.zone_limits[zone]
    cdef int64_t most = 0xffffffffU
    if not shared_get(&limit.epoch):
        if shard.zone_default <= 0:
            return True
        make_limit(shard, limit)
    if limit.follows and shard.zone_default <= 0:
        shared_add(&limit.counted, 1)
        return True
    return shared_take(&limit.counted, <uint32_t> min(shard.zone_default if limit.follows else limit.limit, most))


cdef void make_limit(Shard *shard, ZoneLimit *limit) noexcept nogil:
    cdef Group *group = <Group *> shard.group
    if group != NULL:
        spin_take(&group.limit_lock)
    if not shared_get(&limit.epoch):
        limit.last_epoch = (limit.last_epoch + 1) & 0xff or 1
        limit.follows = True
        shared_set(&limit.counted, 0)
        shared_set(&limit.epoch, limit.last_epoch)  # last: whoever sees it sees the rest
    if group != NULL:
        spin_give(&group.limit_lock)


cdef void zone_give(Shard *shard, uint16_t zone, uint8_t epoch) noexcept nogil:
    if epoch and epoch == shared_get(&shard.zone_limits[zone].epoch):
        shared_add(&shard.zone_limits[zone].counted, <uint32_t> -1)


# One of the connections that may be there at once, in all shards of the group.
cdef inline bint live_take(Shard *shard) noexcept nogil:
    if shard.group != NULL:
        return shared_take(&(<Group *> shard.group).live, shard.max_connections)
    return shard.n_live < shard.max_connections


cdef inline void live_give(Shard *shard) noexcept nogil:
    if shard.group != NULL:
        shared_add(&(<Group *> shard.group).live, <uint32_t> -1)


# A slot for a connection within the limits, 0 and why not.
cdef uint32_t room_take(Shard *shard, uint16_t zone, uint8_t *refusal) noexcept nogil:
    cdef uint32_t slot
    cdef uint8_t epoch
    if not zone_take(shard, zone):
        refusal[0] = REFUSED_ZONE_LIMIT
        return 0
    epoch = <uint8_t> shared_get(&shard.zone_limits[zone].epoch)
    if not live_take(shard):
        refusal[0] = REFUSED_LIMIT
    else:
        slot = slot_take(shard)
        if slot:
            shard.conns[slot].zone_epoch = epoch
            return slot
        refusal[0] = REFUSED_NO_MEMORY
        live_give(shard)
    zone_give(shard, zone, epoch)
    return 0


# --- numbers ---------------------------------------------------------------------------------------------------------

cdef uint8_t[256] GROUP
memset(GROUP, N_PROTOCOL_GROUPS - 1, 256)
for _i, _proto in enumerate((6, 17, 136, 132, 1, 58, 33, 2)):
    GROUP[<int> _proto] = <uint8_t> _i


cdef int group_of(uint8_t proto) noexcept nogil:
    return GROUP[proto]


# The state of the peer that is further on.
cdef inline int further_state(uint8_t state) noexcept nogil:
    return max(state & 0x0f, state >> 4)


cdef void count_state(Shard *shard, const Conn *conn, uint8_t before) noexcept nogil:
    cdef Zone *zone = &shard.zones[conn.key.zone]
    if conn.key.proto == PROTO_TCP:
        zone.tcp[further_state(before)] -= 1
        zone.tcp[further_state(conn.state)] += 1


# sign: 1 begins, -1 ends.
cdef inline void count_one(Shard *shard, const Conn *conn, uint32_t sign) noexcept nogil:
    cdef Zone *zone = &shard.zones[conn.key.zone]
    zone.live += sign
    zone.of[GROUP[conn.key.proto]] += sign
    if conn.key.proto == PROTO_TCP:
        zone.tcp[further_state(conn.state)] += sign
    shard.n_live += sign


# --- beginning -------------------------------------------------------------------------------------------------------

cdef void clear_conn(Shard *shard, uint32_t slot, const Parsed *parsed) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef uint32_t generation = conn.generation
    cdef uint8_t zone_epoch = conn.zone_epoch
    memset(conn, 0, sizeof(Conn))
    conn.generation = generation
    conn.zone_epoch = zone_epoch
    conn.key = parsed.key
    conn.flags = CONN_LIVE | (CONN_SWAPPED if parsed.swapped else 0)


cdef void nat_begin(Shard *shard, uint32_t slot, const Nat *nat) noexcept nogil:
    shard.nats[slot] = nat[0]
    shard.conns[slot].flags |= CONN_NAT
    if nat.has_alias:
        index_put(shard, slot | ENTRY_ALIAS, key_hash(&nat.reply, &shard.seed))


cdef uint32_t conn_begin(Shard *shard, const Parsed *parsed, const Action *action, const Nat *nat, int64_t now_ms,
                         uint8_t *refusal) noexcept nogil:
    cdef uint32_t slot = room_take(shard, parsed.key.zone, refusal)
    cdef Conn *conn
    if not slot:
        return 0
    clear_conn(shard, slot, parsed)
    conn = &shard.conns[slot]
    if action.timeout_policy:
        conn.policy = <uint16_t> policy_index(shard, action.timeout_policy)
    if parsed.key.proto == PROTO_TCP:
        tcp_begin(shard, slot, parsed, now_ms)
    else:
        others_begin(shard, slot, parsed.key.proto, now_ms)
    count_one(shard, conn, 1)
    shard.zone_top = max(shard.zone_top, <uint32_t> parsed.key.zone + 1)
    shard.counters.created += 1
    index_put(shard, slot, parsed.hash)
    if nat != NULL:
        nat_begin(shard, slot, nat)
    wheel_put(shard, slot, conn.expires_ms)
    return slot


# --- end -------------------------------------------------------------------------------------------------------------

cdef int cause_of_timeout(const Shard *shard, uint32_t slot) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    if conn.key.proto == PROTO_TCP and (peer_state(conn, 0) >= TCP_CLOSING or peer_state(conn, 1) >= TCP_CLOSING):
        return CAUSE_CLOSED
    return CAUSE_EXPIRED


cdef void conn_end(Shard *shard, uint32_t slot, int cause, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    if shard.events.ring != NULL:
        tell(shard, slot, EVENT_DESTROY, cause, now_ms)
    index_remove(shard, slot, key_hash(&conn.key, &shard.seed))
    if conn.flags & CONN_NAT and shard.nats[slot].has_alias:
        index_remove(shard, slot | ENTRY_ALIAS, key_hash(&shard.nats[slot].reply, &shard.seed))
    if conn.flags & CONN_NAT and shard.nats[slot].stub_home:
        stub_give_back(<Group *> shard.group, shard.nats[slot].stub_home - 1, shard.nats[slot].stub)
    if conn.generation & MORE_HELPED:
        expect_no_more(shard, slot)
    list_remove(shard, slot)
    zone_give(shard, conn.key.zone, conn.zone_epoch)
    live_give(shard)
    count_one(shard, conn, <uint32_t> -1)
    shard.counters.ended[cause] += 1
    if conn.flags & CONN_LABELLED:
        memset(&shard.labels[slot], 0, sizeof(Label))
    conn.flags &= ~<uint32_t> (CONN_LIVE | CONN_NAT)
    if shard.offload != NULL:
        shard_want(shard.offload, CT_OFFLOAD_ID(shard.number, conn.generation, slot), WANT_OUT, CT_OFFLOAD_REASON_CLOSING)
        if shard_holds(shard.offload, slot):
            shard.n_held += 1
            conn.flags |= CONN_HELD
            list_append(shard, slot, LIST_HELD)
            return
    slot_give(shard, slot)


cdef void release_one(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    if conn.flags & CONN_LIVE or not conn.flags & CONN_HELD or (shard.offload != NULL and shard_holds(shard.offload, slot)):
        return
    conn.flags &= ~<uint32_t> CONN_HELD
    list_remove(shard, slot)
    shard.n_held -= 1
    slot_give(shard, slot)


cdef void release_held(Shard *shard, uint32_t at_most) noexcept nogil:
    cdef uint32_t slot
    while at_most:
        slot = list_pop(shard, LIST_HELD)
        if not slot:
            return
        list_append(shard, slot, LIST_HELD)
        release_one(shard, slot)
        at_most -= 1


# --- what is told ----------------------------------------------------------------------------------------------------

# One end pair of a record: a direction's tuple as its packets have it.
cdef void put_tuple(const Key *key, bint swapped, RecordTuple *out) noexcept nogil:
    cdef Tuple ends
    cdef size_t size = 4 if key.family == 4 else 16
    tuple_of_key(key, swapped, &ends)
    memcpy(out.src, ends.src, size)
    memcpy(out.dst, ends.dst, size)
    told_ports(&ends, is_icmp(key), &out.src_port, &out.dst_port)


cdef void put_ends(const Shard *shard, uint32_t slot, Record *record) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef bint swapped = conn.flags & CONN_SWAPPED != 0
    put_tuple(&conn.key, swapped, &record.orig)
    if conn.flags & CONN_NAT:
        put_tuple(&shard.nats[slot].reply, shard.nats[slot].reply_swapped, &record.reply)
        record.nat = shard.nats[slot].what
    else:
        put_tuple(&conn.key, not swapped, &record.reply)


cdef uint8_t conn_offload(Shard *shard, uint32_t slot, uint16_t *reason, int *error) noexcept nogil:
    cdef uint64_t conn_id = CT_OFFLOAD_ID(shard.number, shard.conns[slot].generation, slot)
    if shard.offload == NULL:
        reason[0] = 0
        error[0] = 0
        return 0
    return shard_standing(shard.offload, conn_id, reason, error)


cdef void conn_record(Shard *shard, uint32_t slot, int64_t now_ms, Record *record) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef int i, error
    memset(record, 0, sizeof(Record))
    record.conn_id = CT_OFFLOAD_ID(shard.number, conn.generation, slot)
    record.time_ms = now_ms
    record.timeout_ms = conn.expires_ms - now_ms
    put_ends(shard, slot, record)
    record.mark = conn.mark
    record.timeout_policy = shard.policy_ids[conn.policy]
    record.zone = conn.key.zone
    record.family = conn.key.family
    record.proto = conn.key.proto
    record.flags = conn.flags
    record.helper = shard.helpers[slot].kind if conn.generation & MORE_HELPED else 0
    record.related = conn.generation & MORE_CHILD != 0
    record.timeout = conn.timeout
    record.port[0] = shard.ports[conn.port_orig].id
    record.port[1] = shard.ports[conn.port_reply].id
    for i in range(2):
        record.packets[i] = conn.packets[i]
        record.bytes[i] = conn.bytes[i]
        record.label[i] = shard.labels[slot].word[i] if conn.flags & CONN_LABELLED else 0
        if conn.key.proto == PROTO_TCP:
            record.tcp_state[i] = peer_state(conn, i)
            record.wscale[i] = conn.wscale[i]
    if conn.key.proto != PROTO_TCP:
        record.phase = conn.state
    record.offload = conn_offload(shard, slot, &record.reason, &error)
    record.error = <uint8_t> error


cdef void tell(Shard *shard, uint32_t slot, int kind, int cause, int64_t now_ms) noexcept nogil:
    cdef Record *record
    if shard.events.head - shard.events.tail == shard.events.size:
        shard.events.lost += 1
        return
    record = &shard.events.ring[shard.events.head % shard.events.size]
    conn_record(shard, slot, now_ms, record)
    record.kind = <uint8_t> kind
    record.cause = <uint8_t> cause
    shard.events.head += 1
