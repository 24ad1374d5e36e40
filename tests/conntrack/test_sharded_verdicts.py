"""Packets of one connection on several shards never give a verdict that one shard would not."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
from conntrack_nat import ends
from conntrack_packets import error, udp
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from sharded import Sharded

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat, Refusal, states_text
from ctoffload_dpdk.conntrack._shards import stubs, waiting

NATS = ["", "src=198.51.100.1", "src=198.51.100.1-198.51.100.3:6000-6001", "dst=10.9.9.8", "src=198.51.100.1:7000"]


def clients(n: int, first: int = 0) -> Packets:
    """The first packets of n connections."""
    return Packets.of(
        [udp(f"10.{i >> 8 & 255}.{i & 255}.1", 1000 + i % 7, "10.9.9.2", 53) for i in range(first, first + n)]
    )


@settings(max_examples=150, deadline=None)
@given(n_shards=st.integers(2, 5), seed=st.integers(0, 10_000), nat=st.sampled_from(NATS), n=st.integers(2, 60))
def test_packets_in_flight_on_many_shards_make_one_connection(n_shards: int, seed: int, nat: str, n: int) -> None:
    """All are sent before any shard takes what was handed to it: one is new, the others follow, translated alike."""
    dice = random.Random(seed)
    ct = Sharded(n_shards, 100, seed, now_ms=0)
    frame = udp(f"10.0.0.{dice.randrange(1, 200)}", dice.randrange(1, 60000), "10.9.9.2", 53)
    packets = Packets.of([frame] * n).copy()
    action: dict[str, Any] = {"nat": Nat.parse(nat)} if nat else {}
    said = []
    for i in range(n):
        (verdict,) = dice.choice(ct.shards).process(packets.slice(i, i + 1), 0, **action)
        said += [verdict] if verdict["state"] else []
    said += [verdict for _, verdict in ct.drain(0, **action)]
    assert len(said) == n
    assert {states_text(int(v["state"])) for v in said} == {"new|trk" if not nat else f"new|trk|{nat[0]}nat"}
    assert len({int(v["conn_id"]) for v in said}) == 1
    assert len({packets[i] for i in range(n)}) == 1
    assert (ct.count, ct.counters().created, ct.counters().packets) == (1, 1, n)
    ct.flush()
    assert sum(stubs(shard) for shard in ct.shards) == 0
    ct.close()


@pytest.mark.parametrize("n_shards", [1, 2, 4])
@pytest.mark.parametrize("limit", ["all", "zone", "default"])
def test_a_limit_refuses_at_the_same_count_from_as_many_threads_as_shards(n_shards: int, limit: str) -> None:
    ct = Sharded(n_shards, 5000, now_ms=0)
    if limit == "all":
        ct.max_connections = 1000
    elif limit == "zone":
        ct.set_zone_limit(0, 1000)
    else:
        ct.zone_default_limit = 1000
    parts = [clients(1000, 1000 * i) for i in range(n_shards)]
    threads = [threading.Thread(target=s.process, args=(p, 0)) for s, p in zip(ct.shards, parts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ct.drain(0)
    ct.process(clients(500, 20_000), 0)
    refused = ct.counters().refused
    assert ct.count == 1000
    assert refused["limit"] + refused["zone-limit"] == 1000 * n_shards + 500 - 1000 - refused["hand-over"]
    ct.flush()
    ct.process(clients(10, 30_000), 0)
    assert ct.count == 10


@pytest.mark.parametrize("n_shards", [2, 3, 4])
def test_an_error_about_a_translated_packet_reaches_the_client_wherever_it_arrives(n_shards: int) -> None:
    for arrives in range(n_shards):
        ct = Sharded(n_shards, 100, now_ms=0)
        nat = Nat.parse("src=198.51.100.1")
        sent = Packets.of([udp("10.0.0.1", 1000, "10.9.9.2", 53)]).copy()
        ct.process(sent, 0, nat=nat)
        ct.arrives = arrives
        back = Packets.of([error("10.9.9.9", "198.51.100.1", sent[0][14:])]).copy()
        (verdict,) = ct.process(back, 0, nat=nat)
        assert states_text(int(verdict["state"])).startswith("rel|rpl|trk")
        out = Ether(back[0])
        assert out[IP].dst == "10.0.0.1"
        inner = IP(bytes(out[IP].payload)[8:])
        assert (inner.src, inner[UDP].sport) == ("10.0.0.1", 1000)


def test_translation_prefers_tuples_whose_replies_come_home() -> None:
    ct = Sharded(4, 1000, now_ms=0)
    packets = clients(400).copy()
    ct.process(packets, 0, nat=Nat.parse("src=198.51.100.1-198.51.100.4:1024-65535"))
    assert sum(stubs(shard) for shard in ct.shards) == 0
    replies = [((dst, dport), (src, sport)) for (src, sport), (dst, dport) in (ends(Ether(p)) for p in packets)]
    frames = Packets.of([udp(src[0], src[1], dst[0], dst[1]) for src, dst in replies]).copy()
    said = ct.process(frames, 0, nat=Nat())
    assert {states_text(int(v["state"])) for v in said} == {"est|rpl|trk|dnat"}


def test_every_tuple_of_a_range_is_found_before_a_connection_is_refused() -> None:
    """Four ports of one address, at home in several shards."""
    ct = Sharded(4, 100, now_ms=0)
    nat = Nat.parse("src=198.51.100.1:5000-5003")
    said = ct.process(clients(6).copy(), 0, nat=nat)
    assert [Refusal(int(v["reason"])) for v in said] == [Refusal.REFUSED_NOT] * 4 + [Refusal.REFUSED_NAT] * 2
    assert sum(stubs(shard) for shard in ct.shards) <= 4


def test_a_full_ring_refuses_with_a_reason_and_loses_no_stub() -> None:
    ct = Sharded(2, 5000, now_ms=0)
    packets = clients(3000).copy()
    said = ct.shards[0].process(packets, 0, nat=Nat.parse("dst=10.9.9.8"))
    assert waiting(ct.shards[1], 0) == 1024
    full = said["reason"] == Refusal.REFUSED_HAND_OVER
    assert ct.counters().refused["hand-over"] == np.count_nonzero(full) > 0
    ct.drain(0, nat=Nat.parse("dst=10.9.9.8"))
    assert ct.count == 3000 - np.count_nonzero(full)
    ct.flush()
    ct.drain(0)
    assert sum(stubs(shard) for shard in ct.shards) == 0
