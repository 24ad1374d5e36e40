"""CONNTRACK contexts: from software's window of a connection to the NIC's, and back."""
from libc.errno cimport EINVAL
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from ctoffload_dpdk.dpdk.librte_eal cimport rte_errno
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_FLOW_ACTION_TYPE_CONNTRACK,
    RTE_FLOW_CONNTRACK_FLAG_ACK,
    RTE_FLOW_CONNTRACK_STATE_CLOSE_WAIT,
    RTE_FLOW_CONNTRACK_STATE_ESTABLISHED,
    RTE_FLOW_CONNTRACK_STATE_FIN_WAIT,
    RTE_FLOW_CONNTRACK_STATE_LAST_ACK,
    RTE_FLOW_CONNTRACK_STATE_TIME_WAIT,
    rte_flow_action,
    rte_flow_action_handle_create,
    rte_flow_action_handle_destroy,
    rte_flow_action_handle_query,
    rte_flow_action_handle_update,
    rte_flow_conntrack_state,
    rte_flow_indir_action_conf,
    rte_flow_tcp_dir_param,
)
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_TCP_CLOSING,
    CT_OFFLOAD_TCP_ESTABLISHED,
    CT_OFFLOAD_TCP_FIN_WAIT_2,
    CT_OFFLOAD_TCP_TIME_WAIT,
)

# rte_flow's word for "no scaling"; the contract's for "unknown".
cdef uint8_t NO_SCALE = 0xf
cdef uint8_t UNKNOWN_SCALE = 0xff
cdef uint8_t RETRANSMISSIONS = 5


cdef int error_of(int rc) noexcept nogil:
    if rc < 0:
        return -rc
    return rte_errno if rte_errno > 0 else EINVAL


cdef bint has_closed(const ct_offload_tcp_peer *peer) noexcept nogil:
    return peer.state >= CT_OFFLOAD_TCP_CLOSING


cdef rte_flow_conntrack_state state_of(const ct_offload_tcp_peer *peers) noexcept nogil:
    """One state for both ends: how far the closing went."""
    cdef bint first = has_closed(&peers[0]), second = has_closed(&peers[1])
    if not first and not second:
        return RTE_FLOW_CONNTRACK_STATE_ESTABLISHED
    if first and second:
        if peers[0].state >= CT_OFFLOAD_TCP_FIN_WAIT_2 and peers[1].state >= CT_OFFLOAD_TCP_FIN_WAIT_2:
            return RTE_FLOW_CONNTRACK_STATE_TIME_WAIT
        return RTE_FLOW_CONNTRACK_STATE_LAST_ACK
    if peers[0 if first else 1].state >= CT_OFFLOAD_TCP_FIN_WAIT_2:
        return RTE_FLOW_CONNTRACK_STATE_CLOSE_WAIT
    return RTE_FLOW_CONNTRACK_STATE_FIN_WAIT


cdef void direction_fill(rte_flow_tcp_dir_param *side, const ct_offload_tcp_peer *sender,
                         const ct_offload_tcp_peer *receiver, bint scaled) noexcept nogil:
    side.scale = sender.wscale if scaled else NO_SCALE
    side.close_initiated = has_closed(sender)
    side.last_ack_seen = 1
    side.sent_end = sender.seq_lo
    side.reply_end = sender.seq_hi
    side.max_win = sender.max_win << (sender.wscale if scaled else 0)
    side.max_ack = receiver.seq_lo


cdef void context_fill(rte_flow_action_conntrack *state, const ct_offload_ctx *ctx, uint16_t peer_port,
                       bint strict) noexcept nogil:
    cdef const ct_offload_tcp_peer *peers = &ctx.peer[0]
    cdef bint known = peers[0].wscale != UNKNOWN_SCALE and peers[1].wscale != UNKNOWN_SCALE
    cdef bint scaled = known and peers[0].has_wscale and peers[1].has_wscale
    memset(state, 0, sizeof(rte_flow_action_conntrack))
    state.peer_port = peer_port
    state.is_original_dir = 1
    state.enable = 1
    state.live_connection = 1
    state.selective_ack = 1
    state.last_direction = 1
    state.liberal_mode = not (strict and known)
    state.state = state_of(peers)
    state.max_ack_window = max(peers[0].wscale, peers[1].wscale) if scaled else 0
    state.retransmission_limit = RETRANSMISSIONS
    direction_fill(&state.original_dir, &peers[0], &peers[1], scaled)
    direction_fill(&state.reply_dir, &peers[1], &peers[0], scaled)
    state.last_window = <uint16_t> min(peers[0].max_win, <uint32_t> 0xffff)
    state.last_index = RTE_FLOW_CONNTRACK_FLAG_ACK
    state.last_seq = state.last_end = peers[0].seq_lo
    state.last_ack = peers[1].seq_lo


