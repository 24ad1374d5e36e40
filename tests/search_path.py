"""Where processes under test find their modules and libraries."""

from __future__ import annotations

import os
from pathlib import Path


def search_path(variable: str, *first: Path) -> str:
    """PYTHONPATH or LD_LIBRARY_PATH that begins with these.

    What led this process to the build under test stays (`make sanitize`, `make test-dpdk`).
    """
    return os.pathsep.join(filter(None, [*map(str, first), os.environ.get(variable, "")]))


def python_path(*first: Path) -> str:
    return search_path("PYTHONPATH", *first)


def library_path(*first: Path) -> str:
    return search_path("LD_LIBRARY_PATH", *first)
