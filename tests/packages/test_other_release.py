"""A wheel that was built against another DPDK than the loader finds says so; with its own it does the main job.

DPDK_PREFIX=dir names where the other one is, DPDK_PREFIX_SOURCE=dir its source: see `make test-dpdk`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from packages_lab import ROOT, attempt, run

sys.path.append(str(ROOT))

from build_support import other_dpdk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def other() -> other_dpdk.Installed:
    if not os.environ.get("DPDK_PREFIX"):
        pytest.skip("DPDK_PREFIX=dir names no other release of DPDK to build a wheel against")
    return other_dpdk.find(other_dpdk.directories("DPDK_PREFIX")[0])


@pytest.fixture(scope="module")
def program(other: other_dpdk.Installed, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ctoffload` of a wheel that was built against it, in an environment of its own."""
    directory = tmp_path_factory.mktemp("other")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "wheel", "--no-deps"]
    source = other_dpdk.source_of(other.version)
    given = {"DPDK_SOURCE": str(source)} if source else {}
    described = {"PKG_CONFIG_PATH": other.environment()["PKG_CONFIG_PATH"]}
    run(*pip, "--wheel-dir", directory, sdist, cwd=directory, timeout=1500, **given, **described)
    (wheel,) = directory.glob("*.whl")
    run(sys.executable, "-m", "venv", directory / "venv", cwd=directory)
    run(directory / "venv/bin/pip", "--disable-pip-version-check", "install", "--quiet", wheel, cwd=directory)
    return directory / "venv/bin/ctoffload"


def test_where_the_loader_finds_another_release_it_says_which_is_needed(program, other, tmp_path):
    done = attempt(program, "demo", cwd=tmp_path, LD_LIBRARY_PATH="")
    assert done.returncode == 1
    assert done.stderr.startswith("ctoffload: DPDK cannot be loaded: ")
    release = other.version.rpartition(".")[0]
    assert f"this build needs DPDK {release} " in done.stderr
    assert "there is DPDK " in done.stderr
    assert "hint: install it" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_its_own_release_it_does_the_main_job(program, other, tmp_path):
    if other_dpdk.source_of(other.version) is None:
        pytest.skip(f"DPDK_PREFIX_SOURCE names no source of DPDK {other.version}: the emulated NIC was not built")
    done = run(program, "demo", "--json", cwd=tmp_path, LD_LIBRARY_PATH=other.environment()["LD_LIBRARY_PATH"])
    account = json.loads(done.stdout)
    assert account["rules"]["created"] > 0
    assert account["rules"]["live"] == account["audit"]["rules"] == 0
