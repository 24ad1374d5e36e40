"""Says in words which DPDK is needed where its libraries cannot be loaded."""

from __future__ import annotations

import re
from pathlib import Path

from ctoffload_dpdk.base.errors import CtoffloadError

# The number of DPDK's libraries changes once a year, with the release in November.
RELEASES = {22: "21.11", 23: "22.11", 24: "23.11", 25: "24.11", 26: "25.11"}
LIBRARY = re.compile(r"librte_\w+\.so\.(\d+)")


class DpdkMissing(CtoffloadError, ImportError):
    """DPDK's libraries are missing, or of another release than this package was built against."""


def missing(error: ImportError, looked_for: range = range(20, 40)) -> DpdkMissing | None:
    """What to raise instead of the loader's words; None where they are not about a library of DPDK.

    looked_for: numbers of DPDK's libraries that are tried, to say which releases are there instead.
    """
    found = LIBRARY.search(str(error))
    if found is None:
        return None
    wanted = int(found[1])
    there = [number for number in looked_for if number != wanted and loads(f"librte_eal.so.{number}")]
    others = f"; there is {' and '.join(release(number) for number in there)}" if there else ""
    return DpdkMissing(
        f"DPDK cannot be loaded: {error}; this build needs {release(wanted)}{others}",
        hint=f"{how_to_install()}; or build this package where another DPDK is: "
        "pip install its source archive, or make build in its source tree",
    )


def release(number: int) -> str:
    """The DPDK whose libraries end in this number."""
    known = f"DPDK {RELEASES[number]}" if number in RELEASES else "a DPDK"
    return f"{known} (librte_*.so.{number})"


def how_to_install() -> str:
    """What a hint says. Debian 12 has 22.11; its package of development files brings libraries and drivers along."""
    if Path("/etc/debian_version").is_file():
        return "install it: apt-get install libdpdk-dev"
    return "install it: Debian 12 has 22.11 (package libdpdk-dev)"


def loads(name: str) -> bool:
    import ctypes  # noqa: PLC0415 - the command line imports this module, and seldom needs it

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
