"""Ports that go while connections are in the NIC: by the plan and engine, in order or all of a sudden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from story import A, B, StoryLab, with_plan

from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.demo.lab import PORTS

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


EVENTS = ["port_leaves", "port_vanishes", "port_is_reset"]


@pytest.mark.parametrize("side", [A, B])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("plan", "engine"), [("ct", "sync"), ("ct", "async"), ("age", "sync"), ("count", "async")])
def test_a_port_that_went_and_returned_takes_its_connections_in_again(
    make_lab: Any, plan: str, engine: str, event: str, side: int
) -> None:
    lab = make_lab(with_plan(plan, engine))
    conns = [lab.tcp() for _ in range(3)]
    for _ in range(20):  # more often than a loop has places for ports
        getattr(lab, event)(side)
        if not lab.has(side):
            assert lab.engine.contexts().live == 0
            assert not any(conn.in_hardware for conn in conns)
            lab.assert_audit_matches()
            lab.port_returns(side)
        lab.advance(1)
        lab.assert_audit_matches()
        for conn in conns:
            conn.client_sends()  # each end is seen at its port as that is now
            conn.server_sends()
        lab.advance(1)
        assert all(conn.in_hardware for conn in conns), [conn.reason for conn in conns]
        seen = lab.host_rx
        conns[0].client_sends()
        conns[0].server_sends()
        assert lab.host_rx == seen
    # Rules of a switch are its owner's: they are lost where that one goes without a word, and only there.
    assert (lab.engine.rules().lost > 0) == (event != "port_leaves" and side == A)


def fill_the_loops(lab: StoryLab) -> None:
    with pytest.raises(UsageError, match="at most"):
        while True:
            lab.engine.loops[0].add_port(31, 99, 1)


@pytest.mark.parametrize(
    "fails",
    [
        lambda lab: lab.nics[B].fail_next("configure", 1),
        lambda lab: lab.nics[B].fail_next("start", 1),
        fill_the_loops,
    ],
    ids=["configure", "start", "loops"],
)
def test_a_port_that_cannot_be_taken_in_is_given_back(lab: StoryLab, fails: Callable[[StoryLab], None]) -> None:
    lab.port_leaves(B)
    n_ports = len(lab.engine.layer.ports)
    fails(lab)
    with pytest.raises(CtoffloadError):
        lab.engine.add_port(PORTS[B], lab.mempool)
    assert not lab.has(B)
    assert len(lab.engine.layer.ports) == n_ports
    lab._unplug(B)  # which an open port would refuse
    if fails is not fill_the_loops:
        lab.port_returns(B)
        assert lab.udp().in_hardware


@pytest.mark.parametrize(("outer", "zone"), [(4096, 5), (-1, 5), (5, 65536), (5, -1)])
def test_a_zone_that_cannot_be_is_refused_before_anybody_is_told(lab: StoryLab, outer: int, zone: int) -> None:
    for inner in (None, 7):
        with pytest.raises(UsageError, match="cannot be in zone"):
            lab.engine.set_zone(PORTS[A], outer, inner, zone)
    lab.engine.set_zone(PORTS[A], 5, None, 6)
    assert lab.udp(vlans=(5,), zone=6).row is not None
