/* The connection tracking engine in the NIC: one context per TCP connection, judged packet by packet.
 *
 * A packet is valid where its sequence lies in what the other side allows and its acknowledgement in what the other side
 * sent. What real NICs do after an RST, and beyond the limit of retransmissions, is not documented; here the connection is
 * closed by the one, and a packet repeated more often in a row is invalid. */
#include <errno.h>

#include <rte_byteorder.h>
#include <rte_tcp.h>

#include "nicsim.h"

/* Acknowledgements may lag behind by this much at least, whatever the window. */
#define MIN_ACK_WINDOW 66000u

#define NO_SCALE 15

#define OPTION_END  0
#define OPTION_NOP  1
#define OPTION_SACK 5

/* What matters of one segment, in host byte order. */
struct segment {
    uint32_t seq;
    uint32_t end; /* sequence after its last byte; SYN and FIN take one each */
    uint32_t ack;
    uint32_t sack;   /* the furthest that is acknowledged, selectively or not */
    uint32_t window; /* scaled */
    uint16_t raw_window;
    uint8_t flags;
};

/* True where a comes after b, modulo 2^32. */
static bool
is_after(uint32_t a, uint32_t b)
{
    return (int32_t) (a - b) > 0;
}

static uint32_t
later(uint32_t a, uint32_t b)
{
    return is_after(a, b) ? a : b;
}

/* The last right edge of the blocks that a segment acknowledges selectively. */
static uint32_t
read_sack(const uint8_t *options, uint32_t length, uint32_t ack)
{
    for (uint32_t i = 0; i + 1 < length && options[i] != OPTION_END;) {
        uint32_t size = options[i + 1], edge;

        if (options[i] == OPTION_NOP) {
            i++;
            continue;
        }
        if (size < 2 || size > length - i) {
            break;
        }
        for (uint32_t at = 6; options[i] == OPTION_SACK && at + sizeof edge <= size; at += 8) {
            memcpy(&edge, options + i + at, sizeof edge);
            ack = later(rte_be_to_cpu_32(edge), ack);
        }
        i += size;
    }
    return ack;
}

/* Flags that can stand together; urgent, pushed and congestion say nothing of the connection. */
static bool
has_sane_flags(uint8_t flags)
{
    switch (flags & (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG)) {
    case RTE_TCP_SYN_FLAG:
    case RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG:
    case RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG:
    case RTE_TCP_RST_FLAG:
    case RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG:
    case RTE_TCP_ACK_FLAG:
        return true;
    default:
        return false;
    }
}

static struct segment
read_segment(const struct nicsim_packet *packet, const struct rte_flow_tcp_dir_param *sender, bool has_sack)
{
    const struct rte_tcp_hdr *tcp = (const void *) (packet->data + packet->l4);
    uint32_t header = (tcp->data_off >> 4) * 4u, payload = packet->l4_length - header;
    struct segment s = {
        .seq = rte_be_to_cpu_32(tcp->sent_seq),
        .ack = rte_be_to_cpu_32(tcp->recv_ack),
        .raw_window = rte_be_to_cpu_16(tcp->rx_win),
        .flags = tcp->tcp_flags,
    };

    s.end = s.seq + payload + !!(s.flags & RTE_TCP_SYN_FLAG) + !!(s.flags & RTE_TCP_FIN_FLAG);
    s.sack = has_sack ? read_sack((const uint8_t *) (tcp + 1), header - sizeof *tcp, s.ack) : s.ack;
    s.window = s.raw_window;
    if (!(s.flags & RTE_TCP_SYN_FLAG) && sender->scale != NO_SCALE) {
        s.window <<= sender->scale;
    }
    return s;
}

