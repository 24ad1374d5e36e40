"""Shards in threads of their own, with all that they share; once as built, and once under ThreadSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("race_shards.py")
BUILD = ROOT / "build" / "tsan"
OPTIONS = "exitcode=66:report_thread_leaks=0:report_signal_unsafe=0"


def run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=300, env=environ, check=False
    )


def test_the_books_of_shards_close_whatever_their_threads_do_at_once() -> None:
    done = run(dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def library() -> str:
    """The tracker and the layer, built with ThreadSanitizer; a second time only what changed."""
    if shutil.which("gcc") is None:
        pytest.skip("ThreadSanitizer is gcc's, which is not installed")
    environ = {
        **os.environ,
        "CTOFFLOAD_SANITIZE": "thread",
        "CTOFFLOAD_ROOMS": "base,conntrack,offload",
        "CTOFFLOAD_CYTHON_DIR": str(BUILD / "cython"),
    }
    command = [sys.executable, "setup.py", "--quiet", "build", "--build-base", str(BUILD)]
    command += ["--build-lib", str(BUILD / "lib"), "--parallel", str(os.cpu_count())]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return str(BUILD / "lib")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # most of it compiles
def test_no_race_between_shards_under_thread_sanitizer(library: str) -> None:
    preload = subprocess.run(["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    done = run({**os.environ, "PYTHONPATH": library, "LD_PRELOAD": preload.stdout.strip(), "TSAN_OPTIONS": OPTIONS})
    assert "WARNING: ThreadSanitizer" not in done.stderr, done.stderr[:6000]
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert library in done.stdout, "what ran is what was built for this"
