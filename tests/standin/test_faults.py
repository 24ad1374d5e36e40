"""The Nth rule, queue entry or firmware object fails when a test says so; the driver leaves nothing behind."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from build_support import dpdk
from standin.mlx5 import ControlError, Fault, Steering, Worker

Bench = Callable[..., Worker]
BOTH = pytest.mark.parametrize("steering", list(Steering))
COUNTED = "in/2/v4-tcp/count+jump"


def test_the_third_rule_is_refused_by_libmlx5_and_the_fourth_is_not(bench: Bench) -> None:
    nic = bench(Steering.SOFTWARE)
    nic.control.fail(Fault.RULE, nth=3, errno=errno.ENOMEM)
    said = [nic.call("try_make", COUNTED) for _ in range(4)]
    assert [bool(s) for s in said] == [False, False, True, False]
    assert said[2]["errno"] == errno.ENOMEM
    assert said[2]["message"].endswith("hardware refuses to create flow")
    assert nic.control.refusals()[-1].why == "a test asked for it"


def test_the_second_rule_of_hardware_steering_fails_in_the_queue(bench: Bench) -> None:
    nic = bench(Steering.HARDWARE)
    nic.control.fail(Fault.RULE, nth=2, errno=errno.EIO)
    said = [nic.call("try_make", COUNTED) for _ in range(3)]
    assert [bool(s) for s in said] == [False, True, False]
    assert said[1]["op"] == "rte_flow_pull"


def test_a_queue_entry_fails(bench: Bench) -> None:
    nic = bench(Steering.HARDWARE)
    nic.control.fail(Fault.QUEUE_ENTRY, nth=1, errno=errno.EIO)
    assert nic.call("try_make", COUNTED)["op"] == "rte_flow_pull"
    assert nic.call("try_make", COUNTED) == {}


@BOTH
def test_a_firmware_object_fails_and_what_was_made_for_the_rule_is_gone(bench: Bench, steering: Steering) -> None:
    is_known = dpdk.version().startswith("22.11.")
    if not is_known and steering is Steering.HARDWARE:
        pytest.skip(f"the driver of DPDK {dpdk.version()} takes this rule whichever of its first objects fails")
    nic = bench(steering)
    before = {rule.number for rule in nic.control.rules()}
    said = {}
    for nth in (1,) if is_known else (1, 2, 3):
        nic.control.fail(Fault.OBJECT, nth=nth, errno=errno.ENOSPC)
        if said := nic.call("try_create", COUNTED):
            break
    assert said
    assert {rule.number for rule in nic.control.rules()} == before
    assert nic.call("try_make", COUNTED) == {}


def test_a_fault_that_is_not_known_is_refused(bench: Bench) -> None:
    nic = bench(Steering.SOFTWARE)
    with pytest.raises(ControlError, match="no such fault"):
        nic.control.ask("fail", "everything", 1, 5)
