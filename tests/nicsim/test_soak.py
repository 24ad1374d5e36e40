"""Very many operations with faults, natively: nothing may leak, the books have to close. More in make test-all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "pyx" / "ctoffload_dpdk" / "nicsim"
sys.path.insert(0, str(ROOT))

from build_support import dpdk  # noqa: E402

EAL = ["-l", "0", "--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=3"]
N_OPERATIONS = 1_000_000
SEEDS = range(1, 11) if os.environ.get("CTOFFLOAD_EXPLORE") else range(1, 2)


@pytest.fixture(scope="module")
def driver() -> Path:
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    try:
        return Path(driver_path())
    except NicsimError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def program(driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("CTOFFLOAD_SANITIZED"):
        pytest.skip("memory is measured without sanitizers: they keep what was freed")
    path = tmp_path_factory.mktemp("soak") / "soak_check"
    flags = dpdk.flags()
    words = ["gcc", "-std=gnu11", "-O2", "-g", "-Wall", "-DALLOW_EXPERIMENTAL_API", *flags.compile_args]
    words += [f"-I{directory}" for directory in (HEADERS, *flags.include_dirs)]
    words += [str(Path(__file__).with_name("soak_check.c")), "-o", str(path)]
    words += [*(f"-L{directory}" for directory in flags.library_dirs), *(f"-l{name}" for name in flags.libraries)]
    subprocess.run([*words, "-ldl"], check=True)
    return path


def soak(program: Path, driver: Path, n: int, seed: int = 1, leak: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(program), str(driver), str(n), str(seed), str(leak), *EAL]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_million_operations_with_faults_lose_nothing_and_the_books_close(
    program: Path, driver: Path, seed: int
) -> None:
    done = soak(program, driver, N_OPERATIONS, seed)
    assert done.returncode == 0, done.stdout + done.stderr
    refused = int(re.findall(r"refused (\d+)", done.stdout)[0])
    assert refused > N_OPERATIONS / 100
    assert int(re.findall(r"lost (\d+)", done.stdout)[0]) > 1000


def test_two_bytes_lost_at_each_operation_are_seen(program: Path, driver: Path) -> None:
    done = soak(program, driver, N_OPERATIONS // 10, leak=2)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "memory grew" in done.stdout
