"""The driver finds the device, starts its port and stops it again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import pytest
from testpmd import Testpmd

from standin.mlx5 import Standin, Steering

Start = Callable[..., Testpmd]


@pytest.mark.parametrize("steering", list(Steering))
def test_the_unmodified_driver_probes_and_starts(start: Start, steering: Steering) -> None:
    pmd = start(steering)
    assert "mlx5_pci" in pmd.run("show port summary all")
    assert "Fail" not in pmd.run("port stop 0")
    assert "Fail" not in pmd.run("port start 0")
    assert "Link status: up" in pmd.run("show port info 0")


@pytest.mark.parametrize("steering", list(Steering))
def test_it_is_ready_within_two_seconds(start: Start, steering: Steering) -> None:
    took_s = []
    for _ in range(3):  # the machine may be busy with other things
        before = time.monotonic()
        start(steering)
        took_s.append(time.monotonic() - before)
    assert min(took_s) < 2


def test_it_refuses_to_be_loaded_by_accident(standin_available: None) -> None:
    with Standin(Steering.SOFTWARE) as nic:
        environment = {**os.environ, "LD_PRELOAD": str(nic.library)}
        environment.pop("CTOFFLOAD_MLX5_STANDIN", None)
        done = subprocess.run(["true"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "CTOFFLOAD_MLX5_STANDIN=1" in done.stderr
