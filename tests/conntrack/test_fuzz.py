"""Every input that fuzzing found worth keeping still leaves the table in order."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parent / "fuzz" / "corpus.zip"

RUN = """
import sys, zipfile
from ctoffload_dpdk.conntrack import _fuzz
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        _fuzz.run(archive.read(name))
print(len(archive.namelist()))
"""

RANDOM = """
import random, sys
from ctoffload_dpdk.conntrack import _fuzz
source = random.Random(int(sys.argv[1]))
for _ in range(20000):
    _fuzz.run(source.randbytes(source.randrange(400)))
print("done")
"""


def in_a_process(program: str, argument: str) -> str:
    """A broken promise aborts the process: let it be another one."""
    done = subprocess.run([sys.executable, "-P", "-c", program, argument], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_corpus() -> None:
    with zipfile.ZipFile(CORPUS) as archive:
        kept = len(archive.namelist())
    assert kept > 500
    assert in_a_process(RUN, str(CORPUS)) == str(kept)


@pytest.mark.parametrize("seed", [random.Random(i).randrange(2**32) for i in range(3)])
def test_random_bytes(seed: int) -> None:
    assert in_a_process(RANDOM, str(seed)) == "done"
