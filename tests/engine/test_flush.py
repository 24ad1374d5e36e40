"""Everything out at once, while somebody else has rules on the same ports: theirs stay, ours leave, whatever fails."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from story import with_plan

from ctoffload_dpdk.dpdk.actions import Attr, Count, Drop, Jump
from ctoffload_dpdk.dpdk.items import Eth, Ipv4, RepresentedPort, Udp

pytestmark = pytest.mark.eal

CALLS = {
    "sync": ("destroy", "indirect_destroy", "query"),
    "async": ("async_destroy", "pull", "indirect_destroy", "query"),
}
PLANS = [(plan, engine) for plan in ("ct", "age", "count") for engine in CALLS]
MOST = 12
FOREIGN_GROUP = 50_000


class Foreign:
    """Rules and an object that another part of the process made through the same ports."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.made: list[Any] = []
        for taken in lab.engine.ports.values():
            pattern = [RepresentedPort(taken.port.id), Eth(), Ipv4(dst="203.0.113.9"), Udp(dst_port=9)]
            attr = Attr(group=0, priority=0, transfer=True)
            self.made.append(taken.port.create_rule(attr, pattern, [Jump(FOREIGN_GROUP)]))
            attr = Attr(group=FOREIGN_GROUP, transfer=True)
            self.made.append(taken.port.create_rule(attr, pattern, [Count(), Drop()]))

    def assert_there(self) -> None:
        """They are live, and the NIC holds them beside what the provider has, and nothing else."""
        for rule in self.made[1::2]:
            assert rule.query_count().packets == 0
        held = sum(nic.audit().rules.live for nic in self.lab.nics)
        assert held == self.lab.engine.rules().live + len(self.made)

    def close(self) -> None:
        for rule in self.made:
            rule.close()


def by_tracker(lab: Any) -> None:
    lab.engine.conntrack.flush()


def by_switch(lab: Any) -> None:
    lab.engine.layer.set_global_cfg({"hw-offload": "false"})


WAYS: list[Callable[[Any], None]] = [by_tracker, by_switch]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("plan", "engine"), PLANS)
def test_a_flush_takes_out_ours_and_leaves_theirs(
    make_lab: Any, plan: str, engine: str, way: Callable[[Any], None]
) -> None:
    lab = make_lab(with_plan(plan, engine))
    foreign = Foreign(lab)
    conns = [lab.tcp() for _ in range(5)]
    assert all(conn.in_hardware for conn in conns)
    conns[0].client_sends()
    foreign.assert_there()
    way(lab)
    lab.engine.settle(lab.now_ms)
    assert lab.engine.rules().live == lab.engine.provider.stats().rules_static
    assert lab.engine.contexts().live == 0
    assert lab.engine.rules().lost == 0
    assert lab.engine.conntrack.counters().nic_packets == (1, 0), "what the rules carried is read before they leave"
    foreign.assert_there()
    lab.advance(15)  # the pipelines leave when nothing uses them
    assert lab.engine.rules().live == 0
    foreign.assert_there()
    foreign.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.EBUSY, errno.EAGAIN])
@pytest.mark.parametrize(("plan", "engine"), PLANS)
def test_a_fault_at_each_call_of_a_flush(make_lab: Any, plan: str, engine: str, error: int) -> None:
    lab = make_lab(with_plan(plan, engine))
    foreign = Foreign(lab)
    for call in CALLS[engine]:
        for nth in range(1, MOST):
            conns = [lab.tcp() for _ in range(2)]
            assert all(conn.in_hardware for conn in conns)
            for nic in lab.nics:
                nic.fail_every(call, nth, error)
            lab.engine.conntrack.flush()
            lab.engine.settle(lab.now_ms)
            failed = sum(nic.failed(call) for nic in lab.nics)
            for nic in lab.nics:
                nic.clear_faults()
            lab.advance(3)
            stats = lab.engine.provider.stats()
            assert (stats.unsettled, stats.contexts_live) == (0, 0)
            assert stats.rules_live == stats.rules_static
            foreign.assert_there()
            if not failed:
                break
    foreign.close()
