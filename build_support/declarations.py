"""Turns raw declaration files (lib*.pxd) into a C file that uses every name in them, so that a compiler can judge them.

A declaration nobody uses yet is not compiled by Cython; this finds a misspelt or vanished name in every header tree.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_HEADER = re.compile(r'^cdef extern from "([^"]+)"')
_BLOCK = re.compile(r"^    (?:ctypedef )?(enum|struct)(?: (\w+))?:$")
_MEMBER = re.compile(r"^        (?:[\w ]+?[ *]+)?(\w+)(?:\[\w+\])?$")
_CONSTANT = re.compile(r"^    const [\w *]+?[ *](\w+)$")
_FUNCTION = re.compile(r'^    [\w *]+?[ *](\w+)(?: "(\w+)")?\(')

# Function-like macros have no address.
MACROS = {"RTE_VERSION_NUM"}


def names_as_c(pxd: str) -> str:
    """A C file that includes the headers of a .pxd text and uses each enumerator, member and function it declares."""
    includes: list[str] = []
    uses: list[str] = []
    kind, name = "", ""
    for line in pxd.splitlines():
        text = line.split("#")[0].rstrip()
        if header := _HEADER.match(text):
            includes.append(f"#include <{header[1]}>")
        elif block := _BLOCK.match(text):
            kind, name = block[1], "" if "ctypedef" in text else block[2] or ""
        elif text.startswith("        ") and kind == "enum" and (member := _MEMBER.match(text)):
            uses.append(f"    sink((long long) {member[1]});")
        elif (
            text.startswith("        ")
            and kind == "struct"
            and name
            and text.strip() != "pass"
            and (member := _MEMBER.match(text))
        ):
            uses.append(f"    (void) ((struct {name} *) p)->{member[1]};")
        elif constant := _CONSTANT.match(text):
            uses.append(f"    sink((long long) {constant[1]});")
        elif (function := _FUNCTION.match(text)) and "ctypedef" not in text:
            called = function[2] or function[1]
            uses += [] if called in MACROS else [f"    sink((long long) &{called});"]
    head = [*dict.fromkeys(includes), "void sink(long long);", "void use(void *p);", "void use(void *p)", "{"]
    return "\n".join([*head, *uses, "}", ""])


def syntax_errors(source: Path, include_dirs: list[str], args: list[str]) -> str:
    """What gcc says of a C file without compiling it; empty where it has nothing to say."""
    flags = [f"-I{d}" for d in include_dirs]
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-std=gnu11", "-w", *args, *flags, str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""
