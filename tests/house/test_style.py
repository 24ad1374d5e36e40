"""ruff, mypy and clang-format, and files of a size one can read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
MAX_LINES = 900


def passes(root: Path, *words: str) -> None:
    done = subprocess.run([str(BIN / words[0]), *words[1:]], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words[:3])}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


def test_ruff_finds_nothing(root):
    passes(root, "ruff", "check", "--no-fix", "--output-format=concise", ".")


def test_the_python_is_formatted(root):
    passes(root, "ruff", "format", "--check", "--output-format=concise", ".")


@pytest.mark.timeout(300)
def test_mypy_finds_nothing_in_the_package(root):
    passes(root, "mypy")


def test_the_c_is_formatted(root, files):
    c_files = [str(path) for path in files if path.suffix in {".c", ".h"}]
    assert c_files
    passes(root, "clang-format", "--dry-run", "-Werror", *c_files)


def test_no_source_file_is_long(root, files):
    lengths = {
        p: len((root / p).read_bytes().splitlines()) for p in files if p.suffix in {".py", ".pyx", ".pxd", ".c", ".h"}
    }
    assert not {str(path): n for path, n in lengths.items() if n > MAX_LINES}


def test_every_compiled_module_has_its_types_beside_it(root, files):
    modules = [p for p in files if p.suffix == ".pyx"]
    assert modules
    missing = [m for m in modules if not (root / Path(*m.parts[1:]).with_suffix(".pyi")).is_file()]
    # A module that only other compiled modules use has no Python names to type.
    with_names = [m for m in missing if defines_python_names((root / m).read_text())]
    assert not with_names


def defines_python_names(text: str) -> bool:
    return any(line.startswith(("def ", "class ", "cpdef ", "cdef class ")) for line in text.splitlines())
