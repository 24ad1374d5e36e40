# ruff: noqa: PLR0917 - rules of hypothesis take their values by name
"""The engine against a slow model of the rules: any sequence of packets, times and commands, the same answers."""

from __future__ import annotations

import ipaddress
import struct

import numpy as np
import pytest
from conntrack_model import ANSWER, Message, Model, Segment
from conntrack_packets import (
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    echo,
    ether,
    icmp_l4,
    ip,
    ipv4,
    ipv6,
    tcp_l4,
    udp_l4,
    wscale,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sharded import Sharded

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import PROTOCOL_GROUPS, PROTOCOLS, TCP_STATES, numbers, states_text

HOSTS = {4: ["10.0.0.1", "10.0.0.2", "10.9.9.9"], 6: ["fc00::1", "fc00::2", "fe80::abcd:ef01"]}
PORTS = [1, 80, 40000]
START_MS = 10_000_000
SOME_TIMEOUTS = ["udp_first", "udp_multiple", "tcp_established", "icmp_first", "tcp_close"]


def l3(m: Message) -> bytes:
    """The IP packet of a description."""
    if m.about:
        kind, ends = (3, None) if ":" not in m.src else (1, (m.src, m.dst))
        return ip(m.src, m.dst, ICMPV6 if ends else ICMP, icmp_l4(kind, 1, bytes(4), l3(m.about), ends=ends))
    if m.kind == "tcp":
        s = m.segment
        options = b"" if s.wscale is None else wscale(s.wscale)
        l4 = tcp_l4(m.src, m.sport, m.dst, m.dport, s.flags, s.seq, s.ack, s.win, bytes(s.size), options=options)
        return ip(m.src, m.dst, TCP, l4)
    if m.kind == "udp":
        return ip(m.src, m.dst, UDP, udp_l4(m.src, m.sport, m.dst, m.dport))
    if m.kind == "icmp":
        return echo(m.src, m.dst, m.icmp_id, m.icmp_type)[14:]
    return ip(m.src, m.dst, m.proto, b"12345678")


def turned(m: Message) -> Message:
    """The same tuple, from the other end."""
    return Message(m.kind, m.dst, m.src, m.dport, m.sport, ANSWER.get(m.icmp_type, 0), m.icmp_id, m.proto, m.segment)


def ends(draw: st.DrawFn) -> tuple[str, str]:
    family = draw(st.sampled_from([4, 4, 6]))
    return draw(st.sampled_from(HOSTS[family])), draw(st.sampled_from(HOSTS[family]))


@st.composite
def plain_messages(draw: st.DrawFn) -> Message:
    """UDP, echoes, and another protocol between a handful of ends."""
    src, dst = ends(draw)
    kind = draw(st.sampled_from(["udp", "udp", "icmp", "other"]))
    types = [8, 0, 13, 14, 15, 16] if ":" not in src else [128, 129]
    return Message(kind, src, dst, draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS)),
                   draw(st.sampled_from(types)), draw(st.integers(0, 1)), draw(st.sampled_from([47, 50])))  # fmt: skip


FLAGS = st.sampled_from(
    ["S", "S", "SA", "SA", "A", "A", "A", "PA", "PA", "FA", "FA", "R", "RA", "", "F", "SF", "UA", "P", "SR", "SAP"]
)
# around what the peers expect, and far away from it
OFFSETS = st.one_of(st.integers(-3, 3), st.integers(-70_000, 70_000), st.integers(-(2**31), 2**31 - 1))
NEAR = st.one_of(st.just(0), st.just(0), st.just(0), OFFSETS)
WINDOWS = st.sampled_from([0, 1, 100, 8192, 8192, 65535])


class Story:
    """What the peers of a TCP connection would send next, so that random packets make sense often enough."""

    def __init__(self, message: Message, isn: tuple[int, int]) -> None:
        self.message = message
        self.next = list(isn)


