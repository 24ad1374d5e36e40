"""An engine of several loops."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import scapy.all as scapy
from story import A, B, UdpConnection

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.conntrack._shards import stubs
from ctoffload_dpdk.engine.spread import queues_of
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal


def loops(n: int) -> Settings:
    return replace(Settings(), ct_offload_loops=n)


def test_each_loop_has_a_queue_of_each_port_and_a_shard(make_lab: Any) -> None:
    lab = make_lab(loops(2))
    assert len(lab.engine.loops) == 2
    assert [shard.shard_number for shard in lab.engine.conntrack.shards] == [0, 1]
    assert {taken.queues for taken in lab.engine.ports.values()} == {2}
    for _ in range(40):
        lab.udp()
    assert [shard.count > 5 for shard in lab.engine.conntrack.shards] == [True, True]
    assert lab.engine.connections().created == 40
    assert len(lab.engine.conntrack.connections()) == 40
    assert all(loop.stats().host_rx > 10 for loop in lab.engine.loops)
    lab.assert_audit_matches()


def test_both_directions_of_a_connection_come_to_one_loop_and_go_into_the_nic(make_lab: Any) -> None:
    lab = make_lab(loops(2))
    made = [lab.tcp(ipv6=i % 2 == 1) for i in range(20)]
    assert all(conn.in_hardware for conn in made)
    seen = lab.host_rx
    for conn in made:
        conn.client_sends()
        conn.server_sends()
    assert lab.host_rx == seen


def test_one_loop_needs_no_spreading(make_lab: Any) -> None:
    lab = make_lab()
    assert queues_of(next(iter(lab.engine.ports.values())).port, 1) == (1, None)


# Of two queues one is for the hairpin: the first loop receives all packets then, and hands them out.
WAYS = pytest.mark.parametrize("queues", [16, 2], ids=["spread-by-the-nic", "by-the-first-loop"])


@WAYS
@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("plan", ["auto", "age", "count", "steer"])
def test_connections_of_every_loop_go_into_the_nic_and_come_out(
    make_lab: Any, queues: int, plan: str, engine: str
) -> None:
    lab = make_lab(replace(loops(3), ct_offload_plan=plan, ct_offload_flow_engine=engine), queues=queues)
    tuples = [{"host": 1 + i, "sport": 10_000 + 101 * i} for i in range(12)]  # of all shards
    made = [lab.tcp(ipv6=i % 2 == 1, **one) for i, one in enumerate(tuples)] + [lab.udp(**one) for one in tuples]
    assert {taken.queues for taken in lab.engine.ports.values()} == {3 if queues == 16 else 1}
    assert all(conn.in_hardware for conn in made)
    assert all(shard.count for shard in lab.engine.conntrack.shards)
    assert lab.rules == 2 * len(made)
    assert lab.engine.contexts().live == (12 if plan == "auto" else 0)
    lab.assert_audit_matches()
    if plan != "steer":  # rules that steer spread by a table of their own
        assert (lab.engine.conntrack.counters().handed_over == 0) == (queues == 16)
    for conn in made[:12]:
        conn.close()
    lab.advance(100)
    assert lab.engine.connections().live == 0
    assert (lab.rules, lab.engine.contexts().live) == (0, 0)
    lab.assert_audit_matches()


@WAYS
def test_what_translation_sends_elsewhere_finds_back(make_lab: Any, queues: int) -> None:
    """An echo has no port by which its answer could be led to the loop of its question."""
    lab = make_lab(replace(loops(3), hw_offload=False), queues=queues)
    lab.engine.set_nat("net_nicsim0", Nat.parse("src=203.0.113.7"))
    asked = [(lab.ping(host=host), lab.udp(host=host, answered=False)) for host in range(1, 13)]
    assert sum(stubs(shard) for shard in lab.engine.conntrack.shards) > 0
    for ping, udp in asked:
        for conn, proto in ((ping, 1), (udp, 17)):
            (row,) = [
                r for r in lab.engine.conntrack.connections() if r["src_port"] == conn.sport and r["proto"] == proto
            ]
            answer = scapy.IP(src=conn.dst, dst="203.0.113.7") / (
                scapy.ICMP(type=0, id=int(row["reply_src_port"])) / b"ping"
                if proto == 1
                else scapy.UDP(sport=53, dport=int(row["reply_dst_port"])) / b"a"
            )
            lab.packet(B, scapy.Ether() / answer)
    rows = lab.engine.conntrack.connections()
    assert len(rows) == 24
    assert rows["packets"][:, 1].min() >= 1
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    assert sum(stubs(shard) for shard in lab.engine.conntrack.shards) == 0
    lab.assert_audit_matches()


@WAYS
def test_a_datagram_in_pieces_belongs_to_its_connection(make_lab: Any, queues: int) -> None:
    lab = make_lab(replace(loops(3), hw_offload=False), queues=queues)
    made = [lab.udp(host=host) for host in range(1, 9)]
    before = lab.engine.packets().host_tx
    for conn in made:
        whole = scapy.IP(src=conn.src, dst=conn.dst) / scapy.UDP(sport=conn.sport, dport=conn.port) / bytes(3000)
        pieces = [scapy.Ether() / piece for piece in scapy.fragment(whole, 1240)]
        lab.send(A, Packets.of([bytes(piece) for piece in reversed(pieces)]))
    assert lab.engine.packets().host_tx == before + 3 * len(made)
    assert lab.engine.connections().created == len(made)
    assert {int(conn.row["packets"][0]) for conn in made} == {2}
    assert lab.engine.packets().held == 0
    lab.assert_audit_matches()


def test_a_full_ring_drops_with_a_reason_and_the_account_closes(make_lab: Any) -> None:
    """The second loop stands still while the first one has packets for it."""
    lab = make_lab(replace(loops(2), hw_offload=False), queues=2)
    conns = [UdpConnection(lab, answered=False) for _ in range(16)]
    frames = [bytes(conn.frame(A, scapy.UDP(sport=conn.sport, dport=53) / b"q")) for conn in conns]
    for _ in range(200):
        lab.nics[A].wire_send(Packets.of(frames))
        lab.engine.loops[0].run_once(lab.now_ms)
        lab.nics[B].wire_receive()
    waiting = lab.engine.packets()
    assert (waiting.held, waiting.handed, lab.engine.loops[1].handed()) == (1024, 1024, 1024)
    assert waiting.sw_dropped["hand-over"] > 0
    assert waiting.host_rx == waiting.host_tx + sum(waiting.sw_dropped.values()) + waiting.held
    lab.engine.settle(lab.now_ms)
    assert (lab.engine.packets().held, lab.engine.packets().handed) == (0, 0)
    lab.assert_audit_matches()


@WAYS
def test_threads_of_two_loops_keep_the_books(make_lab: Any, queues: int) -> None:
    lab = make_lab(replace(loops(2), hw_offload=False), queues=queues)
    lab.engine.set_nat("net_nicsim0", Nat.parse("src=203.0.113.7"))
    frames = []
    for number in range(96):
        ip = scapy.Ether() / scapy.IP(src=f"198.51.100.{1 + number % 12}", dst="198.51.100.254")
        frames.append(bytes(ip / (scapy.UDP(sport=5000 + number, dport=53) if number % 3 else scapy.ICMP(id=number))))
    lab.engine.start()
    try:
        for turn in range(60):
            some = frames[turn * 32 % 96 :][:32]
            lab.nics[A].wire_send(Packets.of(some))
            wait_until(lab, (turn + 1) * 32)
            lab.nics[B].wire_receive()
    finally:
        lab.engine.stop()
    lab.engine.settle(lab.engine.conntrack.now_ms)
    assert lab.engine.connections().created == 96
    assert lab.engine.packets().sw_dropped["invalid"] == 0
    assert lab.account().problems() == []


def wait_until(lab: Any, n_handled: int) -> None:
    """Until software has sent on or dropped so many packets."""
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        stats = lab.engine.packets()
        if stats.host_tx + sum(stats.sw_dropped.values()) == n_handled:
            return
        time.sleep(0.001)
    pytest.fail(f"after 20 s: {stats}")
