"""How fast: rules into the NIC, out of it, and asked. The figures are the report's; the bars are only that all succeed.

What is measured on an emulated NIC rates the software of this machine, not a NIC.
"""

from __future__ import annotations

from typing import Any

import pytest
from hwlab import flow_perf
from hwlab.errors import BenchError

# The stand-in reads each rule back from a queue, and writes it down.
N_CALLS, N_CONNECTIONS, N_CONNECTIONS_STANDIN = 20_000, 20_000, 2_000


@pytest.mark.timeout(600)
def test_each_call_of_rte_flow(rules: Any, record: Any) -> None:
    """One by one: what a caller waits for, in percentiles."""
    if rules.call("rules_engine") != "sync":
        pytest.skip("this driver takes rules through queues only; the rates through the provider are measured instead")
    try:
        found = rules.call("rule_rates", 0, N_CALLS)
    except BenchError as error:
        if error.kind != "UsageError":
            raise
        pytest.skip(error.message)
    if found["rules"] < N_CALLS:
        assert found["ended"], "rules ended without a word"
    for name in ("create", "query", "destroy"):
        record(
            f"{name}: a call of rte_flow, median", found[name]["p50"], "ns", lower_is_better=True, spread=found[name]
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["sync", "async"])
def test_connections_into_the_nic_and_out_of_it(make_system: Any, lab: Any, engine: str, record: Any) -> None:
    """Through tracker, layer and provider, by one core."""
    n = N_CONNECTIONS_STANDIN if lab.inventory.is_standin else N_CONNECTIONS
    system = make_system(ct_offload_flow_engine=engine, ct_offload_max_connections=2 * n)
    choice = system.choices["udp/ipv4"]
    if choice["plan"] == "none":
        pytest.skip(f"no rules go in by {engine}: {choice['why']}")
    found = system.bench.call("install_rates", n, 3)
    for name, word in (("install", "in"), ("remove", "out")):
        part = found[name]
        assert part["rules"] > 0, system.stats()["refusal"]
        record(f"rules {word}, {engine}", part["per_s"], "rules/s", spread=part["windows"])
        record(f"rules {word} per core, {engine}", part["per_core_s"], "rules/s")
    # Beside the connections' own go those of the pipeline.
    assert min(found["install"]["rules"], found["remove"]["rules"]) >= 3 * 2 * n
    assert system.rules == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cores", [1, 2, 4])
def test_rules_by_dpdks_own_measure(lab: Any, cores: int, record: Any) -> None:
    """dpdk-test-flow-perf, with more cores at once."""
    why = flow_perf.why_not(lab.inventory, cores)
    if why:
        pytest.skip(why)
    found = flow_perf.run(lab.inventory, cores)
    if found.refusal:
        pytest.skip(f"dpdk-test-flow-perf ended without a rate: {found.refusal}")
    record(f"dpdk-test-flow-perf: rules in, {cores} cores", found.created_per_s, "rules/s")
    record(f"dpdk-test-flow-perf: rules out, {cores} cores", found.destroyed_per_s, "rules/s")


def test_packets_at_rate(traffic: None, lab: Any, make_system: Any, record: Any) -> None:
    """As fast as the peer sends, of one connection in hardware: not one may come by software."""
    from hwlab.traffic import RateGenerator  # noqa: PLC0415

    system = make_system()
    if lab.inventory.is_emulated or not isinstance(system.wires[0], RateGenerator):
        pytest.skip("the peer sends packet by packet; name a port of DPDK's as peer (--peer dpdk:0000:81:00.0)")
    conn = system.udp()
    sent = system.wires[0].send_at_rate([conn.datagram(0, b"x" * 18)] * 32, 2.0)
    record("packets sent at rate", sent["packets"] / sent["seconds"], "packets/s")
    assert sent["packets"] > 0
    system.wait(1.0)
    assert conn.is_live
    assert system.bench.call("account") == []
