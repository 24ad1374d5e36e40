"""What is found of the emulated NIC where it has the limits of a real one, and the plan that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from capability_lab import probes

from ctoffload_dpdk.providers.capability import Cap, Domain
from ctoffload_dpdk.providers.plan import PlanChoice, choose

pytestmark = pytest.mark.eal
NAMES = ("net_nicsim0", "net_nicsim1")


@pytest.fixture
def ask(eal: Any) -> Iterator[Callable[[str], list[Any]]]:
    """Probes of two ports of one switch with a profile. At the end nothing of theirs is in the NIC."""
    from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - only a child loads DPDK

    nics: list[Any] = []
    running: list[Any] = []

    def start(profile: str) -> list[Any]:
        nics.extend(Nic.create(eal, name, switch=1, profile=profile) for name in NAMES)
        running.append(probes(eal, *NAMES))
        made: list[Any] = running[0].__enter__()
        for probe in made:
            assert all(found.evidence for found in probe.findings.values())
        return made

    yield start
    left = [(nic.audit().rules.live, nic.audit().objects.live) for nic in nics]
    running[0].__exit__(None, None, None)
    for name, nic in zip(NAMES, nics, strict=True):
        nic.close()
        eal.remove_vdev(name)
    assert left == [(0, 0), (0, 0)]


def plan(found: list[Any], proto: str = "tcp", *, nat: bool = False, family: str = "ipv4") -> PlanChoice:
    """Between the two ports; or, of one probe, back by its port."""
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    return choose(pair_of(found[0], found[-1]), proto, family, nat)


def short(choice: PlanChoice) -> str:
    return f"{choice.plan} {choice.fate} {choice.engine} {choice.last_used}"


def test_software_steering_tracks_on_the_receive_side_alone(ask):
    found = ask("connectx-sws")
    assert [probe.account.left for probe in found] == [[], []]
    assert not found[0].findings[Cap.CONNTRACK, Domain.TRANSFER].has
    assert not found[0].findings[Cap.CONNTRACK_AGE, Domain.INGRESS].has
    assert found[0].findings[Cap.CONNTRACK_REWRITE, Domain.INGRESS].how == "rewrite-first"
    assert found[0].misses_reach_software
    assert short(plan(found)) == "age transfer sync age"
    assert "cannot track TCP" in plan(found).refusals[0].why
    assert short(plan(found, "icmp")) == "age transfer sync age"
    assert short(plan(found[:1])) == "ct hairpin sync count"
    assert short(plan(found[:1], nat=True)) == "ct hairpin sync count"


def test_hardware_steering_takes_rules_through_queues_and_tracks_everywhere(ask):
    found = ask("connectx-hws")
    assert not found[0].findings[Cap.SYNC, Domain.PORT].has
    assert found[0].findings[Cap.CONNTRACK_REWRITE, Domain.TRANSFER].how == "rewrite-last"
    assert short(plan(found)) == "ct transfer async age"
    assert short(plan(found, nat=True)) == "age transfer async age"
    assert short(plan(found[:1], nat=True)) == "ct hairpin async age"


def test_a_tap_steers_to_queues(ask):
    found = ask("tap")
    assert not found[0].findings[Cap.JUMP, Domain.INGRESS].has
    assert short(plan(found)) == "steer queue sync software"
    assert short(plan(found, "icmp")) == "none none sync none"


def test_a_nic_that_marks_and_steers_only_marks(ask):
    found = ask("queue-only")
    assert found[0].findings[Cap.RULES, Domain.INGRESS].how == "group-0"
    assert short(plan(found, "udp")) == "mark queue sync software"


def test_a_nic_without_rules_declines(ask):
    found = ask("no-flow")
    assert short(plan(found)) == "none none sync none"
    assert "ENOSYS" in plan(found).explain()
