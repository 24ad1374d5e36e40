"""ct_offload.h, its numpy types and its Python enumerations agree, as the C compiler lays them out."""

from __future__ import annotations

import re
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

import ctoffload_dpdk
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import contract

HEADER = Path(ctoffload_dpdk.get_include()) / "ct_offload.h"
STRUCTS = {
    "ct_offload_port": contract.PORT,
    "ct_offload_tuple": contract.TUPLE,
    "ct_offload_tcp_peer": contract.PEER,
    "ct_offload_ctx": contract.CTX,
    "ct_offload_op": contract.OP,
    "ct_offload_counts": contract.COUNTS,
}
ENUMS: dict[str, type[IntEnum]] = {
    "CT_OFFLOAD_REASON_": Reason,
    "CT_OFFLOAD_OP_": contract.OpType,
    "CT_OFFLOAD_TCP_": contract.TcpState,
    "CT_OFFLOAD_EVENT_": contract.Event,
}
FLAGS = {"CT_OFFLOAD_F_": contract.ConnFlag, "CT_OFFLOAD_R_": contract.ResultFlag}


def compiled(tmp_path: Path, body: list[str], compiler: str = "cc") -> dict[str, int]:
    """Runs a program that prints "name value" lines, built against the header."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    source = tmp_path / ("layout.c" if compiler == "cc" else "layout.cc")
    lines = "\n".join(f'    printf("%s %llu\\n", "{name}", (unsigned long long) ({name}));' for name in body)
    source.write_text(f'#include "ct_offload.h"\n#include <stdio.h>\nint main(void) {{\n{lines}\n    return 0;\n}}\n')
    program = tmp_path / "layout"
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([compiler, *flags, f"-I{HEADER.parent}", str(source), "-o", str(program)], check=True)
    text = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines())}


def c_members(struct: str) -> list[str]:
    """The members of a structure of the header, in order."""
    found = re.search(rf"struct {struct} \{{(.*?)\n\}};", HEADER.read_text(), re.S)
    assert found, struct
    body = re.sub(r"/\*.*?\*/", "", found.group(1), flags=re.S)
    body = re.sub(r"union \{([^;]*;).*?\};", r"\1", body, flags=re.S)  # numpy has its first member
    return re.findall(r"(\w+)(?:\[\d+\])?;", body)


def header_constants(prefix: str) -> set[str]:
    return set(re.findall(rf"\b{prefix}(?!IDS)([A-Z0-9_]+)\b\s*(?:=|,|/\*)", HEADER.read_text()))


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_structure_has_the_same_members_in_numpy(struct: str) -> None:
    assert list(STRUCTS[struct].names or ()) == c_members(struct)


def test_sizes_and_offsets_agree_with_the_c_compiler(tmp_path: Path) -> None:
    wanted: dict[str, int] = {}
    for struct, dtype in STRUCTS.items():
        wanted[f"sizeof(struct {struct})"] = dtype.itemsize
        for name in dtype.names or ():
            assert dtype.fields is not None
            member, offset = dtype.fields[name][:2]
            wanted[f"offsetof(struct {struct}, {name})"] = offset
            wanted[f"sizeof(((struct {struct} *) 0)->{name})"] = member.itemsize
    assert compiled(tmp_path, list(wanted)) == wanted
    assert contract.OP.itemsize == 64


def test_enumerations_agree_with_the_c_compiler(tmp_path: Path) -> None:
    wanted = {prefix + member.name: int(member) for prefix, enum in ENUMS.items() for member in enum}
    wanted |= {prefix + str(member.name): int(member) for prefix, flag in FLAGS.items() for member in flag}
    wanted |= {
        "CT_OFFLOAD_ABI_VERSION": contract.ABI_VERSION,
        "CT_OFFLOAD_MAX_PROVIDERS": contract.MAX_PROVIDERS,
        "CT_OFFLOAD_NO_PORT": contract.NO_PORT,
        "CT_OFFLOAD_ORIG": contract.ORIG,
        "CT_OFFLOAD_REPLY": contract.REPLY,
        "CT_OFFLOAD_N_REASONS": len(Reason),
        "CT_OFFLOAD_N_OP_TYPES": len(contract.OpType),
    }
    assert compiled(tmp_path, list(wanted)) == wanted


@pytest.mark.parametrize("prefix", [*ENUMS, *FLAGS])
def test_no_value_of_the_header_is_missing_in_python(prefix: str) -> None:
    members = {str(member.name) for member in ENUMS.get(prefix) or FLAGS[prefix]}
    assert header_constants(prefix) == members


def test_ids_are_composed_as_in_c(tmp_path: Path) -> None:
    for parts in ((0, 0, 0), (3, 0xABCDEF, 0x12345678), (255, 0xFFFFFF, 0xFFFFFFFF)):
        conn_id = contract.make_id(*parts)
        made = "CT_OFFLOAD_ID({}u, {}u, {}u)".format(*parts)
        assert compiled(tmp_path, [made]) == {made: conn_id}
        assert (contract.id_shard(conn_id), contract.id_generation(conn_id), contract.id_slot(conn_id)) == parts


def test_the_header_is_c_plus_plus_as_well(tmp_path: Path) -> None:
    assert compiled(tmp_path, ["sizeof(struct ct_offload_op)"], "g++") == {"sizeof(struct ct_offload_op)": 64}


def test_ports_and_addresses_are_in_network_byte_order() -> None:
    row = np.zeros((), contract.CTX)
    row["tuple"]["src_port"][0] = 0x1234
    assert row.tobytes()[40:42] == b"\x12\x34"


def test_reasons_read_as_words() -> None:
    assert Reason.PENDING_DELETE.text == "pending-delete"
