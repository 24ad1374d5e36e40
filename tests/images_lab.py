"""Images of the tests' own: a store below build/, and a directory of programs in which `podman` works on that store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "images"

# A host with low limits refuses podman's own, and no registry is asked. `docker` of the Dev Container CLI means podman.
PODMAN = """#!/bin/sh
if [ "$1" = run ]; then
    shift
    set -- run --pull=never --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 "$@"
fi
exec {podman} --root={place}/store --runroot={place}/run "$@"
"""


def why_not() -> str:
    """Why no image can be built here, in words; empty where it can."""
    missing = [tool for tool in ("podman", "runc", "debootstrap") if shutil.which(tool) is None]
    if missing:
        return f"images cannot be built here: apt-get install {' '.join(missing)}"
    return "" if os.geteuid() == 0 else "images are built as root here: debootstrap makes their base"


def programs() -> Path:
    """The directory to put first into PATH."""
    directory = PLACE / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    starter = directory / "podman"
    starter.write_text(PODMAN.format(podman=shutil.which("podman"), place=PLACE))
    starter.chmod(0o755)
    for name in ("podman-compose", "ctoffload"):
        link = directory / name
        link.unlink(missing_ok=True)
        if (Path(sys.executable).parent / name).exists():
            link.symlink_to(Path(sys.executable).parent / name)
    return directory


def podman(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [str(programs() / "podman"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def run(*words: str, timeout: float = 300) -> str:
    """What it printed in a container of its own."""
    done = podman("run", "--rm", *words, timeout=timeout)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def build(image: str, *more: str) -> str:
    """Builds it as the page on containers says; its name."""
    command = [sys.executable, "-m", "build_support.images", image, *more]
    environment = {**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


def skip_where_not_possible() -> None:
    if reason := why_not():
        pytest.skip(reason)
