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


def test_a_child_that_dies_fails_the_tests_it_did_not_finish(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "conftest.py").write_text((tests / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {tests}\nmarkers = eal(args): x\ntimeout = 60\n")
    done = subprocess.run([sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
                          capture_output=True, text=True, check=False, cwd=tmp_path)  # fmt: skip
    assert f"ended by {signal.SIGKILL.name}" in done.stdout
    assert "2 failed, 2 passed" in done.stdout, done.stdout
