"""What tests of pages share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import ROOT


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Not below /tmp: DPDK takes no driver from below a directory that everybody may write to."""
    parent = ROOT / "build" / "pages"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="page-", dir=parent))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
