"""A TCP conversation that moves between software and a NIC with contexts, at any moment, in any order of answers.

Whatever is read when, overtaken or lost: no packet of the conversation is ever invalid, and no forged reset ends it.
"""

from __future__ import annotations

import errno

from conntrack_lab import ContextProvider, NicPeers, OffloadLab
from conntrack_packets import wscale
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ctoffload_dpdk.offload.contract import OpType

who = st.integers(0, 1)
SLOW = (OpType.EST, OpType.DEL, OpType.WINDOW)


class Conversation(RuleBasedStateMachine):
    """Both peers acknowledge all they get; a packet goes through the NIC while the provider has the rules in."""

    @initialize(scale=st.sampled_from([0, 7]), strict=st.booleans(), isn=st.sampled_from([1000, 2**32 - 5000]))
    def begin(self, scale: int, strict: bool, isn: int) -> None:
        self.provider = ContextProvider()
        self.lab = OffloadLab(self.provider)
        self.lab.ct.strict_windows = strict
        self.peers = NicPeers(self.lab, isn=(isn, 2**31), options=wscale(scale) if scale else b"")
        self.peers.handshake()
        self.conn_id = self.peers.conn_id()

    def is_carried(self) -> bool:
        return self.conn_id in self.provider.installed

    def through_software(self, sender: int, flags: str, data: bytes = b"") -> None:
        assert self.peers.send(sender, flags, data) == ("est|rpl|trk" if sender else "est|trk")

    @rule(sender=who, n_bytes=st.integers(1, 1400), n=st.integers(1, 30_000))
    def talk(self, sender: int, n_bytes: int, n: int) -> None:
        """Data, acknowledged; much of it where the NIC carries it."""
        if self.is_carried():
            self.peers.past_software(sender, n_bytes * n)
            self.peers.followed()
            return
        for _ in range(n % 3 + 1):
            self.through_software(sender, "PA", b"x" * n_bytes)
            self.through_software(1 - sender, "A")

    @rule(sender=who)
    def acknowledge(self, sender: int) -> None:
        if not self.is_carried():
            self.through_software(sender, "A")

    @rule(sender=who, off=st.integers(2**25, 2**32 - 2**25), flags=st.sampled_from(["R", "RA", "S", "FA", "A"]))
    def forge(self, sender: int, off: int, flags: str) -> None:
        """Somebody else's packet, nowhere near the window."""
        before = self.peers.tcp_states()
        self.peers.send(sender, flags, seq=(self.peers.seq[sender] + off) % 2**32, ack=12345)
        assert self.peers.tcp_states() == before or "F" in flags

    @rule(n_bytes=st.sampled_from([0, 1000, 5_000_000]), sender=who)
    def leave_slowly(self, n_bytes: int, sender: int) -> None:
        """A stray SYN takes the rules out; between the read and their end they carry on."""
        if self.is_carried():
            self.forge(sender, 2**26, "S")
            self.provider.answer_later(OpType.DEL)
            self.lab.step()
            self.peers.past_software(sender, n_bytes)
            self.peers.followed()
            self.all_answers()

    @rule()
    def all_answers(self) -> None:
        self.provider.answer_later()
        self.provider.complete()
        self.lab.step(8)

    @rule(kinds=st.sets(st.sampled_from(SLOW)))
    def answer_later(self, kinds: set[OpType]) -> None:
        self.provider.answer_later(*kinds)

    @rule()
    def no_window(self) -> None:
        self.provider.answer(OpType.WINDOW, errno.ENODATA)

    @rule()
    def complete(self) -> None:
        self.provider.complete()

    @rule()
    def turn(self) -> None:
        self.lab.ct.advance(self.lab.now_ms)
        self.lab.layer.turn(self.lab.now_ms)

    @rule()
    def work(self) -> None:
        self.lab.layer.run_workers(self.lab.now_ms)

    @rule()
    def step(self) -> None:
        self.lab.step()

    @rule(seconds=st.sampled_from([0.01, 1, 5, 60]))
    def wait(self, seconds: float) -> None:
        self.lab.wait(seconds)

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            assert self.lab.ct.count == 1
            assert self.peers.tcp_states() == (4, 4)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
