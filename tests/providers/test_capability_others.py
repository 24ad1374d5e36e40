"""Drivers that have no rules, or pass them on and cannot ask after them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from capability_lab import probes

from ctoffload_dpdk.providers.capability import Cap, Domain
from ctoffload_dpdk.providers.plan import BYPASS, Family, Fate, Plan, Proto, choose

pytestmark = pytest.mark.eal


@pytest.fixture
def ask(eal: Any) -> Iterator[Any]:
    """Asks one virtual device, made with these arguments; what it stands on is made first."""
    from ctoffload_dpdk.nicsim import load  # noqa: PLC0415 - only a child loads DPDK

    made: list[str] = []
    running: list[Any] = []

    def start(name: str, args: str = "", *, below: str = "") -> Any:
        load()
        for vdev, its_args in ((below, ""), (name, args)):
            if vdev:
                eal.add_vdev(vdev, its_args)
                made.append(vdev)
        context = probes(eal, name)
        running.append(context)
        (probe,) = context.__enter__()
        return probe

    yield start
    for context in running:
        context.__exit__(None, None, None)
    for vdev in reversed(made):
        eal.remove_vdev(vdev)


def choices(probe: Any) -> list[Any]:
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    pair = pair_of(probe, probe)
    return [choose(pair, proto, family, nat) for proto in Proto for family in Family for nat in (False, True)]


def test_net_null_declines_and_says_why(ask):
    probe = ask("net_null0")
    found = probe.findings
    assert not any(found[key].has for key in found if key != (Cap.RX_MARK, Domain.PORT))
    assert "Function not implemented [ENOSYS]" in found[Cap.SYNC, Domain.PORT].evidence
    assert "not asked" in found[Cap.ASYNC, Domain.PORT].evidence, "22.11 crashes there"
    assert probe.prepared.sizes is None
    for chosen in choices(probe):
        assert chosen.plan is Plan.NONE
        assert "takes no rules" in chosen.explain() or "TCP alone" in chosen.explain()
        assert "ENOSYS" in chosen.explain()
    assert probe.account.rules_created == 0


def test_net_failsafe_takes_rules_but_never_answers_a_query(ask):
    probe = ask("net_failsafe0", "dev(net_nicsim0)")
    found = probe.findings
    assert found[Cap.JUMP, Domain.INGRESS].has
    for cap in (Cap.COUNT, Cap.AGE, Cap.AGE_COUNT):
        assert not found[cap, Domain.INGRESS].has
        assert "rte_flow_query failed" in found[cap, Domain.INGRESS].evidence
    assert not found[Cap.CONNTRACK, Domain.INGRESS].has
    for chosen in choices(probe):
        assert chosen.plan not in BYPASS, "nothing would tell when a connection was last used"
    assert probe.account.rules_created == probe.account.rules_destroyed > 10
    assert probe.account.left == []


def test_net_bonding_adds_counters_up_and_knows_no_ages(eal, ask):
    member = "slave" if eal.version < "DPDK 23.11" else "member"
    probe = ask("net_bonding0", f"mode=1,{member}=net_nicsim0", below="net_nicsim0")
    found = probe.findings
    assert found[Cap.COUNT, Domain.INGRESS].has
    assert not found[Cap.AGE, Domain.INGRESS].has
    assert "ENOTSUP" in found[Cap.AGE, Domain.INGRESS].evidence
    plans = {(chosen.plan, chosen.fate) for chosen in choices(probe)}
    assert (Plan.MARK, Fate.QUEUE) in plans
    assert not plans & {(plan, fate) for plan in BYPASS for fate in Fate}, "it has no switch and no hairpin"
    assert probe.account.rules_created == probe.account.rules_destroyed > 10
