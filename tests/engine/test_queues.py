"""Flow queues that are full, late or stalled: what does not fit waits, and nothing is lost or done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import with_plan

pytestmark = pytest.mark.eal
QUEUE_SIZE = 32


@pytest.fixture(params=[QUEUE_SIZE, 3 * QUEUE_SIZE])
def n_connections(request: pytest.FixtureRequest) -> int:
    """For each queue; each has two rules."""
    return request.param


def lab_with(make_lab: Any, n_queues: int, plan: str = "age") -> Any:
    settings = replace(with_plan(plan, "async"), ct_offload_flow_queues=n_queues, ct_offload_flow_queue_size=QUEUE_SIZE)
    lab = make_lab(settings)
    first = lab.udp()  # the rules that lead to connections are made with the first one
    assert first.in_hardware, first.reason
    return lab


def stall(lab: Any, n_queues: int, on: bool) -> None:
    for nic in lab.nics:
        for queue in range(n_queues):
            nic.stall_queue(queue, on=on)


def settle(lab: Any) -> None:
    lab.engine.settle(lab.now_ms)
    lab.advance(6, step_s=0.1)


def executed(lab: Any, n_queues: int) -> list[int]:
    return [sum(nic.flow_audit().queues[queue].executed for nic in lab.nics) for queue in range(n_queues)]


@pytest.mark.parametrize("n_queues", [1, 3])
@pytest.mark.parametrize("plan", ["age", "count"])
def test_connections_beyond_a_full_queue_wait_and_all_get_in(
    make_lab: Any, plan: str, n_queues: int, n_connections: int
) -> None:
    lab = lab_with(make_lab, n_queues, plan)
    before, rules = executed(lab, n_queues), lab.rules
    stall(lab, n_queues, True)
    conns = [lab.udp() for _ in range(n_connections * n_queues)]
    waiting = [[queue.waiting for queue in nic.flow_audit().queues[:n_queues]] for nic in lab.nics]
    assert [QUEUE_SIZE] * n_queues in waiting, f"no port's queues are full: {waiting}"
    assert lab.engine.provider.stats().queue_full > 0
    assert lab.rules == rules and not any(conn.in_hardware for conn in conns)
    stall(lab, n_queues, False)
    settle(lab)
    assert [conn.reason for conn in conns if not conn.in_hardware] == []
    assert lab.rules == rules + 2 * len(conns)
    assert all(len(conn.rules) == 2 for conn in conns)
    assert all(now > was for was, now in zip(before, executed(lab, n_queues), strict=True)), "every queue had its part"
    assert lab.engine.provider.stats().unsettled == 0
    lab.assert_audit_matches()


@pytest.mark.parametrize("n_queues", [1, 3])
@pytest.mark.parametrize("plan", ["age", "count"])
def test_they_get_in_as_soon_as_places_are_free(make_lab: Any, plan: str, n_queues: int, n_connections: int) -> None:
    """Without time going by: each turn fills the places that the one before has freed."""
    lab = lab_with(make_lab, n_queues, plan)
    rules = lab.rules
    stall(lab, n_queues, True)
    conns = [lab.udp() for _ in range(3 * n_connections * n_queues)]
    assert not any(conn.in_hardware for conn in conns)
    stall(lab, n_queues, False)
    most = 2 * len(conns) // (QUEUE_SIZE * n_queues)  # turns, were one port's queues alone to take both rules of each
    for _ in range(2 * most):
        lab.engine.run_once(lab.now_ms)
    assert lab.rules == rules + 2 * len(conns), lab.engine.provider.stats()
    lab.engine.settle(lab.now_ms)
    assert all(conn.in_hardware for conn in conns)
    assert lab.engine.provider.stats().unsettled == 0
    lab.assert_audit_matches()


@pytest.mark.parametrize("n_queues", [1, 3])
def test_removals_beyond_a_full_queue_wait_and_all_get_out(make_lab: Any, n_queues: int, n_connections: int) -> None:
    lab = lab_with(make_lab, n_queues)
    conns = [lab.udp() for _ in range(n_connections * n_queues)]
    assert all(conn.in_hardware for conn in conns)
    full = lab.engine.provider.stats().queue_full
    stall(lab, n_queues, True)
    lab.engine.conntrack.flush()
    lab.advance(0.01, step_s=0.001)
    assert lab.engine.provider.stats().queue_full > full
    assert lab.rules >= 2 * len(conns)
    stall(lab, n_queues, False)
    settle(lab)
    assert lab.rules == 0
    assert not any(conn.is_live for conn in conns)
    lab.assert_audit_matches()


def test_connections_end_while_their_rules_wait_in_a_full_queue(make_lab: Any, n_connections: int) -> None:
    """Nothing comes in late and stays: what went through the queue after its connection ended is taken out again."""
    lab = lab_with(make_lab, 1)
    stall(lab, 1, True)
    for _ in range(n_connections):
        lab.udp()
    lab.engine.conntrack.flush()
    lab.advance(0.01, step_s=0.001)
    stall(lab, 1, False)
    settle(lab)
    assert lab.rules == 0
    lab.assert_audit_matches()
    again = lab.udp()
    assert again.in_hardware, again.reason


def test_results_that_come_late_fill_the_queue_and_lose_nothing(make_lab: Any, n_connections: int) -> None:
    lab = lab_with(make_lab, 1)
    for nic in lab.nics:
        nic.delay_results(20)
    conns = [lab.udp() for _ in range(n_connections)]
    assert lab.engine.provider.stats().queue_full > 0
    lab.advance(1, step_s=0.005)
    assert [conn.reason for conn in conns if not conn.in_hardware] == []
    lab.engine.conntrack.flush()
    lab.advance(1, step_s=0.005)
    assert lab.rules == 0
    lab.assert_audit_matches()
    for nic in lab.nics:
        nic.delay_results(0)
