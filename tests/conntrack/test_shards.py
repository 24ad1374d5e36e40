"""Several trackers as one, asked and changed from outside their loops."""

from __future__ import annotations

import numpy as np
import pytest
from conntrack_packets import UDP, udp
from sharded import Sharded

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Shards


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
