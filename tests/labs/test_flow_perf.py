"""DPDK's own measure of rules, the real program: its rates as hw-tests reads them, and its refusals."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "hw-tests")]

from hwlab import flow_perf  # noqa: E402 - needs the path above
from hwlab.errors import LabError  # noqa: E402
from hwlab.inventory import Inventory  # noqa: E402

from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: E402

PER_CORE = re.compile(r":: Port 0 :: Core \d+ :: Rules (insertion|deletion) rate -> ([0-9.]+) K Rule/Sec")


def lab(dut: str, cores: int) -> Inventory:
    """An inventory on which the program can be run; skips in words."""
    inventory = Inventory(dut=(dut,))
    why = flow_perf.why_not(inventory, cores)
    try:
        if inventory.is_emulated:
            driver_path()
    except NicsimError as error:
        why = why or str(error)
    if why:
        pytest.skip(why)
    return inventory


@pytest.mark.timeout(400)  # a run that hangs is tried again
@pytest.mark.parametrize(
    ("dut", "cores"),
    [
        ("nicsim:free", 1),
        ("nicsim:connectx-sws", 2),
        pytest.param("standin:software", 1, marks=pytest.mark.slow),
        pytest.param("standin:software", 2, marks=pytest.mark.slow),
    ],
)
def test_the_rates_are_of_all_cores_until_the_slowest_was_done(dut: str, cores: int) -> None:
    try:
        text = flow_perf.output(lab(dut, cores), cores)
    except LabError as error:
        pytest.skip(error.message)
    found = flow_perf.parsed(text)
    per_core = {"insertion": [], "deletion": []}
    for what, rate in PER_CORE.findall(text):
        per_core[what].append(float(rate) * 1000)
    assert len(per_core["insertion"]) == len(per_core["deletion"]) == cores, found.refusal or text[-2000:]
    assert found.refusal == ""
    assert found.created_per_s == pytest.approx(cores * min(per_core["insertion"]), rel=0.01)
    assert found.destroyed_per_s == pytest.approx(cores * min(per_core["deletion"]), rel=0.01)


@pytest.mark.parametrize(
    ("dut", "refusal"),
    [
        ("nicsim:connectx-hws", "with hardware steering rules are made of templates"),
        ("vdev:net_null0", "not implemented"),
    ],
)
def test_a_driver_that_refuses_is_quoted(dut: str, refusal: str) -> None:
    found = flow_perf.run(lab(dut, 1), 1)
    assert refusal in found.refusal
    assert found.created_per_s == found.destroyed_per_s == 0


def test_more_cores_than_there_are_is_told() -> None:
    assert "1000 cores are wanted, there are" in flow_perf.why_not(Inventory(dut=("nicsim:free",)), 1000)


def test_a_run_of_several_cores_that_lost_a_rule_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program in whose threads that happens is replaced, since it cannot be asked for it."""
    program = tmp_path / flow_perf.PROGRAM
    program.write_text(f'#!/bin/sh\ncd {tmp_path}; echo "{flow_perf.LOST} $(ls | wc -l)"; touch run.$$\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    inventory = Inventory(dut=("vdev:net_null0",))
    assert flow_perf.output(inventory, 2).startswith(f"{flow_perf.LOST} {flow_perf.TRIES}\n")
    assert flow_perf.output(inventory, 1).startswith(f"{flow_perf.LOST} {flow_perf.TRIES + 1}\n")
