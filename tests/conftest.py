"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before a test adds the tree to the path: the package under test may be another build than the tree's own.
import ctoffload_dpdk  # noqa: F401

# The same examples at each run, so that a red test is about the change at hand; `make test-all` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("explore", print_blob=True)
hypothesis.settings.load_profile("explore" if os.environ.get("CTOFFLOAD_EXPLORE") == "1" else "fixed")

pytest_plugins = ["eal_process"]

# A shell that starts this in the background has it ignore Ctrl-C, and each program that a test interrupts would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ovsdb(tmp_path: Path) -> Iterator[Any]:
    """A real ovsdb-server with a row; ovsdb_lab.Server."""
    from ovsdb_lab import single  # noqa: PLC0415 - few tests need it

    server = single(tmp_path)
    yield server
    server.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes is run by `make test-all`.

    Options for pytest from the environment have done their part, also with workers of xdist: tests that run pytest say
    themselves what it is to run, and files that are named there would come on top.
    """
    os.environ.pop("PYTEST_ADDOPTS", None)
    if os.environ.get("CTOFFLOAD_ALL") != "1":
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; make test-all runs it"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Always says how many tests were skipped; -ra prints why."""
    if not terminalreporter.config.getoption("--eal-report"):
        skipped = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.write_line(f"skips: {skipped}")