cdef rte_flow_action_handle *context_create(uint16_t ethdev, bint transfer, const rte_flow_action_conntrack *state,
                                            rte_flow_error *error) noexcept nogil:
    cdef rte_flow_indir_action_conf conf
    cdef rte_flow_action action
    memset(&conf, 0, sizeof(conf))
    memset(error, 0, sizeof(rte_flow_error))
    conf.transfer = transfer
    conf.ingress = not transfer
    action.type = RTE_FLOW_ACTION_TYPE_CONNTRACK
    action.conf = state
    return rte_flow_action_handle_create(ethdev, &conf, &action, error)


cdef int context_turn(uint16_t ethdev, rte_flow_action_handle *handle, bint is_original,
                      rte_flow_error *error) noexcept nogil:
    cdef rte_flow_modify_conntrack change
    cdef int rc
    memset(&change, 0, sizeof(change))
    memset(error, 0, sizeof(rte_flow_error))
    change.new_ct.is_original_dir = is_original
    change.direction = 1
    rc = rte_flow_action_handle_update(ethdev, handle, &change, error)
    return 0 if rc == 0 else error_of(rc)


cdef int context_destroy(uint16_t ethdev, rte_flow_action_handle *handle, rte_flow_error *error) noexcept nogil:
    cdef int rc
    memset(error, 0, sizeof(rte_flow_error))
    rc = rte_flow_action_handle_destroy(ethdev, handle, error)
    return 0 if rc == 0 else error_of(rc)


cdef inline uint32_t unscaled(uint32_t window, uint32_t scale) noexcept nogil:
    """Rounded up, so that what was allowed stays allowed."""
    return (window >> scale) + (window & ((<uint32_t> 1 << scale) - 1) != 0)


cdef void peer_fill(ct_offload_tcp_peer *peer, const rte_flow_tcp_dir_param *side, const rte_flow_action_conntrack *state,
                    bint is_scaled) noexcept nogil:
    memset(peer, 0, sizeof(ct_offload_tcp_peer))
    peer.seq_lo = side.sent_end
    peer.seq_hi = side.reply_end
    peer.max_win = min(max(unscaled(side.max_win, side.scale if is_scaled else 0), <uint32_t> 1), <uint32_t> 0xffff)
    peer.has_wscale = is_scaled
    peer.wscale = side.scale if is_scaled else 0
    peer.state = CT_OFFLOAD_TCP_ESTABLISHED
    if state.state == RTE_FLOW_CONNTRACK_STATE_TIME_WAIT:
        peer.state = CT_OFFLOAD_TCP_TIME_WAIT
    elif side.close_initiated:
        peer.state = (CT_OFFLOAD_TCP_CLOSING if state.state == RTE_FLOW_CONNTRACK_STATE_FIN_WAIT
                      else CT_OFFLOAD_TCP_FIN_WAIT_2)


cdef int context_read(uint16_t ethdev, const rte_flow_action_handle *handle, ct_offload_tcp_peer *peers,
                      rte_flow_error *error) noexcept nogil:
    cdef rte_flow_action_conntrack state
    cdef int rc
    memset(&state, 0, sizeof(state))
    memset(error, 0, sizeof(rte_flow_error))
    rc = rte_flow_action_handle_query(ethdev, handle, &state, error)
    if rc != 0:
        return error_of(rc)
    peer_fill(&peers[0], &state.original_dir, &state, state.original_dir.scale != NO_SCALE)
    peer_fill(&peers[1], &state.reply_dir, &state, state.reply_dir.scale != NO_SCALE)
    return 0
