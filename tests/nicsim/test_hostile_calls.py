"""What no binding of ours would ask, natively: the driver refuses it and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from build_support import dpdk  # noqa: E402

EAL = ["-l", "0", "--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=3"]


def test_calls_without_a_value_or_a_place_and_with_numbers_that_wrap_are_refused(tmp_path: Path) -> None:
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    if os.environ.get("CTOFFLOAD_SANITIZED"):
        pytest.skip("the program is not built with sanitizers, which the driver then needs")
    try:
        driver = driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    path = tmp_path / "hostile_check"
    flags = dpdk.flags()
    words = ["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-DALLOW_EXPERIMENTAL_API", *flags.compile_args]
    words += [*(f"-I{directory}" for directory in flags.include_dirs), str(Path(__file__).with_name("hostile_check.c"))]
    words += ["-o", str(path), *(f"-L{directory}" for directory in flags.library_dirs)]
    subprocess.run([*words, *(f"-l{name}" for name in flags.libraries), "-ldl"], check=True)
    done = subprocess.run([str(path), str(driver), *EAL], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
