"""Debian's prometheus and promtool, for the tests: unpacked from the package, which is not installed.

prometheus would start a daemon. As a command (`python -m build_support.prometheus_tools`) it fetches them into
build/prometheus where they are missing, and prints the place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from build_support.dpdk import Missing
from build_support.ovs_tools import unpack

PACKAGE = "prometheus"
SERVER = "usr/bin/prometheus"
PROMTOOL = "usr/bin/promtool"


def tools(root: Path) -> Path | None:
    """The directory that holds SERVER and PROMTOOL; None where they were not fetched."""
    place = root / "build" / "prometheus"
    return place if (place / SERVER).exists() and (place / PROMTOOL).exists() else None


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    try:
        print(tools(root) or unpack(PACKAGE, root / "build" / "prometheus", (SERVER, PROMTOOL)))
    except Missing as error:
        print(f"prometheus tools: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