static bool
is_in_window(const struct segment *s, const struct rte_flow_tcp_dir_param *sender,
             const struct rte_flow_tcp_dir_param *receiver, uint8_t ack_window_scale)
{
    uint64_t lag = (uint64_t) sender->max_win << RTE_MIN(ack_window_scale, (uint8_t) 14);
    uint32_t ack_window = (uint32_t) RTE_MIN(RTE_MAX(lag, (uint64_t) MIN_ACK_WINDOW), (uint64_t) INT32_MAX);

    if (is_after(s->seq, sender->reply_end) || !is_after(s->end + 1, sender->sent_end - receiver->max_win)) {
        return false;
    }
    if (!(s->flags & RTE_TCP_ACK_FLAG)) {
        return true;
    }
    return !is_after(s->sack, receiver->sent_end) && is_after(s->sack + 1, receiver->sent_end - ack_window);
}

static void
move_windows(const struct segment *s, struct rte_flow_tcp_dir_param *sender, struct rte_flow_tcp_dir_param *receiver)
{
    sender->max_win = RTE_MAX(sender->max_win, s->window);
    if (is_after(s->end, sender->sent_end)) {
        sender->sent_end = s->end;
        sender->data_unacked = 1;
    }
    if (s->flags & RTE_TCP_ACK_FLAG) {
        sender->max_ack = later(s->ack, sender->max_ack);
        receiver->reply_end = later(s->ack + RTE_MAX(s->window, 1u), receiver->reply_end);
        receiver->last_ack_seen = 1;
        if (s->ack == receiver->sent_end) {
            receiver->data_unacked = 0;
        }
    }
}

static uint8_t
after_fin(uint8_t state, struct rte_flow_tcp_dir_param *sender, const struct rte_flow_tcp_dir_param *receiver)
{
    sender->close_initiated = 1;
    return receiver->close_initiated                   ? RTE_FLOW_CONNTRACK_STATE_LAST_ACK
           : state < RTE_FLOW_CONNTRACK_STATE_FIN_WAIT ? RTE_FLOW_CONNTRACK_STATE_FIN_WAIT
                                                       : state;
}

/* The state after a valid segment. */
static uint8_t
next_state(const struct segment *s, uint8_t state, bool is_original, struct rte_flow_tcp_dir_param *sender,
           const struct rte_flow_tcp_dir_param *receiver)
{
    bool acks_all = (s->flags & RTE_TCP_ACK_FLAG) && s->ack == receiver->sent_end;

    if (s->flags & RTE_TCP_RST_FLAG) {
        return RTE_FLOW_CONNTRACK_STATE_TIME_WAIT;
    }
    if (s->flags & RTE_TCP_FIN_FLAG && !sender->close_initiated) {
        return after_fin(state, sender, receiver);
    }
    if (!acks_all) {
        return state;
    }
    switch (state) {
    case RTE_FLOW_CONNTRACK_STATE_SYN_RECV:
        return is_original ? RTE_FLOW_CONNTRACK_STATE_ESTABLISHED : state;
    case RTE_FLOW_CONNTRACK_STATE_FIN_WAIT:
        return receiver->close_initiated ? RTE_FLOW_CONNTRACK_STATE_CLOSE_WAIT : state;
    case RTE_FLOW_CONNTRACK_STATE_LAST_ACK:
        /* Over once both FINs are acknowledged. */
        return sender->sent_end == receiver->max_ack ? RTE_FLOW_CONNTRACK_STATE_TIME_WAIT : state;
    default:
        return state;
    }
}

static enum rte_flow_conntrack_tcp_last_index
kind_of(uint8_t flags)
{
    if (flags & RTE_TCP_RST_FLAG) {
        return RTE_FLOW_CONNTRACK_FLAG_RST;
    }
    if (flags & RTE_TCP_SYN_FLAG) {
        return flags & RTE_TCP_ACK_FLAG ? RTE_FLOW_CONNTRACK_FLAG_SYNACK : RTE_FLOW_CONNTRACK_FLAG_SYN;
    }
    if (flags & RTE_TCP_FIN_FLAG) {
        return RTE_FLOW_CONNTRACK_FLAG_FIN;
    }
    return flags & RTE_TCP_ACK_FLAG ? RTE_FLOW_CONNTRACK_FLAG_ACK : RTE_FLOW_CONNTRACK_FLAG_NONE;
}

