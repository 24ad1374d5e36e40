"""The wheel, built from the source archive and installed into a fresh environment, does what the source tree does."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

import pytest
from doc_pages import follow_page
from packages_lab import ROOT, attempt, run

from ctoffload_dpdk import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory) -> Path:
    """The bin directory of an environment that holds the wheel, its dependencies, and what provider authors add."""
    directory = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", directory, cwd=directory.parent)
    pip = [directory / "bin" / "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, f"{wheel}[provider]", cwd=directory.parent)
    return directory / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path


def test_the_tree_is_not_seen(programs, elsewhere):
    code = "import ctoffload_dpdk, sys; print(ctoffload_dpdk.__file__); print(*sys.path)"
    where = run(programs / "python", "-c", code, cwd=elsewhere).stdout
    assert str(ROOT) not in where
    assert "site-packages" in where


def test_the_program_says_its_version(programs, elsewhere):
    assert run(programs / "ctoffload", "--version", cwd=elsewhere).stdout == f"ctoffload {__version__}\n"


def test_every_module_can_be_imported(programs, elsewhere):
    code = """
import importlib, pkgutil, ctoffload_dpdk
names = [m.name for m in pkgutil.walk_packages(ctoffload_dpdk.__path__, "ctoffload_dpdk.")]
for name in names:
    if not name.endswith(("__main__", "conformance", "plugin", "librte_net_nicsim")):
        importlib.import_module(name)
print(len(names))
"""
    assert int(run(programs / "python", "-c", code, cwd=elsewhere).stdout) > 100


def test_the_main_job_runs_and_its_account_closes(programs, elsewhere):
    account = json.loads(run(programs / "ctoffload", "demo", "--json", cwd=elsewhere).stdout)
    assert account["schema"] == 1
    assert account["rules"]["created"] > 0
    assert account["rules"]["live"] == account["audit"]["rules"] == 0


def test_the_dummy_conforms(programs, elsewhere):
    kit = ["-p", "ctoffload_dpdk.testing.plugin", "--pyargs", "ctoffload_dpdk.testing.conformance"]
    provider = ["--provider", "ctoffload_dpdk.providers.dummy:DummyProvider"]
    said = run(programs / "pytest", "-q", "-p", "no:cacheprovider", *kit, *provider, cwd=elsewhere).stdout
    assert re.search(r"^\d\d passed", said, re.MULTILINE)


@pytest.mark.parametrize("page", ["provider-c.md", "provider-python.md"])
def test_providers_are_written_and_compiled_outside_of_the_tree(programs, elsewhere, page):
    """The page for authors, as it stands."""
    assert follow_page(ROOT / "docs" / "how-to" / page, elsewhere, programs) >= 2


def test_types_are_found(programs, elsewhere):
    """A type checker reads the stubs of the installed package."""
    run(programs / "pip", "--disable-pip-version-check", "install", "--quiet", "mypy", cwd=elsewhere)
    (elsewhere / "right.py").write_text(
        "from ctoffload_dpdk.conntrack import Conntrack\nConntrack(max_connections=1)\n"
    )
    (elsewhere / "wrong.py").write_text(
        "from ctoffload_dpdk.conntrack import Conntrack\nConntrack(max_connections='1')\n"
    )
    run(programs / "mypy", "--strict", "right.py", cwd=elsewhere)
    done = attempt(programs / "mypy", "--strict", "wrong.py", cwd=elsewhere)
    assert done.returncode == 1
    assert "max_connections" in done.stdout or "arg-type" in done.stdout


def test_it_can_be_taken_off_again(wheel, elsewhere):
    """Nothing lies outside of the package and its metadata but the unit for systemd, which pip knows of."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        placed = [name for name in archive.namelist() if name.startswith(f"ctoffload_dpdk-{__version__}.data/")]
    assert tops == {"ctoffload_dpdk", *(f"ctoffload_dpdk-{__version__}.{kind}" for kind in ("dist-info", "data"))}
    assert [name.partition("/")[2] for name in placed] == ["data/lib/systemd/system/ctoffload.service"]
