"""The whole on the real driver: the tracker establishes a connection, the provider's rules reach the NIC's switch."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from build_support import dpdk
from standin.mlx5 import Standin, Steering, Worker, golden_connections
from standin.mlx5.control import RuleRecord
from standin.mlx5.golden_connections import MODULE, start


@pytest.fixture
def system(standin_available: None) -> Iterator[Worker]:
    worker = start(Steering.SOFTWARE)
    yield worker
    assert worker.close() == 0


def of_connections(worker: Worker) -> list[RuleRecord]:
    """The rules that match a 5-tuple."""
    return [rule for rule in worker.control.rules() if "outer.src_ip" in rule.matched()]


def test_a_connection_gets_one_rule_per_direction_and_loses_both_when_it_ends(system: Worker) -> None:
    assert system.call("exchange")["reason"] == "NONE"
    forth, back = of_connections(system)
    assert forth.domain == back.domain == "fdb"
    assert forth.matched()["outer.src_ip"] == back.matched()["outer.dst_ip"] == "198.51.100.1"
    assert forth.matched()["outer.udp_dport"] == back.matched()["outer.udp_sport"] == "0x0035"
    assert forth.matched()["reg_c_0"] != back.matched()["reg_c_0"], "each direction is bound to its own port"
    assert [rule.kinds for rule in (forth, back)] == [["counter", "port"]] * 2
    assert forth.actions[-1]["value"] != back.actions[-1]["value"]
    before = system.call("pipeline")
    assert system.call("flush") == before > 0
    assert not of_connections(system)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("steering", Steering)
@pytest.mark.usefixtures("standin_available", "recorded")
def test_every_plan_is_taken_by_the_driver_or_refused_beforehand(steering: Steering) -> None:
    """Each kind of connection by each plan, between two ports and back by the same one.

    What a plan was chosen for goes in as in the golden file, pipeline, rules of both directions and contexts, and
    leaves again. What cannot is never tried.
    """
    if not golden_connections.path_of(steering).is_file():
        pytest.skip("not recorded of this DPDK's driver; what records it: python -m standin.mlx5.golden_connections")
    changed = golden_connections.difference(steering)
    assert not changed, f"if meant run `python -m standin.mlx5.golden_connections`:\n{changed}"
    text = golden_connections.path_of(steering).read_text()
    by_plan = {plan: text.count(f": {plan} by ") for plan in golden_connections.PLANS}
    assert min(by_plan.values()) > 0, f"a plan without a connection: {by_plan}"
    outcomes = set(re.findall("stays in software: ([A-Z_]+)", text))
    assert outcomes <= {"NO_CAPABILITY", "NAT_UNSUPPORTED", "PROTO", "ZONE_UNSUPPORTED"}
    assert "rules stay" not in text
    _, apart = text.split(f"=== {golden_connections.TWO_PORTS}, plan ct\n")
    ct, passing, _ = re.split(f"=== {golden_connections.TWO_PORTS}, plan (?:age|mark)\n", apart)
    assert ct.count("not ct by hairpin: ") == ct.count("cannot share CONNTRACK contexts") == 4, "TCP, by family and NAT"
    assert "do " not in ct
    n_connections = len(re.findall("^[a-z]+ over .* by hairpin, ", passing, re.MULTILINE))
    assert n_connections == 2 * len(golden_connections.KINDS)
    assert passing.count("do queue leads out by a hairpin") == 2 * n_connections, "each direction leaves by one"


@pytest.mark.parametrize("vlans", [(5,), (7, 9)])
@pytest.mark.parametrize("steering", Steering)
def test_zones_by_vlan_are_taken_by_the_driver(
    standin_available: None, steering: Steering, vlans: tuple[int, ...]
) -> None:
    """Software steering matches one tag, hardware steering two; that of 25.11 one."""
    takes = 2 if steering is Steering.HARDWARE and dpdk.version().startswith("22.11.") else 1
    with start(steering) as worker:
        worker.call("set_zone", vlans, 3)
        for ipv6 in (False, True):
            expected = "NONE" if len(vlans) <= takes else "ZONE_UNSUPPORTED"
            assert worker.call("establish", "tcp", ipv6, vlans, 3)[0] == expected, worker.call("refusal")


@pytest.mark.parametrize("steering", Steering)
def test_with_hardware_steering_connections_are_tracked_in_the_switch(
    standin_available: None, steering: Steering
) -> None:
    """Software steering has no contexts there."""
    with start(steering) as worker:
        plan = "ct" if steering is Steering.HARDWARE else "age"
        assert worker.call("choices")["tcp/ipv4/plain"].startswith(plan)
        assert worker.call("establish", "tcp", False)[0] == "NONE"
        assert worker.call("contexts") == (plan == "ct")


@pytest.mark.parametrize(("n_ports", "options", "memory_mb"), [(1, "", 64), (3, "representor=vf[0-1]", 128)])
def test_more_counters_than_there_is_memory_for_are_halved_and_no_call_crashes(
    standin_available: None, n_ports: int, options: str, memory_mb: int
) -> None:
    """The driver would crash: in rte_flow_configure for the first port of a card, at the last close for others."""
    worker = Worker(Standin(Steering.HARDWARE, n_ports=n_ports, options=options), MODULE)
    sizes = {"ct_offload_counters": 512 << 10, "ct_offload_ages": 1024, "ct_offload_contexts": 1024}
    worker.call("start", worker.nic.eal_args(memory_mb), sizes)
    words = worker.words()
    assert worker.call("exchange")["reason"] == "NONE", worker.call("refusal")
    assert re.search("set aside, not 524288 counters.*rte_flow_configure not called: DPDK's memory has no", words), (
        words
    )
    assert worker.close() == 0
