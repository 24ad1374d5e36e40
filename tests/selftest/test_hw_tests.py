"""The suite for labs runs here on the emulated NIC, and says what is wrong with its arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ctoffload_dpdk.nicsim import NicsimError, driver_path

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "hw-tests", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=100)


def test_it_passes_whole_on_the_emulated_nic() -> None:
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    done = run("--dut", "net_nicsim0")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_without_a_device_it_asks_for_one() -> None:
    done = run()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--dut 0000:08:00.0" in done.stdout + done.stderr


def test_a_device_that_is_not_there_is_one_error_not_one_per_test() -> None:
    done = run("--dut", "0000:ff:1f.7", "--eal-memory-mb", "64")
    assert done.returncode == 1
    assert done.stdout.count("Exit:") <= 1
    assert "passed" not in done.stdout
