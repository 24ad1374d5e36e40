"""Runs tests marked `eal` in processes of their own, because DPDK's EAL starts once per process.

The tests of one file with the same EAL arguments share a child process; their reports appear here as if they had run
here. A child that dies fails the tests it did not report, with its last words.

Where there are two CPUs, one child at a time runs beside this process, before its tests' turn: those marked `first`
from the beginning on, then from the last file backwards, until both meet.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TextIO

import pytest

DEFAULT_ARGS = "--no-pci --no-huge -m 512 --no-shconf --no-telemetry"
TEST_LIMIT_S = 120

Group = tuple[str, str]
Reports = dict[str, list[dict[str, Any]]]
children = pytest.StashKey["Children"]()
writer = pytest.StashKey[TextIO]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("eal")
    group.addoption("--eal-report", help="internal: this is a child process, write reports there")
    ahead = "1: a child runs beside this process, before its turn; default: 1 where there are two CPUs"
    group.addoption("--eal-ahead", type=int, default=int((os.cpu_count() or 1) > 1), metavar="0|1", help=ahead)
    group.addoption("--eal-args", default=DEFAULT_ARGS, help="internal: EAL arguments of this child process")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[children] = Children(config)
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
    reports = item.config.stash[children].reports(group)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for data in reports[item.nodeid]:
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


class Children:
    """What children reported, by group; each runs once, when its turn comes or before."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._items: dict[Group, list[pytest.Item]] = {}
        self._reports: dict[Group, Future[Reports]] = {}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def take(self, items: list[pytest.Item]) -> None:
        """The tests that will run, in order."""
        for item in items:
            if (group := group_of(item)) is not None:
                self._items.setdefault(group, []).append(item)
        if len(self._items) > 1 and self.config.getoption("--eal-ahead"):
            self._thread = threading.Thread(target=self._run_ahead, name="children", daemon=True)
            self._thread.start()

    def reports(self, group: Group) -> Reports:
        """Of a group; runs it, unless it runs already."""
        if self._claim(group):
            self._run(group)
        return self._reports[group].result()

    def _claim(self, group: Group) -> bool:
        with self._lock:
            is_new = group not in self._reports
            if is_new:
                self._reports[group] = Future()
            return is_new

    def _run(self, group: Group) -> None:
        try:
            self._reports[group].set_result(run_child(self.config, group, self._items[group], self._running))
        except BaseException as error:
            self._reports[group].set_exception(error)
            raise

    def _run_ahead(self) -> None:
        first = [group for group, items in self._items.items() if any(i.get_closest_marker("first") for i in items)]
        for group in (*first, *reversed(self._items)):
            if self._is_over:
                return
            if self._claim(group):
                self._run(group)

    def close(self) -> None:
        """Nobody waits for what still runs."""
        self._is_over = True
        for process in list(self._running):
            process.kill()
        if self._thread is not None:
            self._thread.join()


def pytest_collection_finish(session: pytest.Session) -> None:
    if not is_child(session.config) and not session.config.option.collectonly:
        session.config.stash[children].take(session.items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[children].close()


def run_child(
    config: pytest.Config, group: Group, items: list[pytest.Item], running: set[subprocess.Popen[str]]
) -> Reports:
    """Runs these tests in one child process. Returns the reports of each. running: has its process meanwhile."""
    args = group[1]
    reports: Reports = {item.nodeid: [] for item in items}
    with tempfile.NamedTemporaryFile("r", suffix=".reports", encoding="utf-8") as file:
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={config.rootpath}",
                   f"--eal-report={file.name}", f"--eal-args={args}", *reports]  # fmt: skip
        words, status = run_limited(command, config.rootpath, sum(map(limit_of, items)), running)
        for line in file:
            data = json.loads(line)
            reports.setdefault(data["nodeid"], []).append(data)
    for item in items:
        if not reports[item.nodeid] or reports[item.nodeid][-1]["when"] != "teardown":
            reports[item.nodeid].append(death(config, item, words, status))
    return reports


def run_limited(
    command: list[str], directory: Path, limit_s: int, running: set[subprocess.Popen[str]]
) -> tuple[str, str]:
    """The last words of a command, and how it ended."""
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process:  # fmt: skip
        running.add(process)
        try:
            words, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return "", f"did not end within {limit_s} s"
        except BaseException:
            process.kill()
            raise
        finally:
            running.discard(process)
    how = f"ended with status {process.returncode}"
    if process.returncode < 0:
        how = f"was ended by {signal.Signals(-process.returncode).name}"
    return words[-4000:], how


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
