"""The development container, as an editor makes it: by the Dev Container CLI, from the file as it stands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from doc_pages import copy_tree
from images_lab import ROOT, programs, skip_where_not_possible

from build_support.images import BASE, build_options, make_base

FILE = ROOT / ".devcontainer" / "devcontainer.json"
CLI = ROOT / "build" / "devcontainer" / "node_modules" / ".bin" / "devcontainer"
# As the Dockerfile names its base; here it is the one that debootstrap made.
WANTED_BASE = "debian:12.12-slim"

# What the CLI takes for docker: builds without a registry, runs without network. The CLI asks podman for a mapping of
# users that only podman without root has.
DOCKER = """#!/bin/sh
verb=$1
shift
case "$verb" in
build) set -- {options} "$@" ;;
run)
    for word; do
        shift
        [ "$word" = --userns=keep-id ] || set -- "$@" "$word"
    done
    set -- --network=none "$@"
    ;;
esac
exec {podman} "$verb" "$@"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of the tree that belongs to the container's user, as an editor's user has it."""
    directory = tmp_path / "workspace"
    copy_tree(directory)
    subprocess.run(["chown", "-R", "1000:1000", str(directory)], check=True)
    return directory


@pytest.fixture
def devcontainer(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Runs the CLI on the workspace with these words: what it printed. The container is taken away."""
    skip_where_not_possible()
    if not CLI.exists():
        pytest.skip("the Dev Container CLI is not here; where npm is, make test-all fetches it")
    podman = programs() / "podman"
    monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
    make_base()
    subprocess.run([podman, "tag", BASE, f"localhost/{WANTED_BASE}"], check=True)
    docker = tmp_path / "docker"
    options = " ".join([*build_options(tmp_path), f"--build-arg=BASE={BASE}"])
    docker.write_text(DOCKER.format(options=options, podman=podman))
    docker.chmod(0o755)

    def run(verb: str, *words: str) -> str:
        where = ["--workspace-folder", str(workspace), "--docker-path", str(docker)]
        command = [CLI, verb, *where, *words]
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, **quiet, check=False, timeout=3000)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
        return done.stdout

    yield run
    made = ["--all", "--quiet", f"--filter=label=devcontainer.local_folder={workspace}"]
    left = subprocess.run([podman, "ps", *made], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run([podman, "rm", "--force", "--time=0", *left], check=True, capture_output=True)


def test_an_editor_gets_a_tree_that_is_built_and_runs(devcontainer):
    asked = json.loads(FILE.read_text())
    up = json.loads(devcontainer("up", "--buildkit", "never").strip().splitlines()[-1])
    assert up["outcome"] == "success"
    assert up["remoteUser"] == asked["remoteUser"]
    assert up["remoteWorkspaceFolder"] == asked["workspaceFolder"]
    assert devcontainer("exec", "id", "-un").strip() == asked["remoteUser"]
    interpreter = asked["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    said = devcontainer("exec", interpreter, "-c", "import ctoffload_dpdk.nicsim as n; print(n.driver_path())")
    assert said.strip().startswith(f"{asked['workspaceFolder']}/ctoffload_dpdk/nicsim/")
    assert "The account is closed" in devcontainer("exec", "make", "demo")
