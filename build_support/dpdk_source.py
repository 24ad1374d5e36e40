"""The four private headers a DPDK driver needs. (placeholder until the fetch is written)"""

from __future__ import annotations

from pathlib import Path


def driver_headers(root: Path, version: str) -> Path | None:
    """The directory of the driver headers of exactly this DPDK version, or None where they are not there."""
    found = root / "build" / "dpdk-source" / version / "headers"
    return found if (found / "ethdev_driver.h").is_file() else None
