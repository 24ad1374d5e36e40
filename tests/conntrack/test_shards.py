"""Several trackers as one, asked and changed from outside their loops."""

from __future__ import annotations

import contextlib
import errno

import numpy as np
import pytest
from conntrack_packets import UDP, udp
from sharded import Sharded

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat, Shards
from ctoffload_dpdk.conntrack._shards import stubs, take, waiting


def datagrams(shard: int, n: int) -> Packets:
    """New connections, each of its own source."""
    return Packets.of([udp(f"10.{shard}.1.{i + 1}", 7, "10.9.9.9", 53) for i in range(n)])


@pytest.fixture
def shards() -> Shards:
    made = Sharded(3, 100, now_ms=0, events=100)
    for i in range(3):
        made.process(datagrams(i, i + 1), 10 * i, zone=i)
    return made


def test_what_is_asked_is_of_all_shards(shards):
    assert (shards.count, shards.counters().created, shards.now_ms, shards.capacity) == (6, 6, 20, 100)
    assert sorted(shards.connections()["zone"]) == [0, 1, 1, 2, 2, 2]
    assert len(shards.connections(zone=2)) == 3
    assert (shards.zone_count(1), shards.zone_count(9)) == (2, 0)
    assert shards.find("10.2.1.1", "10.9.9.9", UDP, 7, 53, 2)["zone"].tolist() == [2]
    assert len(shards.find("10.2.1.9", "10.9.9.9", UDP, 7, 53, 2)) == 0
    assert shards.events()["time_ms"].tolist() == [0, 10, 10, 20, 20, 20]
    assert len(shards.events()) == 0


def test_a_dump_in_slices_meets_every_connection_once(shards):
    parts = list(shards.iterate(2))
    assert max(map(len, parts)) == 2
    assert len(np.unique(np.concatenate(parts)["conn_id"])) == 6


def test_what_is_flushed_is_counted_over_all(shards):
    assert shards.flush_tuple("10.2.1.1", "10.9.9.9", UDP, 7, 53, 2)
    assert not shards.flush_tuple("10.2.1.1", "10.9.9.9", UDP, 7, 53, 2)
    assert shards.flush_ids([shards.connections(zone)["conn_id"][0] for zone in (0, 2)]) == 2
    assert shards.flush(1) == 2
    assert shards.flush() == 1
    assert (shards.count, shards.counters().flushed) == (0, 6)


def test_a_setting_is_that_of_all(shards):
    shards.tcp_liberal = True
    shards.set_timeout_policy(0, udp_first=3)
    shards.set_fragments(4, min_size=500)
    assert all(shard.tcp_liberal for shard in shards.shards)
    assert [shard.timeout_policy()["udp_first"] for shard in shards.shards] == [3, 3, 3]
    assert shards.tcp_liberal
    assert shards.timeout_policy()["udp_first"] == 3
    assert (shards.fragments()["v4_min_size"], shards.fragments()["max_held"]) == (500, 1000)


def test_closing_closes_all(shards):
    assert not shards.is_closed
    shards.close()
    shards.close()
    assert all(shard.is_closed for shard in shards.shards)


def test_a_stub_leads_nowhere_once_what_it_waits_for_is_not_to_begin():
    """Its packet comes back from the only shard that could have begun it, and is not to begin anything any more."""
    one = Sharded(2, 100, now_ms=0)
    nat = Nat.parse("src=203.0.113.7:5000")
    one.process(Packets.of([udp("10.0.0.1", 7, "192.0.2.2", 53)]).copy(), nat=nat)  # now the port is taken
    before = stubs(one.shards[0])
    for i in range(2, 20):  # some client is at home in the other shard than the answers to it
        question = Packets.of([udp(f"10.0.0.{i}", 7, "192.0.2.2", 53)]).copy()
        one.shards[0].process(question, 0, nat=nat)
        if stubs(one.shards[0]) > before:
            break
        one.drain(0, nat=nat)
    take(one.shards[1], 0, 32, 0, nat=nat)
    assert (stubs(one.shards[0]), waiting(one.shards[0], 1)) == (before + 1, 1)
    _, (verdict,) = take(one.shards[0], 1, 32, 0, nat=nat, commit=False)
    assert verdict["state"] != 0
    assert stubs(one.shards[0]) == before
    one.close()


def test_what_waits_between_shards_that_are_not_there_is_no_question(shards):
    first = shards.shards[0]
    for wrong in (
        lambda: take(first, 3, 1, 0),
        lambda: take(first, -1, 1, 0),
        lambda: take(first, 1, 33, 0),
        lambda: waiting(first, 3),
        lambda: Shards(0, 10),
        lambda: Shards(33, 10),
    ):
        with pytest.raises(UsageError, match="is not between"):
            wrong()
    with contextlib.closing(Shards(1, 10)) as alone, pytest.raises(UsageError, match="no other shards"):
        waiting(alone.shards[0], 0)


def test_a_call_that_is_refused_leaves_no_shard_standing_still() -> None:
    with contextlib.closing(Shards(2, 10)) as shards:
        with pytest.raises(UsageError) as refused:
            shards.zone_count(65536)
        for shard in shards.shards:
            with pytest.raises(UsageError, match="it is not held"):
                shard.release()
        assert refused.value.errno == errno.EINVAL
