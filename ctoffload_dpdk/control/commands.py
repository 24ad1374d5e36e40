"""The table of commands, and the one way to run them."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Mapping

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.control.capturing import CAPTURE_COMMANDS
from ctoffload_dpdk.control.command import Answer, Answers, Command, Document
from ctoffload_dpdk.control.connections import CONNECTION_COMMANDS
from ctoffload_dpdk.control.looking import TOP_COMMANDS
from ctoffload_dpdk.control.running import RUNNING_COMMANDS
from ctoffload_dpdk.control.system import System


def commands(system: System) -> Document:
    """The table itself."""
    return {"commands": [command.as_document() for command in COMMANDS.values()]}


COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        *CONNECTION_COMMANDS,
        *RUNNING_COMMANDS,
        *CAPTURE_COMMANDS,
        *TOP_COMMANDS,
        Command("commands", "The commands there are, with their parameters.", Answers.DOCUMENT, commands),
    )
}


def find(name: str) -> Command:
    """The command of that name. Raises UsageError ENOSYS, which names the nearest one."""
    if name in COMMANDS:
        return COMMANDS[name]
    near = difflib.get_close_matches(name[:60], COMMANDS, n=1)
    raise UsageError(
        f"there is no command {name[:60]!r}",
        errno=errno.ENOSYS,
        hint=f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}",
    )


def begin(system: System, name: str, given: Mapping[str, object]) -> Answer:
    """Starts a command with parameters by their names. Raises CtoffloadError, here or in a step."""
    command = find(name)
    return command.run(system, **command.arguments(given))


def document(system: System, name: str, /, **given: object) -> Document:
    """Runs a command that answers a document, in one go; parameters with _ for -.

    Raises UsageError for one that answers rows, and CtoffloadError as the command does.
    """
    steps = begin(system, name, {key.replace("_", "-"): value for key, value in given.items()})
    if isinstance(steps, dict):
        return steps
    if find(name).answers is not Answers.DOCUMENT:
        raise UsageError(f"{name} answers rows, not a document", op=name)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Document = end.value
            return made
