"""What all tests share."""

from __future__ import annotations

import pytest

pytest_plugins = ["eal_process"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Always says how many tests were skipped; -ra prints why."""
    if not terminalreporter.config.getoption("--eal-report"):
        skipped = len(terminalreporter.stats.get("skipped", []))
        terminalreporter.write_line(f"skips: {skipped}")
