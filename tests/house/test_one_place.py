"""What has one place has one place only: the version, the list of Debian packages."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import ctoffload_dpdk

VERSION_FILE = Path("ctoffload_dpdk/_version.py")
PACKAGES_FILE = Path("debian-packages.txt")
INSTALLER = Path("build_support/packages.sh")
CODE = {".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".toml", ".sh", ".cfg", ".yml", ".yaml", ""}


def text_of(root: Path, path: Path) -> str:
    return (root / path).read_text(errors="replace")


def test_the_version_is_written_in_one_place(root, files):
    version = re.compile(rf"""["'=]{re.escape(ctoffload_dpdk.__version__)}["'\s]""")
    named = [p for p in files if p.suffix in CODE and "house" not in p.parts and version.search(text_of(root, p))]
    assert named == [VERSION_FILE]
    project = tomllib.loads(text_of(root, Path("pyproject.toml")))["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]


def test_the_installed_package_has_that_version():
    assert importlib.metadata.version("ctoffload-dpdk") == ctoffload_dpdk.__version__


def test_the_changelog_names_the_version(root):
    assert f"## [{ctoffload_dpdk.__version__}]" in text_of(root, Path("CHANGELOG.md"))


def packages(root: Path) -> list[str]:
    lines = text_of(root, PACKAGES_FILE).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def runs_commands(path: Path) -> bool:
    """Files that run commands on a machine: shell, make, images, CI. Python may ask after a package by name."""
    return path.parts[0] not in {"tests", "docs"} and path.suffix in {".sh", ".cfg", ".yml", ".yaml", ".mk", ""}


def test_debian_packages_are_named_in_one_place(root, files):
    wanted = packages(root)
    assert len(wanted) == len(set(wanted)) > 5
    # pkg-config is a command as well as a package.
    distinct = [name for name in wanted if "-" in name and name != "pkg-config"]
    words = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, distinct))})(?![\w./-])")
    named = {str(p): words.findall(text_of(root, p)) for p in files if runs_commands(p) and p != PACKAGES_FILE}
    assert not {path: found for path, found in named.items() if found}


def test_whatever_installs_reads_that_list(root, files):
    for path in files:
        if runs_commands(path) and re.search(r"apt(-get)?\s.*\binstall\b", text_of(root, path)):
            assert PACKAGES_FILE.name in text_of(root, path), path
    assert PACKAGES_FILE.name in text_of(root, INSTALLER)


def test_the_locks_hold_every_dependency_with_its_hash(root):
    for name in ("runtime", "dev", "docs", "lab", "images"):
        lock = text_of(root, Path(f"requirements/{name}.lock"))
        pinned = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
        wanted = set(re.findall(r"^([a-z][\w-]*)", text_of(root, Path(f"requirements/{name}.in")), re.MULTILINE))
        assert wanted <= pinned
        assert lock.count("--hash=sha256:") >= len(pinned)
    project = tomllib.loads(text_of(root, Path("pyproject.toml")))["project"]
    declared = {re.match(r"[\w-]+", entry)[0] for entry in project["dependencies"]}
    assert declared == set(text_of(root, Path("requirements/runtime.in")).split())
