"""What a run found: tests, figures, machine. Written as JSON, as a page, and by pytest itself as JUnit XML."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hwlab.compare import compared
from hwlab.errors import LabError
from hwlab.inventory import Inventory

SCHEMA = 1
FILES = ("report.html", "report.json", "junit.xml")


class Report:
    """One run. directory: where it is written, None: nowhere; earlier: the report to compare with, or None."""

    def __init__(self, inventory: Inventory, directory: Path | None, earlier: dict[str, Any] | None) -> None:
        self.inventory = inventory
        self.directory = directory
        self.earlier = earlier
        self.machine: dict[str, Any] = {}
        self.tests: dict[str, dict[str, Any]] = {}
        self.figures: list[dict[str, Any]] = []
        self.began = time.time()
        self.differences: dict[str, Any] = {}

    @classmethod
    def of(cls, config: pytest.Config, inventory: Inventory) -> Report:
        """As the options say. Raises LabError where the earlier report is none, or the directory cannot be."""
        directory: Path | None = config.option.lab_report
        if directory is not None:
            make(directory)
            if not config.option.xmlpath:
                config.option.xmlpath = str(directory / "junit.xml")
        return cls(inventory, directory, read(config.option.compare) if config.option.compare else None)

    def describe(self, lab: Any) -> None:
        """What `look` found."""
        self.machine = lab.facts

    def add(self, item: pytest.Item, made: pytest.TestReport) -> None:
        """A phase of a test; what failed or skipped in any phase is the outcome."""
        test = self.tests.setdefault(
            item.nodeid, {"outcome": "passed", "seconds": 0.0, "why": "", "file": item.path.name, "name": item.name}
        )
        test["seconds"] += made.duration
        if made.outcome != "passed" and test["outcome"] != "failed":
            test["outcome"] = made.outcome
            test["why"] = reason_of(made)

    def figure(self, test: str, name: str, value: float, unit: str, **more: Any) -> None:
        self.figures.append({"test": test, "name": name, "value": value, "unit": unit, **more})

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "dut": self.inventory.name,
            "inventory": asdict(self.inventory),
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": round(time.time() - self.began, 1),
            **self.machine,
            "tests": self.tests,
            "figures": self.figures,
        }

    def write(self) -> None:
        """Compares, and writes what was asked for. Raises LabError."""
        now = self.as_dict()
        if self.earlier is not None:
            self.differences = compared(self.earlier, now)
        if self.directory is None:
            return
        from hwlab.page import page  # noqa: PLC0415 - runs without a report do without

        try:
            (self.directory / "report.json").write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
            (self.directory / "report.html").write_text(page(now, self.differences), encoding="utf-8")
        except OSError as error:
            raise LabError(f"the report cannot be written: {error}", "name another place with --lab-report") from None

    def written(self) -> list[str]:
        """What the user is told at the end."""
        lines = [f"report: {self.directory}/{{{','.join(FILES)}}}"] if self.directory is not None else []
        for word in ("regressions", "improvements", "notes"):
            lines += [f"{word[:-1]}: {line}" for line in self.differences.get(word, ())]
        if self.differences and not self.differences["regressions"]:
            lines.append("compared with the earlier run: no regression")
        return lines


def reason_of(made: pytest.TestReport) -> str:
    """Why a test skipped or failed, in its last words."""
    if isinstance(made.longrepr, tuple):
        return str(made.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(made.longrepr, "reprcrash", None)
    return str(crash.message if crash else made.longrepr)[:4000]


def make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"{directory} cannot be made: {error.strerror}", "name another place with --lab-report"
        ) from None


def read(path: Path) -> dict[str, Any]:
    """An earlier report.json. Raises LabError."""
    if path.is_char_device():  # that may have no end
        raise LabError(f"{path} is a device, not a file", "--compare wants the report.json of a run")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}", "--compare wants the report.json of a run") from None
    except ValueError:
        raise LabError(f"{path} is no report: it is not JSON", "--compare wants the report.json of a run") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise LabError(
            f"{path} is no report of this form (schema {SCHEMA})", "--compare wants the report.json of a run"
        )
    return found
