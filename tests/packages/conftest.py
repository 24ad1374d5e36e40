"""The package as users get it: archives built from this tree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packages_lab import ROOT, run


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of the tree as it stands."""
    directory = tmp_path_factory.mktemp("sdist")
    egg = tmp_path_factory.mktemp("egg")  # not into the tree, where another test may look at files
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", egg, "sdist", "--dist-dir", directory]
    run(*command, cwd=ROOT)
    (archive,) = directory.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive alone, as pip does it: every module is compiled, which takes minutes."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "wheel", "--no-deps"]
    run(*pip, "--wheel-dir", directory, sdist, cwd=directory, timeout=1500)
    (found,) = directory.glob("*.whl")
    return found
