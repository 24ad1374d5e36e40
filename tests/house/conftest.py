"""The files of the repository, for the tests that keep house."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"build", "dist", ".git", ".venv", ".stamps", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
NOT_OURS |= {".hypothesis"}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files(root: Path) -> list[Path]:
    """Every file of ours, as paths below the root."""
    found = []
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if name not in NOT_OURS and not name.endswith(".egg-info")]
        found += [Path(directory, name).relative_to(root) for name in names]
    return sorted(path for path in found if path.suffix not in {".so", ".pyc"})
