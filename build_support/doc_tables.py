"""The tables of the documentation that are made of data.

`python -m build_support.doc_tables` writes them into their pages.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from build_support.doc_blocks import blocks_of, pages_of

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- made by build_support.doc_tables: {} -->", "<!-- end -->"


def compatibility() -> str:
    """The releases of docs/compatibility.toml, newest first."""
    releases = tomllib.loads((ROOT / "docs" / "compatibility.toml").read_text())["release"]
    rows = ["| DPDK | from | compiled against | run on | what was run |", "|---|---|---|---|---|"]
    for one in sorted(releases, key=lambda one: [int(n) for n in one["dpdk"].split(".")], reverse=True):
        cells = [one["dpdk"], one["source"], date_of(one, "compiled"), date_of(one, "ran"), one.get("how", "-")]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def date_of(release: dict[str, object], what: str) -> str:
    return str(release[what]) if what in release else "no"


def reasons() -> str:
    """The closed list of ct_offload.h, with its words."""
    header = (ROOT / "ctoffload_dpdk" / "include" / "ct_offload.h").read_text()
    found = re.findall(r"CT_OFFLOAD_REASON_(\w+),\s*/\* (.*?) \*/", header)
    rows = ["| reason | the connection is not in hardware because |", "|---|---|"]
    rows += [f"| `{name.lower().replace('_', '-')}` | {text} |" for name, text in found]
    return "\n".join(rows)


def not_run() -> str:
    """The commands of the pages that no test carries out, and why."""
    rows = ["| page | command | not run: |", "|---|---|---|"]
    for page in pages_of(ROOT):
        for block in blocks_of(page):
            if block.why_not_run is not None:
                name = page.relative_to(ROOT).as_posix()
                rows += [f"| {name} | `{short(command.text)}` | {block.why_not_run} |" for command in block.commands]
    return "\n".join(rows)


def short(command: str) -> str:
    """Its first line, without what would end a cell."""
    first, _, more = command.partition("\n")
    return first.removesuffix("\\").split("  #")[0].strip().replace("|", "\\|") + (" ..." if more else "")


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "compatibility": ("docs/reference/compatibility.md", compatibility),
    "reasons": ("docs/reference/reasons.md", reasons),
}


def with_table(name: str) -> str:
    """The page as it should be."""
    path, make = TABLES[name]
    text = (ROOT / path).read_text()
    before, begin, rest = text.partition(BEGIN.format(name))
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path}: no lines {BEGIN.format(name)} and {END}")
    return f"{before}{begin}\n{make()}\n{end}{after}"


def main() -> int:
    for name, (path, _) in TABLES.items():
        (ROOT / path).write_text(with_table(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
