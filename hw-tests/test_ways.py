"""By which ways the NIC forwards past software: over its switch, through hairpin queues."""

from __future__ import annotations

from typing import Any

import pytest
from hwlab.frames import CLIENT, SERVER

WORD = b"back by the port"


def choice_by(system: Any, fate: str) -> str:
    """A plan by this way; skips with the reason where there is none."""
    for kind, choice in system.choices.items():
        if choice["fate"] == fate:
            return kind
    pytest.skip(f"nothing goes by {fate} here: {system.choices['udp/ipv4']['text']}")


@pytest.mark.parametrize("fate", ["transfer", "hairpin"])
def test_connections_go_by_it_in_both_directions(make_system: Any, lab: Any, fate: str) -> None:
    system = make_system()
    proto, family, *_ = choice_by(system, fate).split("/")
    conn = (system.tcp if proto == "tcp" else system.udp)(ipv6=family == "ipv6")
    assert conn.in_hardware, f"{conn.reason}: {system.stats()['refusal']}"
    if system.has_traffic and proto == "udp":
        for side in (CLIENT, SERVER):
            assert system.passes(side, conn.datagram(side, b"by the NIC"), b"by the NIC")
    assert system.bench.call("flush")["live"] == system.stats()["rules_static"]


@pytest.mark.parametrize("plan", ["ct", "age", "count"])
def test_one_port_forwards_back_by_itself(make_bench: Any, lab: Any, plan: str) -> None:
    """Joined with itself: through a hairpin queue where the driver has them."""
    from hwlab.story import System  # noqa: PLC0415

    bench = make_bench()
    bench.call("join_alone", 0)
    system = System(bench, lab.generators(bench)[:1], {"ct_offload_plan": plan})
    found = [kind for kind, choice in system.choices.items() if choice["plan"] == plan and "nat" not in kind]
    if not found:
        pytest.skip(f"no connection goes by {plan} and back here: {system.choices['tcp/ipv4']['why']}")
    proto, family = found[0].split("/")
    conn = (system.tcp if proto == "tcp" else system.udp)(ipv6=family == "ipv6")
    assert conn.in_hardware, f"{conn.reason}: {system.stats()['refusal']}"
    if system.has_traffic:
        before = system.stats()["host_rx"]
        for side in (CLIENT, SERVER):
            data = conn.segment(side, "PA", WORD) if proto == "tcp" else conn.datagram(side, WORD)
            assert system.passes(side, data, WORD)
        assert system.stats()["host_rx"] == before or not lab.inventory.is_emulated
    left = bench.call("flush")
    assert left["live"] == left["static"]


def test_representors_share_their_switch(lab: Any, bench: Any) -> None:
    """A device with representors: one switch, which every port names."""
    ports = lab.facts["ports"]
    representors = [port for port in ports if port["is_representor"]]
    if not representors:
        pytest.skip("the device was started without representors (--dut 0000:08:00.0,representor=vf[0-1])")
    domains = {port["switch_domain"] for port in ports}
    assert len(domains) == 1, f"the ports name switches {domains}"
    assert None not in domains
    bench.call("rules_start")
    has, evidence = bench.call("finding", 0, "rules", "transfer")
    assert has, evidence
