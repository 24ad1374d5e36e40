"""The NIC's own connection tracking: a context judges each segment, later groups match what it said."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest
from nicsim_packets import TCP_ITEM, bad_checksum, eth, pattern
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.dpdk import actions, items
from ctoffload_dpdk.dpdk.actions import ConntrackIndex, ConntrackState, TcpDirection

pytestmark = pytest.mark.eal

VALID, CHANGED, INVALID, DISABLED, BAD = 1, 2, 4, 8, 16

# After a handshake: the client sent up to 1000, the server up to 5000; windows of 8000 << 2 and 30000 << 0.
CONTEXT = actions.Conntrack(
    original=TcpDirection(scale=2, sent_end=1000, reply_end=1000 + 30000, max_win=32000, max_ack=5000),
    reply=TcpDirection(scale=0, sent_end=5000, reply_end=5000 + 32000, max_win=30000, max_ack=1000),
    state=ConntrackState.ESTABLISHED,
)


class Bench:
    """A context, its two rules, and a queue or counter for each answer."""

    def __init__(self, host: Any, context: Any = CONTEXT) -> None:
        self.host = host
        self.context = host.shared(context)
        back = [items.Eth(), items.Ipv4(src="10.0.0.2", dst="10.0.0.1"), items.Tcp(src_port=80, dst_port=1000)]
        host.rule([items.Eth()], [actions.Jump(1)])
        ask = [actions.Indirect(self.context), actions.Jump(2)]
        self.context.update_conntrack(original_direction=True)
        host.rule(pattern(4, TCP_ITEM), ask, ingress=True, group=1)
        self.context.update_conntrack(original_direction=False)
        host.rule(back, ask, ingress=True, group=1)
        self.answers = {
            flags: host.rule([items.Eth(), items.Conntrack(flags)], [actions.Count(), actions.Drop()],
                             ingress=True, group=2)
            for flags in (VALID, VALID | CHANGED, INVALID, DISABLED, BAD)
        }  # fmt: skip

    def says(self, packet: Any) -> int:
        """What the context says of a segment."""
        before = {flags: rule.query_count().packets for flags, rule in self.answers.items()}
        self.host.send(packet)
        changed = [flags for flags, rule in self.answers.items() if rule.query_count().packets != before[flags]]
        assert len(changed) == 1
        return changed[0]

    def state(self) -> Any:
        return self.context.query()


def client(seq: int, ack: int, flags: str = "A", payload: int = 0, window: int = 8000) -> Any:
    tcp = TCP(sport=1000, dport=80, seq=seq % 2**32, ack=ack % 2**32, flags=flags, window=window)
    return eth() / IP(src="10.0.0.1", dst="10.0.0.2") / tcp / Raw(b"c" * payload)


def server(seq: int, ack: int, flags: str = "A", payload: int = 0, window: int = 30000) -> Any:
    tcp = TCP(sport=80, dport=1000, seq=seq % 2**32, ack=ack % 2**32, flags=flags, window=window)
    return eth() / IP(src="10.0.0.2", dst="10.0.0.1") / tcp / Raw(b"s" * payload)


def test_data_in_both_directions_is_valid_and_moves_the_windows(host: Any) -> None:
    bench = Bench(host)
    assert bench.says(client(1000, 5000, "PA", 500)) == VALID
    assert bench.says(server(5000, 1500, "PA", 700)) == VALID
    state = bench.state()
    assert (state.original.sent_end, state.reply.sent_end) == (1500, 5700)
    assert (state.original.max_ack, state.reply.max_ack) == (5000, 1500)
    assert (state.original.reply_end, state.reply.reply_end) == (1500 + 30000, 5000 + 32000)
    assert (state.last_seq, state.last_ack, state.last_end, state.last_window) == (5000, 1500, 5700, 30000)
    assert not state.last_direction_is_original
    assert not state.original.data_unacked
    assert state.reply.data_unacked


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (client(1000 + 30000, 5000), VALID),
        (client(1000 + 30001, 5000), INVALID),
        (client(1000, 5000, "PA", 1400), VALID),
        (client(1000 - 30000, 5000), VALID),
        (client(1000 - 30001, 5000), INVALID),
        (client(1000, 5001), INVALID),
        (client(1000, 5000 - 66000), VALID),
        (client(1000, 5000 - 66001), INVALID),
        (server(5000 + 32000, 1000), VALID),
        (server(5000 + 32001, 1000), INVALID),
        (server(5000, 1001), INVALID),
        (client(1000, 5000, "S"), INVALID),
        (client(31001, 5000, "RA"), INVALID),
    ],
)
def test_the_edges_of_the_window(host: Any, packet: Any, answer: int) -> None:
    bench = Bench(host)
    before = bench.state()
    assert bench.says(packet) == answer
    if answer == INVALID:
        assert bench.state() == before


def test_sequences_that_wrap_around(host: Any) -> None:
    near = 0xFFFFFF00
    context = replace(CONTEXT, original=replace(CONTEXT.original, sent_end=near, reply_end=(near + 30000) % 2**32),
                      reply=replace(CONTEXT.reply, max_ack=near))  # fmt: skip
    bench = Bench(host, context)
    assert bench.says(client(near, 5000, "PA", 1000)) == VALID
    assert bench.says(server(5000, near + 1000)) == VALID
    assert bench.state().original.sent_end == (near + 1000) % 2**32


def test_an_orderly_close_passes_through_every_state(host: Any) -> None:
    bench = Bench(host)
    steps = [
        (client(1000, 5000, "FA"), VALID | CHANGED, ConntrackState.FIN_WAIT),
        (server(5000, 1001, "PA", 10), VALID | CHANGED, ConntrackState.CLOSE_WAIT),
        (client(1001, 5010), VALID, ConntrackState.CLOSE_WAIT),
        (server(5010, 1001, "FA"), VALID | CHANGED, ConntrackState.LAST_ACK),
        (client(1001, 5011), VALID | CHANGED, ConntrackState.TIME_WAIT),
    ]
    for packet, answer, state in steps:
        assert bench.says(packet) == answer
        assert bench.state().state == state
    assert bench.state().original.close_initiated
    assert bench.state().reply.close_initiated


def test_the_end_of_a_handshake_establishes(host: Any) -> None:
    bench = Bench(host, replace(CONTEXT, state=ConntrackState.SYN_RECV))
    assert bench.says(server(5000, 1000)) == VALID
    assert bench.says(client(1000, 5000)) == VALID | CHANGED
    assert bench.state().state == ConntrackState.ESTABLISHED


def test_an_rst_in_the_window_closes(host: Any) -> None:
    bench = Bench(host)
    assert bench.says(server(5000, 1000, "RA")) == VALID | CHANGED
    assert bench.state().state == ConntrackState.TIME_WAIT
    assert bench.state().last_index == ConntrackIndex.RST


def test_a_liberal_context_lets_every_sequence_pass_but_follows_the_states(host: Any) -> None:
    bench = Bench(host, replace(CONTEXT, liberal_mode=True))
    assert bench.says(client(900_000, 700_000)) == VALID
    assert bench.says(server(5000, 1000, "FA")) == VALID | CHANGED


def test_a_disabled_context_judges_nothing(host: Any) -> None:
    bench = Bench(host, replace(CONTEXT, enable=False))
    assert bench.says(client(900_000, 700_000, "FA")) == DISABLED
    assert bench.state().state == ConntrackState.ESTABLISHED


def test_a_context_can_be_replaced_and_keeps_its_rules_directions(host: Any) -> None:
    bench = Bench(host)
    bench.context.update_conntrack(replace(CONTEXT, original=replace(CONTEXT.original, sent_end=50, reply_end=99)))
    assert bench.says(client(50, 5000, "PA", 10)) == VALID
    assert bench.says(client(1000, 5000)) == INVALID
    assert bench.says(server(5000, 60)) == VALID


def test_a_segment_that_is_broken_never_reaches_the_context(host: Any) -> None:
    bench = Bench(host)
    bad = bad_checksum(client(1000, 5000, "PA", 10), TCP)
    host.send(bad)
    assert host.received() == [bytes(bad)]
    assert bench.state().original.sent_end == 1000


# A connection in each state, the client having begun to close it: state, who closed, what the client acknowledged.
OPENED = replace(CONTEXT, state=ConntrackState.SYN_RECV)
CLOSING = replace(CONTEXT, original=replace(CONTEXT.original, close_initiated=True))
BOTH = replace(CLOSING, reply=replace(CONTEXT.reply, close_initiated=True),
               original=replace(CLOSING.original, max_ack=4999))  # fmt: skip
IN_STATE = {
    "syn_recv": OPENED,
    "established": CONTEXT,
    "fin_wait": replace(CLOSING, state=ConntrackState.FIN_WAIT),
    "close_wait": replace(CLOSING, state=ConntrackState.CLOSE_WAIT),
    "last_ack": replace(BOTH, state=ConntrackState.LAST_ACK),
    "time_wait": replace(BOTH, state=ConntrackState.TIME_WAIT),
}
SENT = {
    "client acks": client(1000, 5000), "server acks": server(5000, 1000),
    "client ends": client(1000, 5000, "FA"), "server ends": server(5000, 1000, "FA"),
    "client resets": client(1000, 5000, "RA"), "server resets": server(5000, 1000, "R"),
    "client opens": client(999, 0, "S"), "server opens": server(4999, 1000, "SA"),
}  # fmt: skip
SAME = None  # valid, and nothing changes
TABLE = {
    "syn_recv": ["ESTABLISHED", SAME, "FIN_WAIT", "FIN_WAIT", "TIME_WAIT", "TIME_WAIT", SAME, SAME],
    "established": [SAME, SAME, "FIN_WAIT", "FIN_WAIT", "TIME_WAIT", "TIME_WAIT", INVALID, INVALID],
    "fin_wait": [SAME, "CLOSE_WAIT", SAME, "LAST_ACK", "TIME_WAIT", "TIME_WAIT", INVALID, INVALID],
    "close_wait": [SAME, SAME, SAME, "LAST_ACK", "TIME_WAIT", "TIME_WAIT", INVALID, INVALID],
    "last_ack": ["TIME_WAIT", SAME, SAME, SAME, "TIME_WAIT", "TIME_WAIT", INVALID, INVALID],
    "time_wait": [SAME, SAME, SAME, SAME, SAME, SAME, INVALID, INVALID],
}


@pytest.mark.parametrize("liberal", [False, True], ids=["strict", "liberal"])
@pytest.mark.parametrize("state", TABLE)
def test_every_segment_in_every_state(lab: Any, state: str, liberal: bool) -> None:
    host = lab.host()
    bench = Bench(host, replace(IN_STATE[state], liberal_mode=liberal))
    before = bench.state()
    for (what, packet), expected in zip(SENT.items(), TABLE[state], strict=True):
        bench.context.update_conntrack(replace(IN_STATE[state], liberal_mode=liberal))
        answer, after = bench.says(packet), bench.state()
        if expected == INVALID:
            assert (answer, after) == (INVALID, before), what
        elif expected is SAME:
            assert (answer, after.state) == (VALID, before.state), what
        else:
            assert (answer, after.state) == (VALID | CHANGED, ConntrackState[expected]), what


@pytest.mark.parametrize("flags", ["", "F", "SF", "SR", "FR", "SAF", "P"])
def test_flags_that_cannot_stand_together_are_bad(host: Any, flags: str) -> None:
    bench = Bench(host)
    before = bench.state()
    assert bench.says(client(1000, 5000, flags)) == BAD
    assert bench.state() == before


@pytest.mark.parametrize("flags", ["PA", "AU", "AEC", "RA", "FPA"])
def test_flags_that_say_nothing_of_the_connection_change_nothing(host: Any, flags: str) -> None:
    assert Bench(host).says(client(1000, 5000, flags)) & VALID


@pytest.mark.parametrize("scale", [0, 7, 14, 15])
def test_windows_are_scaled_except_those_of_a_syn(lab: Any, scale: int) -> None:
    context = replace(OPENED, original=replace(CONTEXT.original, scale=scale, max_win=1))
    bench = Bench(lab.host(), context)
    assert bench.says(client(999, 0, "S", window=100)) == VALID
    assert bench.state().original.max_win == 100
    assert bench.says(client(1000, 5000, window=100)) == VALID | CHANGED
    window = 100 << (0 if scale == 15 else scale)
    assert bench.state().original.max_win == window
    assert bench.state().reply.reply_end == max(5000 + 32000, 5000 + window)


def test_the_factor_of_the_ack_window(lab: Any) -> None:
    late = client(1000, 5000 - 32000 * 4 - 1)
    assert Bench(lab.host(), replace(CONTEXT, max_ack_window=1)).says(late) == INVALID
    assert Bench(lab.host(), replace(CONTEXT, max_ack_window=2)).says(late) == INVALID
    assert Bench(lab.host(), replace(CONTEXT, max_ack_window=3)).says(late) == VALID


def with_sack(packet: Any, *blocks: int) -> Any:
    packet[TCP].options = [("NOP", None), ("NOP", None), ("SAck", tuple(b % 2**32 for b in blocks))]
    return packet


def test_what_is_acknowledged_selectively_counts_where_the_connection_has_it(lab: Any) -> None:
    def late(*blocks: int) -> Any:
        return with_sack(client(1000, 5000 - 70000), *blocks)

    has = replace(CONTEXT, selective_ack=True)
    assert Bench(lab.host(), has).says(late(4000, 4500)) == VALID
    assert Bench(lab.host(), has).says(late(4000, 4500, 4700, 5000)) == VALID
    assert Bench(lab.host(), has).says(late(4000, 5001)) == INVALID
    assert Bench(lab.host(), CONTEXT).says(late(4000, 4500)) == INVALID
    assert Bench(lab.host(), has).says(client(1000, 5000 - 70000)) == INVALID


def test_a_segment_is_repeated_as_often_as_allowed_in_a_row(lab: Any) -> None:
    bench = Bench(lab.host(), replace(CONTEXT, retransmission_limit=2))
    data, more = client(1000, 5000, "PA", 100), client(1100, 5000, "PA", 100)
    assert [bench.says(data) for _ in range(4)] == [VALID, VALID, VALID, INVALID]
    assert [bench.says(more), bench.says(data)] == [VALID, VALID]
    # What carries nothing may come as often as it likes.
    assert {bench.says(server(5000, 1200)) for _ in range(9)} == {VALID}
    free = Bench(lab.host(), replace(CONTEXT, retransmission_limit=0))
    assert {free.says(data) for _ in range(9)} == {VALID}
    liberal = Bench(lab.host(), replace(CONTEXT, retransmission_limit=1, liberal_mode=True))
    assert {liberal.says(data) for _ in range(9)} == {VALID}


@pytest.mark.parametrize("near", [0x7FFFFF00, 0xFFFFFF00], ids=["sign", "zero"])
@pytest.mark.parametrize("liberal", [False, True])
def test_both_directions_wrap_around(lab: Any, near: int, liberal: bool) -> None:
    def beyond(n: int) -> int:
        return (near + n) % 2**32

    original = replace(CONTEXT.original, sent_end=near, reply_end=beyond(30000), max_ack=near)
    reply = replace(CONTEXT.reply, sent_end=near, reply_end=beyond(32000), max_ack=near)
    bench = Bench(lab.host(), replace(CONTEXT, original=original, reply=reply, liberal_mode=liberal))
    assert bench.says(client(near, near, "PA", 600)) == VALID
    assert bench.says(server(near, near + 600, "PA", 700)) == VALID
    assert bench.says(client(near + 600, near + 700)) == VALID
    state = bench.state()
    assert (state.original.sent_end, state.reply.sent_end) == (beyond(600), beyond(700))
    assert (state.original.max_ack, state.reply.max_ack) == (beyond(700), beyond(600))
    assert (state.original.data_unacked, state.reply.data_unacked) == (False, False)
    assert (state.last_seq, state.last_ack, state.last_end) == (beyond(600), beyond(700), beyond(600))
    assert bench.says(client(near + 100_000, near + 700)) == (VALID if liberal else INVALID)


def test_the_first_ack_of_an_established_connection_shows_that_it_lives(host: Any) -> None:
    bench = Bench(host, replace(OPENED, live_connection=False))
    assert bench.says(server(5000, 1000)) == VALID
    assert not bench.state().live_connection
    assert bench.says(client(1000, 5000)) == VALID | CHANGED
    assert bench.state().live_connection


def test_a_context_may_be_asked_by_its_port_and_by_the_peer_it_names(lab: Any) -> None:
    left, right = lab.pair()
    other = lab.host(switch=left.port.info().switch_domain)
    context = left.shared(replace(CONTEXT, peer_port=right.port.id))
    use = [actions.Indirect(context), actions.Jump(2)]
    context.update_conntrack(original_direction=True)
    left.rule([items.Eth()], [actions.Jump(1)])
    left.rule(pattern(4, TCP_ITEM), use, ingress=True, group=1)
    context.update_conntrack(original_direction=False)
    back = [items.Eth(), items.Ipv4(src="10.0.0.2", dst="10.0.0.1"), items.Tcp(src_port=80, dst_port=1000)]
    right.rule([items.Eth()], [actions.Jump(1)])
    right.rule(back, use, ingress=True, group=1)
    valid = [
        host.rule([items.Conntrack(VALID)], [actions.Count(), actions.Drop()], ingress=True, group=2)
        for host in (left, right)
    ]
    disabled = right.rule([items.Conntrack(DISABLED)], [actions.Count(), actions.Drop()], ingress=True, group=2)
    with pytest.raises(FlowError, match="no such indirect action on this port"):
        other.rule(pattern(4, TCP_ITEM), use, ingress=True, group=1)
    left.send(client(1000, 5000, "PA", 100))
    right.send(server(5000, 1100))
    assert [rule.query_count().packets for rule in valid] == [1, 1]
    assert (context.query().original.sent_end, context.query().reply.max_ack) == (1100, 1100)
    with pytest.raises(FlowError, match="rules still use it"):
        context.close()
    left.port.remove()
    right.send(server(5000, 1100))
    assert disabled.query_count().packets == 1


def test_refusals(host: Any) -> None:
    context = host.shared(CONTEXT)
    use = [actions.Indirect(context), actions.Drop()]
    cases = [
        ({"ingress": True}, pattern(4, TCP_ITEM), use, errno.ENOTSUP, "CONNTRACK works in groups above 0"),
        ({"ingress": True, "group": 1}, pattern(), use, errno.EINVAL, "CONNTRACK needs a TCP item"),
        ({"ingress": True, "group": 1}, pattern(4, TCP_ITEM), use[::-1], errno.ENOTSUP, "comes before the fate"),
        ({"ingress": True}, [items.Conntrack(1)], [actions.Drop()], errno.ENOTSUP, "works in groups above 0"),
    ]
    for attr, match, acts, number, words in cases:
        with pytest.raises(FlowError, match=words) as caught:
            host.rule(match, acts, **attr)
        assert caught.value.errno == number
    host.rule(pattern(4, TCP_ITEM), use, ingress=True, group=1)
    with pytest.raises(FlowError, match="rules still use it"):
        context.close()
