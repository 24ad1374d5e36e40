"""Runs tests marked `eal` in processes of their own, because DPDK's EAL starts once per process.

The tests of one file with the same EAL arguments share a child process; their reports appear here as if they had run
here. A child that dies fails the tests it did not report, with its last words.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

DEFAULT_ARGS = "--no-pci --no-huge -m 512 --no-shconf --no-telemetry"
TEST_LIMIT_S = 120

Group = tuple[str, str]
children = pytest.StashKey[dict[Group, dict[str, list[dict[str, Any]]]]]()
writer = pytest.StashKey[TextIO]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("eal")
    group.addoption("--eal-report", help="internal: this is a child process, write reports there")
    group.addoption("--eal-args", default=DEFAULT_ARGS, help="internal: EAL arguments of this child process")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[children] = {}
    path = config.getoption("--eal-report")
    if path:
        config.stash[writer] = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as pytest runs


def is_child(config: pytest.Config) -> bool:
    return writer in config.stash


def group_of(item: pytest.Item) -> Group | None:
    """The child this test belongs to: its file and its EAL arguments; None where it needs no EAL."""
    mark = item.get_closest_marker("eal")
    if mark is None:
        return None
    return str(item.path), str(mark.args[0]) if mark.args else DEFAULT_ARGS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The first test of a group waits for all of it, so the limit per test is kept in the child alone."""
    if not is_child(config):
        for item in items:
            if group_of(item):
                item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    group = group_of(item)
    if group is None or is_child(item.config):
        return None
    finished = item.config.stash[children]
    if group not in finished:
        finished[group] = run_child(item.config, group, [i for i in item.session.items if group_of(i) == group])
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for data in finished[group][item.nodeid]:
        report = item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
        if isinstance(report.longrepr, list):
            report.longrepr = tuple(report.longrepr)  # where and why it was skipped: JSON knows no tuples
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What the test before this one left set up for it (its directory, its module) nobody else would take down.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In a child: hands each report over."""
    if Child.config is not None:
        data = Child.config.hook.pytest_report_to_serializable(config=Child.config, report=report)
        Child.config.stash[writer].write(json.dumps(data) + "\n")
        Child.config.stash[writer].flush()


class Child:
    """The configuration of this process where it is a child."""

    config: pytest.Config | None = None


@pytest.fixture(scope="session", autouse=True)
def _remember_child(pytestconfig: pytest.Config) -> Iterator[None]:
    Child.config = pytestconfig if is_child(pytestconfig) else None
    yield


def limit_of(item: pytest.Item) -> int:
    """What the test may take, in seconds: more than others where it says so."""
    return max([TEST_LIMIT_S, *(int(mark.args[0]) for mark in item.iter_markers("timeout"))])


def run_child(config: pytest.Config, group: Group, items: list[pytest.Item]) -> dict[str, list[dict[str, Any]]]:
    """Runs these tests in one child process. Returns the reports of each."""
    args = group[1]
    reports: dict[str, list[dict[str, Any]]] = {item.nodeid: [] for item in items}
    with tempfile.NamedTemporaryFile("r", suffix=".reports", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={config.rootpath}",
                   f"--eal-report={file.name}", f"--eal-args={args}", *reports]  # fmt: skip
        words, status = run_limited(command, config.rootpath, sum(map(limit_of, items)))
        for line in file:
            data = json.loads(line)
            reports.setdefault(data["nodeid"], []).append(data)
    for item in items:
        if not reports[item.nodeid] or reports[item.nodeid][-1]["when"] != "teardown":
            reports[item.nodeid].append(death(config, item, words, status))
    return reports


def run_limited(command: list[str], directory: Path, limit_s: int) -> tuple[str, str]:
    """The last words of a command, and how it ended."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", check=False,
                              timeout=limit_s, env=os.environ)  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"did not end within {limit_s} s"
    how = f"ended with status {done.returncode}"
    if done.returncode < 0:
        how = f"was ended by {signal.Signals(-done.returncode).name}"
    return (done.stdout + done.stderr)[-4000:], how


def death(config: pytest.Config, item: pytest.Item, words: str, status: str) -> dict[str, Any]:
    """A failed report for a test its child did not finish."""
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"the process of this test {status} before the test did; its last words:\n{words}",
        when="call",
    )
    data: dict[str, Any] = config.hook.pytest_report_to_serializable(config=config, report=report)
    return data


@pytest.fixture(scope="session")
def eal(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The started EAL of this child process."""
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415 - only a child loads DPDK

    with Eal.start(str(pytestconfig.getoption("--eal-args")).split()) as started:
        yield started
