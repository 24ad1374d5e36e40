"""Where processes under test find their modules."""

from __future__ import annotations

import os
from pathlib import Path


def python_path(*first: Path) -> str:
    """PYTHONPATH that begins with these; what led this process to the package under test stays (`make sanitize`)."""
    return os.pathsep.join(filter(None, [*map(str, first), os.environ.get("PYTHONPATH", "")]))
