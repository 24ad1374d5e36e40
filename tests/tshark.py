"""Debian's tshark, the judge of the captures that this package writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from other_programs import ENVIRON

TSHARK = shutil.which("tshark")


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """These fields of each packet. Fails the test where tshark finds anything wrong with the file."""
    if TSHARK is None:
        pytest.skip("tshark is not installed: apt-get install tshark")
    words = [TSHARK, "-n", "-r", str(path), "-T", "fields", *(w for field in fields for w in ("-e", field))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=ENVIRON)
    said = [line for line in done.stderr.splitlines() if "Running as user" not in line and line]
    assert (done.returncode, said) == (0, []), done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def capinfos(path: Path) -> dict[str, Any]:
    """What capinfos says of the file, by its own names."""
    program = shutil.which("capinfos")
    if program is None:
        pytest.skip("capinfos is not installed: apt-get install tshark")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=True, env=ENVIRON)
    return dict(line.strip().split(":", 1) for line in done.stdout.splitlines() if ":" in line) | {"text": done.stdout}


def as_json(path: Path) -> Any:
    """Every packet as tshark dissects it."""
    done = subprocess.run(
        [str(TSHARK), "-n", "-r", str(path), "-T", "json"], capture_output=True, text=True, check=True, env=ENVIRON
    )
    return json.loads(done.stdout)
