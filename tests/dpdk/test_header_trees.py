"""One source for DPDK 22.11 to 26.07: every declared name, and the C that Cython makes, pass each tree's compiler.

Trees of other versions are named by DPDK_HEADERS=dir:dir (installed, or flat with rte_config.h in it).
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import numpy
import pytest

from ctoffload_dpdk.dpdk import actions
from ctoffload_dpdk.dpdk.types import Event, RxMetadata

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from build_support import declarations, dpdk  # noqa: E402

ROOM = ROOT / "pyx" / "ctoffload_dpdk" / "dpdk"
RAW = sorted(ROOM.glob("lib*.pxd"))
MODULES = sorted(ROOM.glob("_*.pyx"))

# What Python repeats of DPDK's enumerations: class, how a member is called in C.
REPEATED = [
    (actions.Field, "RTE_FLOW_FIELD_{}"),
    (actions.ModifyOp, "RTE_FLOW_MODIFY_{}"),
    (actions.ConntrackState, "RTE_FLOW_CONNTRACK_STATE_{}"),
    (actions.ConntrackIndex, "RTE_FLOW_CONNTRACK_FLAG_{}"),
    (RxMetadata, "RTE_ETH_RX_METADATA_{}"),
]
OTHER_NAMES = {
    "LINK_CHANGE": "INTR_LSC", "RESET": "INTR_RESET", "REMOVED": "INTR_RMV", "VF_MAILBOX": "VF_MBOX",
    "RX_AVAIL_THRESHOLD": "RX_AVAIL_THRESH", "ERROR_RECOVERING": "ERR_RECOVERING",
}  # fmt: skip


def trees():
    """The installed headers, and those that were named."""
    return [pytest.param(dpdk.flags(), id="installed"), *named_trees()]


def named_trees():
    return [pytest.param(dpdk.header_flags(tree), id=tree.name) for tree in dpdk.header_trees()]


def modules_in_trees():
    """Each module with each tree that was named; one skip where none was."""
    pairs = [
        pytest.param(module, tree.values[0], id=f"{module.stem}-{tree.id}")
        for tree in named_trees()
        for module in MODULES
    ]
    why = "DPDK_HEADERS names no header tree of another DPDK version"
    return pairs or [pytest.param(None, None, id="none", marks=pytest.mark.skip(reason=why))]


def complaints(source: Path, flags, more: list[str] | None = None) -> str:
    args = [*flags.compile_args, *(f"-D{name}" for name, _ in flags.define_macros)]
    return declarations.syntax_errors(source, [str(ROOM), *(more or []), *flags.include_dirs], args)


@pytest.mark.parametrize("flags", trees())
@pytest.mark.parametrize("pxd", RAW, ids=lambda path: path.stem)
def test_every_declared_name_exists(pxd, flags, tmp_path):
    source = tmp_path / "names.c"
    source.write_text(declarations.names_as_c(pxd.read_text()))
    assert source.read_text().count(";") > 10
    assert complaints(source, flags) == ""


def test_a_name_that_does_not_exist_is_found(tmp_path):
    source = tmp_path / "names.c"
    wrong = 'cdef extern from "rte_flow.h" nogil:\n    struct rte_flow_action_jump:\n        uint32_t grouq\n'
    source.write_text(declarations.names_as_c(wrong))
    assert "grouq" in complaints(source, dpdk.flags())


@pytest.mark.parametrize("flags", trees())
def test_pythons_numbers_are_dpdks(flags, tmp_path):
    pairs = [(name.format(member.name), member.value) for kind, name in REPEATED for member in kind if member.value]
    pairs += [(f"RTE_ETH_EVENT_{OTHER_NAMES.get(event.name, event.name)}", event.value) for event in Event]
    source = tmp_path / "numbers.c"
    asserts = "".join(f'_Static_assert({name} == {value}, "{name}");\n' for name, value in pairs)
    source.write_text(f"#include <rte_ethdev.h>\n#include <rte_flow.h>\n{asserts}")
    assert len(pairs) > 50
    assert complaints(source, flags) == ""


@cache
def generated(module: Path, directory: Path) -> Path:
    """The C that Cython makes of a module."""
    made = directory / f"{module.stem}.c"
    command = ["cython", "-3", "-I", str(ROOT / "pyx"), str(module), "-o", str(made)]
    command[0] = str(Path(sysconfig.get_path("scripts")) / "cython")
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return made


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("generated")


@pytest.mark.parametrize(("module", "flags"), modules_in_trees())
def test_every_module_compiles(module, flags, directory):
    includes = [sysconfig.get_path("include"), numpy.get_include()]
    assert complaints(generated(module, directory), flags, includes) == ""
