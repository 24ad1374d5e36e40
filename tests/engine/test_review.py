"""A driver that is too busy to say what it can is asked again, and connections then go in by the better plan."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from story import StoryLab, with_plan

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Engine

pytestmark = pytest.mark.eal
ENGINES = {"sync": "create", "async": "async_create"}
BUSY = [errno.EAGAIN, errno.ENOSPC, errno.ENOMEM]


class BusyLab(StoryLab):
    """Its NICs do not answer these calls from before the engine has its ports."""

    def __init__(self, eal: Any, settings: Any, calls: tuple[str, ...], error: int) -> None:
        self.calls, self.error = calls, error
        super().__init__(eal, settings)

    def make_engine(self, *args: Any, **kwargs: Any) -> Engine:
        for nic in self.nics:
            for call in self.calls:
                nic.fail_next(call, 1_000_000, self.error)
        return super().make_engine(*args, **kwargs)

    def answer(self) -> None:
        for nic in self.nics:
            nic.clear_faults()


def plan(lab: Any, proto: str = "tcp") -> Any:
    ports = [port.layer_port for port in lab.engine.ports.values()]
    return lab.engine.offload_class.choices(*ports)[proto, "ipv4", False]


@pytest.fixture
def busy_lab(eal: Any, make_lab: Any) -> Any:
    """Makes a lab whose NICs are busy: busy_lab(settings, calls, error)."""
    return lambda *args: make_lab(*args, of=BusyLab)


@pytest.mark.parametrize("error", BUSY)
@pytest.mark.parametrize("engine", ENGINES)
def test_connections_go_in_once_a_driver_answers(busy_lab: Any, engine: str, error: int) -> None:
    lab = busy_lab(with_plan("auto", engine), (ENGINES[engine],), error)
    assert not plan(lab).is_final
    conns = [lab.tcp(), lab.udp()]
    assert plan(lab).plan == "none"
    assert not any(conn.in_hardware for conn in conns)
    assert all(conn.reason in (Reason.NO_CAPABILITY, Reason.PORT_PAIR) for conn in conns)
    lab.advance(3)
    assert not any(conn.in_hardware for conn in conns)
    lab.answer()
    lab.advance(12)
    assert plan(lab).is_final
    assert plan(lab).plan == "ct", plan(lab).explain()
    assert plan(lab, "udp").plan == "age"
    assert all(conn.in_hardware for conn in conns)
    seen = lab.host_rx
    for conn in conns:
        conn.client_sends()
        conn.server_sends()
    assert lab.host_rx == seen


@pytest.mark.parametrize("engine", ENGINES)
def test_connections_that_went_in_by_a_worse_plan_change_to_the_better_one(busy_lab: Any, engine: str) -> None:
    lab = busy_lab(with_plan("auto", engine), ("indirect_create",), errno.EAGAIN)
    assert (plan(lab).plan, plan(lab).is_final) == ("age", False)
    conns = [lab.tcp() for _ in range(5)]
    other = lab.udp()
    assert all(conn.in_hardware for conn in conns)
    assert lab.engine.contexts().live == 0
    other.client_sends()
    for conn in conns:
        conn.client_sends(b"by the worse plan")
        conn.server_sends(b"as well")
    lab.answer()
    lab.advance(12)
    assert (plan(lab).plan, plan(lab).is_final) == ("ct", True)
    assert all(conn.in_hardware for conn in conns)
    assert lab.engine.contexts().live == len(conns)
    assert other.nic_packets() == 1, "what had the best plan kept its rules"
    for conn in conns:
        frame_bytes = 14 + 20 + 20
        assert conn.row["packets"].tolist() == [3, 2], "a handshake in software, one packet each way in the NIC"
        assert conn.row["bytes"].tolist() == [3 * frame_bytes + 17, 2 * frame_bytes + 7]
    lab.assert_audit_matches()
    assert lab.engine.rules().lost == 0


def test_a_driver_is_asked_again_at_growing_intervals(busy_lab: Any) -> None:
    lab = busy_lab(with_plan("auto", "sync"), ("indirect_create",), errno.EAGAIN)

    def asked() -> int:
        return sum(nic.failed("indirect_create") for nic in lab.nics)

    counts = []
    for _ in range(20):
        before = asked()
        lab.advance(60)
        counts.append(asked() - before)
    assert counts[0] > counts[-1] > 0, counts
    assert all(count <= counts[0] // 4 for count in counts[-5:]), counts


def test_a_driver_that_says_no_is_not_asked_again(make_lab: Any) -> None:
    lab = make_lab(profile="tap")
    assert plan(lab).is_final
    made = lab.engine.offload_class.probes[0].account.rules_created
    lab.advance(200, step_s=10)
    assert lab.engine.offload_class.probes[0].account.rules_created == made
