"""Address translation against what must hold whatever is chosen: kept, unique, undone on the way back, honest.

In both families, for ports and for identifiers, in packets and in fragments.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
from dataclasses import dataclass
from typing import Any

from conntrack_packets import ICMP, ICMPV6, TCP, UDP, ether, icmp_l4, ipv4, ipv6, packed, tcp_l4, udp_l4
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sharded import Sharded

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Conntrack, Nat, Refusal, states_text
from ctoffload_dpdk.conntrack._shards import stubs

HOSTS = {"client": "10.0.0", "server": "10.9.9", "public": "198.51.100"}
PORTS = [1000, 1001, 40000]
PIECE = 1400
# Ranges with addresses by name, so that they stand for either family.
NATS = [
    "src=public.1:5000-5003",
    "src=public.1-public.2:5000-5001,random",
    "dst=server.8-server.9:80-81",
    "src=public.1:5000-5001,dst=server.9:53",
    "src=public.1-public.3:6000,persistent",
    "src=public.1-public.2",
    "dst=server.8-server.9",
    "src=public.1,dst=server.8-server.9,random",
]
ORDERS = st.permutations([0, 1, 2])
# Source and destination with port; of an echo, its identifier at both ends.
Ends = tuple[str, int, str, int]


def address(name: str, family: int) -> str:
    """client.3 in a family."""
    part, number = name.split(".")
    return f"{HOSTS[part]}.{number}" if family == 4 else f"fc0{list(HOSTS).index(part)}::{number}"


def nat_of(text: str, family: int) -> Nat:
    for part, number in itertools.product(HOSTS, range(1, 10)):
        shown = address(f"{part}.{number}", family)
        text = text.replace(f"{part}.{number}", shown if family == 4 else f"[{shown}]")
    return Nat.parse(text)


@dataclass(frozen=True)
class Kind:
    """What travels: a protocol of a family."""

    family: int
    proto: int

    @property
    def is_echo(self) -> bool:
        return self.proto in {ICMP, ICMPV6}

    def l4(self, ends: Ends, is_reply: bool, body: bytes) -> bytes:
        src, sport, dst, dport = ends
        if self.proto == UDP:
            return udp_l4(src, sport, dst, dport, body)
        if self.proto == TCP:
            flags, seq, ack = ("SA", 5000, 1001) if is_reply else ("S", 1000, 0)
            return tcp_l4(src, sport, dst, dport, flags, seq, ack, data=body)
        kind = {4: (8, 0), 6: (128, 129)}[self.family][is_reply]
        rest = struct.pack("!HH", sport, 1)
        return icmp_l4(kind, 0, rest, body, ends=(src, dst) if self.family == 6 else None)

    def frame(self, ends: Ends, is_reply: bool, body: bytes = b"x") -> bytes:
        make = ipv4 if self.family == 4 else ipv6
        return ether(make(ends[0], ends[2], self.proto, self.l4(ends, is_reply, body)))

    def pieces(self, ends: Ends, is_reply: bool, body: bytes, ident: int) -> list[bytes]:
        """The same in fragments."""
        l4 = self.l4(ends, is_reply, body)
        frames = []
        for at in range(0, len(l4), PIECE):
            part, more = l4[at : at + PIECE], at + PIECE < len(l4)
            if self.family == 4:
                field = at // 8 | more << 13
                frames.append(ether(ipv4(ends[0], ends[2], self.proto, part, fragment=field, ident=ident)))
            else:
                header = struct.pack("!BBHI", self.proto, 0, at | more, ident)
                frames.append(ether(ipv6(ends[0], ends[2], self.proto, part, first=44, extensions=header)))
        return frames

    def read(self, data: bytes) -> Ends:
        """The ends of a frame that is no fragment, or the first."""
        size, start = (4, 26) if self.family == 4 else (16, 22)
        src, dst = (str(ipaddress.ip_address(data[at : at + size])) for at in (start, start + size))
        at = start + 2 * size + (8 if self.family == 6 and data[20] == 44 else 0)
        sport, dport = struct.unpack("!HH", data[at : at + 4])
        if self.is_echo:
            sport = dport = int.from_bytes(data[at + 4 : at + 6], "big")
        return src, sport, dst, dport


KINDS = [Kind(4, UDP), Kind(6, UDP), Kind(4, TCP), Kind(6, TCP), Kind(4, ICMP), Kind(6, ICMPV6)]


def turned(ends: Ends) -> Ends:
    return ends[2], ends[3], ends[0], ends[1]


class Translation(RuleBasedStateMachine):
    """replies: by the tuple a client sends, the tuple its replies carry; all that is live."""

    n_shards = 1

    @initialize(text=st.sampled_from(NATS), kind=st.sampled_from(KINDS), seed=st.integers(0, 1000))
    def begin(self, text: str, kind: Kind, seed: int) -> None:
        self.ct: Any = Conntrack(100, now_ms=0) if self.n_shards == 1 else Sharded(self.n_shards, 100, seed, now_ms=0)
        self.kind, self.nat = kind, nat_of(text, kind.family)
        self.now_ms = 0
        self.idents = itertools.count(1)
        self.replies: dict[Ends, Ends] = {}

    def teardown(self) -> None:
        if hasattr(self, "ct"):
            self.ct.close()

    def send(self, ends: Ends, is_reply: bool = False) -> tuple[str, Refusal, Ends]:
        packets = Packets.of([self.kind.frame(ends, is_reply)]).copy()
        verdict = self.ct.process(packets, self.now_ms, nat=self.nat)[0]
        out = packets[0]
        assert out == self.kind.frame(self.kind.read(out), is_reply), "a checksum is wrong"
        return states_text(int(verdict["state"])), Refusal(int(verdict["reason"])), self.kind.read(out)

    def send_in_pieces(self, ends: Ends, is_reply: bool, order: list[int]) -> tuple[str, Refusal, Ends]:
        """The same as one datagram of three fragments, in that order and in one call or three."""
        body, ident = bytes(range(256)) * 13, next(self.idents)
        pieces = self.kind.pieces(ends, is_reply, body, ident)
        packets = Packets.of([pieces[i] for i in order]).copy()
        calls = [packets] if ident % 2 else [packets.slice(i, i + 1) for i in range(3)]
        rows = [row for call in calls for row in self.ct.track(call, self.now_ms, nat=self.nat) if row["kind"] == 0]
        assert len(rows) == 3
        assert len({(int(row["state"]), int(row["reason"]), int(row["conn_id"])) for row in rows}) == 1
        out = [packets[order.index(i)] for i in range(3)]
        seen = self.kind.read(out[0])
        assert out == self.kind.pieces(seen, is_reply, body, ident), "a checksum or an address is wrong"
        return states_text(int(rows[0]["state"])), Refusal(int(rows[0]["reason"])), seen

    def in_ranges(self, ends: Ends, out: Ends) -> bool:
        src, dst = self.nat.src, self.nat.dst
        kept_source = src is None and out[0] == ends[0]
        kept_destination = dst is None and out[2] == ends[2] and (self.kind.is_echo or out[3] == ends[3])
        return (kept_source or self.within(src, out[0])) and (kept_destination or self.within(dst, out[2]))

    @staticmethod
    def within(wide, one: str) -> bool:
        return wide is not None and packed(str(wide.low)) <= packed(one) <= packed(str(wide.high))

    def is_used_up(self, ends: Ends) -> bool:
        """Every tuple the ranges allow has an owner. Without a range of source ports there is always another port."""
        src, dst = self.nat.src, self.nat.dst
        if src is None or src.ports is None:
            return False
        sources = itertools.product(range(int(src.low), int(src.high) + 1), range(src.ports[0], src.ports[1] + 1))
        taken = {(r[2], r[3], r[0]) for r in self.replies.values()}
        target = ends[2] if dst is None else str(dst.low)
        return all((str(type(src.low)(a)), p, target) in taken for a, p in sources)

    def check_sent(self, ends: Ends, words: str, reason: Refusal, out: Ends) -> None:
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

    def ends_of(self, client: int, port: int, server: int) -> Ends:
        src, dst = (address(f"{part}.{n}", self.kind.family) for part, n in (("client", client), ("server", server)))
        return src, port, dst, port if self.kind.is_echo else 53

    @rule(client=st.integers(1, 5), port=st.sampled_from(PORTS), server=st.integers(1, 2))
    def a_client_sends(self, client: int, port: int, server: int) -> None:
        ends = self.ends_of(client, port, server)
        self.check_sent(ends, *self.send(ends))

    @rule(client=st.integers(1, 5), port=st.sampled_from(PORTS), server=st.integers(1, 2), order=ORDERS)
    def a_client_sends_in_pieces(self, client: int, port: int, server: int, order: list[int]) -> None:
        ends = self.ends_of(client, port, server)
        self.check_sent(ends, *self.send_in_pieces(ends, False, order))

    @precondition(lambda self: self.replies)
    @rule(data=st.data(), order=st.one_of(st.none(), ORDERS))
    def a_server_answers(self, data, order: list[int] | None) -> None:
        ends = data.draw(st.sampled_from(sorted(self.replies)))
        reply = self.replies[ends]
        words, _, out = self.send_in_pieces(reply, True, order) if order else self.send(reply, True)
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
        if self.kind.is_echo:
            dport = {4: (8, 0), 6: (128, 129)}[self.kind.family][by_reply] << 8
        assert self.ct.flush_tuple(src, dst, self.kind.proto, sport, dport)
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
        assert len(self.ct.connections()) == len(self.replies)
        if self.n_shards == 1:
            assert (self.ct.fragments()["held"], self.ct.n_borrowed) == (0, 0)


class TranslationOfShards(Translation):
    """The same where three shards have the connections, and each packet comes to any of them, in one piece."""

    n_shards = 3

    def send_in_pieces(self, ends: Ends, is_reply: bool, order: list[int]) -> tuple[str, Refusal, Ends]:
        return self.send(ends, is_reply)

    @invariant()
    def each_stub_leads_to_a_connection(self) -> None:
        if hasattr(self, "ct"):
            assert sum(stubs(shard) for shard in self.ct.shards) <= self.ct.count


TestTranslation = Translation.TestCase
TestTranslation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTranslationOfShards = TranslationOfShards.TestCase
TestTranslationOfShards.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
