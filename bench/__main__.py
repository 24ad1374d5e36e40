"""Runs every speed bar, or those named: python -m bench [--json] [conntrack offload ...]."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import Row


def parts() -> list[str]:
    """The modules that measure something, in order."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name[0] != "_")


def collect(names: list[str]) -> list[Row]:
    """The rows of the named modules, in order; progress goes to standard error."""
    rows: list[Row] = []
    for name in names:
        print(f"bench: {name}", file=sys.stderr, flush=True)
        rows.extend(importlib.import_module(f"bench.{name}").rows())
    return rows


def as_table(rows: list[Row]) -> Table:
    table = Table(title="Speed bars")
    for heading in ("what", "figure", "quartiles", "bar", "bar here", "control", ""):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        sign = "<=" if row.at_most else ">="
        table.add_row(
            row.name,
            f"{row.figure:,.1f} {row.unit}",
            f"{row.low:,.1f} - {row.high:,.1f}",
            f"{sign} {row.bar:,.1f}",
            f"{sign} {row.scaled_bar:,.1f}",
            f"{row.control:,.1f} ({row.against}; {row.reference:,.1f} where the bar was set)",
            "[green]pass" if row.passed else "[red]FAIL",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures against the speed bars.")
    parser.add_argument("--json", action="store_true", help="give JSON")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts())}; default: all")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in parts()]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(parts())}")
    rows = collect(given.parts or parts())
    if given.json:
        print(json.dumps([asdict(r) | {"scaled_bar": r.scaled_bar, "passed": r.passed} for r in rows], indent=2))
    else:
        Console(width=160).print(as_table(rows))
    return 0 if all(r.passed for r in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
