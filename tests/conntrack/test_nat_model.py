"""Address translation against what must hold whatever is chosen: kept, unique, undone on the way back, honest."""

from __future__ import annotations

import itertools
import struct

from conntrack_packets import UDP, ether, ipv4, packed, udp_l4
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, Nat, Refusal, states_text

CLIENTS = [f"10.0.0.{i}" for i in range(1, 6)]
SERVERS = ["10.9.9.1", "10.9.9.2"]
PORTS = [1000, 1001, 40000]
NATS = [
    "src=198.51.100.1:5000-5003",
    "src=198.51.100.1-198.51.100.2:5000-5001,random",
    "dst=10.9.9.8-10.9.9.9:80-81",
    "src=198.51.100.1:5000-5001,dst=10.9.9.9:53",
    "src=198.51.100.1-198.51.100.3:6000,persistent",
]
Ends = tuple[str, int, str, int]


def frame(ends: Ends) -> bytes:
    src, sport, dst, dport = ends
    return ether(ipv4(src, dst, UDP, udp_l4(src, sport, dst, dport)))


def read(data: bytes) -> Ends:
    sport, dport = struct.unpack("!HH", data[34:38])
    src, dst = (".".join(str(b) for b in data[at : at + 4]) for at in (26, 30))
    return src, sport, dst, dport


def turned(ends: Ends) -> Ends:
    return ends[2], ends[3], ends[0], ends[1]


class Translation(RuleBasedStateMachine):
    """replies: by the tuple a client sends, the tuple its replies carry; all that is live."""

    @initialize(text=st.sampled_from(NATS))
    def begin(self, text: str) -> None:
        self.ct = Conntrack(100, now_ms=0)
        self.nat = Nat.parse(text)
        self.now_ms = 0
        self.replies: dict[Ends, Ends] = {}

    def teardown(self) -> None:
        if hasattr(self, "ct"):
            self.ct.close()

    def send(self, ends: Ends) -> tuple[str, Refusal, Ends]:
        packets = Packets.of([frame(ends)]).copy()
        verdict = self.ct.process(packets, self.now_ms, nat=self.nat)[0]
        out = packets[0]
        assert out == frame(read(out)), "a checksum is wrong"
        return states_text(int(verdict["state"])), Refusal(int(verdict["reason"])), read(out)

    def in_ranges(self, ends: Ends, out: Ends) -> bool:
        src, dst = self.nat.src, self.nat.dst
        kept_source = src is None and out[0] == ends[0]
        kept_destination = dst is None and out[2:] == ends[2:]
        return (kept_source or self.within(src, out[0])) and (kept_destination or self.within(dst, out[2]))

    @staticmethod
    def within(wide, address: str) -> bool:
        return wide is not None and packed(str(wide.low)) <= packed(address) <= packed(str(wide.high))

    def is_used_up(self, ends: Ends) -> bool:
        """Every tuple the ranges allow has an owner. Without a range of source ports there is always another port."""
        src, dst = self.nat.src, self.nat.dst
        if src is None or src.ports is None:
            return False
        sources = itertools.product(range(int(src.low), int(src.high) + 1), range(src.ports[0], src.ports[1] + 1))
        taken = {(r[2], r[3], r[0], r[1]) for r in self.replies.values()}
        target = (ends[2], ends[3]) if dst is None else (str(dst.low), dst.ports[0])
        return all((str(type(src.low)(a)), p, *target) in taken for a, p in sources)

    @rule(src=st.sampled_from(CLIENTS), sport=st.sampled_from(PORTS), dst=st.sampled_from(SERVERS))
    def a_client_sends(self, src: str, sport: int, dst: str) -> None:
        ends = (src, sport, dst, 53)
        words, reason, out = self.send(ends)
        if ends in self.replies:
            assert out == turned(self.replies[ends])
            assert "inv" not in words
        elif "inv" in words:
            assert reason is Refusal.REFUSED_NAT
            assert self.is_used_up(ends)
            assert out == ends
        else:
            assert words.startswith("new|trk")
            assert self.in_ranges(ends, out)
            assert turned(out) not in self.replies.values()
            self.replies[ends] = turned(out)

    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def a_server_answers(self, data) -> None:
        ends = data.draw(st.sampled_from(sorted(self.replies)))
        words, _, out = self.send(self.replies[ends])
        assert words.startswith("est|rpl|trk")
        assert out == turned(ends)

    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def somebody_uses_a_tuple_that_is_taken(self, data) -> None:
        ends = data.draw(st.sampled_from(sorted(self.replies)))
        foreign = turned(self.replies[ends])
        if foreign not in self.replies:
            assert self.send(foreign)[:2] == ("inv|trk", Refusal.REFUSED_NAT)

    @precondition(lambda self: self.replies)
    @rule(data=st.data(), by_reply=st.booleans())
    def one_is_flushed(self, data, by_reply: bool) -> None:
        ends = data.draw(st.sampled_from(sorted(self.replies)))
        src, sport, dst, dport = self.replies[ends] if by_reply else ends
        assert self.ct.flush_tuple(src, dst, UDP, sport, dport)
        del self.replies[ends]

    @rule()
    def all_time_out(self) -> None:
        self.now_ms += 100_000
        self.ct.advance(self.now_ms)
        self.replies.clear()

    @rule()
    def expiry_runs(self) -> None:
        self.ct.expire(self.now_ms)
        assert self.ct.count == len(self.replies)

    @invariant()
    def the_table_says_the_same(self) -> None:
        if not hasattr(self, "ct"):
            return
        assert len(set(self.replies.values())) == len(self.replies)
        rows = self.ct.connections()
        assert len(rows) == len(self.replies)


TestTranslation = Translation.TestCase
TestTranslation.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
