"""Ports that go while connections are in the NIC: by the plan and engine, in order or all of a sudden."""

from __future__ import annotations

from typing import Any

import pytest
from story import with_plan

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal
ENGINES = ("sync", "async")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plan", ["ct", "age", "count"])
@pytest.mark.parametrize("name", ["net_nicsim0", "net_nicsim1"])
def test_a_port_that_leaves_takes_rules_and_contexts_along(make_lab: Any, plan: str, engine: str, name: str) -> None:
    lab = make_lab(with_plan(plan, engine))
    conns = [lab.tcp() for _ in range(3)]
    assert all(conn.in_hardware for conn in conns)
    lab.engine.remove_port(name, lab.now_ms)
    lab.engine.settle(lab.now_ms)
    for conn in conns:
        assert conn.is_live
        assert not conn.in_hardware
        assert conn.reason in (Reason.PORT_DOWN, Reason.NO_PORT)
    assert lab.rules == 0
    assert lab.engine.contexts().live == 0
    stats = lab.engine.provider.stats()
    assert stats.rules_lost == stats.contexts_lost == 0
    lab.assert_audit_matches()
