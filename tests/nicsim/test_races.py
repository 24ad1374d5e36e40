"""Threads that change, ask, send, receive and age at once: under ThreadSanitizer, the driver's sources compiled in."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

import pytest
from other_programs import ENVIRON

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "pyx" / "ctoffload_dpdk" / "nicsim"
sys.path.insert(0, str(ROOT))

from build_support import dpdk, dpdk_source, driver  # noqa: E402

EAL = ["-l", "0", "--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=3"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    headers = dpdk_source.driver_headers(ROOT, dpdk.version())
    if headers is None:
        pytest.skip("the driver headers are not there (python -m build_support.dpdk_source)")
    path = tmp_path_factory.mktemp("races") / "race_check"
    flags = dpdk.flags()
    includes = [f"-I{directory}" for directory in (headers, DRIVER, *flags.include_dirs)]
    defines = [("ALLOW_INTERNAL_API", None), *flags.define_macros, *driver.version_macros(dpdk.version())]
    macros = [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in defines]
    command = [
        "gcc",
        "-c",
        "-std=gnu11",
        "-O1",
        "-g",
        "-w",
        "-fsanitize=thread",
        *flags.compile_args,
        *includes,
        *macros,
    ]

    def compiled(source: Path) -> Path:
        target = path.parent / f"{source.stem}.o"
        subprocess.run([*command, str(source), "-o", str(target)], check=True)
        return target

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        objects = list(
            workers.map(compiled, [*sorted(Path(__file__).parent.glob("race_*.c")), *sorted(DRIVER.glob("*.c"))])
        )
    libraries = [*(f"-L{directory}" for directory in flags.library_dirs), *(f"-l{name}" for name in flags.libraries)]
    subprocess.run(
        ["gcc", "-fsanitize=thread", *map(str, objects), "-o", str(path), *libraries, "-lpthread"], check=True
    )
    return path


@pytest.mark.timeout(500)  # most of it compiles, which takes minutes on a busy machine
def test_no_race_and_the_account_closes(program: Path) -> None:
    # two sanitizers do not share a process
    environ = {**ENVIRON, "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:report_thread_leaks=0"}
    done = subprocess.run(
        [program, "10000", *EAL], capture_output=True, text=True, timeout=120, env=environ, check=False
    )
    assert "WARNING: ThreadSanitizer" not in done.stdout + done.stderr, (done.stdout + done.stderr)[:6000]
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
