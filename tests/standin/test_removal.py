"""The device is pulled out: the real driver says so for each of its ports, and lets them be closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from standin.mlx5 import Standin, Steering, Worker

MODULE = Path(__file__).with_name("removal_bench.py")


@pytest.mark.parametrize("steering", Steering)
def test_every_port_of_a_device_that_goes_is_told_once(standin_available: None, steering: Steering) -> None:
    worker = Worker(Standin(steering, n_ports=3, options="representor=vf[0-1]"), MODULE)
    names = worker.call("start", worker.nic.eal_args())
    assert len(names) == 3
    assert worker.call("told", 1, 0.2) == []
    assert worker.call("gone") == [False] * 3
    worker.control.remove_device()
    assert worker.call("told", 3) == [f"{number} REMOVED" for number in range(3)]
    assert worker.call("gone") == [True] * 3
    assert worker.close() == 0, worker.words()
