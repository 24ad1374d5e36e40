"""Statistics: they add up, per provider and in all, and latency is the mathematics it says."""

from __future__ import annotations

import errno
import json
import math

from offload_lab import OUT, Lab

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload._testtable import latency_of
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.providers.recording import RecordingProvider


def test_operations_connections_and_rules_are_counted_apart(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer(OpType.ADD, errno.EPERM, reason=Reason.ALG)
    conns = [lab.connection(slot) for slot in range(6)]
    lab.settle()
    lab.table.want(conns[1], OUT)
    lab.table.query(conns[2])
    lab.settle()
    stats = lab.layer.statistics()
    mine = stats.provider("recording")
    assert {name: (op.enqueued, op.completed, op.failed) for name, op in mine.ops.items() if op.enqueued} == {
        "ADD": (6, 5, 1),
        "EST": (5, 5, 0),
        "DEL": (1, 1, 0),
        "UPD": (1, 1, 0),
    }
    assert (mine.connections, mine.installed, mine.rules) == (4, 4, 8)
    assert (stats.connections, stats.installed, stats.rules) == (4, 4, 8)
    assert mine.reasons == {"alg": 1}
    assert mine.latency.n == 13
    assert 0 < mine.latency.average_us < 1e6


def test_shards_count_what_waits_and_what_was_said(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    lab.table.want(conn, OUT)
    lab.settle()
    shard = lab.layer.statistics().shards[0]
    assert {k: n for k, n in shard.notices.items() if n} == {"PUSHED": 1, "INSTALLED": 1, "OUT": 1}
    assert (shard.slots_touched, shard.wanted, shard.leaving) == (1, 2, 0)
    assert set(shard.waiting.values()) == {0}


def test_two_providers_and_two_shards_add_up() -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    lab = Lab(a, b)
    second = type(lab.table)(lab.layer, 16)
    for slot in range(3):
        lab.connection(slot)
        second.want(second.put(slot, 1), 2)
    lab.settle()
    stats = lab.layer.statistics()
    assert [p.installed for p in stats.providers] == [6, 6]
    assert (stats.connections, stats.rules, len(stats.shards)) == (12, 24, 2)
    lab.layer.close()


def test_they_are_json(lab: Lab) -> None:
    lab.installed()
    told = json.loads(json.dumps(lab.layer.statistics().as_dict()))
    assert told["providers"][0]["ops"]["EST"] == {"enqueued": 1, "completed": 1, "failed": 0}


def test_latency_is_a_running_mean_and_deviation() -> None:
    values = [10.0, 20.0, 20.0, 20.0, 60.0, 30.0]
    got = latency_of([(10.0, 1), (20.0, 3), (60.0, 1), (30.0, 1)])
    mean = sum(values) / 6
    assert (got["n"], got["last_us"]) == (6, 30.0)
    assert math.isclose(got["average_us"], mean)
    assert math.isclose(got["stddev_us"], math.sqrt(sum((v - mean) ** 2 for v in values) / 6))
    ewma = 10.0
    for value in values[1:]:
        ewma += (value - ewma) / 16
    assert math.isclose(got["ewma_us"], ewma)
