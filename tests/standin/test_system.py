"""The whole on the real driver: the tracker establishes a connection, the provider's rules reach the NIC's switch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.mlx5 import Standin, Steering, Worker
from standin.mlx5.control import RuleRecord

MODULE = Path(__file__).with_name("engine_bench.py")


# What the driver has room for here; a failed try with more leaves a port of 22.11 that crashes when it closes.
SIZES = {"ct_offload_counters": 4096, "ct_offload_ages": 4096, "ct_offload_contexts": 1024}


def start(steering: Steering, *, n_ports: int = 3, **settings: object) -> Worker:
    """The uplink and two representors, which are joined; or one port, joined with itself."""
    worker = Worker(Standin(steering, n_ports=n_ports, options="representor=vf[0-1]" if n_ports > 1 else ""), MODULE)
    worker.call("start", worker.nic.eal_args(), SIZES | settings)
    return worker


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


@pytest.mark.parametrize("steering", Steering)
@pytest.mark.parametrize("plan", ["ct", "age", "count", "mark", "steer"])
def test_every_plan_is_taken_by_the_driver_or_refused_beforehand(
    standin_available: None, steering: Steering, plan: str
) -> None:
    """What a plan was chosen for goes in: pipeline, rules of both directions, contexts. What cannot is never tried."""
    with start(steering, ct_offload_plan=plan) as worker:
        choices = worker.call("choices")
        for kind, (ipv6, proto) in {
            "tcp/ipv4": (False, "tcp"),
            "tcp/ipv6": (True, "tcp"),
            "udp/ipv4": (False, "udp"),
            "udp/ipv6": (True, "udp"),
            "icmp/ipv4": (False, "icmp"),
        }.items():
            reason, refusal = worker.call("establish", proto, ipv6)
            if choices[f"{kind}/plain"].startswith(plan):
                assert reason == "NONE", f"{kind}: {refusal}"
            else:
                assert reason in ("NO_CAPABILITY", "PROTO"), choices[f"{kind}/plain"]
        assert worker.call("flush") == worker.call("pipeline")
    assert plan != "age" or choices["udp/ipv4/plain"].startswith("age"), "the plan of the switch works with both"


@pytest.mark.parametrize("steering", Steering)
@pytest.mark.parametrize("plan", ["ct", "age", "count"])
def test_hairpins_of_one_port_are_taken_by_the_driver_or_refused_beforehand(
    standin_available: None, steering: Steering, plan: str
) -> None:
    with start(steering, n_ports=1, ct_offload_plan=plan) as worker:
        choices = worker.call("choices")
        for kind, (ipv6, proto) in {
            "tcp/ipv4": (False, "tcp"),
            "tcp/ipv6": (True, "tcp"),
            "udp/ipv4": (False, "udp"),
        }.items():
            reason, refusal = worker.call("establish", proto, ipv6)
            expected = "NONE" if choices[f"{kind}/plain"].startswith(f"{plan} by hairpin") else "NO_CAPABILITY"
            assert reason == expected, f"{kind}: {choices[f'{kind}/plain']}: {refusal}"
        assert worker.call("flush") == worker.call("pipeline")


@pytest.mark.parametrize("vlans", [(5,), (7, 9)])
@pytest.mark.parametrize("steering", Steering)
def test_zones_by_vlan_are_taken_by_the_driver(
    standin_available: None, steering: Steering, vlans: tuple[int, ...]
) -> None:
    """Software steering matches one tag, hardware steering two."""
    with start(steering) as worker:
        worker.call("set_zone", vlans, 3)
        for ipv6 in (False, True):
            expected = "ZONE_UNSUPPORTED" if steering is Steering.SOFTWARE and len(vlans) > 1 else "NONE"
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


@pytest.mark.parametrize("n_ports", [1, 3])
@pytest.mark.parametrize("steering", Steering)
def test_translation_in_the_rule_is_taken_by_the_driver(
    standin_available: None, steering: Steering, n_ports: int
) -> None:
    """SET_* with software steering, MODIFY_FIELD with hardware steering; in the switch and through a hairpin."""
    with start(steering, n_ports=n_ports) as worker:
        assert worker.call("choices")["udp/ipv4/nat"].startswith("age")
        assert worker.call("translate", "udp", "src=192.0.2.7:5000") == ("NONE", "")
        before = worker.call("pipeline")
        actions = [action for rule in worker.control.rules() for action in rule.actions]
        fields = {r["field"] for action in actions for r in action.get("rewrites", ())}
        rewritten = {field for field in fields if "ip" in field or "port" in field}
        assert worker.call("flush") == before
        assert len(rewritten) == 4, f"addresses and ports of both directions, not {rewritten}"
