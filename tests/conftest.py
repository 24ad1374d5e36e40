"""What all tests share."""

from __future__ import annotations

import os

import hypothesis
import pytest

# The same examples at each run, so that a red test is about the change at hand; `make test-all` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.register_profile("explore", print_blob=True)
hypothesis.settings.load_profile("explore" if os.environ.get("CTOFFLOAD_EXPLORE") == "1" else "fixed")

pytest_plugins = ["eal_process"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Always says how many tests were skipped; -ra prints why."""
    if not terminalreporter.config.getoption("--eal-report"):
        skipped = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.write_line(f"skips: {skipped}")
