"""Where DPDK is, from pkg-config, and the header trees of other versions that DPDK_HEADERS names."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

OLDEST = (22, 11)
INSTALL = "apt-get install {} (in the source tree: make packages)"


class Missing(Exception):
    """DPDK is not there, or too old; the text says what to do."""


@dataclass(frozen=True)
class Flags:
    include_dirs: list[str] = field(default_factory=list)
    define_macros: list[tuple[str, str | None]] = field(default_factory=list)
    compile_args: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    library_dirs: list[str] = field(default_factory=list)
    link_args: list[str] = field(default_factory=list)


def cpu_args() -> list[str]:
    """The instruction set DPDK itself asks for, so that all rooms agree."""
    return ["-march=corei7", "-mtune=generic"] if platform.machine() == "x86_64" else []


def no_flags() -> Flags:
    """For the rooms that link no DPDK."""
    return Flags(compile_args=cpu_args())


def pkg_config(*args: str, environ: dict[str, str] | None = None) -> list[str]:
    command = ["pkg-config", *args, "libdpdk"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    except FileNotFoundError:
        raise Missing(f"pkg-config is not installed: {INSTALL.format('pkg-config')}") from None
    except subprocess.CalledProcessError:
        raise Missing(f"DPDK's development files are not installed: {INSTALL.format('libdpdk-dev')}") from None
    return shlex.split(done.stdout)


def version(environ: dict[str, str] | None = None) -> str:
    """The installed DPDK's version, e.g. "22.11.11"; environ: in which pkg-config looks for it."""
    found = pkg_config("--modversion", environ=environ)[0]
    if tuple(int(n) for n in found.split(".")[:2]) < OLDEST:
        raise Missing(f"DPDK {found} is older than {OLDEST[0]}.{OLDEST[1]}, the oldest that is supported")
    return found


def library(name: str) -> str:
    """What the loader calls a library of the installed DPDK, e.g. librte_eal.so.23; a new number each November."""
    year, month = (int(n) for n in version().split(".")[:2])
    return f"{name}.so.{year + 1 if month >= 11 else year}"


def header_trees() -> list[Path]:
    """The header trees that DPDK_HEADERS=dir:dir names: versions to compile against, without linking or running."""
    return [Path(tree) for tree in os.environ.get("DPDK_HEADERS", "").split(os.pathsep) if tree]


def header_flags(tree: Path) -> Flags:
    """Compiler flags for a check against one header tree: installed (rte_eal.h in it), or below include/."""
    for candidate in (tree, tree / "include", tree / "include" / "dpdk", tree / "dpdk"):
        if (candidate / "rte_eal.h").is_file():
            includes = [str(candidate), *(str(d) for d in sorted(candidate.parent.glob("*-linux-gnu/dpdk")))]
            defines: list[tuple[str, str | None]] = [("ALLOW_EXPERIMENTAL_API", None)]
            arguments = ["-include", "rte_config.h", *cpu_args()]
            return Flags(include_dirs=includes, define_macros=defines, compile_args=arguments)
    raise Missing(f"DPDK_HEADERS: no rte_eal.h below {tree}")


def flags() -> Flags:
    """Compiler and linker flags for a module that calls DPDK."""
    version()
    defines: list[tuple[str, str | None]] = [("ALLOW_EXPERIMENTAL_API", None)]
    cflags = pkg_config("--cflags")
    includes = [f[2:] for f in cflags if f.startswith("-I") and "dpdk" in f]
    other = [f for f in cflags if not f.startswith("-I")]
    libs = pkg_config("--libs")
    # rte_vdev_init lives in a bus driver that pkg-config does not list.
    names = [
        "rte_bus_vdev",
        "rte_ethdev",
        "rte_mbuf",
        "rte_mempool",
        "rte_telemetry",
        "rte_kvargs",
        "rte_net",
        "rte_eal",
    ]
    if tuple(int(n) for n in version().split(".")[:2]) >= (23, 11):
        names.append("rte_log")
    return Flags(
        include_dirs=includes,
        define_macros=defines,
        compile_args=other,
        libraries=names,
        library_dirs=[f[2:] for f in libs if f.startswith("-L")],
        link_args=["-Wl,--as-needed"],
    )
