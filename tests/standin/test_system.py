"""The whole on the real driver: the tracker establishes a connection, the provider's rules reach the NIC's switch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.mlx5 import Standin, Steering, Worker

MODULE = Path(__file__).with_name("engine_bench.py")


def start(steering: Steering) -> Worker:
    worker = Worker(Standin(steering, n_ports=3, options="representor=vf[0-1]"), MODULE)
    worker.call("start", worker.nic.eal_args())
    return worker


@pytest.fixture
def system(standin_available: None) -> Iterator[Worker]:
    worker = start(Steering.SOFTWARE)
    yield worker
    assert worker.close() == 0


def test_a_connection_gets_one_rule_per_direction_and_loses_both_when_it_ends(system: Worker) -> None:
    before = {rule.number for rule in system.control.rules()}
    assert system.call("exchange")["reason"] == "NONE"
    forth, back = [rule for rule in system.control.rules() if rule.number not in before]
    assert forth.domain == back.domain == "fdb"
    assert forth.matched()["outer.src_ip"] == back.matched()["outer.dst_ip"] == "198.51.100.1"
    assert forth.matched()["outer.udp_dport"] == back.matched()["outer.udp_sport"] == "0x0035"
    assert forth.matched()["reg_c_0"] != back.matched()["reg_c_0"], "each direction is bound to its own port"
    assert [rule.kinds for rule in (forth, back)] == [["counter", "port"]] * 2
    assert forth.actions[-1]["value"] != back.actions[-1]["value"]
    assert system.call("flush") == 0
    assert {rule.number for rule in system.control.rules()} == before


def test_with_hardware_steering_the_driver_of_22_11_takes_no_synchronous_rules(standin_available: None) -> None:
    with start(Steering.HARDWARE) as system:
        assert system.call("exchange")["reason"] == "NO_CAPABILITY"
        ((_, _, works, evidence), *_) = system.call("capabilities")
        assert not works
        assert "non-Q creation not supported" in evidence
