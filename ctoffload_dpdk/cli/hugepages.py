"""Whether there are hugepages for DPDK to take."""

from __future__ import annotations

from pathlib import Path

POOLS = Path("/sys/kernel/mm/hugepages")


def has_hugepages(memory_mb: int) -> bool:
    """True where so much memory is free in hugepages of one size."""
    for pool in POOLS.glob("hugepages-*kB"):
        try:
            size_kb = int(pool.name.removeprefix("hugepages-").removesuffix("kB"))
            free = int((pool / "free_hugepages").read_text())
        except (OSError, ValueError):
            continue
        if free * size_kb >= memory_mb * 1024:
            return True
    return False
