"""What the tests of the stand-in share: the device, and the processes that run on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from testpmd import Testpmd  # noqa: E402 - needs the path above

from standin.mlx5 import Standin, Steering, Worker, why_unavailable  # noqa: E402
from standin.mlx5.verdicts import BENCH, golden_directory  # noqa: E402


@pytest.fixture(scope="session")
def standin_available() -> None:
    """Builds the stand-in; skips in words where it cannot run."""
    reason = why_unavailable()
    if reason:
        pytest.skip(f"the mlx5 stand-in cannot run here: {reason}")


@pytest.fixture
def recorded() -> None:
    """Skips in words where nothing is recorded of this version's driver to compare with."""
    if not golden_directory().is_dir():
        commands = " and ".join(
            f"python -m standin.mlx5.{name}" for name in ("verdicts", "golden", "golden_connections")
        )
        version = golden_directory().name
        pytest.skip(f"nothing is recorded of the mlx5 driver of DPDK {version}; what records it: {commands}")


@pytest.fixture
def bench(standin_available: None) -> Iterator[Callable[..., Worker]]:
    """Starts a process of the binding on a stand-in: bench(Steering.SOFTWARE); it has to end well with the test."""
    running: list[Worker] = []

    def run(steering: Steering, *, n_counters: int = 1024, **options: str | int) -> Worker:
        worker = Worker(Standin(steering, **options), BENCH)  # type: ignore[arg-type]
        running.append(worker)
        worker.call("start", worker.nic.eal_args(), steering is Steering.HARDWARE, n_counters)
        return worker

    yield run
    ends = [worker.close() for worker in running]
    assert not any(ends), f"the processes ended with {ends}"


@pytest.fixture
def testpmd(standin_available: None) -> Iterator[Callable[..., Testpmd]]:
    """Starts testpmd on a stand-in: testpmd(Steering.SOFTWARE); ended with the test."""
    running: list[Testpmd] = []

    def run(steering: Steering, **options: str | int) -> Testpmd:
        process = Testpmd(Standin(steering, **options))  # type: ignore[arg-type]
        running.append(process)
        process.wait_until_ready()
        return process

    yield run
    for process in running:
        process.close()
