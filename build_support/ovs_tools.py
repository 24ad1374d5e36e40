"""Open vSwitch's schema and ovs-vsctl, for the tests: unpacked from Debian's package, which is not installed.

openvswitch-switch would start daemons; what is wanted of it is two files. As a command
(`python -m build_support.ovs_tools`) it fetches them into build/ovs where they are missing, and prints the place.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build_support.command import get
from build_support.dpdk import Missing

PACKAGE = "openvswitch-switch"
SCHEMA = "usr/share/openvswitch/vswitch.ovsschema"
VSCTL = "usr/bin/ovs-vsctl"


def tools(root: Path) -> Path | None:
    """The directory that holds SCHEMA and VSCTL; None where they were not fetched."""
    place = root / "build" / "ovs"
    return place if (place / SCHEMA).exists() and (place / VSCTL).exists() else None


def fetch(root: Path) -> Path:
    """Fetches the package with the machine's own apt, which checks its signature, and unpacks it. Raises Missing."""
    return tools(root) or unpack(PACKAGE, root / "build" / "ovs", (SCHEMA, VSCTL))


def unpack(package: str, place: Path, names: tuple[str, ...]) -> Path:
    """These files of a Debian package below a place; the package itself is not installed. Raises Missing."""
    with tempfile.TemporaryDirectory(prefix="ctoffload-package-") as scratch:
        run(["apt-get", "--quiet", "download", package], scratch)
        archive = next(Path(scratch).glob("*.deb"))
        unpacked = Path(scratch) / "unpacked"
        run(["dpkg-deb", "--extract", str(archive), str(unpacked)], scratch)
        shutil.rmtree(place, ignore_errors=True)
        for name in names:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(unpacked / name, place / name)
    return place


def run(command: list[str], where: str) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(get("ovs tools", fetch))
