"""Fixtures: a lab per test, on the emulated NIC, for rooms that run an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ctoffload_dpdk.nicsim import NicsimError, driver_path
from ctoffload_dpdk.settings import Settings

Labs = Callable[..., Any]


@pytest.fixture
def make_lab(eal: Any) -> Iterator[Labs]:
    """Makes labs; at the end each is closed and must have an account that closes and an empty NIC."""
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    from story import StoryLab  # noqa: PLC0415 - scapy is slow to load

    labs: list[StoryLab] = []

    def make(
        settings: Settings | None = None, *args: Any, of: type[StoryLab] = StoryLab, **parameters: Any
    ) -> StoryLab:
        labs.append(of(eal, settings, *args, **parameters))
        return labs[-1]

    yield make
    for lab in labs:
        if lab.engine.is_closed:
            continue
        lab.assert_audit_matches()
        lab.engine.drain(lab.now_ms)
        assert lab.rules == 0
        lab.assert_audit_matches()
        lab.close()


@pytest.fixture
def lab(make_lab: Labs) -> Any:
    return make_lab()
