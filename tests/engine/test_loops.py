"""An engine of several loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
