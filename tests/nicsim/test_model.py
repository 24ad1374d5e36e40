"""The driver's table, wheel and subtables alone, under sanitizers, against a simple model."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "pyx" / "ctoffload_dpdk" / "nicsim"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    path = tmp_path_factory.mktemp("model") / "model_check"
    sources = [
        Path(__file__).parent / "model_check.c",
        *(DRIVER / name for name in ("table.c", "age.c", "match.c", "memory.c")),
    ]
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    flags += ["-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, f"-I{DRIVER}", *map(str, sources), "-o", str(path)], check=True)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_random_operations_do_as_the_model_does(program: Path, seed: int) -> None:
    done = subprocess.run([program, str(seed), "40000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as the model" in done.stdout
