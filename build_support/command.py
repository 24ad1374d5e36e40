"""A module of build_support that fetches or makes something, as a command: prints the place, or why there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from build_support.dpdk import Missing

ROOT = Path(__file__).resolve().parent.parent


def get(what: str, make: Callable[[Path], Path]) -> int:
    """The exit status: 0 with the place on standard output, 1 with what is missing on standard error."""
    try:
        print(make(ROOT))
    except Missing as missing:
        print(f"{what}: {missing}", file=sys.stderr)
        return 1
    return 0
