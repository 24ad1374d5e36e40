"""From one port to another through hairpin queues: how a NIC forwards past software where no switch joins its ports.

Where a switch does, a hairpin takes its place here.
"""

from __future__ import annotations

from typing import Any

import pytest
import scapy.all as scapy
from hwlab.frames import CLIENT, SERVER, frame

PLANS = ("ct", "age", "count")
KINDS = (("tcp", False), ("tcp", True), ("udp", False), ("udp", True))
N_PACKETS, BURST, REFRESH_S = 100, 20, 2.5
WORD = b"by hairpin"


@pytest.fixture(autouse=True)
def two_ports(lab: Any) -> None:
    if len(set(lab.facts["sides"])) < 2:
        pytest.skip("the device has one port, which test_ways.py joins with itself")


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_goes_from_port_to_port_and_back(make_system: Any, plan: str, record: Any) -> None:
    """A rule on each port for each kind of connection, which packets pass software by; none is left."""
    system = make_system(across=True, ct_offload_plan=plan)
    fit = [kind for kind in KINDS if choice_of(system, *kind)["plan"] == plan]
    if not fit:
        pytest.skip(f"no connection goes by {plan} and hairpin here: {choice_of(system, 'tcp', False)['why']}")
    live = 0
    for proto, ipv6 in fit:
        assert choice_of(system, proto, ipv6)["fate"] == "hairpin"
        conn = (system.tcp if proto == "tcp" else system.udp)(ipv6=ipv6)
        assert conn.in_hardware, f"{conn.name}: {conn.reason}: {system.stats()['refusal']}"
        live += 2
        assert system.rules == live
        if system.has_traffic:
            packets_pass_software_by(system, conn)
    record(f"kinds of connections by {plan} and hairpin", len(fit), f"of {len(KINDS)}")
    left = system.bench.call("flush")
    assert left["live"] == left["static"], f"rules of connections are left: {left}"
    assert system.bench.call("account") == []


def choice_of(system: Any, proto: str, ipv6: bool) -> dict[str, str]:
    found: dict[str, str] = system.choices[f"{proto}/{'ipv6' if ipv6 else 'ipv4'}"]
    return found


def packets_pass_software_by(system: Any, conn: Any) -> None:
    """One of each direction arrives at the other end; where nobody else is on the wire, software sees neither."""
    before = system.stats()["host_rx"]
    for side in (CLIENT, SERVER):
        data = conn.segment(side, "PA", WORD) if conn.name == "tcp" else conn.datagram(side, WORD)
        assert system.passes(side, data, WORD)
    if system.bench.inventory.is_emulated:
        assert system.stats()["host_rx"] == before


@pytest.mark.parametrize("plan", PLANS)
def test_the_nic_is_asked_before_a_connection_by_hairpin_expires(make_system: Any, plan: str) -> None:
    system = make_system(across=True, ct_offload_plan=plan, ct_offload_timeout_tcp_established=3)
    choice = choice_of(system, "tcp", False)
    if choice["plan"] != plan:
        pytest.skip(f"TCP does not go by {plan} and hairpin here: {choice['why']}")
    conn = system.tcp()
    assert conn.in_hardware, f"{conn.reason}: {system.stats()['refusal']}"
    system.wait(2.0)
    assert conn.is_live
    system.wait_until_empty(15)
    assert system.stats()["queries"] > 0
    assert system.stats()["queries_failed"] == 0
    assert system.rules == 0


@pytest.fixture
def crossed(make_bench: Any) -> Any:
    """The process under test, its two ports joined by hairpins; skips in the driver's words where they are not."""
    rules = make_bench()
    rules.call("rules_start", across=True)
    has, evidence = rules.call("hairpin_across")
    if not has:
        pytest.skip(f"no rule leads by hairpin from {' to '.join(rules.call('sides'))} and back: {evidence}")
    for side in range(2):
        why = rules.call("cannot", side, "count")
        if why:
            pytest.skip(why)
    return rules


def test_a_rule_into_the_hairpin_of_each_port_is_taken_and_destroyed(crossed: Any) -> None:
    made = [crossed.call("rule_create", side, "udp", 1001, ["count", "hairpin"]) for side in range(2)]
    assert [crossed.call("rule_query", rule)["packets"] for rule in made] == [0, 0]
    for rule in made:
        crossed.call("rule_destroy", rule)


@pytest.mark.parametrize("side", [0, 1], ids=["first-to-second", "second-to-first"])
def test_as_many_packets_leave_by_the_other_port_as_came(
    traffic: None, lab: Any, crossed: Any, side: int, record: Any
) -> None:
    """Sent, counted by the rule, and arrived at the other end: the same number. Without the rule none arrives."""
    wires = lab.generators(crossed)
    rule = crossed.call("rule_create", side, "udp", 1001, ["count", "hairpin"])
    assert arrived(crossed, wires, side) == N_PACKETS
    crossed.call("wait", REFRESH_S)
    assert crossed.call("rule_query", rule)["packets"] == N_PACKETS
    if lab.inventory.is_emulated:
        assert crossed.call("hairpinned") == N_PACKETS
        assert crossed.call("host_receive", side) == 0
    record(f"packets by hairpin, {'first to second' if side == 0 else 'second to first'}", N_PACKETS, "of 100 sent")
    crossed.call("rule_destroy", rule)
    assert arrived(crossed, wires, side) == 0


def arrived(crossed: Any, wires: list[Any], side: int) -> int:
    """Sends N_PACKETS to a side; how many leave by the other."""
    other = wires[1 - side]
    other.receive(0.0)
    found = 0
    for first in range(0, N_PACKETS, BURST):
        burst = [datagram(number) for number in range(first, first + BURST)]
        wires[side].send(burst)
        found += counted(other)
        crossed.call("host_receive", side)
    for _ in range(5):
        crossed.call("wait", 0.1)
        found += counted(other)
    return found


def datagram(number: int) -> bytes:
    return frame(CLIENT, scapy.UDP(sport=1001, dport=53) / (WORD + number.to_bytes(2, "big")))


def counted(wire: Any) -> int:
    return sum(WORD in data for data in wire.receive(0.05))
