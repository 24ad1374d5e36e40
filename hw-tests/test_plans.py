"""The provider's rules for connections: installed, asked and removed, by every plan that the device can do."""

from __future__ import annotations

from typing import Any

import pytest
from hwlab.frames import SERVER

PLANS = ("ct", "age", "count", "mark", "steer")
BYPASS = ("ct", "age", "count")
KINDS = (("tcp", False), ("tcp", True), ("udp", False), ("udp", True))


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_installs_and_removes_its_rules(make_system: Any, plan: str, record: Any) -> None:
    """Two rules for each connection, none left after its end; where it is not chosen, the reason is told."""
    system = make_system(ct_offload_plan=plan)
    fit = [kind for kind in KINDS if system.choices[f"{kind[0]}/{'ipv6' if kind[1] else 'ipv4'}"]["plan"] == plan]
    if not fit:
        pytest.skip(f"no connection goes by {plan} here: {system.choices['tcp/ipv4']['why']}")
    live = 0
    for proto, ipv6 in fit:
        conn = (system.tcp if proto == "tcp" else system.udp)(ipv6=ipv6)
        assert conn.in_hardware, f"{conn.name}: {conn.reason}: {system.stats()['refusal']}"
        assert system.rules == live + 2
        live += 2
    record(f"kinds of connections by {plan}", len(fit), f"of {len(KINDS)}")
    left = system.bench.call("flush")
    assert left["live"] == left["static"], f"rules of connections are left: {left}"
    assert left["contexts"] == 0
    assert system.bench.call("account") == []


@pytest.mark.parametrize("plan", BYPASS)
def test_the_nic_is_asked_before_a_connection_expires(make_system: Any, plan: str) -> None:
    system = make_system(ct_offload_plan=plan, ct_offload_timeout_udp_multiple=3, ct_offload_timeout_tcp_established=3)
    if system.choices["tcp/ipv4"]["plan"] != plan:
        pytest.skip(f"TCP does not go by {plan} here: {system.choices['tcp/ipv4']['why']}")
    conn = system.tcp()
    assert conn.in_hardware
    system.wait(2.0)
    assert conn.is_live
    system.wait_until_empty(15)
    assert system.stats()["queries"] > 0
    assert system.stats()["queries_failed"] == 0
    assert system.rules == 0


def test_without_rules_connections_are_tracked_all_the_same(make_system: Any) -> None:
    """The switch is off from the start: everything works, in software."""
    system = make_system(hw_offload=False)
    conn = system.tcp()
    assert conn.is_live
    assert not conn.in_hardware
    assert conn.reason == "disabled"
    assert system.stats()["rules_created"] == system.stats()["rules_destroyed"]


def test_the_switch_takes_connections_out_and_puts_them_back(make_system: Any) -> None:
    system = make_system()
    conn = system.tcp()
    if not conn.in_hardware:
        pytest.skip(f"connections stay in software here: {conn.reason}: {conn.choice['why']}")
    system.bench.call("switch", False)
    assert not conn.in_hardware
    assert conn.reason == "disabled"
    assert system.rules == 0
    conn.send(SERVER, "PA", b"in software")
    system.bench.call("switch", True)
    conn.send(SERVER, "PA", b"back")
    system.wait(0.2)
    assert conn.in_hardware, conn.reason
    assert system.bench.call("account") == []
