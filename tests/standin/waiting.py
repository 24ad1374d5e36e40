"""Waiting for the driver, whose services have a clock of their own."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], within_s: float = 20) -> None:
    """Waits for something the driver does in its own time, such as a refresh of its counters."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"did not become true within {within_s} s"
        time.sleep(0.02)
