"""The actions of a rule, in C's form."""
import ipaddress

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ctoffload_dpdk.dpdk._check cimport fits
from ctoffload_dpdk.dpdk._indirect_handle cimport IndirectHandle
from ctoffload_dpdk.dpdk._pattern cimport Block, block
from ctoffload_dpdk.dpdk.librte_flow cimport (
    RTE_ETH_HASH_FUNCTION_DEFAULT,
    RTE_FLOW_ACTION_TYPE_AGE,
    RTE_FLOW_ACTION_TYPE_CONNTRACK,
    RTE_FLOW_ACTION_TYPE_COUNT,
    RTE_FLOW_ACTION_TYPE_DEC_TTL,
    RTE_FLOW_ACTION_TYPE_DROP,
    RTE_FLOW_ACTION_TYPE_END,
    RTE_FLOW_ACTION_TYPE_FLAG,
    RTE_FLOW_ACTION_TYPE_INDIRECT,
    RTE_FLOW_ACTION_TYPE_JUMP,
    RTE_FLOW_ACTION_TYPE_MARK,
    RTE_FLOW_ACTION_TYPE_MODIFY_FIELD,
    RTE_FLOW_ACTION_TYPE_OF_POP_VLAN,
    RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN,
    RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP,
    RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID,
    RTE_FLOW_ACTION_TYPE_PASSTHRU,
    RTE_FLOW_ACTION_TYPE_PORT_ID,
    RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR,
    RTE_FLOW_ACTION_TYPE_QUEUE,
    RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT,
    RTE_FLOW_ACTION_TYPE_RSS,
    RTE_FLOW_ACTION_TYPE_SET_IPV4_DST,
    RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
    RTE_FLOW_ACTION_TYPE_SET_IPV6_DST,
    RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC,
    RTE_FLOW_ACTION_TYPE_SET_MAC_DST,
    RTE_FLOW_ACTION_TYPE_SET_MAC_SRC,
    RTE_FLOW_ACTION_TYPE_SET_META,
    RTE_FLOW_ACTION_TYPE_SET_TAG,
    RTE_FLOW_ACTION_TYPE_SET_TP_DST,
    RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
    RTE_FLOW_ACTION_TYPE_SET_TTL,
    RTE_FLOW_ACTION_TYPE_VOID,
    dpdk_field_at,
    dpdk_field_value,
    dpdk_set_ipv6_addr,
    rte_flow_action,
    rte_flow_action_age,
    rte_flow_action_conntrack,
    rte_flow_action_count,
    rte_flow_action_ethdev,
    rte_flow_action_jump,
    rte_flow_action_mark,
    rte_flow_action_modify_field,
    rte_flow_action_of_push_vlan,
    rte_flow_action_of_set_vlan_pcp,
    rte_flow_action_of_set_vlan_vid,
    rte_flow_action_port_id,
    rte_flow_action_queue,
    rte_flow_action_rss,
    rte_flow_action_set_ipv4,
    rte_flow_action_set_ipv6,
    rte_flow_action_set_mac,
    rte_flow_action_set_meta,
    rte_flow_action_set_tag,
    rte_flow_action_set_tp,
    rte_flow_action_set_ttl,
    rte_flow_action_type,
    rte_flow_conntrack_state,
    rte_flow_conntrack_tcp_last_index,
    rte_flow_field_data,
    rte_flow_field_id,
    rte_flow_modify_op,
    rte_flow_tcp_dir_param,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk import actions as kinds
from ctoffload_dpdk.dpdk._pattern import mac_bytes


cdef extern from "arpa/inet.h" nogil:
    uint16_t htons(uint16_t value)

cdef uint32_t AGE_MAX_S = 0xffffff
BITS_64 = (1 << 64) - 1
INT_MOST = 0x7fffffff


cdef class Actions:
    """A list of actions in the form rte_flow takes. Raises UsageError where a value does not fit its field."""

    def __init__(self, wanted):
        cdef Block array, conf
        cdef rte_flow_action *action
        self.wanted = list(wanted)
        array = block((len(self.wanted) + 1) * sizeof(rte_flow_action))
        self.kept = [array]
        self.actions = <rte_flow_action *> array.at
        for i, kind in enumerate(self.wanted):
            if type(kind) not in TABLE:
                raise UsageError(f"{kind!r} is not an action", hint="the actions are in ctoffload_dpdk.dpdk.actions")
            action_type, n_bytes, fill = TABLE[type(kind)]
            action = &self.actions[i]
            action.type = <rte_flow_action_type> <int> action_type
            if type(kind) is kinds.Indirect:
                action.conf = handle_of(kind)
                self.kept.append(kind.handle)
            elif n_bytes:
                conf = block(n_bytes)
                # An action whose value is not known yet, in a template, has none.
                fill(conf, kind, self.kept)
                action.conf = conf.at
                self.kept.append(conf)
        self.actions[len(self.wanted)].type = RTE_FLOW_ACTION_TYPE_END

    def raw(self):
        """Per action its rte_flow type and the bytes of its configuration as the driver sees them."""
        found = []
        for i, wanted in enumerate(self.wanted):
            n_bytes = TABLE[type(wanted)][1]
            conf = <const char *> self.actions[i].conf
            found.append((<int> self.actions[i].type, conf[:n_bytes] if n_bytes and conf != NULL else b""))
        return found

    cdef bint has(self, object kind):
        """Whether the rule has this action itself or as an indirect one."""
        for wanted in self.wanted:
            if type(wanted) is kind:
                return True
            if type(wanted) is kinds.Indirect and wanted.handle is not None and wanted.handle.kind is kind:
                return True
        return False


cdef const void *handle_of(object indirect) except? NULL:
    cdef IndirectHandle handle = indirect.handle
    if handle is None:
        return NULL
    handle.require_open()
    return handle.handle


cdef Actions template_masks(list wanted, list fixed):
    cdef Actions masks = Actions(wanted)
    cdef rte_flow_action_modify_field *modify
    cdef rte_flow_action_modify_field *own
    cdef Block conf
    for i, kind in enumerate(wanted):
        if type(kind) is kinds.Indirect:
            # The mask tells the driver which action the handle will stand for.
            named = kind.kind or (kind.handle.kind if kind.handle is not None else None)
            if named not in TABLE:
                raise UsageError("Indirect in a template needs a handle or the kind of the action")
            masks.actions[i].type = <rte_flow_action_type> <int> TABLE[named][0]
            masks.actions[i].conf = masks.actions[i].conf if fixed[i] else NULL
            continue
        n_bytes = TABLE[type(kind)][1]
        if not n_bytes:
            continue
        if not fixed[i] and type(kind) is not kinds.ModifyField:
            masks.actions[i].conf = NULL
            continue
        conf = block(n_bytes)
        memset(conf.at, 0xff, n_bytes)
        if type(kind) is kinds.ModifyField:
            # Which fields and what is done are always the template's, and mlx5 wants them repeated in the mask; only
            # the value may come with the rule.
            own = <rte_flow_action_modify_field *> masks.actions[i].conf
            modify = <rte_flow_action_modify_field *> conf.at
            if not fixed[i]:
                memset(&modify.src, 0, sizeof(modify.src))
            modify.operation, modify.dst.field, modify.src.field = own.operation, own.dst.field, own.src.field
        masks.kept.append(conf)
        masks.actions[i].conf = conf.at
    return masks


# One function per action: fills in its configuration ------------------------------------------------------------------

def fill_jump(Block conf, action, list kept):
    (<rte_flow_action_jump *> conf.at).group = fits(action.group, "Jump.group", 0xffffffff)


def fill_mark(Block conf, action, list kept):
    (<rte_flow_action_mark *> conf.at).id = fits(action.id, "Mark.id", 0xffffffff)


def fill_queue(Block conf, action, list kept):
    (<rte_flow_action_queue *> conf.at).index = fits(action.index, "Queue.index", 0xffff)


def fill_rss(Block conf, action, list kept):
    cdef rte_flow_action_rss *rss = <rte_flow_action_rss *> conf.at
    cdef tuple wanted = tuple(action.queues)
    cdef bytes key_bytes = action.key
    cdef Block queues = block(max(1, len(wanted)) * sizeof(uint16_t))
    cdef Block key = block(max(1, len(key_bytes)))
    cdef Py_ssize_t i
    if not wanted:
        raise UsageError("Rss has no queues")
    for i, queue in enumerate(wanted):
        (<uint16_t *> queues.at)[i] = fits(queue, "Rss.queues", 0xffff)
    memcpy(key.at, <const char *> key_bytes, len(key_bytes))
    kept += (queues, key)
    rss.func = RTE_ETH_HASH_FUNCTION_DEFAULT
    rss.level = fits(action.level, "Rss.level", 0xffffffff)
    rss.types = fits(action.types, "Rss.types", BITS_64)
    rss.queue_num = len(wanted)
    rss.queue = <uint16_t *> queues.at
    rss.key_len = len(key_bytes)
    rss.key = <uint8_t *> key.at if key_bytes else NULL


def fill_count(Block conf, action, list kept):
    (<rte_flow_action_count *> conf.at).id = fits(action.id, "Count.id", 0xffffffff)


def fill_age(Block conf, action, list kept):
    cdef rte_flow_action_age *age = <rte_flow_action_age *> conf.at
    age.timeout = fits(action.timeout_s, "Age.timeout_s", AGE_MAX_S)
    age.context = <void *> <size_t> fits(action.context, "Age.context", BITS_64)


def fill_port_id(Block conf, action, list kept):
    (<rte_flow_action_port_id *> conf.at).id = fits(action.id, "PortId.id", 0xffff)


def fill_ethdev(Block conf, action, list kept):
    (<rte_flow_action_ethdev *> conf.at).port_id = fits(action.port_id, f"{type(action).__name__}.port_id", 0xffff)


def fill_ipv4(Block conf, action, list kept):
    cdef bytes packed = packed_address(action, ipaddress.IPv4Address)
    memcpy(&(<rte_flow_action_set_ipv4 *> conf.at).ipv4_addr, <const char *> packed, 4)


def fill_ipv6(Block conf, action, list kept):
    cdef bytes packed = packed_address(action, ipaddress.IPv6Address)
    memcpy(dpdk_set_ipv6_addr(<rte_flow_action_set_ipv6 *> conf.at), <const char *> packed, 16)


cdef bytes packed_address(action, address_type):
    try:
        return address_type(action.address).packed
    except ValueError as error:
        raise UsageError(f"{type(action).__name__}.address is {action.address!r}: {error}") from None


def fill_tp(Block conf, action, list kept):
    (<rte_flow_action_set_tp *> conf.at).port = htons(fits(action.port, f"{type(action).__name__}.port", 0xffff))


def fill_ttl(Block conf, action, list kept):
    (<rte_flow_action_set_ttl *> conf.at).ttl_value = fits(action.ttl, "SetTtl.ttl", 0xff)


def fill_mac(Block conf, action, list kept):
    cdef bytes mac = mac_bytes(action.mac, f"{type(action).__name__}.mac")
    memcpy(&(<rte_flow_action_set_mac *> conf.at).mac_addr, <const char *> mac, 6)


def fill_tag(Block conf, action, list kept):
    cdef rte_flow_action_set_tag *tag = <rte_flow_action_set_tag *> conf.at
    tag.index = fits(action.index, "SetTag.index", 0xff)
    tag.data = fits(action.data, "SetTag.data", 0xffffffff)
    tag.mask = fits(action.mask, "SetTag.mask", 0xffffffff)


def fill_meta(Block conf, action, list kept):
    cdef rte_flow_action_set_meta *meta = <rte_flow_action_set_meta *> conf.at
    meta.data = fits(action.data, "SetMeta.data", 0xffffffff)
    meta.mask = fits(action.mask, "SetMeta.mask", 0xffffffff)


def fill_push_vlan(Block conf, action, list kept):
    (<rte_flow_action_of_push_vlan *> conf.at).ethertype = htons(fits(action.ethertype, "OfPushVlan.ethertype", 0xffff))


def fill_vlan_vid(Block conf, action, list kept):
    (<rte_flow_action_of_set_vlan_vid *> conf.at).vlan_vid = htons(fits(action.vid, "OfSetVlanVid.vid", 0xfff))


def fill_vlan_pcp(Block conf, action, list kept):
    (<rte_flow_action_of_set_vlan_pcp *> conf.at).vlan_pcp = fits(action.pcp, "OfSetVlanPcp.pcp", 7)


def fill_modify(Block conf, action, list kept):
    cdef rte_flow_action_modify_field *modify = <rte_flow_action_modify_field *> conf.at
    cdef bytes value
    modify.operation = <rte_flow_modify_op> <int> fits(action.op, "ModifyField.op", INT_MOST)
    modify.width = fits(action.width_bits, "ModifyField.width_bits", 0xffffffff)
    write_field(&modify.dst, action.to)
    if isinstance(action.source, bytes):
        value = action.source
        if len(value) > 16:
            raise UsageError(f"ModifyField.source holds at most 16 bytes, not {len(value)}")
        dpdk_field_value(&modify.src, <const char *> value, len(value))
    else:
        write_field(&modify.src, action.source)


cdef int write_field(rte_flow_field_data *side, object at) except -1:
    dpdk_field_at(
        side,
        <rte_flow_field_id> <int> fits(at.field, "FieldAt.field", INT_MOST),
        fits(at.level, "FieldAt.level", 0xff),
        fits(at.tag_index, "FieldAt.tag_index", 0xff),
        fits(at.offset_bits, "FieldAt.offset_bits", 0xffffffff),
    )
    return 0


def fill_conntrack(Block conf, action, list kept):
    write_conntrack(<rte_flow_action_conntrack *> conf.at, action)


# The CONNTRACK object -------------------------------------------------------------------------------------------------

cdef int write_conntrack(rte_flow_action_conntrack *out, object state) except -1:
    memset(out, 0, sizeof(out[0]))
    out.peer_port = fits(state.peer_port, "Conntrack.peer_port", 0xffff)
    out.is_original_dir = bool(state.is_original_dir)
    out.enable = bool(state.enable)
    out.live_connection = bool(state.live_connection)
    out.selective_ack = bool(state.selective_ack)
    out.challenge_ack_passed = bool(state.challenge_ack_passed)
    out.last_direction = bool(state.last_direction_is_original)
    out.liberal_mode = bool(state.liberal_mode)
    out.state = <rte_flow_conntrack_state> <int> fits(state.state, "Conntrack.state", INT_MOST)
    out.max_ack_window = fits(state.max_ack_window, "Conntrack.max_ack_window", 0xff)
    out.retransmission_limit = fits(state.retransmission_limit, "Conntrack.retransmission_limit", 0xff)
    write_direction(&out.original_dir, state.original)
    write_direction(&out.reply_dir, state.reply)
    out.last_window = fits(state.last_window, "Conntrack.last_window", 0xffff)
    last = fits(state.last_index, "Conntrack.last_index", INT_MOST)
    out.last_index = <rte_flow_conntrack_tcp_last_index> <int> last
    out.last_seq = fits(state.last_seq, "Conntrack.last_seq", 0xffffffff)
    out.last_ack = fits(state.last_ack, "Conntrack.last_ack", 0xffffffff)
    out.last_end = fits(state.last_end, "Conntrack.last_end", 0xffffffff)
    return 0


cdef int write_direction(rte_flow_tcp_dir_param *out, object direction) except -1:
    out.scale = fits(direction.scale, "TcpDirection.scale", 15)
    out.close_initiated = bool(direction.close_initiated)
    out.last_ack_seen = bool(direction.last_ack_seen)
    out.data_unacked = bool(direction.data_unacked)
    out.sent_end = fits(direction.sent_end, "TcpDirection.sent_end", 0xffffffff)
    out.reply_end = fits(direction.reply_end, "TcpDirection.reply_end", 0xffffffff)
    out.max_win = fits(direction.max_win, "TcpDirection.max_win", 0xffffffff)
    out.max_ack = fits(direction.max_ack, "TcpDirection.max_ack", 0xffffffff)
    return 0


cdef object read_conntrack(const rte_flow_action_conntrack *ct):
    return kinds.Conntrack(
        original=read_direction(&ct.original_dir),
        reply=read_direction(&ct.reply_dir),
        state=kinds.ConntrackState(<int> ct.state),
        is_original_dir=ct.is_original_dir != 0,
        enable=ct.enable != 0,
        live_connection=ct.live_connection != 0,
        selective_ack=ct.selective_ack != 0,
        challenge_ack_passed=ct.challenge_ack_passed != 0,
        last_direction_is_original=ct.last_direction != 0,
        liberal_mode=ct.liberal_mode != 0,
        max_ack_window=ct.max_ack_window,
        retransmission_limit=ct.retransmission_limit,
        last_window=ct.last_window,
        last_index=kinds.ConntrackIndex(<int> ct.last_index),
        last_seq=ct.last_seq,
        last_ack=ct.last_ack,
        last_end=ct.last_end,
        peer_port=ct.peer_port,
    )


cdef object read_direction(const rte_flow_tcp_dir_param *direction):
    return kinds.TcpDirection(
        scale=direction.scale,
        close_initiated=direction.close_initiated != 0,
        last_ack_seen=direction.last_ack_seen != 0,
        data_unacked=direction.data_unacked != 0,
        sent_end=direction.sent_end,
        reply_end=direction.reply_end,
        max_win=direction.max_win,
        max_ack=direction.max_ack,
    )


# action -> (rte_flow type, bytes of its configuration, what fills it in)
TABLE = {
    kinds.Void: (RTE_FLOW_ACTION_TYPE_VOID, 0, None),
    kinds.Passthru: (RTE_FLOW_ACTION_TYPE_PASSTHRU, 0, None),
    kinds.Jump: (RTE_FLOW_ACTION_TYPE_JUMP, sizeof(rte_flow_action_jump), fill_jump),
    kinds.Mark: (RTE_FLOW_ACTION_TYPE_MARK, sizeof(rte_flow_action_mark), fill_mark),
    kinds.Flag: (RTE_FLOW_ACTION_TYPE_FLAG, 0, None),
    kinds.Queue: (RTE_FLOW_ACTION_TYPE_QUEUE, sizeof(rte_flow_action_queue), fill_queue),
    kinds.Rss: (RTE_FLOW_ACTION_TYPE_RSS, sizeof(rte_flow_action_rss), fill_rss),
    kinds.Drop: (RTE_FLOW_ACTION_TYPE_DROP, 0, None),
    kinds.Count: (RTE_FLOW_ACTION_TYPE_COUNT, sizeof(rte_flow_action_count), fill_count),
    kinds.Age: (RTE_FLOW_ACTION_TYPE_AGE, sizeof(rte_flow_action_age), fill_age),
    kinds.PortId: (RTE_FLOW_ACTION_TYPE_PORT_ID, sizeof(rte_flow_action_port_id), fill_port_id),
    kinds.PortRepresentor: (RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, sizeof(rte_flow_action_ethdev), fill_ethdev),
    kinds.RepresentedPort: (RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, sizeof(rte_flow_action_ethdev), fill_ethdev),
    kinds.SetIpv4Src: (RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, sizeof(rte_flow_action_set_ipv4), fill_ipv4),
    kinds.SetIpv4Dst: (RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, sizeof(rte_flow_action_set_ipv4), fill_ipv4),
    kinds.SetIpv6Src: (RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC, sizeof(rte_flow_action_set_ipv6), fill_ipv6),
    kinds.SetIpv6Dst: (RTE_FLOW_ACTION_TYPE_SET_IPV6_DST, sizeof(rte_flow_action_set_ipv6), fill_ipv6),
    kinds.SetTpSrc: (RTE_FLOW_ACTION_TYPE_SET_TP_SRC, sizeof(rte_flow_action_set_tp), fill_tp),
    kinds.SetTpDst: (RTE_FLOW_ACTION_TYPE_SET_TP_DST, sizeof(rte_flow_action_set_tp), fill_tp),
    kinds.SetTtl: (RTE_FLOW_ACTION_TYPE_SET_TTL, sizeof(rte_flow_action_set_ttl), fill_ttl),
    kinds.DecTtl: (RTE_FLOW_ACTION_TYPE_DEC_TTL, 0, None),
    kinds.SetMacSrc: (RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, sizeof(rte_flow_action_set_mac), fill_mac),
    kinds.SetMacDst: (RTE_FLOW_ACTION_TYPE_SET_MAC_DST, sizeof(rte_flow_action_set_mac), fill_mac),
    kinds.SetTag: (RTE_FLOW_ACTION_TYPE_SET_TAG, sizeof(rte_flow_action_set_tag), fill_tag),
    kinds.SetMeta: (RTE_FLOW_ACTION_TYPE_SET_META, sizeof(rte_flow_action_set_meta), fill_meta),
    kinds.OfPopVlan: (RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, 0, None),
    kinds.OfPushVlan: (RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, sizeof(rte_flow_action_of_push_vlan), fill_push_vlan),
    kinds.OfSetVlanVid: (RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, sizeof(rte_flow_action_of_set_vlan_vid), fill_vlan_vid),
    kinds.OfSetVlanPcp: (RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, sizeof(rte_flow_action_of_set_vlan_pcp), fill_vlan_pcp),
    kinds.ModifyField: (RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, sizeof(rte_flow_action_modify_field), fill_modify),
    kinds.Indirect: (RTE_FLOW_ACTION_TYPE_INDIRECT, 0, None),
    kinds.Conntrack: (RTE_FLOW_ACTION_TYPE_CONNTRACK, sizeof(rte_flow_action_conntrack), fill_conntrack),
}
