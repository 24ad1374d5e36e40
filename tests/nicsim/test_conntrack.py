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

VALID, CHANGED, INVALID, DISABLED = 1, 2, 4, 8

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
            for flags in (VALID, VALID | CHANGED, INVALID, DISABLED, 16)
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