class Machine(RuleBasedStateMachine):
    """Engine and model side by side; a burst is given to the engine at once, to the model one by one."""

    stories = Bundle("stories")
    ovs_compat = False
    n_shards = 1

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[Message, dict[str, int]]] = []

    @initialize(limit=st.sampled_from([3, 1000]))
    def start(self, limit: int) -> None:
        self.ct = Sharded(self.n_shards, limit, ovs_compat=self.ovs_compat, now_ms=START_MS)
        self.model = Model(ovs_compat=self.ovs_compat, max_connections=limit, now_ms=START_MS)

    def teardown(self) -> None:
        if hasattr(self, "ct"):
            self.settle()
            self.ct.close()

    # --- packets ---

    def send(self, message: Message, **action: int) -> None:
        self.pending.append((message, action))

    def settle(self) -> None:
        """What is pending goes through both, in bursts of equal action."""
        pending, self.pending = self.pending, []
        while pending:
            action = pending[0][1]
            n = next((i for i, (_, a) in enumerate(pending) if a != action), len(pending))
            self.compare([m for m, _ in pending[:n]], action)
            pending = pending[n:]

    def compare(self, messages: list[Message], action: dict[str, int]) -> None:
        verdicts = self.ct.process(
            Packets.of([ether(l3(m)) for m in messages]), self.model.now_ms, **self.for_engine(action)
        )
        for message, verdict in zip(messages, verdicts, strict=True):
            state, mark = self.model.judge(message, **action)
            said = (states_text(int(verdict["state"])), int(verdict["mark"]))
            assert said == (states_text(state), mark), message

    @staticmethod
    def for_engine(action: dict[str, int]) -> dict[str, int]:
        renamed = dict(action)
        if "policy" in renamed:
            renamed["timeout_policy"] = renamed.pop("policy")
        return renamed

    @rule(
        message=plain_messages(), zone=st.sampled_from([0, 0, 0, 1]), commit=st.sampled_from([True, True, True, False]),
        force=st.sampled_from([False] * 6 + [True]), policy=st.sampled_from([0, 0, 1, 2]),
    )  # fmt: skip
    def plain(self, message: Message, zone: int, commit: bool, force: bool, policy: int) -> None:
        self.send(message, zone=zone, commit=commit, force=force, policy=policy)

    @rule(message=plain_messages(), mark=st.integers(0, 255), mask=st.integers(0, 255))
    def marking(self, message: Message, mark: int, mask: int) -> None:
        self.send(message, mark=mark, mark_mask=mask)

    @rule(message=plain_messages())
    def answered(self, message: Message) -> None:
        self.send(message)
        self.send(turned(message))
        self.send(message)

    @rule(message=plain_messages(), router=st.booleans())
    def error_about(self, message: Message, router: bool) -> None:
        src = HOSTS[6 if ":" in message.src else 4][2] if router else message.dst
        self.send(Message("error", src, message.src, about=message))

    # --- TCP ---

    @rule(target=stories, data=st.data(), isn=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
    def tcp_story(self, data: st.DataObject, isn: tuple[int, int]) -> Story:
        src, dst = ends(data.draw)
        sport, dport = data.draw(st.sampled_from(PORTS)), data.draw(st.sampled_from(PORTS))
        return Story(Message("tcp", src, dst, sport, dport), isn)

    def tell(self, story: Story, who: int, s: Segment) -> None:
        m = story.message if who == 0 else turned(story.message)
        self.send(Message("tcp", m.src, m.dst, m.sport, m.dport, segment=s))

    @rule(story=stories, scales=st.tuples(*[st.one_of(st.none(), st.sampled_from([0, 2, 7, 14, 15]))] * 2), win=WINDOWS)
    def handshake(self, story: Story, scales: tuple[int | None, int | None], win: int) -> None:
        a, b = story.next
        self.tell(story, 0, Segment("S", a, 0, win, wscale=scales[0]))
        self.tell(story, 1, Segment("SA", b, (a + 1) % 2**32, win, wscale=scales[1]))
        self.tell(story, 0, Segment("A", (a + 1) % 2**32, (b + 1) % 2**32, win))
        story.next = [(a + 1) % 2**32, (b + 1) % 2**32]

    @rule(
        story=stories, who=st.integers(0, 1), flags=FLAGS, off=NEAR, ack_off=NEAR, win=WINDOWS,
        size=st.sampled_from([0, 0, 1, 100, 1400]), scale=st.one_of(st.none(), st.integers(0, 20)), moves=st.booleans(),
    )  # fmt: skip
    def segment(self, story: Story, who: int, flags: str, off: int, ack_off: int, win: int, size: int,
                scale: int | None, moves: bool) -> None:  # fmt: skip
        seq = (story.next[who] + off) % 2**32
        ack = (story.next[1 - who] + ack_off) % 2**32 if "A" in flags else 0
        self.tell(story, who, Segment(flags, seq, ack, win, size, scale if "S" in flags else None))
        if moves:
            story.next[who] = (seq + size + ("S" in flags) + ("F" in flags)) % 2**32

    @rule(story=stories, who=st.integers(0, 1), how=st.sampled_from(["FA", "RA", "R"]))
    def close(self, story: Story, who: int, how: str) -> None:
        for side in (who, 1 - who):
            ack = story.next[1 - side] if "A" in how else 0
            self.tell(story, side, Segment(how, story.next[side], ack))
            story.next[side] = (story.next[side] + ("F" in how)) % 2**32
        self.tell(story, who, Segment("A", story.next[who], story.next[1 - who]))

    @rule(target=stories, story=consumes(stories), isn=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
    def reuse(self, story: Story, isn: tuple[int, int]) -> object:
        return multiple(Story(story.message, isn))

    @rule(story=stories, who=st.integers(0, 1))
    def error_about_tcp(self, story: Story, who: int) -> None:
        m = story.message if who == 0 else turned(story.message)
        self.send(
            Message("error", m.dst, m.src, about=Message("tcp", m.src, m.dst, m.sport, m.dport, segment=Segment("A")))
        )

    # --- time and commands ---

    @rule(ms=st.one_of(st.integers(0, 100_000), st.sampled_from([29_999, 30_000, 60_000, 86_400_000])))
    def wait(self, ms: int) -> None:
        self.settle()
        self.model.now_ms += ms
        self.ct.advance(self.model.now_ms)

    @rule()
    def sweep(self) -> None:
        """The wheel looks at the end of a tick of 64 ms, so that is when both are asked."""
        self.settle()
        self.model.now_ms = -(-self.model.now_ms // 64) * 64
        self.ct.expire(self.model.now_ms)
        self.model.sweep()

    @rule(zone=st.sampled_from([None, 0, 1]))
    def flush(self, zone: int | None) -> None:
        self.settle()
        self.ct.flush(zone)
        self.model.flush(zone)

    @rule(policy=st.sampled_from([0, 1, 2]), name=st.sampled_from(SOME_TIMEOUTS), seconds=st.integers(1, 200_000))
    def policy(self, policy: int, name: str, seconds: int) -> None:
        self.settle()
        self.ct.set_timeout_policy(policy, **{name: seconds})
        self.model.policies[policy] = {name: seconds}

    @rule(limit=st.integers(0, 3))
    def zone_limit(self, limit: int) -> None:
        """Zone 1 only, and only while it is empty: what was there before a limit is not counted by it."""
        self.settle()
        self.ct.flush(1)
        self.model.flush(1)
        self.ct.set_zone_limit(1, limit)
        self.model.zone_limits[1] = limit

    # --- what has to hold ---

    @invariant()
    def the_same_connections_are_visible(self) -> None:
        if not hasattr(self, "ct") or self.pending:
            return
        counters = self.ct.counters()
        assert counters.created == (
            counters.live + counters.expired + counters.closed + counters.flushed + counters.replaced
        )
        ours = sorted(self.as_row(c) for c in self.model.connections if c.ends_ms > self.model.now_ms)
        theirs = sorted(as_row(row) for row in self.ct.connections())
        assert theirs == ours

    @invariant()
    def the_numbers_are_those_of_a_walk(self) -> None:
        """By protocol and TCP state. A walk does not meet those whose time is up, so only while there are none."""
        if not hasattr(self, "ct") or self.pending:
            return
        for shard in self.ct.shards:
            rows = shard.connections()
            if len(rows) != shard.count:
                assert numbers(shard)[0].sum() == shard.count
                continue
            for zone in (None, 0, 1):
                of, tcp = numbers(shard, zone)
                assert (of.tolist(), tcp.tolist()) == walked(rows if zone is None else rows[rows["zone"] == zone])

    def as_row(self, conn: object) -> tuple[object, ...]:
        tcp_states = tuple(p.state for p in conn.peers) if conn.peers else (0, 0)
        left = conn.ends_ms - self.model.now_ms
        return (conn.tuple[1][0], conn.tuple[2][0], conn.zone, left, conn.mark, tcp_states)


def walked(rows: np.ndarray) -> tuple[list[int], list[int]]:
    """How many connections of each of PROTOCOL_GROUPS, and of TCP in each state of the peer that is further on."""
    names = [PROTOCOLS.get(int(proto), "other") for proto in rows["proto"]]
    states = rows["tcp_state"][rows["proto"] == TCP].max(axis=1, initial=0)
    return [names.count(group) for group in PROTOCOL_GROUPS], np.bincount(states, minlength=len(TCP_STATES)).tolist()


def as_row(row: object) -> tuple[object, ...]:
    size = 4 if row["family"] == 4 else 16
    src, dst = (str(ipaddress.ip_address(row[end][:size].tobytes())) for end in ("src", "dst"))
    states = tuple(int(s) for s in row["tcp_state"])
    return (src, dst, int(row["zone"]), int(row["timeout_ms"]), int(row["mark"]), states)


class CompatMachine(Machine):
    """The same with OVS's defects kept."""

    ovs_compat = True


class ShardedMachine(Machine):
    """Three shards give the verdicts of one, wherever packets arrive."""

    n_shards = 3


SETTINGS = settings(
    max_examples=150, stateful_step_count=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip

TestEngine = Machine.TestCase
TestEngine.settings = SETTINGS
TestCompat = CompatMachine.TestCase
TestCompat.settings = SETTINGS
TestSharded = ShardedMachine.TestCase
TestSharded.settings = SETTINGS


@pytest.mark.parametrize("address", [*HOSTS[4], *HOSTS[6]])
def test_a_description_becomes_a_frame_of_its_family(address: str) -> None:
    frame = ether(l3(Message("udp", address, address, 1, 2)))
    assert struct.unpack("!H", frame[12:14])[0] == (0x86DD if ":" in address else 0x0800)
    assert (ipv6 if ":" in address else ipv4)(address, address, UDP, b"")[:1] == frame[14:15]
