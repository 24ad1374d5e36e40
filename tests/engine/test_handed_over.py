"""Datagrams whose fragments one loop gives to another, step by step: what comes between them, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
import scapy.all as scapy
from story import MACS, A, B

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.conntrack._shards import stubs
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

SERVER, PUBLIC, PUBLIC_PORT = "192.0.2.1", "203.0.113.7", 5000
BURST = 32
FIRST, SECOND = 0, 1  # the loops


def home(src: str, dst: str, sport: int = 0, dport: int = 0) -> int:
    """The loop of a tuple, by the definition of Toeplitz: 32 bits of the key from each bit on that is set; 7 count."""
    key = int.from_bytes(b"\x6d\x5a" * 20, "big")
    said = ip_address(src).packed + ip_address(dst).packed
    if sport or dport:
        said += sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    value = 0
    for at in range(8 * len(said)):
        if said[at // 8] & 0x80 >> at % 8:
            value ^= key >> (320 - 32 - at) & 0xFFFFFFFF
    return value % 128 % 2


def pieces(src: str, sport: int, dport: int, size: int, name: int) -> list[bytes]:
    """The fragments of a datagram to the server."""
    whole = scapy.IP(src=src, dst=SERVER, id=name) / scapy.UDP(sport=sport, dport=dport) / bytes(size)
    return [bytes(scapy.Ether(src=MACS[A], dst=MACS[B]) / piece) for piece in scapy.fragment(whole, 1240)]


def first_where(says: Callable[[str, int, int], bool]) -> tuple[str, int, int]:
    """The first client, its port and that of the server of which something is true."""
    return next(
        (f"10.0.0.{i}", 2000 + p, 53 + i)
        for i in range(1, 60)
        for p in range(8)
        if says(f"10.0.0.{i}", 2000 + p, 53 + i)
    )


class Between:
    """The datagram of a new connection on its way: put together by the second loop, at home with the first one, while
    the only address and port it can be translated to are the second one's. All but its last fragment came there.
    """

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.nat = Nat.parse(f"src={PUBLIC}:{PUBLIC_PORT}")
        lab.engine.set_nat(PORTS[A], self.nat)
        self.conn = first_where(
            lambda src, sport, dport: (
                (home(src, SERVER), home(src, SERVER, sport, dport)) == (SECOND, FIRST)
                and home(SERVER, PUBLIC, dport, PUBLIC_PORT) == SECOND
            )
        )
        self.parts = pieces(*self.conn, 2000, 7)
        assert len(self.parts) == 2
        self.arrive(*self.parts, at=SECOND)
        # As many as leave room for one more in what a loop takes at once. They are not translated.
        others = first_where(lambda src, *ports: (home(src, SERVER), home(src, SERVER, *ports)) == (FIRST, SECOND))
        lab.nics[A].wire_send(Packets.of(pieces(*others, 1216 * (BURST - 1) - 100, 9)))
        lab.engine.loops[FIRST].run_once(lab.now_ms)
        assert [stubs(shard) for shard in lab.engine.conntrack.shards] == [1, 0]
        assert lab.engine.loops[SECOND].handed() == BURST - 1 + 2
        lab.engine.loops[SECOND].run_once(lab.now_ms)
        assert lab.engine.loops[SECOND].handed() == 1
        self.leave()

    def arrive(self, *frames: bytes, at: int) -> None:
        """On the wire, and in the loop to which the NIC gives them."""
        self.lab.nics[A].wire_send(Packets.of(list(frames)))
        assert self.lab.engine.loops[at].run_once(self.lab.now_ms) >= len(frames)

    def leave(self) -> list[bytes]:
        """What left by the other side since it was asked."""
        return [bytes(packet) for packet in self.lab.nics[B].wire_receive()]

    def sends_again(self) -> int:
        """The client repeats its datagram; returns how many fragments leave."""
        self.lab.nics[A].wire_send(Packets.of(self.parts))
        self.lab.engine.settle(self.lab.now_ms)
        return len(self.leave())

    def is_over(self) -> bool:
        """Whether no stub leads anywhere and nothing is held once every connection is gone."""
        self.lab.engine.conntrack.flush()
        self.lab.engine.settle(self.lab.now_ms)
        left = [stubs(shard) for shard in self.lab.engine.conntrack.shards]
        return left == [0, 0] and self.lab.engine.packets().held == 0


@pytest.fixture
def between(make_lab: Any) -> Between:
    return Between(make_lab(replace(Settings(), ct_offload_loops=2, hw_offload=False)))


@pytest.mark.parametrize("which", [0, 1], ids=["first", "last"])
def test_one_of_the_wire_does_not_complete_it(between: Between, which: int) -> None:
    """It would without its stub, and the connection would begin nowhere."""
    between.arrive(between.parts[which], at=SECOND)
    assert len(between.leave()) == 2
    assert between.lab.engine.packets().held == 1
    between.arrive(between.parts[1 - which], at=SECOND)
    between.lab.engine.settle(between.lab.now_ms)
    assert len(between.leave()) == 2
    rows = between.lab.engine.conntrack.find(between.conn[0], SERVER, 17, *between.conn[1:])
    assert [int(row["packets"][0]) for row in rows] == [2]
    assert between.is_over()


@pytest.mark.parametrize(
    ("happens", "dropped"),
    [
        ("no more are held", {"invalid": 1, "fragment-incomplete": 1}),
        ("fragments are taken no more", {"invalid": 1, "fragment-incomplete": 1}),
        ("its port leaves", {"invalid": 0, "fragment-incomplete": 2}),
    ],
)
def test_where_it_stays_incomplete_it_is_dropped_and_its_stub_leads_nowhere(
    between: Between, happens: str, dropped: dict[str, int]
) -> None:
    lab, shard = between.lab, between.lab.engine.conntrack.shards[SECOND]
    if happens == "its port leaves":
        lab.port_leaves(A)
    else:
        shard.set_fragments(4, max_held=1, enabled=happens == "no more are held")
    lab.engine.settle(lab.now_ms)
    assert [stubs(each) for each in lab.engine.conntrack.shards] == [0, 0]
    lab.now_ms += 60_000
    lab.engine.settle(lab.now_ms)
    packets = lab.engine.packets()
    assert (packets.held, between.leave()) == (0, [])
    assert {reason: packets.sw_dropped[reason] for reason in dropped} == dropped
    shard.set_fragments(4, max_held=100, enabled=True)
    if happens == "its port leaves":
        lab.port_returns(A)
        lab.engine.set_nat(PORTS[A], between.nat)
    assert between.sends_again() == 2
    assert between.is_over()
