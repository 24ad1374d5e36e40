"""Builds the engine with libFuzzer, ASan and UBSan, and runs it: run.py [libFuzzer options].

Needs clang-14 with libclang-rt-14-dev. Everything lands in build/fuzz; the corpus is tests/conntrack/fuzz/corpus.zip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "fuzz"
SOURCES = ROOT / os.environ.get("CTOFFLOAD_CYTHON_DIR", "build/cython") / "pyx" / "ctoffload_dpdk" / "conntrack"
CLANG = os.environ.get("FUZZ_CC", "clang-14")
SANITIZERS = os.environ.get("FUZZ_SANITIZERS", "address,undefined")
FLAGS = ["-O2", "-g", "-fPIC", "-fno-strict-aliasing", "-fwrapv", "-w", "-fno-sanitize-recover=undefined"]


def includes() -> list[str]:
    paths = [sysconfig.get_path("include"), ROOT / "ctoffload_dpdk" / "include", ROOT / "pyx/ctoffload_dpdk/offload"]
    numpy = subprocess.check_output(
        [sys.executable, "-c", "import numpy; print(numpy.get_include())"], text=True
    ).strip()
    return [f"-I{path}" for path in [*paths, numpy]]


def build() -> Path:
    """The package with this room instrumented, and the driver that starts it."""
    package = BUILD / "ctoffload_dpdk"
    shutil.rmtree(BUILD, ignore_errors=True)
    (package / "conntrack").mkdir(parents=True)
    for entry in (ROOT / "ctoffload_dpdk").iterdir():
        if entry.name not in {"conntrack", "__pycache__"}:
            (package / entry.name).symlink_to(entry)
    for entry in (ROOT / "ctoffload_dpdk" / "conntrack").glob("*.py"):
        (package / "conntrack" / entry.name).symlink_to(entry)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for source in sorted(SOURCES.glob("_*.c")):
        target = package / "conntrack" / (source.stem + suffix)
        sanitize = [f"-fsanitize=fuzzer-no-link,{SANITIZERS}"]
        subprocess.run([CLANG, *FLAGS, *sanitize, *includes(), "-shared", str(source), "-o", str(target)], check=True)
    driver = BUILD / "conntrack"
    embed = ["-L" + sysconfig.get_config_var("LIBDIR"), "-l" + f"python{sysconfig.get_python_version()}", "-rdynamic"]
    harness = str(HERE / "harness.c")
    subprocess.run(
        [CLANG, *FLAGS, f"-fsanitize=fuzzer,{SANITIZERS}", *includes(), harness, "-o", str(driver), *embed], check=True
    )
    return driver


def unpack(corpus: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    if (HERE / "corpus.zip").exists():
        with zipfile.ZipFile(HERE / "corpus.zip") as archive:
            archive.extractall(corpus)


def pack(corpus: Path) -> None:
    """Keeps the corpus as one file, in a fixed order and without dates."""
    with zipfile.ZipFile(HERE / "corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(corpus.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> int:
    if sys.argv[1:2] == ["pack"]:
        pack(Path(sys.argv[2]))
        return 0
    driver = build()
    corpus = BUILD / "corpus"
    unpack(corpus)
    packages = [str(BUILD), *(path for path in sys.path if path.endswith("site-packages"))]
    # Python and numpy free little at exit; the engine's own memory is what is looked at
    environment = os.environ | {"PYTHONPATH": ":".join(packages), "ASAN_OPTIONS": "detect_leaks=0"}
    words = [f"-dict={HERE / 'words.dict'}", f"-artifact_prefix={BUILD}/"]
    return subprocess.run([str(driver), str(corpus), *words, *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
