"""Commands for the tests of packages, run as if the source tree were not there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """Without anything that leads back to the tree."""
    ours = ("PYTEST_", "PYTHON", "CTOFFLOAD", "DPDK_SOURCE", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*words: str | Path, cwd: Path, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs it and asserts that it succeeded. more: environment variables."""
    done = attempt(*words, cwd=cwd, timeout=timeout, **more)
    said = f"{' '.join(map(str, words))}\nended with {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    assert done.returncode == 0, said
    return done


def attempt(*words: str | Path, cwd: Path, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment() | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
