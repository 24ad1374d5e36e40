"""What is found of the emulated NIC, and that asking leaves nothing behind, whatever goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from capability_lab import probes

from ctoffload_dpdk.providers.capability import Cap, Domain
from ctoffload_dpdk.providers.plan import Fate, Plan, choose

pytestmark = pytest.mark.eal
NAMES = ("net_nicsim0", "net_nicsim1")


@pytest.fixture
def nics(eal: Any) -> Iterator[list[Any]]:
    from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - only a child loads DPDK

    made = [Nic.create(eal, name, switch=1) for name in NAMES]
    yield made
    for name, nic in zip(NAMES, made, strict=True):
        nic.close()
        eal.remove_vdev(name)


@pytest.fixture
def lab(eal: Any, nics: list[Any]) -> Iterator[list[Any]]:
    """A probe of each port."""
    with probes(eal, *NAMES) as made:
        yield made


def ask_everything(probe: Any) -> None:
    assert all(found.evidence for found in probe.findings.values())


def test_nothing_is_asked_before_it_is_read(lab, nics):
    assert nics[0].audit().rules.created == 0
    assert lab[0].capabilities.has(Cap.AGE, Domain.TRANSFER)
    asked = nics[0].audit().rules.created
    assert asked
    assert lab[0].capabilities.has(Cap.AGE, Domain.TRANSFER)
    assert nics[0].audit().rules.created == asked, "what is known is not asked again"


def test_everything_that_was_made_is_gone_and_accounted_for(lab, nics):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    for probe in lab:
        ask_everything(probe)
    assert pair_of(*lab).paths[Fate.TRANSFER].has
    rules, objects = [nic.audit().rules for nic in nics], [nic.audit().objects for nic in nics]
    assert sum(books.created for books in rules) == sum(probe.account.rules_created for probe in lab) > 100
    assert sum(books.created for books in objects) == sum(probe.account.objects_created for probe in lab) > 10
    assert [(books.live, books.lost) for books in (*rules, *objects)] == [(0, 0)] * 4
    assert all(probe.account.rules_created == probe.account.rules_destroyed for probe in lab)
    assert all(probe.account.objects_created == probe.account.objects_destroyed for probe in lab)
    assert [probe.account.left for probe in lab] == [[], []]


def test_what_the_plans_stand_on_is_found(lab):
    found = lab[0].capabilities
    for domain in (Domain.INGRESS, Domain.TRANSFER):
        for cap in (Cap.JUMP, Cap.TCP_FLAGS, Cap.COUNT, Cap.AGE, Cap.CONNTRACK, Cap.REWRITE_PORTS, Cap.IPV6_UDP):
            assert found.has(cap, domain), found.find(cap, domain)
    assert found.find(Cap.TO_SOFTWARE, Domain.TRANSFER).how == "port-representor"
    assert not found.has(Cap.ID, Domain.TRANSFER)
    assert "rule can mark [ENOTSUP]" in found.find(Cap.ID, Domain.TRANSFER).evidence


def test_a_plan_is_chosen_for_two_ports_of_one_switch(lab):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    chosen = choose(pair_of(*lab), "tcp", "ipv4", nat=False)
    assert (chosen.plan, chosen.fate) == (Plan.CT, Fate.TRANSFER)
    translated = choose(pair_of(*lab), "tcp", "ipv6", nat=True)
    assert (translated.plan, translated.fate) == (Plan.AGE, Fate.TRANSFER)
    assert "tell software by an id" in translated.refusals[0].why


@pytest.mark.parametrize("busy", [errno.EAGAIN, errno.ENOSPC, errno.ENOMEM])
def test_a_driver_that_is_busy_said_nothing_and_is_asked_again(lab, nics, busy):
    found = lab[0].findings
    assert found[Cap.JUMP, Domain.TRANSFER].has
    nics[0].fail_next("create", 1, busy)
    first = found[Cap.VLAN, Domain.TRANSFER]
    assert first.has is None
    assert errno.errorcode[busy] in first.evidence
    assert found[Cap.VLAN, Domain.TRANSFER].has


def test_a_plan_that_waits_for_an_answer_says_that_it_is_not_final(lab, nics):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    pair = pair_of(*lab)
    assert lab[0].findings[Cap.JUMP, Domain.TRANSFER].has
    nics[0].fail_next("indirect_create", 1, errno.EAGAIN)
    chosen = choose(pair, "tcp", "ipv4", nat=False)
    assert (chosen.plan, chosen.is_final) == (Plan.AGE, False)
    again = choose(pair, "tcp", "ipv4", nat=False)
    assert (again.plan, again.is_final) == (Plan.CT, True)


@pytest.mark.parametrize("call", ["create", "query", "indirect_create", "indirect_update"])
def test_each_call_that_fails_is_a_no_in_the_drivers_words_and_leaves_nothing(lab, nics, call):
    assert lab[0].findings[Cap.JUMP, Domain.INGRESS].has
    nics[0].fail_next(call, 1, errno.EPERM)
    cap = Cap.COUNT if call in {"create", "query"} else Cap.CONNTRACK
    found = lab[0].findings[cap, Domain.INGRESS]
    assert found.has is False
    assert "EPERM" in found.evidence
    assert (nics[0].audit().rules.live, nics[0].audit().objects.live) == (0, 0)


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_question_that_fails_half_way_takes_back_what_it_made(lab, nics, nth):
    found = lab[0].findings
    assert found[Cap.JUMP, Domain.TRANSFER].has
    nics[0].fail_every("create", nth, errno.EINVAL)
    for cap in (Cap.CONNTRACK, Cap.REWRITE_PORTS, Cap.AGE_COUNT):
        assert found[cap, Domain.TRANSFER].evidence
    assert nics[0].failed("create")
    assert (nics[0].audit().rules.live, nics[0].audit().objects.live) == (0, 0)


def test_what_cannot_be_taken_out_is_said_and_tried_again(lab, nics):
    assert lab[0].findings[Cap.JUMP, Domain.INGRESS].has
    account = lab[0].account
    before = account.rules_destroyed
    nics[0].fail_next("destroy", 1, errno.EIO)
    assert lab[0].findings[Cap.VLAN, Domain.INGRESS].has
    assert account.rules_destroyed == before == account.rules_created - 1 == nics[0].audit().rules.created - 1
    ((_, why),) = account.left
    assert "rte_flow_destroy could not remove rule" in why
    assert nics[0].audit().rules.live == 1
    assert lab[0].findings[Cap.COUNT, Domain.INGRESS].has
    assert account.left == []
    assert account.rules_created == account.rules_destroyed
    assert nics[0].audit().rules.live == 0


def test_an_engine_that_the_settings_ask_for_and_the_port_has_not_is_refused(eal, nics):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK
    from ctoffload_dpdk.settings import Settings  # noqa: PLC0415

    settings = Settings(ct_offload_flow_engine="sync")
    with probes(eal, *NAMES, settings=settings) as made:
        from ctoffload_dpdk.providers.rte_flow_prepare import override_of  # noqa: PLC0415

        chosen = choose(pair_of(*made), "tcp", "ipv4", nat=False, override=override_of(settings))
        assert (chosen.plan, chosen.engine) == (Plan.CT, "sync")
        override = override_of(Settings(ct_offload_plan="count"))
        assert choose(pair_of(*made), "udp", "ipv4", nat=False, override=override).plan is Plan.COUNT
