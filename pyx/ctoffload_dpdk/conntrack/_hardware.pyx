"""What the offload layer is told of connections, and what it tells of them."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.conntrack._key cimport Key, Parsed, is_icmp, prefetch
from ctoffload_dpdk.conntrack._life cimport (
    EVENT_OFFLOADED, EVENT_RETURNED, cause_of_timeout, conn_end, release_one, tell,
)
from ctoffload_dpdk.conntrack._nat cimport conn_tuple
from ctoffload_dpdk.conntrack._others cimport PHASE_BOTH, UPDATE_EXCUSED, UPDATE_VALID
from ctoffload_dpdk.conntrack._packet cimport NAT_DST, NAT_SRC
from ctoffload_dpdk.conntrack._readback cimport window_read
from ctoffload_dpdk.conntrack._segment cimport (
    TCP_ESTABLISHED, TCP_FIN, TCP_FIN_WAIT_2, TCP_RST, TCP_SYN, WSCALE_ANNOUNCED, WSCALE_MASK, WSCALE_UNKNOWN, peer_state,
    tcp_flags,
)
from ctoffload_dpdk.conntrack._state cimport (
    CAUSE_FLUSHED, CONN_ESTABLISHED, CONN_LABELLED, CONN_LIVE, CONN_MIDSTREAM, CONN_NAT, CONN_OFFERED,
    CONN_SWAPPED, HW_ASKED,
    HW_BACK_OFF, HW_BYPASS, HW_CUT, HW_LEAVING, HW_PROVED_FALSE, HW_RELEARN, HW_SEEN_ORIG, HW_STANDS_ORIG, HW_WANTED, MORE_HELPED, WIN_AGAIN, WIN_LIBERAL,
    WIN_READ, WIN_RST_ORIG, WIN_STRICT, WIN_IN_NIC, Conn, Hardware, Port, generation_of,
)
from ctoffload_dpdk.conntrack._timeouts cimport longest_timeout_ms, timeout_ms
from ctoffload_dpdk.conntrack._tuple cimport Tuple, told_ports
from ctoffload_dpdk.conntrack._wheel cimport list_remove, wheel_put
from ctoffload_dpdk.conntrack._window cimport restore_timeout
from ctoffload_dpdk.offload._shard cimport (
    NOTICE_AGED, NOTICE_COUNTED, NOTICE_INSTALLED, NOTICE_LOST, NOTICE_NO_SAMPLE, NOTICE_OUT, NOTICE_PUSHED,
    NOTICE_REFUSED, NOTICE_SAMPLE, NOTICE_WINDOW, WANT_ADDED, WANT_INSTALLED, WANT_OUT, ConnTable, Notice, OffloadShard,
    shard_attach, shard_bring_back, shard_enabled, shard_epoch, shard_holds, shard_query, shard_reached, shard_set_packets,
    shard_want,
)
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_F_ALG, CT_OFFLOAD_F_DNAT, CT_OFFLOAD_F_MIDSTREAM, CT_OFFLOAD_F_SNAT, CT_OFFLOAD_F_STRICT, CT_OFFLOAD_ID,
    CT_OFFLOAD_ID_GENERATION, CT_OFFLOAD_ID_SLOT, CT_OFFLOAD_NO_PORT, CT_OFFLOAD_R_BYPASS, CT_OFFLOAD_REASON_BACK_OFF,
    CT_OFFLOAD_REASON_CLOSING, CT_OFFLOAD_REASON_NO_LAST_USED, ct_offload_counts, ct_offload_ctx, ct_offload_port,
    ct_offload_tcp_peer, ct_offload_tuple,
)

cdef enum:
    PROTO_TCP = 6
    MAX_DOUBLINGS = 10       # 1 s to 17 min
    MAX_NO_SAMPLES = 3
    ASK_AGAIN_MS = 1000
    UNDER_WAY_S = 2          # packets that passed the NIC before its rules did have come by then
    UNKNOWN_WSCALE = 0xff
    OFFERS_AHEAD = 32        # connections between fetching one and offering it


cdef inline uint64_t id_of(const Shard *shard, uint32_t slot) noexcept nogil:
    return CT_OFFLOAD_ID(shard.number, shard.conns[slot].generation, slot)


cdef inline void look_at(Shard *shard, uint32_t slot, int64_t check_ms) noexcept nogil:
    list_remove(shard, slot)
    wheel_put(shard, slot, check_ms)


# --- two small numbers in one byte -----------------------------------------------------------------------------------

cdef inline int doublings(const Hardware *hardware) noexcept nogil:
    return hardware.tries & 0x0f


cdef inline void count_no_sample(Hardware *hardware) noexcept nogil:
    hardware.tries += 0x10


cdef inline int no_samples(const Hardware *hardware) noexcept nogil:
    return hardware.tries >> 4


cdef inline void forget_no_samples(Hardware *hardware) noexcept nogil:
    hardware.tries &= 0x0f


# --- from software to the layer --------------------------------------------------------------------------------------

cdef void hardware_begin(Shard *shard, uint32_t slot) noexcept nogil:
    memset(&shard.hardware[slot], 0, sizeof(Hardware))
    # while the gate is shut nothing is offered; the walk that follows its opening does
    if not shard_enabled(shard.offload):
        return
    shard.conns[slot].flags |= CONN_OFFERED
    shard_want(shard.offload, id_of(shard, slot), WANT_ADDED, 0)


cdef void want_installed(Shard *shard, uint32_t slot) noexcept nogil:
    shard.conns[slot].flags |= CONN_ESTABLISHED | CONN_HARDWARE
    if not shard_enabled(shard.offload):
        return
    shard.conns[slot].flags |= CONN_OFFERED
    shard.hardware[slot].flags |= HW_WANTED
    shard_want(shard.offload, id_of(shard, slot), WANT_INSTALLED, 0)


# What took it out may prove false, so it may go in again after a time that doubles.
cdef void take_out(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    hardware.flags &= ~<uint32_t> (HW_WANTED | HW_PROVED_FALSE)
    hardware.flags |= HW_LEAVING | HW_BACK_OFF
    hardware.window &= ~<uint32_t> WIN_AGAIN
    hardware.retry_s = <uint32_t> ((now_ms - shard.epoch_ms) // 1000) + (1 << doublings(hardware))
    if doublings(hardware) < MAX_DOUBLINGS:
        hardware.tries += 1
    shard_bring_back(shard.offload, id_of(shard, slot), CT_OFFLOAD_REASON_CLOSING)


# A context checks windows where software saw the handshake, knows the window, and no check has proved wrong.
cdef bint is_to_be_strict(const Shard *shard, uint32_t slot) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef const Hardware *hardware = &shard.hardware[slot]
    return (shard.strict_windows and not shard.tcp_liberal and conn.key.proto == PROTO_TCP
            and conn.state == (TCP_ESTABLISHED | TCP_ESTABLISHED << 4) and not conn.flags & CONN_MIDSTREAM
            and not hardware.window & WIN_LIBERAL and not hardware.flags & HW_RELEARN)


# A packet that neither opens nor closes passes a context that checks, unless it is INVALID there. What software cannot
# place either is that at once; anything else once those are through that were under way when the rules went in.
cdef inline bint is_refused_by_nic(const Shard *shard, const Hardware *hardware, uint8_t update, int64_t now_ms) noexcept nogil:
    if not hardware.window & WIN_STRICT or not hardware.flags & HW_INSTALLED or not hardware.flags & HW_WANTED:
        return False
    return update == UPDATE_EXCUSED or now_ms - shard.epoch_ms >= <int64_t> hardware.retry_s * 1000


cdef void make_liberal(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    shard.counters.made_liberal += 1
    hardware.flags &= ~<uint32_t> HW_WANTED
    hardware.flags |= HW_LEAVING
    hardware.window &= ~<uint32_t> WIN_STRICT
    hardware.window |= WIN_LIBERAL | WIN_AGAIN
    shard_bring_back(shard.offload, id_of(shard, slot), CT_OFFLOAD_REASON_BACK_OFF)


# Both ends open, or one closed for good while the other goes on sending.
cdef inline bint may_go_in(const Conn *conn) noexcept nogil:
    cdef uint8_t ours = peer_state(conn, 0)
    cdef uint8_t theirs = peer_state(conn, 1)
    return ((ours == TCP_ESTABLISHED or ours == TCP_FIN_WAIT_2) and (theirs == TCP_ESTABLISHED or theirs == TCP_FIN_WAIT_2)
            and ours + theirs < 2 * TCP_FIN_WAIT_2)


cdef void back_in(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    if not may_go_in(&shard.conns[slot]) or hardware.flags & HW_RELEARN:
        return
    if now_ms - shard.epoch_ms < <int64_t> hardware.retry_s * 1000:
        if not hardware.flags & HW_PROVED_FALSE:
            hardware.flags |= HW_PROVED_FALSE
            shard_want(shard.offload, id_of(shard, slot), WANT_OUT, CT_OFFLOAD_REASON_BACK_OFF)
        return
    hardware.flags &= ~<uint32_t> (HW_BACK_OFF | HW_PROVED_FALSE)
    shard.counters.back_in += 1
    want_installed(shard, slot)


cdef inline bint is_established(const Shard *shard, const Conn *conn, bint reply) noexcept nogil:
    if conn.key.proto != PROTO_TCP:
        return conn.state == PHASE_BOTH
    if shard.establish_at_reply:
        return reply
    return conn.state == (TCP_ESTABLISHED | TCP_ESTABLISHED << 4)


# A removal that was wanted and is not complete. One that had nothing to remove is complete at once.
cdef bint is_leaving(Shard *shard, uint32_t slot) noexcept nogil:
    if shard.hardware[slot].flags & HW_LEAVING and not shard_holds(shard.offload, slot):
        left_nic(shard, slot)
    return shard.hardware[slot].flags & HW_LEAVING != 0


cdef void hardware_packet(Shard *shard, uint32_t slot, const Parsed *parsed, uint8_t update, bint reply,
                          int64_t now_ms) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef uint8_t flags = tcp_flags(parsed) if conn.key.proto == PROTO_TCP else 0
    if conn.flags & CONN_ESTABLISHED:
        if hardware.flags & HW_CUT and not flags & TCP_RST:
            restore_timeout(shard, slot, now_ms)
        if flags & (TCP_SYN | TCP_FIN | TCP_RST):
            if hardware.flags & HW_WANTED or hardware.window & WIN_AGAIN:
                take_out(shard, slot, now_ms)
            elif hardware.flags & HW_PROVED_FALSE:
                # what seemed to go on after a flag ends after all
                hardware.flags &= ~<uint32_t> HW_PROVED_FALSE
                shard_want(shard.offload, id_of(shard, slot), WANT_OUT, CT_OFFLOAD_REASON_CLOSING)
        elif is_refused_by_nic(shard, hardware, update, now_ms):
            make_liberal(shard, slot)
        elif hardware.flags & HW_BACK_OFF and update == UPDATE_VALID and not is_leaving(shard, slot):
            back_in(shard, slot, now_ms)
    elif update == UPDATE_VALID and not flags & (TCP_RST | TCP_FIN) and is_established(shard, conn, reply):
        want_installed(shard, slot)


cdef bint hardware_defers_expiry(Shard *shard, uint32_t slot, int64_t now_ms) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    if not is_in_nic(shard, slot):
        return False
    look_at(shard, slot, now_ms + ASK_AGAIN_MS)
    if not is_leaving(shard, slot) and not hardware.flags & HW_ASKED:
        hardware.flags |= HW_ASKED
        shard.counters.queries += 1
        shard_query(shard.offload, id_of(shard, slot))
    return True


cdef void hardware_offer(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    if not conn.flags & CONN_LIVE:
        return
    if not conn.flags & CONN_ESTABLISHED:
        if not conn.flags & CONN_OFFERED:
            conn.flags |= CONN_OFFERED
            shard_want(shard.offload, id_of(shard, slot), WANT_ADDED, 0)
    elif not hardware.flags & (HW_LEAVING | HW_BACK_OFF) and shard_reached(shard.offload, slot) != WANT_INSTALLED:
        # one that was refused may be taken now; wanting it twice costs nothing
        if conn.key.proto != PROTO_TCP or may_go_in(conn):
            want_installed(shard, slot)


cdef void hardware_offer_again(Shard *shard, uint32_t n_slots) noexcept nogil:
    cdef uint32_t epoch = shard_epoch(shard.offload)
    if epoch != shard.offered_epoch:
        shard.offered_epoch = epoch
        shard.offer_next = 1 if shard_enabled(shard.offload) else 0
    while n_slots and shard.offer_next:
        if shard.offer_next >= shard.slot_top:
            shard.offer_next = 0
            return
        prefetch(&shard.conns[shard.offer_next + OFFERS_AHEAD])
        prefetch(&shard.hardware[shard.offer_next + OFFERS_AHEAD])
        hardware_offer(shard, shard.offer_next)
        shard.offer_next += 1
        n_slots -= 1


# --- from the layer to software --------------------------------------------------------------------------------------

# Of the layer's turn, not of the packet path; the line is written anyway.
cdef void tell_in(Shard *shard, uint32_t slot) noexcept nogil:
    shard.hardware[slot].window |= WIN_IN_NIC
    if shard.events.ring != NULL:
        tell(shard, slot, EVENT_OFFLOADED, 0, shard.now_ms)


cdef void tell_out(Shard *shard, uint32_t slot) noexcept nogil:
    if shard.hardware[slot].window & WIN_IN_NIC and shard.events.ring != NULL:
        tell(shard, slot, EVENT_RETURNED, 0, shard.now_ms)
    shard.hardware[slot].window &= ~<uint32_t> WIN_IN_NIC


# The NIC carries nothing any more. What it carried last is unknown, so a timeout that ran out meanwhile starts again.
cdef void left_nic(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef bint carried = hardware.flags & HW_PUSHED != 0
    if carried and conn.key.proto == PROTO_TCP:
        hardware.flags &= ~<uint32_t> (HW_STANDS_ORIG * 3 | HW_SEEN_ORIG * 3)
        if not hardware.window & WIN_READ:
            hardware.flags |= HW_RELEARN
    hardware.flags &= ~<uint32_t> (HW_PUSHED | HW_INSTALLED | HW_BYPASS | HW_LEAVING | HW_ASKED)
    hardware.window &= ~<uint32_t> (WIN_STRICT | WIN_RST_ORIG * 3)
    forget_no_samples(hardware)
    if carried and conn.expires_ms <= shard.now_ms:
        conn.expires_ms = shard.now_ms + timeout_ms(shard, conn)
        look_at(shard, slot, conn.expires_ms)


# Its context was wrong to check windows: in again with one that does not.
cdef void back_liberal(Shard *shard, uint32_t slot) noexcept nogil:
    if not shard.hardware[slot].window & WIN_AGAIN:
        return
    shard.hardware[slot].window &= ~<uint32_t> WIN_AGAIN
    if may_go_in(&shard.conns[slot]):
        want_installed(shard, slot)


cdef void pushed(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    shard.conns[slot].flags |= CONN_HARDWARE
    # before HW_PUSHED and WIN_READ change: as it was when the context was filled
    hardware.window = (hardware.window & ~<uint32_t> (WIN_STRICT | WIN_READ)) | (
        WIN_STRICT if is_to_be_strict(shard, slot) else 0)
    hardware.flags |= HW_PUSHED


cdef void installed(Shard *shard, uint32_t slot, uint8_t flags) noexcept nogil:
    cdef Hardware *hardware = &shard.hardware[slot]
    shard.conns[slot].flags |= CONN_HARDWARE
    forget_no_samples(hardware)
    hardware.last_used_ms = 0
    hardware.retry_s = <uint32_t> ((shard.now_ms - shard.epoch_ms) // 1000) + UNDER_WAY_S
    if flags & CT_OFFLOAD_R_BYPASS:
        hardware.flags |= HW_INSTALLED | HW_PUSHED | HW_BYPASS
    else:
        # software sees every packet: windows are as strict as ever, and its own clock tells of idleness
        hardware.flags &= ~<uint32_t> (HW_PUSHED | HW_INSTALLED)


cdef void sampled(Shard *shard, uint32_t slot, const Notice *notice) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    cdef int64_t deadline
    hardware.flags &= ~<uint32_t> HW_ASKED
    forget_no_samples(hardware)
    hardware.last_used_ms = max(hardware.last_used_ms, notice.last_used_ms)
    shard.now_ms = max(shard.now_ms, notice.sampled_ms)
    deadline = max(conn.expires_ms, hardware.last_used_ms + timeout_ms(shard, conn))
    if not is_in_nic(shard, slot):
        return
    if notice.sampled_ms >= deadline:
        conn_end(shard, slot, cause_of_timeout(shard, slot), shard.now_ms)
        return
    conn.expires_ms = deadline
    # a sample is as old as its source's refresh period, so only one taken that much later can end it
    look_at(shard, slot, deadline + (shard.now_ms - notice.sampled_ms))


cdef void not_sampled(Shard *shard, uint32_t slot) noexcept nogil:
    cdef Conn *conn = &shard.conns[slot]
    cdef Hardware *hardware = &shard.hardware[slot]
    hardware.flags &= ~<uint32_t> HW_ASKED
    count_no_sample(hardware)
    shard.counters.no_samples += 1
    if no_samples(hardware) < MAX_NO_SAMPLES:
        look_at(shard, slot, shard.now_ms + ASK_AGAIN_MS)
        return
    forget_no_samples(hardware)
    hardware.flags &= ~<uint32_t> HW_WANTED
    hardware.flags |= HW_LEAVING
    conn.expires_ms = max(conn.expires_ms, shard.now_ms + timeout_ms(shard, conn))
    look_at(shard, slot, conn.expires_ms)
    shard_bring_back(shard.offload, id_of(shard, slot), CT_OFFLOAD_REASON_NO_LAST_USED)


cdef bint hardware_ask(Shard *shard, uint32_t slot) noexcept nogil:
    if not is_in_nic(shard, slot) or shard.hardware[slot].flags & (HW_ASKED | HW_LEAVING):
        return False
    shard.hardware[slot].flags |= HW_ASKED
    shard.counters.queries += 1
    shard_query(shard.offload, id_of(shard, slot))
    return True


# What rules forwarded counts as the connection's, and in all, even where it has ended meanwhile.
cdef void counted(Shard *shard, uint32_t slot, const ct_offload_counts *counts) noexcept nogil:
    cdef int i
    for i in range(2):
        shard.conns[slot].packets[i] += counts.packets[i]
        shard.conns[slot].bytes[i] += counts.bytes[i]
        shard.counters.nic_packets[i] += counts.packets[i]
        shard.counters.nic_bytes[i] += counts.bytes[i]


cdef void take_notice(void *user, const Notice *notice) noexcept nogil:
    cdef Shard *shard = <Shard *> user
    cdef uint32_t slot = CT_OFFLOAD_ID_SLOT(notice.conn_id)
    if slot == 0 or slot >= shard.slot_top:
        return
    if generation_of(&shard.conns[slot]) != CT_OFFLOAD_ID_GENERATION(notice.conn_id):
        return
    if notice.kind == NOTICE_COUNTED:
        counted(shard, slot, notice.counts)
    elif not shard.conns[slot].flags & CONN_LIVE:
        # list HELD holds it until nothing is left anywhere
        if notice.kind == NOTICE_OUT or notice.kind == NOTICE_REFUSED or notice.kind == NOTICE_LOST:
            release_one(shard, slot)
    elif notice.kind == NOTICE_PUSHED:
        pushed(shard, slot)
    elif notice.kind == NOTICE_INSTALLED:
        installed(shard, slot, notice.flags)
        tell_in(shard, slot)
    elif notice.kind == NOTICE_SAMPLE:
        sampled(shard, slot, notice)
    elif notice.kind == NOTICE_NO_SAMPLE:
        not_sampled(shard, slot)
    elif notice.kind == NOTICE_AGED:
        hardware_ask(shard, slot)
    elif notice.kind == NOTICE_WINDOW:
        window_read(shard, slot, notice.peer, shard.now_ms)
    elif notice.kind == NOTICE_OUT or notice.kind == NOTICE_LOST or notice.kind == NOTICE_REFUSED:
        left_nic(shard, slot)
        tell_out(shard, slot)
        if notice.kind == NOTICE_OUT:
            back_liberal(shard, slot)


# --- the context of an operation -------------------------------------------------------------------------------------

cdef inline uint16_t swap16(uint16_t value) noexcept nogil:
    return <uint16_t> (value >> 8 | value << 8)


cdef void fill_tuple(const Shard *shard, uint32_t slot, bint reply, ct_offload_tuple *out) noexcept nogil:
    cdef Tuple ends
    conn_tuple(shard, slot, reply, &ends)
    memcpy(out.src, ends.src, 16)
    memcpy(out.dst, ends.dst, 16)
    told_ports(&ends, is_icmp(&shard.conns[slot].key), &out.src_port, &out.dst_port)
    out.src_port = swap16(out.src_port)
    out.dst_port = swap16(out.dst_port)


# Both tuples of a connection that is not translated and has ports: its key, either way round.
cdef inline void fill_plain_tuples(const Conn *conn, ct_offload_tuple *out) noexcept nogil:
    cdef const Key *key = &conn.key
    cdef bint swapped = conn.flags & CONN_SWAPPED != 0
    cdef ct_offload_tuple *forth = &out[1] if swapped else &out[0]
    cdef ct_offload_tuple *back = &out[0] if swapped else &out[1]
    memcpy(forth.src, key.a, 16)
    memcpy(forth.dst, key.b, 16)
    memcpy(back.src, key.b, 16)
    memcpy(back.dst, key.a, 16)
    forth.src_port = back.dst_port = swap16(key.a_port)
    forth.dst_port = back.src_port = swap16(key.b_port)


cdef inline uint32_t flags_of(const Shard *shard, uint32_t slot) noexcept nogil:
    cdef const Conn *conn = &shard.conns[slot]
    cdef uint32_t flags = CT_OFFLOAD_F_MIDSTREAM if conn.flags & CONN_MIDSTREAM else 0
    if conn.flags & CONN_NAT:
        flags |= CT_OFFLOAD_F_SNAT if shard.nats[slot].what & NAT_SRC else 0
        flags |= CT_OFFLOAD_F_DNAT if shard.nats[slot].what & NAT_DST else 0
    if conn.generation & MORE_HELPED:
        flags |= CT_OFFLOAD_F_ALG
    return flags


cdef inline void fill_peer(const Conn *conn, int i, ct_offload_tcp_peer *peer) noexcept nogil:
    peer.seq_lo = conn.seq_lo[i]
    peer.seq_hi = conn.seq_hi[i]
    peer.max_win = conn.max_win[i]
    peer.wscale = UNKNOWN_WSCALE if conn.wscale[i] & WSCALE_UNKNOWN else conn.wscale[i] & WSCALE_MASK
    peer.has_wscale = conn.wscale[i] & WSCALE_ANNOUNCED != 0
    peer.state = peer_state(conn, i)


# As one word, as it is read soon after: two halves would be waited for.
cdef inline void fill_port(const Port *port, ct_offload_port *out) noexcept nogil:
    memcpy(out, port, sizeof(ct_offload_port))


cdef bint fill_context(void *user, uint64_t conn_id, ct_offload_ctx *ctx) noexcept nogil:
    cdef Shard *shard = <Shard *> user
    cdef uint32_t slot = CT_OFFLOAD_ID_SLOT(conn_id)
    cdef const Conn *conn
    if slot == 0 or slot >= shard.slot_top:
        return False
    conn = &shard.conns[slot]
    if not conn.flags & CONN_LIVE or generation_of(conn) != CT_OFFLOAD_ID_GENERATION(conn_id):
        return False
    # member by member: clearing it first cost as much as the rest
    ctx.conn_id = conn_id
    if conn.flags & CONN_NAT or is_icmp(&conn.key):
        fill_tuple(shard, slot, False, &ctx.tuple[0])
        fill_tuple(shard, slot, True, &ctx.tuple[1])
    else:
        fill_plain_tuples(conn, ctx.tuple)
    fill_port(&shard.ports[conn.port_orig], &ctx.port[0])
    fill_port(&shard.ports[conn.port_reply], &ctx.port[1])
    ctx.label[0] = shard.labels[slot].word[0] if conn.flags & CONN_LABELLED else 0
    ctx.label[1] = shard.labels[slot].word[1] if conn.flags & CONN_LABELLED else 0
    ctx.mark = conn.mark
    ctx.timeout_ms = <uint32_t> min(timeout_ms(shard, conn), <int64_t> 0xffffffffU)
    ctx.timeout_max_ms = <uint32_t> min(longest_timeout_ms(shard, conn), <int64_t> 0xffffffffU)
    ctx.flags = flags_of(shard, slot)
    memset(ctx.peer, 0, sizeof(ctx.peer))
    if conn.key.proto == PROTO_TCP:
        fill_peer(conn, 0, &ctx.peer[0])
        fill_peer(conn, 1, &ctx.peer[1])
        ctx.flags |= CT_OFFLOAD_F_STRICT if is_to_be_strict(shard, slot) else 0
    ctx.zone = conn.key.zone
    ctx.eth_type = 0x0800 if conn.key.family == 4 else 0x86dd
    ctx.proto = conn.key.proto
    memset(ctx.reserved, 0, sizeof(ctx.reserved))
    return True


# A connection's two lines and what goes with them: read by the filling, written by the notices that follow it.
cdef void fetch_connection(void *user, uint32_t slot) noexcept nogil:
    cdef Shard *shard = <Shard *> user
    if slot < shard.slot_top:
        prefetch(&shard.conns[slot])
        prefetch(&shard.conns[slot].packets)
        prefetch(&shard.hardware[slot])


# --- joining and parting ---------------------------------------------------------------------------------------------

cdef uint64_t packets_seen(void *user, uint64_t conn_id) noexcept nogil:
    cdef Shard *shard = <Shard *> user
    cdef uint32_t slot = CT_OFFLOAD_ID_SLOT(conn_id)
    if slot == 0 or slot >= shard.slot_top or generation_of(&shard.conns[slot]) != CT_OFFLOAD_ID_GENERATION(conn_id):
        return 0
    return shard.conns[slot].packets[0] + shard.conns[slot].packets[1]


cdef void hardware_attach(Shard *shard, OffloadShard *offload) noexcept nogil:
    cdef ConnTable table
    table.user = shard
    table.fill = fill_context
    table.prefetch = fetch_connection
    table.notice = take_notice
    shard.offload = offload
    shard_attach(offload, table)
    shard_set_packets(offload, packets_seen)


cdef bint fill_nothing(void *user, uint64_t conn_id, ct_offload_ctx *ctx) noexcept nogil:
    return False


cdef void take_nothing(void *user, const Notice *notice) noexcept nogil:
    pass


cdef void hardware_detach(Shard *shard) noexcept nogil:
    cdef ConnTable table
    cdef uint32_t slot
    for slot in range(1, shard.slot_top):
        if shard.conns[slot].flags & CONN_LIVE:
            conn_end(shard, slot, CAUSE_FLUSHED, shard.now_ms)
    table.user = NULL
    table.fill = fill_nothing
    table.prefetch = NULL
    table.notice = take_nothing
    shard_set_packets(shard.offload, NULL)
    shard_attach(shard.offload, table)
    shard.offload = NULL
