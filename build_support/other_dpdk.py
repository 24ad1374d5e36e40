"""Runs the tests on other releases of DPDK: those that DPDK_PREFIX=dir:dir names, as meson install left them.

    DPDK_PREFIX=/opt/dpdk-25.11 python -m build_support.other_dpdk [what pytest is to be given]

Each is built against below build/dpdk-<version>, so that neither it nor the normal build invalidates the other.
DPDK_PREFIX_SOURCE=dir:dir names their unpacked sources: the emulated NIC's driver needs private headers of exactly that
release, the stand-in those of its mlx5 driver. Without one, all else is tested, and the tests of the two say why not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from build_support import dpdk, dpdk_source

ROOT = Path(__file__).resolve().parent.parent
# What is about the tree, not about DPDK.
NOT_ABOUT_DPDK = ("tests/house", "tests/packages", "tests/docs", "tests/images")
NONE_NAMED = "no other release of DPDK is tested: DPDK_PREFIX=dir:dir names where some are installed"


class Unusable(dpdk.Missing):
    """What was named is no DPDK that can be built against and run; the text says what to do."""


@dataclass(frozen=True)
class Installed:
    """A release below a prefix of its own."""

    prefix: Path
    libraries: Path
    version: str

    @property
    def build(self) -> Path:
        return ROOT / "build" / f"dpdk-{self.version}"

    @property
    def modules(self) -> Path:
        """Where Python finds the package that was built against it."""
        return self.build / "lib"

    def environment(self) -> dict[str, str]:
        """In which compiler, loader and shell find this release first, and Python what was built against it."""
        return {
            **os.environ,
            "PKG_CONFIG_PATH": str(self.libraries / "pkgconfig"),
            "LD_LIBRARY_PATH": joined(self.libraries, os.environ.get("LD_LIBRARY_PATH")),
            "PATH": joined(self.prefix / "bin", os.environ.get("PATH")),
            "PYTHONPATH": str(self.modules),
        }


def joined(first: Path, others: str | None) -> str:
    return os.pathsep.join(filter(None, (str(first), others)))


def directories(variable: str) -> list[Path]:
    return [Path(name).absolute() for name in os.environ.get(variable, "").split(os.pathsep) if name]


def find(prefix: Path) -> Installed:
    """What is installed there. Raises Unusable."""
    described = [path for pattern in ("lib*", "lib*/*") for path in prefix.glob(f"{pattern}/pkgconfig/libdpdk.pc")]
    if not described:
        raise Unusable(f"DPDK_PREFIX: {prefix} holds no DPDK (no libdpdk.pc); name what meson was given as --prefix")
    libraries = described[0].parent.parent
    if not (libraries / "librte_eal.so").exists():
        raise Unusable(f"DPDK_PREFIX: {libraries} has no shared libraries (librte_eal.so); name a whole installation")
    with_path = {**os.environ, "PKG_CONFIG_PATH": str(described[0].parent)}
    return Installed(prefix, libraries, dpdk.version(with_path))


def source_of(version: str) -> Path | None:
    """Its unpacked source, of those that DPDK_PREFIX_SOURCE names. Raises Unusable where one of these is no source."""
    found = None
    for directory in directories("DPDK_PREFIX_SOURCE"):
        marker = directory / "VERSION"
        if not marker.is_file():
            raise Unusable(f"DPDK_PREFIX_SOURCE: {directory} holds no DPDK source (no file VERSION)")
        found = directory if marker.read_text().strip() == version else found
    return found


def test(installed: Installed, arguments: list[str]) -> int:
    """Builds against it and runs the tests; 0 where all is well."""
    source = source_of(installed.version)
    environment = {name: value for name, value in installed.environment().items() if name != "DPDK_SOURCE"}
    if source:
        environment["DPDK_SOURCE"] = str(source)
    else:
        say(f"DPDK {installed.version}: DPDK_PREFIX_SOURCE does not name its source; {dpdk_source.WITHOUT}")
    base = ["--build-base", str(installed.build), "--build-lib", str(installed.modules)]
    build = [sys.executable, "setup.py", "--quiet", "build", *base, *parallel()]
    ignored = [f"--ignore={path}" for path in NOT_ABOUT_DPDK]
    tests = [sys.executable, "-P", "-m", "pytest", *ignored, *(arguments or ["tests"])]
    into = installed.build.relative_to(ROOT)
    for what, command in ((f"building into {into}", build), ("running the tests", tests)):
        say(f"DPDK {installed.version} of {installed.prefix}: {what}")
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status:
            return status
    return 0


def parallel() -> list[str]:
    jobs = os.environ.get("CTOFFLOAD_JOBS")
    return ["--parallel", jobs] if jobs else []


def say(what: str) -> None:
    print(f"other DPDK: {what}", flush=True)


def main(arguments: list[str]) -> int:
    prefixes = directories("DPDK_PREFIX")
    if not prefixes:
        say(NONE_NAMED)
        return 0
    try:
        found = [find(prefix) for prefix in prefixes]
        failed = [installed for installed in found if test(installed, arguments) != 0]
        return int(bool(failed))
    except dpdk.Missing as error:
        print(f"other DPDK: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
