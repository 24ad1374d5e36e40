"""What is in the archives: all that is needed, and nothing that is not for users."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packages_lab import ROOT, run

from ctoffload_dpdk import __version__

# What a build from the source archive reads, and what users expect in one.
IN_THE_SOURCE_ARCHIVE = ("pyx/", "ctoffload_dpdk/", "build_support/", "requirements/")
TOP_FILES = {"setup.py", "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "LICENSE", "debian-packages.txt"}
NOT_SHIPPED = re.compile(r"_(\w+_)?(test|bench|fuzz)\w*\.(pyi|pxd|pyx|\w*\.?so)$")


@pytest.fixture(scope="module")
def in_git() -> set[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git repository: what belongs into the archive is not known")
    return {name for name in done.stdout.split() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> set[str]:
    """What a wheel holds beside compiled modules."""
    directory = tmp_path_factory.mktemp("modules")
    run(sys.executable, "-c", BUILD_MODULES, directory, cwd=ROOT)
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


# As pip builds a wheel, but for what is compiled.
BUILD_MODULES = """
import runpy, sys
directory = sys.argv[1]
sys.argv = ["setup.py", "--quiet", "build_py", "--build-lib", directory]
module = runpy.run_path("setup.py")
module["main"].__globals__["FOR_USERS"] = True
module["main"].__globals__["fetch_driver_headers"] = lambda: None
module["main"]()
"""


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return {name.partition("/")[2] for name in opened.getnames()}


def test_the_source_archive_holds_what_is_built_from(sdist, in_git):
    needed = {name for name in in_git if name.startswith(IN_THE_SOURCE_ARCHIVE)} | TOP_FILES
    assert len(needed) > 300
    assert not needed - names_in(sdist)


def test_the_source_archive_holds_nothing_that_was_built(sdist):
    built = [name for name in names_in(sdist) if name.endswith((".so", ".pyc", ".o")) or name.startswith("build/")]
    assert not built


def test_the_source_archive_is_named_by_the_one_version(sdist):
    assert sdist.name == f"ctoffload_dpdk-{__version__}.tar.gz"


def test_the_version_stands_in_one_place(in_git):
    """Beside it, only the list of changes names versions."""
    (assignment,) = [
        n for n in ast.parse((ROOT / "ctoffload_dpdk/_version.py").read_text()).body if isinstance(n, ast.Assign)
    ]
    assert ast.literal_eval(assignment.value) == __version__
    elsewhere = re.compile(rf"""version\w*\s*=\s*["']{re.escape(__version__)}["']""")
    found = {
        n for n in in_git if n.endswith((".py", ".toml", ".pyx", ".cfg")) and elsewhere.search((ROOT / n).read_text())
    }
    assert found == {"ctoffload_dpdk/_version.py"}


def test_the_list_of_changes_begins_with_this_version():
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == __version__


def test_a_wheel_holds_every_module_and_its_types(modules, in_git):
    python = {
        n
        for n in in_git
        if n.startswith("ctoffload_dpdk/") and n.endswith((".py", ".pyi")) and not NOT_SHIPPED.search(n)
    }
    assert len(python) > 100
    assert not python - modules


def test_a_wheel_holds_what_a_provider_is_compiled_with(modules):
    assert {
        "ctoffload_dpdk/include/ct_offload.h",
        "ctoffload_dpdk/offload/libct_offload.pxd",
        "ctoffload_dpdk/dpdk/librte_flow.pxd",
        "ctoffload_dpdk/dpdk/dpdk_compat.h",
        "ctoffload_dpdk/py.typed",
    } <= modules


def test_a_wheel_holds_what_is_read_at_run_time(modules, in_git):
    """Whatever lies in the package beside Python: captures, units, pages of the manual."""
    data = {n for n in in_git if n.startswith("ctoffload_dpdk/") and not n.endswith((".py", ".pyi"))}
    assert "ctoffload_dpdk/demo/example.pcap" in data
    assert not data - modules


def test_both_archives_hold_the_systemd_unit(sdist):
    assert "systemd/ctoffload.service" in names_in(sdist)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert settings == {"lib/systemd/system": ["systemd/ctoffload.service"]}


def test_a_wheel_holds_nothing_for_tests_alone(modules):
    assert not [name for name in modules if NOT_SHIPPED.search(name)]
    assert not [name for name in modules if not name.startswith("ctoffload_dpdk/")]
