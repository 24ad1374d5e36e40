"""What is said where DPDK's libraries are missing or of another release, by the real loader."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from search_path import library_path

from ctoffload_dpdk.base.libraries import RELEASES, DpdkMissing, missing
from ctoffload_dpdk.cli.pmdinfo import running_dpdk

sys.path.append(str(Path(__file__).resolve().parents[2]))

from build_support import dpdk

PROGRAM = str(Path(sys.executable).parent / "ctoffload")
UNSHARES = (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"])


@pytest.fixture(scope="module")
def without_dpdk() -> list[str]:
    """Begins a command that finds /dev/null where DPDK's EAL was."""
    library = str(running_dpdk().resolve())
    for unshare in UNSHARES:
        command = [*unshare, "sh", "-c", f'mount --bind /dev/null {library} && exec "$@"', "sh"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("no mount namespace can be had here, neither in a user namespace nor as root")


def said(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})


@pytest.mark.parametrize("module", ["dpdk", "engine", "providers.rte_flow"])
def test_an_import_says_which_dpdk_to_install(without_dpdk, module):
    done = said([*without_dpdk, sys.executable, "-P", "-c", f"import ctoffload_dpdk.{module}"])
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-2:]
    assert "DpdkMissing: DPDK cannot be loaded: " in last[0]
    number = dpdk.library("librte_eal").rpartition(".")[2]
    assert f"this build needs DPDK {RELEASES[int(number)]} (librte_*.so.{number})" in last[0]
    assert "hint: install it: apt-get install libdpdk-dev" in last[1]


def test_a_command_says_so_too_in_words_or_json(without_dpdk):
    done = said([*without_dpdk, PROGRAM, "demo"])
    assert done.returncode == 1
    assert done.stderr.startswith("ctoffload: DPDK cannot be loaded: ")
    assert "Traceback" not in done.stderr
    facts = json.loads(said([*without_dpdk, PROGRAM, "demo", "--json"]).stderr)
    assert facts["error"] == "DpdkMissing"
    assert "libdpdk-dev" in facts["hint"]


@pytest.mark.parametrize("command", [["--version"], ["config", "schema"], ["replay", "--help"]])
def test_what_needs_no_dpdk_works_without(without_dpdk, command):
    assert said([*without_dpdk, PROGRAM, *command]).returncode == 0


def test_another_release_is_named(without_dpdk, tmp_path):
    """A library of another year's number lies in the loader's path."""
    shutil.copyfile(running_dpdk().resolve(), tmp_path / "librte_eal.so.24")
    command = [*without_dpdk, sys.executable, "-P", "-c", "import ctoffload_dpdk.dpdk"]
    done = said(command, LD_LIBRARY_PATH=library_path(tmp_path))
    assert re.search(r"there is .*DPDK 23\.11 \(librte_\*\.so\.24\)", done.stderr), done.stderr


def test_other_failures_are_left_alone():
    assert missing(ImportError("libfoo.so.1: cannot open shared object file")) is None
    assert isinstance(missing(ImportError("librte_eal.so.99: no such file")), ImportError)
    assert "a DPDK (librte_*.so.99)" in str(missing(ImportError("librte_eal.so.99: no such file")))
    assert issubclass(DpdkMissing, ImportError)
