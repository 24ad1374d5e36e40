"""Every command in the documentation is run, page by page, as a reader would; what needs hardware is marked so."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from doc_pages import (
    ALL,
    LIMIT_S,
    LONG_LIMIT_S,
    PROGRAMS,
    ROOT,
    follow_page,
    is_for_a_fresh_clone,
    is_run,
    lacks,
    name_of,
    pages,
)
from doc_shell import Shell

from build_support.doc_blocks import Block, Command, blocks_of
from ctoffload_dpdk.cli import main

# What stands in a block. Commands stand in `console` alone, where they are run.
KINDS = {"console", "python", "c", "cython", "toml", "yaml", "json", "text", "ini", "dockerfile"}
NOTES = {"file", "status", "all", "images", "hardware", "shown", "continues", "clone", "fresh", "needs"}
STARTS_A_COMMAND = re.compile(
    r"^\s*[$#>]?\s*(?:sudo |\./|\.venv/bin/)?"
    r"(?:ctoffload|make|pytest|pip|python3?|apt-get|podman|docker|dpdk-\w+|ovs-\w+)(?:\s|$)",
    re.MULTILINE,
)
INLINE = re.compile(r"(?<!`)`((?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:ctoffload|make|python3?|pytest) [^`]+)`(?!`)")


def cases() -> list[object]:
    """Each page that has something to do; where some of it takes minutes, that part is for `make test-all`."""
    limit = pytest.mark.timeout(LONG_LIMIT_S + 300 if ALL else 3 * LIMIT_S)
    active = [page for page in pages() if any(is_run(block) and does_something(block) for block in blocks_of(page))]
    if ALL:  # test_two_commands.py follows those in a fresh clone
        active = [page for page in active if not is_for_a_fresh_clone(page)]
    return [pytest.param(page, id=name_of(page), marks=limit) for page in active]


def does_something(block: Block) -> bool:
    return bool(block.commands) or block.kind == "python"


@pytest.mark.parametrize("page", cases())
def test_a_page_does_what_it_says(page: Path, scratch: Path) -> None:
    if missing := lacks(page):
        pytest.skip(missing)
    assert follow_page(page, scratch, PROGRAMS) > 0


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_has_its_commands_where_they_are_run(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{name_of(page)} line {block.line}"
        is_directive = block.kind.startswith("{")  # of the site: a table of contents, a picture
        assert is_directive or block.kind in KINDS, (
            f"{where}: a block of kind {block.kind or '(none)'}; commands go into console, else text"
        )
        if block.kind == "console":
            assert block.commands, f"{where}: a console block without a line that begins with '$ '"
        elif block.kind == "text":
            found = STARTS_A_COMMAND.search(block.text)
            assert not found, f"{where}: a command in a text block, which nobody runs: {found and found[0]}"
        for note in block.notes:
            known = note.split(":")[0].split(" ")[0] in NOTES
            assert known, f"{where}: unknown note: {note}"
        if block.why_not_run is not None:
            assert len(block.why_not_run) > 5, f"{where}: say in words why it is not run"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_page_has_no_indented_blocks(page: Path) -> None:
    """Four spaces make a block that says neither what it is nor whether it is run."""
    before = ""
    is_fenced = is_list = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.strip().startswith(("```", "~~~")):
            is_fenced = not is_fenced
        if line and not line[0].isspace():
            is_list = bool(re.match(r"[-*+]|\d+\.", line))
        indented = line.startswith("    ") and not before.strip() and not is_fenced and not is_list
        assert not indented, (
            f"{name_of(page)} line {number}: an indented block; write ```console with '$ ' before commands"
        )
        before = line


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown_in(text: str) -> str:
    """What of a command that is named in a sentence does not exist: the target, the sub-command, an option."""
    words = [word.removeprefix(".venv/bin/") for word in text.split() if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "pytest":
        return next((word for word in words[1:] if "/" in word and not (ROOT / word).exists()), "")
    if words[0].startswith("python"):
        return unknown_module(words[1:])
    if words[0] == "make":
        named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return next((word for word in named if word not in targets()), "")
    command: click.Command = main.cli
    context = click.Context(command, info_name="ctoffload")
    for word in words[1:]:
        if word.startswith("-"):
            if word.partition("=")[0] not in options_of(command, context):
                return word
        elif isinstance(command, click.Group) and word != "..." and not word.isupper():
            found = {name: command.get_command(context, name) for name in word.split("|")}
            if None in found.values():
                return next(name for name in found if found[name] is None)
            command = next(one for one in found.values() if one)
    return ""


def unknown_module(words: list[str]) -> str:
    """What `python -m MODULE` or `python -m bench PART` names and the repository does not have."""
    if words[0] != "-m":
        return "" if (ROOT / words[0]).exists() else words[0]
    places = [ROOT / words[1].replace(".", "/")]
    if words[1] == "bench" and len(words) > 2:
        places.append(places[0] / words[2])
    for place in places:
        if not place.with_suffix(".py").exists() and not (place / "__main__.py").exists():
            return place.relative_to(ROOT).as_posix()
    return ""


def options_of(command: click.Command, context: click.Context) -> set[str]:
    listed = {
        name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
    }
    everywhere = {name for parameter in main.cli.get_params(context) for name in parameter.opts}
    return listed | everywhere | {"--help", "-h"}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_that_are_named_in_a_sentence_exist(page: Path) -> None:
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for text in INLINE.findall(line):
            wrong = unknown_in(text.replace("\\|", "|"))
            assert not wrong, f"{name_of(page)} line {number}: `{text}`: there is no {wrong}"


NAMED_FILE = re.compile(
    r"(?<!`)`((?:bench|build_support|ctoffload_dpdk|docker|docs|hw-tests|pyx|requirements|standin|systemd|tests)/[^`\s*<{]*)`"
)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_files_and_tests_that_are_named_in_a_sentence_exist(page: Path) -> None:
    for named in NAMED_FILE.findall(page.read_text()):
        path, _, test = named.partition("::")
        assert (ROOT / path).exists(), named
        assert not test or f"def {test}(" in (ROOT / path).read_text(), named


def test_what_does_not_exist_is_found() -> None:
    assert unknown_in("make no-such-target") == "no-such-target"
    assert unknown_in("ctoffload no-such-command") == "no-such-command"
    assert unknown_in("ctoffload demo --no-such-option") == "--no-such-option"
    assert unknown_in("ctoffload demo --pcap FILE") == ""
    assert unknown_in("ctoffload config show") == ""
    assert unknown_in("python -m build_support.nothing") == "build_support/nothing"
    assert unknown_in("python -m bench nothing") == "bench/nothing"
    assert unknown_in("DPDK_SOURCE=dir make demo") == ""
    assert unknown_in("pytest tests/nothing") == "tests/nothing"


def test_a_wrong_status_and_a_wrong_line_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ printf 'one\\ntwo 22 x\\n'\none\ntwo ... x\n$ false\n```\n")
    (block,) = blocks_of(page)
    shell = Shell(tmp_path, PROGRAMS)
    try:
        good, bad = block.commands
        assert good.missing_from(shell.run(good.text, 10)[1]) is None
        assert Command(1, "", 0, ["two", "one"]).missing_from("one\ntwo\n") == "one"
        assert shell.run(bad.text, 10)[0] == 1
        with pytest.raises(TimeoutError):
            shell.run("sleep 5", 0.1)
    finally:
        shell.close()
