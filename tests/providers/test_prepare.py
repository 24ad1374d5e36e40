"""What a port is given before it starts: the sizes of the settings, halved where the driver refuses them; hairpins."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from capability_lab import probes

from ctoffload_dpdk.providers.capability import Cap, Domain
from ctoffload_dpdk.providers.plan import Fate, Override, Plan, choose
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal
NAMES = ("net_nicsim0", "net_nicsim1")


@pytest.fixture
def nic(eal: Any) -> Iterator[Any]:
    """Makes an emulated NIC: nic(counters=1000)."""
    from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - only a child loads DPDK

    made: list[tuple[str, Any]] = []

    def make(name: str = NAMES[0], **parameters: Any) -> Any:
        made.append((name, Nic.create(eal, name, **parameters)))
        return made[-1][1]

    yield make
    for name, its in made:
        its.close()
        eal.remove_vdev(name)


def test_the_sizes_of_the_settings_are_set_aside(eal, nic):
    nic()
    settings = Settings(
        ct_offload_counters=700,
        ct_offload_ages=600,
        ct_offload_contexts=500,
        ct_offload_flow_queues=3,
        ct_offload_flow_queue_size=64,
    )
    with probes(eal, NAMES[0], settings=settings) as (probe,):
        sizes = probe.prepared.sizes
        assert (sizes.counters, sizes.ages, sizes.conntracks, sizes.queue_size) == (700, 600, 500, 64)
        assert (probe.prepared.queues, probe.prepared.probe_queue, sizes.queues) == (3, 3, 4)
        assert probe.prepared.notes == ()
        assert "rte_flow_configure took 700 counters" in probe.prepared.sizes_said


def test_what_the_driver_says_it_has_is_not_exceeded(eal, nic):
    nic(counters=1000, contexts=64)
    with probes(eal, NAMES[0]) as (probe,):
        assert (probe.prepared.sizes.counters, probe.prepared.sizes.conntracks) == (1000, 64)
        assert "the driver says it has no more than 1000 counters" in probe.prepared.sizes_said
        assert probe.prepared.notes == ()


@pytest.mark.parametrize("refusals", [1, 3])
def test_sizes_that_are_refused_are_halved_and_said(eal, nic, refusals):
    nic().fail_next("flow_configure", refusals, errno.ENOMEM)
    settings = Settings(ct_offload_counters=8192, ct_offload_ages=4096, ct_offload_contexts=1024)
    with probes(eal, NAMES[0], settings=settings) as (probe,):
        sizes = probe.prepared.sizes
        assert (sizes.counters, sizes.ages, sizes.conntracks) == tuple(n >> refusals for n in (8192, 4096, 1024))
        (note,) = probe.prepared.notes
        assert note.startswith(f"net_nicsim0: {8192 >> refusals} counters, ")
        assert "not 8192 counters, 4096 ages, 1024 contexts: rte_flow_configure" in note
        assert "ENOMEM" in note


def test_a_port_whose_every_size_is_refused_goes_without_queues(eal, nic):
    nic().fail_next("flow_configure", 1000, errno.EINVAL)
    with probes(eal, NAMES[0]) as (probe,):
        assert probe.prepared.sizes is None
        assert "rules go without queues" in probe.prepared.notes[0]
        assert not probe.findings[Cap.ASYNC, Domain.PORT].has
        assert probe.findings[Cap.SYNC, Domain.PORT].has


def test_a_driver_without_sizes_is_no_news(eal, nic):
    nic(profile="connectx-sws")
    with probes(eal, NAMES[0]) as (probe,):
        assert (probe.prepared.sizes, probe.prepared.notes) == (None, ())
        assert "ENOTSUP" in probe.prepared.sizes_said


def test_a_port_gets_a_hairpin_queue_of_its_own_beside_that_of_software(eal, nic):
    nic()
    with probes(eal, NAMES[0]) as (probe,):
        assert (probe.prepared.hairpin_queue, probe.port.n_rx_queues) == (1, 2)
        assert probe.port.hairpin_peers() == [probe.port.id]
        assert probe.findings[Cap.HAIRPIN, Domain.PORT].has


def test_two_ports_are_joined_by_hairpins_that_are_bound_once_both_run(eal, nic):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    for name in NAMES:
        nic(name, switch=1)
    by_hairpin = Override(fate=Fate.HAIRPIN)
    with probes(eal, *NAMES, crossed=True) as made:
        pair = pair_of(*made)
        assert pair.paths[Fate.HAIRPIN].has, pair.paths[Fate.HAIRPIN]
        assert made[0].port.hairpin_peers() == [made[1].port.id]
        chosen = choose(pair, "udp", "ipv4", nat=True, override=by_hairpin)
        assert (chosen.plan, chosen.fate) == (Plan.AGE, Fate.HAIRPIN)
        tcp = choose(pair, "tcp", "ipv4", nat=False, override=by_hairpin)
        assert (tcp.plan, tcp.fate) == (Plan.AGE, Fate.HAIRPIN)
        assert "share CONNTRACK contexts" in tcp.refusals[0].why
        alone = choose(pair_of(made[0], made[0]), "udp", "ipv4", nat=False, override=by_hairpin)
        assert "was made for port" in alone.refusals[1].evidence


def test_a_port_whose_hairpin_is_refused_starts_without(eal, nic):
    for name in NAMES:
        nic(name)
    with probes(eal, *NAMES, crossed=True) as made:
        assert [(probe.prepared.hairpin_queue, probe.port.n_rx_queues) for probe in made] == [(None, 1)] * 2
        assert "is not in its switch" in made[0].findings[Cap.HAIRPIN, Domain.PORT].evidence
        assert made[0].port.is_started


def test_hairpins_that_were_not_bound_lead_nowhere(eal, nic):
    from ctoffload_dpdk.providers.rte_flow_probe import pair_of  # noqa: PLC0415 - only a child loads DPDK

    for name in NAMES:
        nic(name, switch=1)
    with probes(eal, *NAMES) as made:
        path = pair_of(*made).paths[Fate.HAIRPIN]
        assert not path.has
        assert "was made for port 0" in path.evidence


def test_the_engine_prepares_its_ports_and_offers_their_probes(eal, nic, caplog):
    from ctoffload_dpdk.engine import Engine  # noqa: PLC0415 - only a child loads DPDK

    nics = [nic(name, switch=1) for name in NAMES]
    nics[1].fail_next("flow_configure", 1, errno.ENOMEM)
    mempool = eal.mempool(2047, cache_size=0)
    with caplog.at_level(logging.WARNING), Engine(eal, Settings(ct_offload_counters=4096)) as engine:
        ports = [engine.add_port(name, mempool, peer=other) for name, other in zip(NAMES, NAMES[::-1], strict=True)]
        found = [engine.offload_class.probes[port.layer_port.id] for port in ports]
        assert [probe.prepared.sizes.counters for probe in found] == [4096, 2048]
        assert found[1].bound == {ports[0].port.id: ""}
        assert "net_nicsim1: 2048 counters" in caplog.text
        assert "net_nicsim0" not in caplog.text
    mempool.close()
