"""What goes wrong in a lab: links that flap, ports that are reset, processes that die."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hwlab.client import until
from hwlab.errors import BenchError


def in_hardware_or_skip(system: Any) -> Any:
    conn = system.tcp()
    if not conn.in_hardware:
        pytest.skip(f"connections stay in software here: {conn.reason}: {conn.choice['text']}")
    return conn


def test_rules_are_gone_after_a_reset_of_the_port(rules: Any) -> None:
    """A rule of before the stop is not destroyed by hand; a new one of the same kind is taken."""
    before = rules.call("rule_create", 0, "udp", 1000, ["queue"])
    rules.call("reset")
    assert not rules.call("rule_is_there", before)
    rules.call("rules_forget")
    after = rules.call("rule_create", 0, "udp", 1000, ["queue"])
    rules.call("rule_destroy", after)


def test_a_port_that_is_taken_out_leaves_connections_in_software(make_system: Any) -> None:
    system = make_system()
    conn = in_hardware_or_skip(system)
    if len(set(system.bench.call("sides"))) < 2:
        pytest.skip("the device has one port")
    system.bench.call("remove_port", 1)
    assert conn.is_live
    assert not conn.in_hardware
    assert conn.reason in ("no-port", "port-down")
    assert system.rules == 0
    assert system.bench.call("account") == []


@pytest.mark.parametrize("side", [1, 0], ids=["second", "first"])
def test_connections_go_in_again_after_a_reset_of_their_port(make_system: Any, side: int) -> None:
    """The first port of a switch holds the rules of all; of another's reset none is lost."""
    system = make_system()
    conn = in_hardware_or_skip(system)
    rules = system.stats()["rules_live"]
    try:
        system.bench.call("reset_port", side)
    except BenchError as error:
        pytest.skip(f"the driver resets no port: {error.message}")
    assert conn.is_live
    for end in (1, 0):  # by which port a direction comes is known by its packets
        conn.send(end, "PA", b"after the reset")
    system.wait(0.2)
    assert conn.in_hardware, f"{conn.reason}: {system.stats()['refusal']}"
    assert system.stats()["rules_live"] == rules
    assert system.bench.call("account") == []


def test_a_device_that_is_pulled_out_leaves_connections_in_software(make_system: Any, lab: Any, record: Any) -> None:
    """The driver tells of each port. Of each rule the books know whether it was lost, or destroyed all the same."""
    if not (lab.inventory.is_emulated or lab.inventory.is_standin):
        pytest.skip("pulling a device out of its slot is for hands, or for `echo 1 > /sys/bus/pci/devices/.../remove`")
    system = make_system()
    conn = in_hardware_or_skip(system)
    rules = system.stats()["rules_live"]
    if lab.inventory.is_emulated:
        system.bench.call("pull_out")
    else:
        with system.bench.nic.control() as control:
            control.remove_device()
    names = {port["name"] for port in lab.facts["ports"]}
    assert until(lambda: set(system.bench.call("removed")) == names), system.bench.call("removed")
    system.bench.call("take_out_removed")
    assert conn.is_live
    assert not conn.in_hardware
    assert conn.reason == "no-provider", "the last port took it along"
    stats = system.stats()
    assert stats["rules_live"] == 0
    assert stats["rules_lost"] == rules or not lab.inventory.is_emulated  # mlx5 still destroys what it wrote down
    assert system.bench.call("account") == []
    record("rules lost with the device", stats["rules_lost"], f"of {rules}")


def test_a_link_that_flaps_keeps_connections(make_system: Any) -> None:
    system = make_system()
    conn = in_hardware_or_skip(system)
    if not system.bench.call("link", 0):
        pytest.skip("the link was down before the test: is the cable in?")
    try:
        system.bench.call("set_link", 0, False)
    except BenchError as error:
        pytest.skip(f"the driver cannot take its link down: {error.message}")
    went_down = until(lambda: not system.bench.call("link", 0), 5.0)
    system.wait(1.0)
    system.bench.call("set_link", 0, True)
    assert until(lambda: system.bench.call("link", 0), 20.0)
    if not went_down:
        pytest.skip("the driver says that it took the link down, and it stayed up")
    assert conn.is_live
    if system.has_traffic:
        word = b"after the flap"
        assert system.passes(0, conn.segment(0, "PA", word), word)
    assert system.bench.call("account") == []


@pytest.mark.timeout(300)
def test_a_process_that_is_killed_leaves_nothing_in_the_nic(
    lab: Any, make_system: Any, make_bench: Any, record: Any
) -> None:
    """SIGKILL in the middle; the next one starts and puts the same rules in."""
    system = make_system()
    conn = in_hardware_or_skip(system)
    rules = system.rules
    system.bench.kill()
    began = time.monotonic()
    again = make_system()
    record("from the start of the next process to its ports", time.monotonic() - began, "s", lower_is_better=True)
    assert not again.bench.call("connections")
    conn.system = again
    for side, flags in ((0, "S"), (1, "SA"), (0, "A")):
        conn.send(side, flags)
    assert conn.in_hardware, f"{conn.reason}: {again.stats()['refusal']}"
    assert again.rules == rules
    assert again.bench.call("flush")["contexts"] == 0


def test_two_processes_do_not_share_a_device_unnoticed(lab: Any, bench: Any, make_bench: Any) -> None:
    """Where the driver lets a second process have the device, both work; else the second one says why not."""
    if not lab.inventory.is_real:
        pytest.skip("each process has an emulated device of its own")
    try:
        second = make_bench()
    except Exception as error:
        assert len(str(error).splitlines()) == 2, error
        return
    second.call("rules_start")
