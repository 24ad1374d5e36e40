"""A manual page in man(7)'s language, of a tree of click commands. What --help says is what it says."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ctoffload_dpdk._version import __version__

NAME = "ctoffload"
EVERYWHERE = {"--json", "--pretty", "--socket", "--help"}
STATUS = (
    ("0", "it worked; an empty answer is an answer"),
    ("1", "it failed, or what was looked at is not in order"),
    ("2", "wrong usage"),
    ("130", "interrupted"),
    ("141", "whoever read the output went away"),
)
ENVIRONMENT = (
    ("RUNTIME_DIRECTORY, XDG_RUNTIME_DIR", "where the sockets are looked for, besides /run/ctoffload"),
    ("CTOFFLOAD_TRACEBACK", "1: errors are shown with their Python traceback"),
    ("NO_COLOR", "output without colours"),
)


def page_of(root: click.Group) -> str:
    """The page: the name, then every command with its options, in alphabetical order."""
    context = click.Context(root, info_name=NAME, **root.context_settings)
    lines = [
        f'.TH CTOFFLOAD 1 "" "ctoffload {__version__}" "User Commands"',
        *section("NAME", [f"{NAME} \\- {escaped(first_sentence(root))}"]),
        *section("SYNOPSIS", [f".B {NAME}", "[OPTIONS] COMMAND [ARGUMENTS]"]),
        *section("DESCRIPTION", list(description(root))),
        *section("OPTIONS", ["These work before and after the command.", *options(root, context)]),
        *section("COMMANDS", [line for command in tree(root, context) for line in command_lines(*command)]),
        *section("EXIT STATUS", list(listed(STATUS))),
        *section("ENVIRONMENT", list(listed(ENVIRONMENT))),
    ]
    return "\n".join(lines) + "\n"


def tree(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command that can be run, and the groups above it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, parent=context, info_name=name)
        yield command, below
        if isinstance(command, click.Group):
            yield from tree(command, below)


def command_lines(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f'.SS "{escaped(context.command_path)} {escaped(usage)}"'
    yield from description(command)
    yield from options(command, context)


def section(name: str, lines: list[str]) -> list[str]:
    return [f".SH {name}", *lines]


def first_sentence(command: click.Command) -> str:
    return (command.help or "").strip().splitlines()[0].rstrip(".")


def description(command: click.Command) -> Iterator[str]:
    """The help text: paragraphs, and as they stand those that are marked so."""
    paragraphs = [part.strip("\n") for part in (command.help or "").split("\n\n")]
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        if paragraph.lstrip().startswith("\b"):
            yield ".nf"
            yield from (escaped(line) for line in paragraph.replace("\b", "").strip("\n").splitlines())
            yield ".fi"
        else:
            yield from (escaped(line.strip()) for line in paragraph.splitlines())


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Each option with what its help says; those of every command stand at the top only."""
    for parameter in command.get_params(context):
        if context.parent is not None and EVERYWHERE & set(parameter.opts):
            continue
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield ".TP"
            yield f".B {escaped(record[0])}"
            yield escaped(" ".join(record[1].split())) or "\\&"


def listed(pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, text in pairs:
        yield ".TP"
        yield f".B {escaped(name)}"
        yield escaped(text)


def escaped(text: str) -> str:
    """Text as groff prints it: no line begins a request, and signs are the ones that are typed."""
    signs = {"\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"}
    shown = "".join(signs.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text)
    return f"\\&{shown}" if shown.startswith(".") else shown
