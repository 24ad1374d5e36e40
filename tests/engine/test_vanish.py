"""A port that vanishes while connections are in the NIC. One process each: a pulled NIC cannot be plugged in again."""

from __future__ import annotations

from typing import Any

import pytest
from story import with_plan

EAL = "--no-huge --no-pci --no-shconf --no-telemetry -m"
# The memory differs, so that each has a process of its own.
CASES = [
    pytest.param(plan, engine, marks=pytest.mark.eal(f"{EAL} {257 + i}"))
    for i, (plan, engine) in enumerate((plan, engine) for plan in ("ct", "age") for engine in ("sync", "async"))
]


@pytest.mark.parametrize(("plan", "engine"), CASES)
def test_a_port_that_vanishes_loses_its_rules_and_the_books_say_so(make_lab: Any, plan: str, engine: str) -> None:
    lab = make_lab(with_plan(plan, engine))
    conns = [lab.tcp() for _ in range(3)]
    gone = lab.engine.port("net_nicsim1")
    lab.nics[1].unplug()
    lab.engine.layer.port_del(gone.layer_port, vanished=True)
    lab.engine.settle(lab.now_ms)
    for conn in conns:
        assert conn.is_live
        assert not conn.in_hardware
    stats = lab.engine.provider.stats()
    assert stats.rules_live == stats.rules_static
    assert stats.contexts_live == 0
    assert stats.unsettled == 0
    lab.engine.close()
    for nic in lab.nics:
        nic.close()
    lab.eal.remove_vdev("net_nicsim0")
    lab.mempool.close()
