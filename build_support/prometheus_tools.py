"""Debian's prometheus and promtool, for the tests: unpacked from the package, which is not installed.

prometheus would start a daemon. As a command (`python -m build_support.prometheus_tools`) it fetches them into
build/prometheus where they are missing, and prints the place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from build_support.command import get
from build_support.ovs_tools import unpack

PACKAGE = "prometheus"
SERVER = "usr/bin/prometheus"
PROMTOOL = "usr/bin/promtool"


def tools(root: Path) -> Path | None:
    """The directory that holds SERVER and PROMTOOL; None where they were not fetched."""
    place = root / "build" / "prometheus"
    return place if (place / SERVER).exists() and (place / PROMTOOL).exists() else None


def fetch(root: Path) -> Path:
    """Fetches and unpacks the package where that was not done. Raises Missing."""
    return tools(root) or unpack(PACKAGE, root / "build" / "prometheus", (SERVER, PROMTOOL))


if __name__ == "__main__":
    sys.exit(get("prometheus tools", fetch))
