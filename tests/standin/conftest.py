"""What the tests of the stand-in share: the device, and the process that runs on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from testpmd import Testpmd  # noqa: E402 - needs the path above

from standin.mlx5 import Standin, Steering, why_unavailable  # noqa: E402


@pytest.fixture(scope="session")
def standin_available() -> None:
    """Builds the stand-in; skips in words where it cannot run."""
    reason = why_unavailable()
    if reason:
        pytest.skip(f"the mlx5 stand-in cannot run here: {reason}")


@pytest.fixture
def start(standin_available: None) -> Iterator[Callable[..., Testpmd]]:
    """Starts testpmd on a stand-in: start(Steering.SOFTWARE); ended with the test."""
    running: list[Testpmd] = []

    def run(steering: Steering, **options: str | int) -> Testpmd:
        process = Testpmd(Standin(steering, **options))  # type: ignore[arg-type]
        running.append(process)
        process.wait_until_ready()
        return process

    yield run
    for process in running:
        process.close()
