"""How the emulated NIC's driver, a plain shared library that DPDK loads, is built."""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import Extension

from build_support import dpdk, dpdk_source

NAME = "ctoffload_dpdk.nicsim.librte_net_nicsim"
SOURCES = "pyx/ctoffload_dpdk/nicsim"

COMPILE_ARGS = [
    "-O3",
    "-g",
    "-std=gnu11",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
]


def is_driver(fullname: str) -> bool:
    return fullname.endswith(NAME.rpartition(".")[2])


def filename(fullname: str) -> str:
    return fullname.replace(".", "/") + ".so"


def version_macros(version: str) -> list[tuple[str, str | None]]:
    """The version of the private headers; the driver's guards compare it with the public headers and the process."""
    numbers = [int(n) for n in re.findall("[0-9]+", version)[:3]]
    year, month, minor = (*numbers, 0)[:3]
    return [
        ("NICSIM_DPDK_VERSION", f'"{version}"'),
        ("NICSIM_HEADERS_YEAR", str(year)),
        ("NICSIM_HEADERS_MONTH", str(month)),
        ("NICSIM_HEADERS_MINOR", str(minor)),
    ]


def extensions(root: Path, extra: list[str]) -> list[Extension]:
    """The driver, or nothing where its private headers are not there (build/dpdk-source says why)."""
    rooms = os.environ.get("CTOFFLOAD_ROOMS", "")
    if rooms and "nicsim" not in rooms.split(","):
        return []
    headers = dpdk_source.driver_headers(root, dpdk.version())
    sources = sorted((root / SOURCES).glob("*.c"))
    if headers is None or not sources:
        return []
    flags = dpdk.flags()
    return [
        Extension(
            NAME,
            [str(s.relative_to(root)) for s in sources],
            include_dirs=[str(headers), str(root / SOURCES), *flags.include_dirs],
            define_macros=[*flags.define_macros, ("ALLOW_INTERNAL_API", None), *version_macros(dpdk.version())],
            extra_compile_args=[*COMPILE_ARGS, *flags.compile_args, *extra],
            libraries=[*flags.libraries, "rte_ring"],
            library_dirs=flags.library_dirs,
            extra_link_args=["-Wl,--as-needed", "-Wl,-z,defs" if not extra else "-Wl,--as-needed", *extra],
            depends=[str(h) for h in (root / SOURCES).glob("*.h")],
        )
    ]
