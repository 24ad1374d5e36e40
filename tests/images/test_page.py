"""The page on containers does what it says: its images are built without a registry, and each of its commands runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import IMAGES_LIMIT_S, ROOT, copy_tree, follow_blocks, pages
from images_lab import programs, skip_where_not_possible

from build_support.doc_blocks import blocks_of

PAGE = ROOT / "docs" / "how-to" / "container.md"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A copy of the tree, in which nothing is built."""
    parent = ROOT / "build" / "pages"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="images-", dir=parent))
    copy_tree(directory)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_only_one_page_needs_images() -> None:
    assert [page for page in pages() if any(block.is_for_images for block in blocks_of(page))] == [PAGE]


@pytest.mark.slow
@pytest.mark.timeout(4 * IMAGES_LIMIT_S)
def test_the_page_does_what_it_says(scratch: Path) -> None:
    skip_where_not_possible()
    if not (programs() / "podman-compose").exists():
        pytest.skip("podman-compose is not in .venv: make test-all installs it")
    blocks = [block for block in blocks_of(PAGE) if block.is_for_images]
    assert follow_blocks(blocks, scratch, programs()) >= 7
