"""The runner of EAL tests must not hide a death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.eal
def test_two_tests_of_a_file_share_one_started_eal(eal: Any) -> None:
    test_two_tests_of_a_file_share_one_started_eal.__dict__["pid"] = os.getpid()
    assert not eal.has_hugepages


@pytest.mark.eal
def test_and_the_process(eal: Any) -> None:
    assert test_two_tests_of_a_file_share_one_started_eal.__dict__["pid"] == os.getpid()


INNER = """
import os, signal, pytest

@pytest.mark.eal("--no-pci")
def test_that_lives(): pass

@pytest.mark.eal("--no-pci")
def test_that_dies(): os.kill(os.getpid(), signal.SIGKILL)

@pytest.mark.eal("--no-pci")
def test_after_the_death(): pass

@pytest.mark.eal("--no-pci -m 64")
def test_in_another_process(): pass
"""


def inner(directory: Path, *words: str, **environment: str) -> str:
    """What pytest says of the tests of a directory, with this suite's conftest."""
    tests = Path(__file__).parent.parent
    (directory / "conftest.py").write_text((tests / "conftest.py").read_text())
    (directory / "pytest.ini").write_text(f"[pytest]\npythonpath = {tests}\nmarkers = eal(args): x\ntimeout = 60\n")
    done = subprocess.run([sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *words], capture_output=True,
                          text=True, check=False, cwd=directory, env={**os.environ, **environment})  # fmt: skip
    return done.stdout


def test_a_child_that_dies_fails_the_tests_it_did_not_finish(tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    said = inner(tmp_path)
    assert f"ended by {signal.SIGKILL.name}" in said
    assert "2 failed, 2 passed" in said, said


COUNTED = """
import os, pytest

@pytest.mark.eal("--no-pci")
def test_one():
    with open("runs", "a") as runs:
        print("one", file=runs)

@pytest.mark.eal("--no-pci -m 64")
def test_other():
    with open("runs", "a") as runs:
        print("other", file=runs)
"""


def test_a_child_runs_its_own_tests_alone_whatever_is_named_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "test_counted.py").write_text(COUNTED)
    said = inner(tmp_path, PYTEST_ADDOPTS="test_counted.py")
    assert "2 passed" in said, said
    assert sorted((tmp_path / "runs").read_text().split()) == ["one", "other"]
