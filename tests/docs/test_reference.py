"""The reference says something of every name that users have: in Python, in C, and in the examples of formats."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tomllib

import numpy as np
import pytest
from doc_pages import ROOT, documented_modules, name_of, pages, public

from build_support.doc_blocks import blocks_of
from ctoffload_dpdk import conntrack, nicsim

HEADER = ROOT / "ctoffload_dpdk" / "include" / "ct_offload.h"
DEFINITION = re.compile(r"^#define (CT_\w+|DPIF_\w+)|^(?:struct|enum) (\w+) \{|^enum \{|^ +\w[\w ]*\(\*(\w+)\)\(")
GUARD = "CT_OFFLOAD_H"


def without_a_word(header: str) -> list[str]:
    """Macros, types and callbacks with no comment on their line and none above them or the group they stand in."""
    found, is_described, is_comment = [], False, False
    for line in header.splitlines():
        is_comment = is_comment or line.lstrip().startswith("/*")
        if is_comment:
            is_described = True
            is_comment = "*/" not in line
            continue
        name = DEFINITION.match(line)
        if name and not is_described and "/*" not in line:
            found.append(next(filter(None, name.groups()), line))
        if not line.strip() or line.startswith("}") or re.match(r"^(struct|enum).*\{$", line):
            is_described = False
    return [name for name in found if name != GUARD]


def test_every_macro_type_and_callback_of_the_header_is_described():
    text = HEADER.read_text()
    assert len([line for line in text.splitlines() if DEFINITION.match(line)]) > 40
    assert without_a_word(text) == []


def test_what_is_not_described_is_found():
    text = "/* A. */\n#define CT_A 1\n\n#define CT_B 2\nstruct b {\n    int (*call)(void);\n};\n"
    assert without_a_word(text) == ["CT_B", "b", "call"]


def test_every_member_of_the_header_that_has_a_unit_names_it():
    times = re.findall(r"\b(\w*(?:time|used|sampled|now)\w*);", HEADER.read_text())
    assert times
    assert all(name.endswith("_ms") for name in times)


def without_docstring(value: object) -> list[str]:
    """The name of each of its own methods and properties that has none, its base's included; empty: its own."""
    if not callable(value):
        return []  # a constant: see the site
    silent = [] if value.__doc__ else [""]
    if isinstance(value, type) and value.__module__.startswith("ctoffload_dpdk"):
        own = {name: member for name, member in vars(value).items() if not name.startswith("_")}
        told = [name for name, member in own.items() if callable(member) or isinstance(member, property)]
        silent += [name for name in told if not inspect.getdoc(getattr(value, name))]
    return silent


@pytest.mark.parametrize("name", documented_modules())
def test_every_public_name_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    silent = [f"{one}.{member}" for one, value in public(module).items() for member in without_docstring(value)]
    assert not silent
    assert module.__doc__


def test_what_pages_show_of_json_and_toml_can_be_read() -> None:
    read = {"json": json.loads, "toml": tomllib.loads}
    shown = [block for page in pages() for block in blocks_of(page) if block.kind in read]
    assert shown
    for block in shown:
        try:
            read[block.kind](block.text)
        except ValueError as error:
            pytest.fail(f"{name_of(block.page)} line {block.line}: {error}")


@pytest.mark.parametrize(
    ("page", "dtype"),
    [
        ("conntrack", conntrack.VERDICT),
        ("conntrack", conntrack.LINE),
        ("conntrack", conntrack.CONNECTION),
        ("nicsim", nicsim.RULE_DTYPE),
    ],
)
def test_each_field_of_an_array_is_told(page: str, dtype: np.dtype[np.void]) -> None:
    text = (ROOT / "docs" / "reference" / "api" / f"{page}.md").read_text()
    assert [name for name in dtype.names or () if f"`{name}`" not in text] == []
