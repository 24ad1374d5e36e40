"""FTP through its helper against a slow model: each side reads a stream without a gap, whatever is rewritten in it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from conntrack_nat import ends, right
from ftp_lab import CLIENT, CLIENT6, PUBLIC, PUBLIC6, REAL, SERVER, SERVER6, Control
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from scapy.layers.inet import TCP

ADDRESSES = {4: (CLIENT, SERVER, PUBLIC, REAL), 6: (CLIENT6, SERVER6, PUBLIC6, "fc00::77:77:77:77")}
PORTS = [257, 1024, 51234]
NOISE = [b"NOOP\r\n", b"200 fine\r\n", b"PORT", b"port 1,2\r\n", b"x" * 300, b"\r\n\r\n", b"230-227 228\r\n"]


@dataclass
class Said:
    """One segment: as its sender numbers and wrote it, as the other side has to see it."""

    seq: int
    payload: bytes
    seen_seq: int
    seen: bytes


@dataclass
class Side:
    """What one side sent since a line of it changed its length last, and by how much its stream is longer by now."""

    longer: int = 0
    segments: list[Said] = field(default_factory=list)


def commas(address: str, port: int) -> bytes:
    return f"{address.replace('.', ',')},{port >> 8},{port & 255}".encode()


class Ftp(RuleBasedStateMachine):
    """announced: (who listens, port) of everything that may begin."""

    @initialize(family=st.sampled_from([4, 6]), translates=st.sampled_from(["", "src", "dst", "both"]))
    def begin(self, family: int, translates: str) -> None:
        self.client, self.server, public, real = ADDRESSES[family]
        show = "[{}]" if family == 6 else "{}"
        source, target = f"src={show.format(public)}", f"dst={show.format(real)}"
        self.lab = Control({"src": source, "dst": target, "both": f"{source},{target}"}.get(translates, ""),
                           self.client, self.server)  # fmt: skip
        self.family = family
        self.shown = public if translates in {"src", "both"} else self.client
        self.real = real if translates in {"dst", "both"} else self.server
        self.sides = {"c": Side(), "s": Side()}
        self.announced: set[tuple[str, int]] = set()
        self.sports = itertools.count(20000)

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.lab.ct.close()

    # --- the control connection ---

    def say(self, who: str, payload: bytes, seen: bytes) -> None:
        """Sends a new segment, which the other side has to see so."""
        side = self.sides[who]
        said = Said(self.lab.seq[who], payload, self.lab.seq[who] + side.longer, seen)
        words, out = self.lab.say(who, payload)
        self.check(who, said, out)
        assert ("inv" in words.split("|")) == payload.lower().startswith(b"port 1,2") * (who == "c")
        if len(seen) != len(payload):
            side.longer += len(seen) - len(payload)
            side.segments.clear()
        side.segments.append(said)

    def check(self, who: str, said: Said, out) -> None:
        assert bytes(out) == right(out)
        assert (out[TCP].seq, bytes(out[TCP].payload)) == (said.seen_seq, said.seen)
        # what it acknowledges is what the other side sent, by the numbers of that side
        assert out[TCP].ack == self.lab.seq["s" if who == "c" else "c"]

    def line(self, kind: str, address: str, port: int) -> bytes:
        if kind == "port":
            return b"PORT " + commas(address, port) + b"\r\n"
        if kind == "eprt":
            return f"EPRT |{1 if self.family == 4 else 2}|{address}|{port}|\r\n".encode()
        if kind == "pasv":
            return b"227 ok (" + commas(address, port) + b").\r\n"
        return f"229 ok (|||{port}|)\r\n".encode()

    @rule(port=st.sampled_from(PORTS), short=st.booleans(), own=st.booleans())
    def the_client_listens(self, port: int, short: bool, own: bool) -> None:
        kind = "port" if short and self.family == 4 else "eprt"
        address = self.client if own else self.shown
        self.say("c", self.line(kind, address, port), self.line(kind, self.shown, port))
        self.announced.add(("c", port))

    @rule(
        port=st.sampled_from(PORTS), short=st.booleans(), own=st.booleans(), before=st.sampled_from([b"", b"200 x\r\n"])
    )
    def the_server_listens(self, port: int, short: bool, own: bool, before: bytes) -> None:
        kind = "pasv" if short and self.family == 4 else "epsv"
        address = self.real if own else self.server
        self.say("s", before + self.line(kind, address, port), before + self.line(kind, self.server, port))
        self.announced.add(("s", port))

    @rule(who=st.sampled_from("cs"), text=st.sampled_from(NOISE))
    def anything_else_is_said(self, who: str, text: bytes) -> None:
        self.say(who, text, text)

    @rule(data=st.data(), who=st.sampled_from("cs"))
    def a_segment_is_sent_again(self, data, who: str) -> None:
        if not self.sides[who].segments:
            return
        said = data.draw(st.sampled_from(self.sides[who].segments))
        seen = dict(self.lab.seen)
        _, out = self.lab.say(who, said.payload, seq=said.seq)
        self.lab.seen = seen
        self.check(who, said, out)

    # --- what it announces ---

    @rule(port=st.sampled_from(PORTS), listener=st.sampled_from("cs"))
    def the_other_side_begins(self, port: int, listener: str) -> None:
        source, target = (self.real, self.shown) if listener == "c" else (self.client, self.server)
        words, out = self.lab.data(source, target, port, next(self.sports))
        if (listener, port) not in self.announced:
            assert "rel" not in words
            return
        assert words.startswith("new|rel|trk")
        there = (self.server, self.client) if listener == "c" else (self.shown, self.real)
        (src, _), (dst, dport) = ends(out)
        assert (src, dst, dport) == (*there, port)
        assert bytes(out) == right(out)

    @precondition(lambda self: self.announced)
    @rule()
    def the_control_connection_ends(self) -> None:
        """And with it all that it announced; then another begins."""
        assert self.lab.ct.flush_tuple(self.client, self.server, TCP_NUMBER, self.lab.sport, 21)
        port = next(iter(self.announced))
        self.announced.clear()
        self.the_other_side_begins(port[1], port[0])
        self.lab.sport = next(self.sports)
        self.lab.seq, self.lab.seen = {"c": 1000, "s": 5000}, {"c": 5000, "s": 1000}
        for who, flags in (("c", "S"), ("s", "SA"), ("c", "A")):
            self.lab.say(who, b"", flags)
        self.sides = {"c": Side(), "s": Side()}


TCP_NUMBER = 6
TestFtp = Ftp.TestCase
TestFtp.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
