"""A burst of packets through the engine: parse, look up, judge, act."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ctoffload_dpdk.conntrack._expect cimport expected
from ctoffload_dpdk.conntrack._group cimport (
    BEGIN, BY_HOME, FOLLOW, RETRY, Group, hand_over, home_of, is_stub, stub_give_back, stub_give_up, stub_new,
    stub_remove,
)
from ctoffload_dpdk.conntrack._hardware cimport (
    hardware_begin, hardware_defers_expiry, hardware_offer, hardware_offer_again, hardware_packet, is_visible,
)
from ctoffload_dpdk.conntrack._helper cimport helper_after, helper_before, helper_begin, helper_child, helper_for
from ctoffload_dpdk.conntrack._key cimport Parsed, key_equal, likely, prefetch
from ctoffload_dpdk.conntrack._life cimport (
    EVENT_NEW, EVENT_UPDATE, cause_of_timeout, conn_begin, conn_end, count_state, release_held, tell,
)
from ctoffload_dpdk.conntrack._nat cimport Elsewhere, nat_choose, nat_expected
from ctoffload_dpdk.conntrack._others cimport (
    UPDATE_INVALID, UPDATE_NEW, UPDATE_VALID_NEW, others_may_begin, others_update,
)
from ctoffload_dpdk.conntrack._packet cimport (
    CS_ESTABLISHED, CS_INVALID, CS_NEW, CS_RELATED, CS_REPLY_DIR, CS_TRACKED, PKT_TRANSLATED, REFUSED_DENIED, REFUSED_NAT,
    REFUSED_NO_CONNECTION, REFUSED_NOT, Action, NatAction, Packet, Verdict,
)
from ctoffload_dpdk.conntrack._parse cimport parse_burst
from ctoffload_dpdk.conntrack._policy cimport policy_allows
from ctoffload_dpdk.conntrack._state cimport (
    BURST, CAUSE_CLOSED, CAUSE_REPLACED, CONN_LABELLED, CONN_LIVE, CONN_NAT, CONN_SWAPPED, ENTRY_ALIAS, LIST_DUE, MAX_PORTS,
    MORE_CHILD, MORE_HELPED, N_PORT_HINTS, SLOT_MASK, Conn, Expectation, Label, Nat, Port, Shard,
)
from ctoffload_dpdk.conntrack._table cimport bucket_of, conn_prefetch, entry_key, index_candidate, index_find
from ctoffload_dpdk.conntrack._tcp cimport tcp_may_begin, tcp_update
from ctoffload_dpdk.conntrack._translate cimport translate
from ctoffload_dpdk.conntrack._wheel cimport list_pop, wheel_put, wheel_turn
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_ID

cdef extern from * nogil:
    uint32_t lowest_bit "__builtin_ctz"(uint32_t value)

cdef enum:
    PROTO_TCP = 6
    SLICE = 64               # connections looked at between two looks at the clock
    # Slots looked at in one slice after a switching: as many as the layer has outstanding by default, so that what was
    # looked at is still in the cache when it is served (107 -> 101 ns a rule above a plain loop).
    OFFERS = 512
    RELEASES = 64            # ended connections looked at in one slice of expiry


# --- ports -----------------------------------------------------------------------------------------------------------

# The index under which a port is remembered in connections: 16 bits in place of 64. 0 where no more fit.
cdef uint32_t find_port(Shard *shard, uint32_t port_id, uint32_t generation) noexcept nogil:
    cdef uint16_t *hint = &shard.port_hints[port_id % N_PORT_HINTS]
    cdef Port *port = &shard.ports[hint[0]]
    cdef uint32_t i
    if port.id == port_id and port.generation == generation:
        return hint[0]
    for i in range(1, shard.n_ports + 1):
        if shard.ports[i].id == port_id and shard.ports[i].generation == generation:
            hint[0] = <uint16_t> i
            return i
    if shard.n_ports == MAX_PORTS - 1:
        return 0
    shard.n_ports += 1
    shard.ports[shard.n_ports].id = port_id
    shard.ports[shard.n_ports].generation = generation
    hint[0] = <uint16_t> shard.n_ports
    return shard.n_ports


# True where packets of this direction came by another port before.
cdef inline bint remember_port(Shard *shard, Conn *conn, const Packet *packet, bint reply) noexcept nogil:
    cdef const Port *last = &shard.ports[shard.last_port]
    cdef uint16_t *port = &conn.port_reply if reply else &conn.port_orig
    cdef uint16_t before = port[0]
    if packet.port_id != last.id or packet.port_generation != last.generation:
        shard.last_port = find_port(shard, packet.port_id, packet.port_generation)
    port[0] = <uint16_t> shard.last_port
    return before != port[0] and before != 0


# --- look up ---------------------------------------------------------------------------------------------------------

# Where a mark names the connection, its record is fetched at once and the index is not looked at: `find` compares the key.
cdef inline void look_up(Shard *shard, const Packet *packets, const Parsed *parsed, uint32_t n, uint32_t *candidates) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        candidates[i] = packets[i].hint if packets[i].hint < shard.slot_top else 0
        if candidates[i]:
            conn_prefetch(&shard.conns[candidates[i]])
        elif likely(not parsed[i].refusal, True):
            prefetch(bucket_of(&shard.index, parsed[i].hash))
    for i in range(n):
        if likely(not parsed[i].refusal and not candidates[i], True):
            candidates[i] = index_candidate(&shard.index, parsed[i].hash)
            if candidates[i]:
                conn_prefetch(&shard.conns[candidates[i] & SLOT_MASK])
            if not likely(not candidates[i] & ENTRY_ALIAS, True):
                prefetch(&shard.nats[candidates[i] & SLOT_MASK])


# The entry now: an earlier packet of the burst may have begun, ended or replaced the connection.
cdef inline uint32_t find(Shard *shard, const Parsed *parsed, uint32_t candidate, uint32_t inserted) noexcept nogil:
    if likely(candidate and shard.conns[candidate & SLOT_MASK].flags & CONN_LIVE
              and key_equal(entry_key(shard, candidate), &parsed.key), True):
        return candidate
    if candidate or shard.inserted != inserted:
        return index_find(shard, &parsed.key, parsed.hash)
    return 0


# Whether the packet goes in the reply direction of the connection it was found by.
cdef inline bint is_reply(const Shard *shard, uint32_t entry, const Parsed *parsed) noexcept nogil:
    if likely(not entry & ENTRY_ALIAS, True):
        return parsed.swapped != (shard.conns[entry].flags & CONN_SWAPPED != 0)
    return parsed.swapped == shard.nats[entry & SLOT_MASK].reply_swapped


# A translated connection's tuple, turned round, is that of its packets behind the translation. They are its own only where
# the NIC translated them; else somebody there uses an address that is taken.
cdef bint is_foreign(const Shard *shard, uint32_t entry, const Packet *packet, bint reply) noexcept nogil:
    cdef uint32_t slot = entry & SLOT_MASK
    if not shard.conns[slot].flags & CONN_NAT or not shard.nats[slot].has_alias or packet.flags & PKT_TRANSLATED:
        return False
    return reply != (entry & ENTRY_ALIAS != 0)


# --- whose it is -----------------------------------------------------------------------------------------------------

cdef inline bint is_at_home(const Shard *shard, const Parsed *parsed) noexcept nogil:
    return home_of(<const Group *> shard.group, &parsed.key) == shard.number


cdef void go_home(Shard *shard, const Packet *packet, const Parsed *parsed, Verdict *verdict) noexcept nogil:
    hand_over(shard, packet, home_of(<const Group *> shard.group, &parsed.key), BY_HOME, verdict)


# --- judge -----------------------------------------------------------------------------------------------------------

# `stale` is a connection of this tuple whose time is up: it makes room for a successor, and for nothing else.
cdef uint32_t begin(Shard *shard, const Packet *packet, const Parsed *parsed, const Action *action, uint32_t stale,
                    int64_t now_ms, Verdict *verdict) noexcept nogil:
    cdef Expectation expectation
    cdef Elsewhere elsewhere
    cdef uint32_t slot
    cdef Nat nat
    cdef const NatAction *translation = action.nat
    cdef bint is_expected, translate_it, fits
    cdef uint8_t helper
    if parsed.key.proto == PROTO_TCP:
        verdict.reason = tcp_may_begin(parsed)
    else:
        verdict.reason = REFUSED_NOT if others_may_begin(parsed) else REFUSED_NO_CONNECTION
    if verdict.reason:
        verdict.state = CS_INVALID
        return 0
    verdict.state = CS_NEW
    if not action.commit:
        if expected(shard, parsed, &expectation):
            verdict.state |= CS_RELATED
        return 0
    if shard.group != NULL and packet.directive != BEGIN and not is_at_home(shard, parsed):
        if stale:
            conn_end(shard, stale, cause_of_timeout(shard, stale), now_ms)
        go_home(shard, packet, parsed, verdict)
        return 0
    is_expected = expected(shard, parsed, &expectation)
    # What a helper expects was allowed with its control connection.
    if action.policy != NULL and not is_expected and not policy_allows(action.policy, packet, parsed, &translation):
        verdict.reason = REFUSED_DENIED
        return 0
    if stale:
        conn_end(shard, stale, cause_of_timeout(shard, stale), now_ms)
        is_expected = expected(shard, parsed, &expectation)
    elsewhere.is_allowed = packet.directive == BY_HOME
    if is_expected:
        verdict.state |= CS_RELATED
        translate_it = action.nat != NULL and expectation.nat != 0
        fits = not translate_it or nat_expected(shard, parsed, &expectation, now_ms, &elsewhere, &nat)
    else:
        translate_it = translation != NULL and translation.what and (not translation.family
                                                                     or translation.family == parsed.key.family)
        fits = not translate_it or nat_choose(shard, parsed, translation, now_ms, &elsewhere, &nat)
    if shard.group != NULL and packet.directive == BEGIN and not translate_it:
        # what is expected changed on the way: what is not translated begins at home, where the stub is in its way
        stub_give_back(<Group *> shard.group, packet.stub_home, packet.stub)
        go_home(shard, packet, parsed, verdict)
        return 0
    if not fits and shard.group != NULL and begin_elsewhere(shard, packet, parsed, &elsewhere, verdict):
        return 0
    if not fits:
        # OVS lets it through untranslated
        verdict.state = CS_INVALID
        verdict.reason = REFUSED_NAT
        return 0
    if shard.group != NULL and packet.directive == RETRY:
        stub_remove(shard, packet.stub)      # a tuple became free here meanwhile
    slot = conn_begin(shard, parsed, action, &nat if translate_it else NULL, now_ms, &verdict.reason)
    if slot and shard.group != NULL and packet.directive == BEGIN:
        shard.nats[slot].stub_home = packet.stub_home + 1
        shard.nats[slot].stub = packet.stub
    if slot and is_expected:
        helper_child(shard, slot, &expectation)
        shard.counters.expected += 1
    elif slot and (action.helper or action.n_helpers):
        helper = helper_for(action, parsed)
        if helper:
            helper_begin(shard, slot, helper)
    if slot:
        remember_port(shard, &shard.conns[slot], packet, False)
        if shard.offload != NULL:
            hardware_begin(shard, slot)
        if shard.events.ring != NULL:
            tell(shard, slot, EVENT_NEW, 0, now_ms)
    return slot


# --- of several shards -----------------------------------------------------------------------------------------------

# No tuple is free here for a connection that is to be translated. At home it goes on to the next shard that has candidates,
# with a stub for the packets behind it; from there it comes back. False: no shard is left.
cdef bint begin_elsewhere(Shard *shard, const Packet *packet, const Parsed *parsed, const Elsewhere *elsewhere,
                          Verdict *verdict) noexcept nogil:
    cdef Packet next = packet[0]
    cdef uint32_t left
    if packet.directive == BEGIN:
        next.tried |= <uint32_t> 1 << shard.number
        if not hand_over(shard, &next, packet.stub_home, RETRY, verdict):
            stub_give_back(<Group *> shard.group, packet.stub_home, packet.stub)
        return True
    left = elsewhere.shards & ~packet.tried
    if not left:
        return False
    left = elsewhere.first if left >> elsewhere.first & 1 else lowest_bit(left)
    if packet.directive != RETRY:
        next.stub = stub_new(shard, &parsed.key, parsed.hash, left)
        next.stub_home = <uint8_t> shard.number
    if not next.stub:
        return False
    shard.nats[next.stub].stub_home = <uint8_t> (left + 1)
    if not hand_over(shard, &next, left, BEGIN, verdict):
        stub_remove(shard, next.stub)
    return True


# --- judge, once more ------------------------------------------------------------------------------------------------

# No connection, or one whose time is up: a new one takes its place.
cdef uint32_t judge_new(Shard *shard, const Packet *packet, const Parsed *parsed, const Action *action, uint32_t stale,
                        int64_t now_ms, Verdict *verdict) noexcept nogil:
    if parsed.related:
        verdict.state = CS_INVALID
        verdict.reason = REFUSED_NO_CONNECTION
        return 0
    return begin(shard, packet, parsed, action, stale, now_ms, verdict)


cdef inline uint8_t step(Shard *shard, uint32_t slot, const Parsed *parsed, bint reply, int64_t now_ms,
                         uint8_t *refusal) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef uint8_t before = conn.state
    cdef uint8_t update
    if parsed.key.proto == PROTO_TCP:
        update = tcp_update(shard, slot, parsed, reply, now_ms, refusal)
    else:
        update = others_update(shard, slot, parsed.key.proto, reply, now_ms)
    if not likely(conn.state == before, True):
        count_state(shard, conn, before)
        if shard.events.ring != NULL and update != UPDATE_NEW:
            tell(shard, slot, EVENT_UPDATE, 0, now_ms)
    return update


cdef inline uint32_t judge_known(Shard *shard, const Packet *packet, const Parsed *parsed, const Action *action,
                                 uint32_t slot, bint reply, int64_t now_ms, Verdict *verdict) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef uint8_t update
    cdef bint has_moved
    if parsed.related:
        verdict.state = CS_RELATED | (CS_REPLY_DIR if reply else 0)
        return slot
    if conn.generation & MORE_HELPED and action.nat != NULL:
        helper_before(shard, slot, packet, parsed, reply)
    update = step(shard, slot, parsed, reply, now_ms, &verdict.reason)
    if update == UPDATE_NEW:
        conn_end(shard, slot, CAUSE_REPLACED if action.commit else CAUSE_CLOSED, now_ms)
        return begin(shard, packet, parsed, action, 0, now_ms, verdict)
    if update == UPDATE_INVALID:
        verdict.state = CS_INVALID
        return slot
    if update == UPDATE_VALID_NEW:
        verdict.state = CS_NEW
    else:
        verdict.state = CS_ESTABLISHED | (CS_REPLY_DIR if reply else 0)
    has_moved = remember_port(shard, conn, packet, reply)
    if shard.offload != NULL:
        hardware_packet(shard, slot, parsed, update, reply, now_ms)
        if not likely(not has_moved, True):
            hardware_offer(shard, slot)
    return slot


cdef inline uint32_t judge(Shard *shard, const Packet *packet, const Parsed *parsed, const Action *action, uint32_t entry,
                           int64_t now_ms, Verdict *verdict, bint *reply) noexcept nogil:
    cdef uint32_t slot = entry & SLOT_MASK
    reply[0] = False
    if not slot:
        return judge_new(shard, packet, parsed, action, 0, now_ms, verdict)
    if not likely(is_visible(shard, slot, now_ms), True):
        if is_stub(shard, slot):
            if packet.directive == RETRY and packet.stub == slot:
                return judge_new(shard, packet, parsed, action, 0, now_ms, verdict)
            hand_over(shard, packet, shard.nats[slot].stub_home - 1, FOLLOW, verdict)
            return 0
        return judge_new(shard, packet, parsed, action, slot, now_ms, verdict)
    reply[0] = is_reply(shard, entry, parsed)
    if not likely(not shard.conns[slot].flags & CONN_NAT, True) and is_foreign(shard, entry, packet, reply[0]):
        verdict.state = CS_INVALID
        verdict.reason = REFUSED_NAT
        return 0
    if action.force and reply[0]:
        reply[0] = False
        conn_end(shard, slot, CAUSE_REPLACED, now_ms)
        return judge_new(shard, packet, parsed, action, 0, now_ms, verdict)
    return judge_known(shard, packet, parsed, action, slot, reply[0], now_ms, verdict)


# --- act -------------------------------------------------------------------------------------------------------------

cdef void set_metadata(Shard *shard, uint32_t slot, const Action *action, int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Label *label = &shard.labels[slot]
    cdef uint32_t mark = conn.mark
    cdef uint64_t word
    cdef bint changed = False
    cdef int i
    if action.mark_mask:
        conn.mark = action.mark | (conn.mark & ~action.mark_mask)
        changed = conn.mark != mark
    for i in range(2):
        if action.label_mask[i]:
            word = action.label[i] | (label.word[i] & ~action.label_mask[i])
            changed = changed or word != label.word[i]
            label.word[i] = word
            conn.flags |= CONN_LABELLED
    if changed and shard.events.ring != NULL:
        tell(shard, slot, EVENT_UPDATE, 0, now_ms)


# What a packet of a connection brings about beside its verdict.
cdef inline void carry_out(Shard *shard, const Packet *packet, Parsed *parsed, const Action *action, uint32_t slot,
                           bint reply, int64_t now_ms, Verdict *verdict) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    if (action.mark_mask or action.label_mask[0] or action.label_mask[1]) and not conn.generation & MORE_CHILD:
        set_metadata(shard, slot, action, now_ms)
    if not likely(not conn.generation & (MORE_HELPED | MORE_CHILD), True):
        if conn.generation & MORE_HELPED:
            helper_after(shard, slot, packet, parsed, reply, action.nat != NULL, verdict)
        elif not verdict.state & CS_INVALID:
            verdict.state |= CS_RELATED
    if action.nat != NULL and conn.flags & CONN_NAT:
        verdict.state |= translate(shard, slot, packet, parsed, reply)
    verdict.conn_id = CT_OFFLOAD_ID(shard.number, conn.generation, slot)
    verdict.mark = conn.mark
    if likely(not parsed.related and not verdict.state & CS_INVALID, True):
        conn.packets[reply] += 1
        conn.bytes[reply] += packet.length


cdef inline void act(Shard *shard, const Packet *packet, Parsed *parsed, const Action *action, uint32_t slot,
                     bint reply, int64_t now_ms, Verdict *verdict) noexcept nogil:
    if slot:
        carry_out(shard, packet, parsed, action, slot, reply, now_ms, verdict)
    if verdict.reason:
        shard.counters.refused[verdict.reason] += 1
    if verdict.state & CS_INVALID:
        shard.counters.invalid += 1
    verdict.state |= CS_TRACKED


cdef void burst(Shard *shard, const Packet *packets, uint32_t n, const Action *action, int64_t now_ms,
                Verdict *verdicts) noexcept nogil:
    cdef Parsed parsed[BURST]
    cdef uint32_t candidates[BURST]
    cdef uint32_t inserted = shard.inserted
    cdef uint32_t i, entry, slot
    cdef bint reply
    if now_ms < shard.now_ms:
        now_ms = shard.now_ms
    shard.now_ms = now_ms
    shard.counters.packets += n
    parse_burst(packets, n, &shard.seed, shard.ovs_compat, parsed)
    look_up(shard, packets, parsed, n, candidates)
    for i in range(n):
        verdicts[i].conn_id = 0
        verdicts[i].mark = 0
        verdicts[i].state = CS_INVALID
        verdicts[i].reason = parsed[i].refusal
        verdicts[i].grown = 0
        slot = 0
        reply = False
        if likely(not parsed[i].refusal, True):
            if shard.group != NULL and packets[i].directive == BY_HOME and not is_at_home(shard, &parsed[i]):
                go_home(shard, &packets[i], &parsed[i], &verdicts[i])
                continue
            entry = find(shard, &parsed[i], candidates[i], inserted)
            if packets[i].hint:
                shard.counters.hints[entry == packets[i].hint] += 1
            slot = judge(shard, &packets[i], &parsed[i], action, entry, now_ms, &verdicts[i], &reply)
            if not likely(verdicts[i].state != 0, True):
                continue                 # handed over
            if shard.group != NULL and not slot:
                stub_give_up(shard, &packets[i])
        act(shard, &packets[i], &parsed[i], action, slot, reply, now_ms, &verdicts[i])


# --- expiry ----------------------------------------------------------------------------------------------------------

cdef inline int64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1000000 + now.tv_nsec // 1000


cdef void look_at_due(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    if conn.expires_ms > now_ms:
        wheel_put(shard, slot, conn.expires_ms)
        return
    # conn_end takes it off a list, and asking the NIC puts it on the wheel again
    wheel_put(shard, slot, now_ms)
    if not hardware_defers_expiry(shard, slot, now_ms):
        conn_end(shard, slot, cause_of_timeout(shard, slot), now_ms)


cdef uint32_t expire(Shard *shard, int64_t now_ms, uint32_t budget_us) noexcept nogil:
    cdef int64_t end_us = clock_us() + budget_us
    cdef uint32_t looked = 0
    cdef uint32_t slot
    if now_ms < shard.now_ms:
        now_ms = shard.now_ms
    shard.now_ms = now_ms
    release_held(shard, RELEASES)
    if shard.offload != NULL:
        hardware_offer_again(shard, OFFERS)
    wheel_turn(shard, now_ms)
    while True:
        slot = list_pop(shard, LIST_DUE)
        if not slot:
            return looked
        look_at_due(shard, slot, now_ms)
        looked += 1
        if looked % SLICE == 0 and clock_us() >= end_us:
            return looked
