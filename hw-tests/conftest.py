"""What the tests of a lab share: its inventory, processes under test, traffic, figures for the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from hwlab.errors import LabError  # noqa: E402 - needs the path above
from hwlab.lab import Lab  # noqa: E402
from hwlab.options import add_options, inventory_of  # noqa: E402
from hwlab.report import Report  # noqa: E402
from hwlab.story import System  # noqa: E402

from ctoffload_dpdk.base.errors import CtoffloadError  # noqa: E402

lab_key = pytest.StashKey[Lab]()
report_key = pytest.StashKey[Report]()

MakeSystem = Callable[..., System]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.collectonly or config.option.help:
        return
    try:
        lab = Lab(inventory_of(config))
        config.stash[report_key] = Report.of(config, lab.inventory)
    except CtoffloadError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[lab_key] = lab


def pytest_sessionstart(session: pytest.Session) -> None:
    """Everything that can be seen to be wrong is found before the first test."""
    lab = session.config.stash.get(lab_key, None)
    if lab is None:
        return
    try:
        lab.look()
    except CtoffloadError as error:
        raise pytest.UsageError(str(error)) from None
    session.config.stash[report_key].describe(lab)


def pytest_report_header(config: pytest.Config) -> list[str]:
    lab = config.stash.get(lab_key, None)
    return lab.words() if lab is not None else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    made = yield
    report = item.config.stash.get(report_key, None)
    if report is not None:
        report.add(item, made)
    return made


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash.get(report_key, None)
    for line in report.written() if report is not None else []:
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    report = session.config.stash.get(report_key, None)
    if report is not None and report.machine:
        try:
            report.write()
        except LabError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    return pytestconfig.stash[lab_key]


@pytest.fixture
def make_bench(lab: Lab) -> Iterator[Callable[..., Any]]:
    """Starts processes under test, which have to end well: make_bench(capacity=2048) for a small emulated NIC."""
    running: list[Any] = []

    def make(**parameters: int) -> Any:
        inventory = lab.inventory
        if inventory.is_emulated:
            more = "".join(f",{key}={value}" for key, value in parameters.items())
            inventory = replace(inventory, dut=(inventory.dut[0] + more,))
        running.append(lab.bench(inventory))
        return running[-1]

    yield make
    ends = [(bench.words(), bench.close()) for bench in running if bench.is_running]
    lab.close_generators()
    for words, status in ends:
        assert status == 0, f"the process under test ended with {status}; its last words:\n{words[-2000:]}"


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    """The process under test, nothing started yet."""
    return make_bench()


@pytest.fixture
def rules(bench: Any) -> Any:
    """The process under test, its ports started for rules of the test's own; skips where the driver takes none."""
    bench.call("rules_start")
    for side in range(len(bench.call("sides"))):
        has, evidence = bench.call("finding", side, "rules", "ingress")
        if not has:
            pytest.skip(f"{bench.call('sides')[side]} takes no rules: {evidence}")
    return bench


@pytest.fixture
def make_system(make_bench: Callable[..., Any], lab: Lab) -> MakeSystem:
    """Starts an engine on the device: make_system(ct_offload_plan="age"); across=True: by hairpin from port to port."""

    def make(*, across: bool = False, **settings: Any) -> System:
        bench = make_bench()
        return System(bench, lab.generators(bench), settings, across=across)

    return make


@pytest.fixture
def traffic(lab: Lab) -> None:
    """Skips, in words, where no frame can be sent."""
    why = lab.why_no_traffic()
    if why:
        pytest.skip(why)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes a figure into the report: record("rules installed", 1.2e6, "rules/s", plot=[...])."""

    def write(name: str, value: float, unit: str, **more: Any) -> None:
        report = request.config.stash.get(report_key, None)
        if report is not None:
            report.figure(request.node.nodeid, name, value, unit, **more)

    return write
