"""A fault at every single rte_flow call of installing, asking and removing: undone, and the books are the NIC's."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from story import A, with_plan

pytestmark = pytest.mark.eal

CONTEXTS = ("indirect_create", "indirect_update", "indirect_destroy")
CALLS = {
    "sync": ("create", "destroy", *CONTEXTS),
    "async": (
        "async_create",
        "async_destroy",
        "pull",
        "pattern_template",
        "actions_template",
        "template_table",
        *CONTEXTS,
    ),
}
PLANS = [(plan, engine) for plan in ("ct", "age", "count") for engine in CALLS]
MOST = 40
MOST_PULLS = 8  # as many as a replacement has; there are more while nothing happens


def assert_undone_or_done(lab: Any, conns: list[Any]) -> None:
    """Each connection has both rules or none, contexts belong to those that have, and the books agree with the NIC."""
    for conn in conns:
        assert len(conn.rules) in ((2,) if conn.in_hardware else (0,))
        assert conn.is_live
    lab.assert_audit_matches()
    assert lab.rules == 2 * sum(conn.in_hardware for conn in conns)
    assert lab.engine.provider.stats().contexts_live in (0, sum(conn.in_hardware for conn in conns))


def lab_of(make_lab: Any, plan: str, engine: str, **timeouts: int) -> Any:
    """A lab whose connections go by this plan and engine. Skips in the emulated NIC's words where it cannot."""
    lab = make_lab(with_plan(plan, engine, **timeouts))
    ports = [port.layer_port for port in lab.engine.ports.values()]
    choice = lab.engine.offload_class.choices(*ports)["tcp", "ipv4", False]
    if choice.plan != plan:
        pytest.skip(f"the emulated NIC: {choice.refusals[0]}")
    return lab


def fail_nth(lab: Any, call: str, nth: int, error: int) -> None:
    """Each nth call of this kind to either NIC fails."""
    for nic in lab.nics:
        nic.fail_every(call, nth, error)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EAGAIN])
@pytest.mark.parametrize(("plan", "engine"), PLANS)
def test_a_fault_at_each_call_of_an_installation(make_lab: Any, plan: str, engine: str, error: int) -> None:
    lab = lab_of(make_lab, plan, engine)
    for call in CALLS[engine]:
        for nth in range(1, MOST):
            fail_nth(lab, call, nth, error)
            conns = [lab.tcp() for _ in range(2)]
            failed = sum(nic.failed(call) for nic in lab.nics)
            for nic in lab.nics:
                nic.clear_faults()
            lab.advance(12)
            assert_undone_or_done(lab, conns)
            lab.engine.conntrack.flush()
            lab.engine.settle(lab.now_ms)
            assert lab.rules == 0
            if not failed:
                break


@pytest.mark.parametrize("error", [errno.EIO, errno.EBUSY, errno.EAGAIN])
@pytest.mark.parametrize(("plan", "engine"), PLANS)
def test_a_fault_at_each_call_of_a_removal(make_lab: Any, plan: str, engine: str, error: int) -> None:
    lab = lab_of(make_lab, plan, engine)
    for call in CALLS[engine]:
        for nth in range(1, MOST):
            conns = [lab.tcp() for _ in range(2)]
            assert all(conn.in_hardware for conn in conns)
            fail_nth(lab, call, nth, error)
            conns[0].send(A, "FA")
            lab.engine.conntrack.flush_ids([conns[1].row["conn_id"]])
            lab.engine.settle(lab.now_ms)
            failed = sum(nic.failed(call) for nic in lab.nics)
            for nic in lab.nics:
                nic.clear_faults()
            lab.advance(12)
            assert lab.rules == 0
            assert lab.engine.provider.stats().contexts_live == 0
            lab.assert_audit_matches()
            if not failed:
                break


@pytest.mark.parametrize(("plan", "engine"), [p for p in PLANS if p[0] != "ct"])
def test_a_fault_at_each_call_that_asks_keeps_the_connection(make_lab: Any, plan: str, engine: str) -> None:
    lab = lab_of(make_lab, plan, engine, udp_multiple=5)
    for nth in range(1, 6):
        conn = lab.udp()
        for nic in lab.nics:
            nic.fail_every("query", nth, errno.EIO)
        for _ in range(3):
            lab.advance(4)
            conn.client_sends()
        assert conn.is_live
        for nic in lab.nics:
            nic.clear_faults()
        lab.advance(30)
        assert not conn.is_live
        assert lab.rules == 0
        lab.assert_audit_matches()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EAGAIN])
@pytest.mark.parametrize("engine", CALLS)
def test_a_fault_at_each_call_of_a_replacement(make_lab: Any, engine: str, error: int) -> None:
    """A rule that aged out while its connection is used the other way is replaced; if that fails, both or none stay."""
    lab = make_lab(with_plan("age", engine, udp_multiple=5, udp_single=5, udp_first=5), ageing="final")
    for call in ("create", "destroy") if engine == "sync" else ("async_create", "async_destroy", "pull"):
        for nth in range(2 if call == "pull" else 1, MOST_PULLS):  # where no pull works, each waits for its limit
            conn = lab.udp()
            replaced = lab.engine.provider.stats().reinstalls
            for turn in range(17):
                if turn == 15:  # it ages out next
                    fail_nth(lab, call, nth, error)
                lab.advance(4.2, step_s=2.1)
                conn.server_sends()
            failed = sum(nic.failed(call) for nic in lab.nics)
            for nic in lab.nics:
                nic.clear_faults()
            lab.advance(4)
            conn.server_sends()
            assert_undone_or_done(lab, [conn])
            assert failed or lab.engine.provider.stats().reinstalls > replaced
            lab.engine.conntrack.flush()
            lab.advance(12)
            assert lab.rules == 0
            if not failed:
                break
