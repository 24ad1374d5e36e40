"""Where tests with kernel hosts can run, and how: a script in namespaces of its own, which writes what it saw."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from search_path import python_path

# As anyone inside a user namespace, or as root where those are forbidden.
UNSHARES = (
    ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"],
    ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"],
)
TRY = "ip tuntap add dev t0 mode tap && ip link set t0 up && unshare --net true"


def environment() -> dict[str, str]:
    """With the directories where ip lives, which not every user has, and with the tests' own modules."""
    path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "PYTHONPATH": python_path(Path(__file__).parent)}


def unshare_or_skip(*tools: str) -> list[str]:
    """The command that gives namespaces of their own; skips in words where there are none, or a tool is missing."""
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    for tool in ("unshare", "nsenter", "ip", "ping", *tools):
        if shutil.which(tool, path=environment()["PATH"]) is None:
            pytest.skip(f"{tool} is not installed")
    for command in UNSHARES:
        mounted = [*command, "--mount-proc", "sh", "-c", TRY]
        if subprocess.run(mounted, capture_output=True, check=False, env=environment()).returncode == 0:
            return [*command, "--mount-proc"]
    pytest.skip("no network namespace with a TAP interface can be had here, neither in a user namespace nor as root")


def run_apart(unshare: list[str], script: Path, report: Path, *arguments: str, limit_s: int = 110) -> Any:
    """Runs a script in namespaces of its own; what it wrote into the report."""
    command = [*unshare, sys.executable, "-P", str(script), str(report), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s, env=environment())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(report.read_text())
