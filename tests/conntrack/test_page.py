"""The page about the tracker: the tests it names are there, and no defect is left out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "conntrack.md").read_text()


def test_every_test_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 80
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_defect_has_a_row_with_a_test() -> None:
    for number in range(1, 16):
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| E{number} |")]
        assert rows
        assert all("::test_" in row for row in rows)
