"""Builds the compiled rooms: one extension per pyx/ctoffload_dpdk/<room>/_*.pyx, and the emulated NIC's driver.

CTOFFLOAD_SANITIZE=1 builds with ASan and UBSan, =thread with ThreadSanitizer. CTOFFLOAD_ROOMS=dpdk,base builds only
those rooms, CTOFFLOAD_JOBS=n takes n compilers at once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from build_support import dpdk, dpdk_source, driver  # noqa: E402

PYX = ROOT / "pyx" / "ctoffload_dpdk"
INCLUDE = ROOT / "ctoffload_dpdk" / "include"
# A wheel has no modules that only tests and benchmarks use.
FOR_USERS = "bdist_wheel" in sys.argv
NOT_FOR_USERS = re.compile(r"_(\w+_)?(test|bench|fuzz)\w*")
# pip cannot be told how many compilers to run at once; make says so itself.
JOBS = int(os.environ.get("CTOFFLOAD_JOBS") or (os.cpu_count() or 1 if FOR_USERS else 0))

# Rooms and modules that call DPDK. All others link no DPDK library and run without EAL.
USES_DPDK = ("ctoffload_dpdk.dpdk.", "ctoffload_dpdk.engine.", "ctoffload_dpdk.providers._rte_flow")

# Rooms that packets or operations pass through; the others gain nothing from a slower compilation.
HOT = ("ctoffload_dpdk.conntrack.", "ctoffload_dpdk.offload.", "ctoffload_dpdk.engine.", "ctoffload_dpdk.providers.")

COMPILE_ARGS = [
    "-g1",
    "-std=gnu11",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-sign-compare",
    "-Wno-missing-field-initializers",
    "-Wno-cast-function-type",
]
SANITIZE_ARGS = {
    "1": ["-O1", "-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"],
    "thread": ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"],
}.get(os.environ.get("CTOFFLOAD_SANITIZE", ""), [])

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "show_performance_hints": False,
    "embedsignature": True,
    "embedsignature.format": "python",
}


def modules() -> list[tuple[str, Path]]:
    """(dotted name, source) of every compiled module, of the rooms asked for."""
    rooms = {r for r in os.environ.get("CTOFFLOAD_ROOMS", "").split(",") if r}
    found = []
    for source in sorted(PYX.glob("*/_*.pyx")):
        room = source.parent.name
        if FOR_USERS and NOT_FOR_USERS.fullmatch(source.stem):
            continue
        if not rooms or room in rooms:
            found.append((f"ctoffload_dpdk.{room}.{source.stem}", source))
    return found


def local_headers() -> list[str]:
    return [str(p) for p in (*INCLUDE.glob("*.h"), *PYX.glob("*/*.h"))]


def room_headers() -> list[str]:
    """Directories of the rooms' own C headers: a module's cimports may reach into another room."""
    return sorted({str(p.parent) for p in PYX.glob("*/*.h")})


def extension(name: str, source: Path) -> Extension:
    flags = dpdk.flags() if name.startswith(USES_DPDK) else dpdk.no_flags()
    level = "-O3" if name.startswith(HOT) else "-O2"
    return Extension(
        name,
        [str(source.relative_to(ROOT))],
        include_dirs=[str(INCLUDE), *room_headers(), numpy.get_include(), *flags.include_dirs],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *flags.define_macros],
        extra_compile_args=[level, *COMPILE_ARGS, *flags.compile_args, *SANITIZE_ARGS],
        libraries=flags.libraries,
        library_dirs=flags.library_dirs,
        extra_link_args=[*flags.link_args, *SANITIZE_ARGS],
        depends=local_headers(),
    )


class Build(build_ext):
    """build_ext that also knows how a DPDK driver is named and linked."""

    def get_ext_filename(self, fullname: str) -> str:
        if driver.is_driver(fullname):
            return driver.filename(fullname)
        return super().get_ext_filename(fullname)

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return [] if driver.is_driver(ext.name) else super().get_export_symbols(ext)


class Modules(build_py):
    """build_py that puts declarations and their headers beside the modules, and leaves out what users do not need."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source in declarations():
            target = Path(self.build_lib, source.relative_to(ROOT / "pyx"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        for stub in Path(self.build_lib).rglob("_*.pyi") if FOR_USERS else ():
            if NOT_FOR_USERS.fullmatch(stub.stem):
                stub.unlink()

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *(str(path.relative_to(ROOT)) for path in declarations())]


def declarations() -> list[Path]:
    """What a Cython module of somebody else may cimport: .pxd files, and the headers of ours that they name."""
    found = [path for path in sorted(PYX.rglob("*.pxd")) if not NOT_FOR_USERS.fullmatch(path.stem)]
    named = {name for path in found for name in re.findall(r'extern from "(\w+\.h)"', path.read_text())}
    return found + [path for path in sorted(PYX.rglob("*.h")) if path.name in named]


def fetch_driver_headers() -> None:
    """A wheel is to have the emulated NIC, so its build fetches the headers itself; without them it has all else."""
    said, why_not = dpdk_source.ensure(dpdk_source.Layout(ROOT, dpdk.version()))
    print(f"dpdk source: {said}" if said else f"dpdk source: {why_not}\n{dpdk_source.WITHOUT}", flush=True)


def main() -> None:
    try:
        if FOR_USERS and not os.environ.get("CTOFFLOAD_ROOMS"):
            fetch_driver_headers()
        extensions = [extension(name, source) for name, source in modules()]
        drivers = driver.extensions(ROOT, SANITIZE_ARGS)
    except (dpdk.Missing, subprocess.CalledProcessError) as error:
        raise SystemExit(f"setup.py: {error}") from None
    setup(
        ext_modules=[
            *cythonize(
                extensions,
                include_path=[str(ROOT / "pyx")],
                build_dir=os.environ.get("CTOFFLOAD_CYTHON_DIR", "build/cython"),
                compiler_directives=DIRECTIVES,
                nthreads=JOBS,
                show_all_warnings=False,
            ),
            *drivers,
        ],
        cmdclass={"build_ext": Build, "build_py": Modules},
        options={"build_ext": {"parallel": JOBS}} if FOR_USERS else {},
    )


if __name__ == "__main__":
    main()
