"""Which room may import which: the walls of the house."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "ctoffload_dpdk"

UPPER = {"base", "settings", "dpdk", "offload", "conntrack", "providers"}
MAY_IMPORT = {
    "base": set(),
    "settings": {"base"},
    "dpdk": {"base"},
    "nicsim": {"base", "dpdk"},
    "offload": {"base", "settings"},
    "conntrack": {"base", "settings", "offload"},
    "providers": {"base", "settings", "offload"},
    "engine": UPPER,
    "config": {"base", "settings"},
    "control": {"base", "settings", "engine"},
    "demo": {"base", "engine", "nicsim", "config"},
    "testing": {"base", "settings", "offload", "conntrack"},
    "cli": UPPER | {"nicsim", "engine", "config", "control", "demo", "testing"},
}

CYTHON = re.compile(
    rf"^\s*(?:from\s+({PACKAGE}[\w.]*)\s+c?import\s+\(?([\w, ]*)|c?import\s+({PACKAGE}[\w.]*)|from\s+(\.+))",
    re.MULTILINE,
)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def room_of(path: Path) -> str:
    """The room a file lies in; empty for the package's own few files."""
    parts = path.parts[path.parts.index(PACKAGE) + 1 :]
    return parts[0] if len(parts) > 1 else ""


def rooms_named(module: str, names: list[str]) -> set[str]:
    """The rooms that `from module import names` reaches."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return set()
    return {parts[1]} if len(parts) > 1 else set(names)


def python_imports(text: str) -> set[str]:
    """Rooms that Python imports: by statement anywhere in the file, or by name for a late import."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                for alias in node.names:
                    found |= rooms_named(alias.name, [])
            case ast.ImportFrom(module=module, level=0):
                found |= rooms_named(str(module), [alias.name for alias in node.names])
            case ast.ImportFrom():
                found.add("(relative)")
            case ast.Constant(value=str(value)) if re.fullmatch(rf"{PACKAGE}\.[\w.]+", value):
                found |= rooms_named(value, [])
    return found


def cython_imports(text: str) -> set[str]:
    found: set[str] = set()
    for module, names, alone, relative in CYTHON.findall(text):
        found |= {"(relative)"} if relative else rooms_named(module or alone, re.findall(r"\w+", names))
    return found


def sources(files: list[Path], *suffixes: str) -> Iterator[Path]:
    for path in files:
        if path.suffix in suffixes and PACKAGE in path.parts and path.parts[0] in {PACKAGE, "pyx"}:
            yield path


def allowed(path: Path) -> set[str]:
    room = room_of(path)
    more = {"dpdk"} if room == "providers" and "rte_flow" in path.stem else set()
    return MAY_IMPORT[room] | more | {room} if room else set()


def test_every_room_is_in_the_table_and_every_room_of_the_table_exists(files):
    assert {room_of(p) for p in sources(files, ".py", ".pyx", ".pxd")} - {""} == set(MAY_IMPORT)


def test_the_table_has_no_circle():
    left = {room: set(needs) for room, needs in MAY_IMPORT.items()}
    while left:
        free = {room for room, needs in left.items() if not needs & left.keys()}
        assert free, f"circle among {sorted(left)}"
        left = {room: needs for room, needs in left.items() if room not in free}


def test_no_room_imports_what_it_may_not(root, files):
    wrong = []
    for path in sources(files, ".py", ".pyi", ".pyx", ".pxd"):
        text = (root / path).read_text()
        named = python_imports(text) if path.suffix in {".py", ".pyi"} else cython_imports(text)
        named -= {"_version", "__version__", "get_include", "include"}
        wrong += [f"{path} imports {room}" for room in sorted(named - allowed(path))]
    assert not wrong, "\n".join(wrong)


def test_c_files_include_headers_of_their_own_room_and_the_contract_only(root, files):
    wrong = []
    for path in sources(files, ".c", ".h", ".pyx", ".pxd"):
        for header in INCLUDE.findall((root / path).read_text()):
            if not (root / path.parent / header).is_file() and not (root / PACKAGE / "include" / header).is_file():
                wrong.append(f"{path} includes {header}")
    assert not [w for w in wrong if not w.endswith(("_driver.h", "_core.h", "bus_vdev_driver.h"))], "\n".join(wrong)


@pytest.mark.parametrize("room", ["base", "settings", "offload", "conntrack"])
def test_a_room_that_runs_without_eal_links_no_dpdk(root, room):
    from elftools.elf.dynamic import DynamicSection  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    for path in (root / PACKAGE / room).glob("*.so"):
        with path.open("rb") as file:
            sections = [s for s in ELFFile(file).iter_sections() if isinstance(s, DynamicSection)]
            needed = [tag.needed for s in sections for tag in s.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
        assert not [name for name in needed if name.startswith("librte_")], path


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        ("import ctoffload_dpdk.base.errors", {"base"}),
        ("def f():\n    from ctoffload_dpdk import dpdk, nicsim", {"dpdk", "nicsim"}),
        ("from ctoffload_dpdk.conntrack._x import y", {"conntrack"}),
        ("from . import x", {"(relative)"}),
        ("load('ctoffload_dpdk.nicsim.driver')", {"nicsim"}),
        ("import os", set()),
    ],
)
def test_python_imports_are_found(text, rooms):
    assert python_imports(text) == rooms


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        ("from ctoffload_dpdk.offload._shard cimport OffloadShard", {"offload"}),
        ("x = 1\n    from ctoffload_dpdk cimport dpdk, base", {"dpdk", "base"}),
        ("cimport ctoffload_dpdk.dpdk.librte_eal as eal", {"dpdk"}),
        ("from ..dpdk cimport x", {"(relative)"}),
        ("from libc.stdint cimport int64_t  # ctoffload_dpdk.dpdk", set()),
    ],
)
def test_cython_imports_are_found(text, rooms):
    assert cython_imports(text) == rooms
