"""The reference says something of every name that users have: in Python, in C, and in the examples of formats."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tomllib
from types import ModuleType

import pytest
from doc_pages import ROOT, name_of, pages

from build_support.doc_blocks import blocks_of

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


AUTOMODULE = re.compile(r"automodule:: (ctoffload_dpdk[\w.]*)")


def documented_modules() -> list[str]:
    text = "".join(page.read_text() for page in sorted((ROOT / "docs" / "reference" / "api").glob("*.md")))
    return AUTOMODULE.findall(text)


def public(module: ModuleType) -> dict[str, object]:
    """What `__all__` names, else what is defined in it and has no underscore."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


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