static void
remember(struct rte_flow_action_conntrack *conntrack, const struct segment *s, bool is_original)
{
    conntrack->last_direction = is_original;
    conntrack->last_window = s->raw_window;
    conntrack->last_index = kind_of(s->flags);
    conntrack->last_seq = s->seq;
    conntrack->last_ack = s->ack;
    conntrack->last_end = s->end;
    if (conntrack->state >= RTE_FLOW_CONNTRACK_STATE_ESTABLISHED && (s->flags & RTE_TCP_ACK_FLAG)) {
        conntrack->live_connection = 1;
    }
}

int
nicsim_conntrack_check(const struct rte_flow_action_conntrack *conntrack)
{
    return (unsigned int) conntrack->state > RTE_FLOW_CONNTRACK_STATE_TIME_WAIT ||
                   (unsigned int) conntrack->last_index > RTE_FLOW_CONNTRACK_FLAG_RST
               ? EINVAL
               : 0;
}

/* The segment is the last one again, and carries something. */
static bool
is_repeated(const struct rte_flow_action_conntrack *conntrack, const struct segment *s, bool is_original)
{
    return s->end != s->seq && conntrack->last_direction == is_original && conntrack->last_seq == s->seq &&
           conntrack->last_end == s->end && conntrack->last_ack == s->ack && conntrack->last_window == s->raw_window;
}

static bool
is_allowed(const struct nicsim_object *object, const struct segment *s, const struct rte_flow_tcp_dir_param *sender,
           const struct rte_flow_tcp_dir_param *receiver, bool is_original)
{
    const struct rte_flow_action_conntrack *conntrack = &object->conntrack;

    /* A SYN has no place in a connection that is there. */
    if ((s->flags & RTE_TCP_SYN_FLAG) && conntrack->state != RTE_FLOW_CONNTRACK_STATE_SYN_RECV) {
        return false;
    }
    if (conntrack->liberal_mode) {
        return true;
    }
    if (conntrack->retransmission_limit && object->n_repeats >= conntrack->retransmission_limit &&
        is_repeated(conntrack, s, is_original)) {
        return false;
    }
    return is_in_window(s, sender, receiver, conntrack->max_ack_window);
}

uint8_t
nicsim_conntrack_judge(struct nicsim_object *object, bool is_original, const struct nicsim_packet *packet)
{
    struct rte_flow_action_conntrack *conntrack = &object->conntrack;
    struct rte_flow_tcp_dir_param *sender = is_original ? &conntrack->original_dir : &conntrack->reply_dir;
    struct rte_flow_tcp_dir_param *receiver = is_original ? &conntrack->reply_dir : &conntrack->original_dir;
    uint8_t before = conntrack->state;
    struct segment s;

    if (!conntrack->enable) {
        return RTE_FLOW_CONNTRACK_PKT_STATE_DISABLED;
    }
    if (packet->key.proto != IPPROTO_TCP || !(packet->key.bits & NICSIM_KEY_L4) ||
        !has_sane_flags(packet->key.tcp_flags)) {
        return RTE_FLOW_CONNTRACK_PKT_STATE_BAD;
    }
    s = read_segment(packet, sender, conntrack->selective_ack);
    if (!is_allowed(object, &s, sender, receiver, is_original)) {
        return RTE_FLOW_CONNTRACK_PKT_STATE_INVALID;
    }
    object->n_repeats =
        is_repeated(conntrack, &s, is_original) ? object->n_repeats + (object->n_repeats < UINT8_MAX) : 0;
    move_windows(&s, sender, receiver);
    conntrack->state = next_state(&s, before, is_original, sender, receiver);
    remember(conntrack, &s, is_original);
    return RTE_FLOW_CONNTRACK_PKT_STATE_VALID | (conntrack->state != before ? RTE_FLOW_CONNTRACK_PKT_STATE_CHANGED : 0);
}
