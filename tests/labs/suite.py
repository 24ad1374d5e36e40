"""Runs the suite for labs as its users do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900
# `make test-all` sets it: what takes minutes.
EVERYTHING = os.environ.get("CTOFFLOAD_ALL") == "1"


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The suite with these arguments, from the repository's root."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "hw-tests", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S,
                          env={**os.environ, **(environment or {})})  # fmt: skip


def words(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def passed(done: subprocess.CompletedProcess[str]) -> int:
    """How many tests passed; fails with the run's words where one did not."""
    assert done.returncode == 0, words(done)[-6000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout[-2000:]
    return int(found[1])
