"""The command `ctoffload`: finds the sub-command, turns every error into words and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.base.errors import CtoffloadError, UsageError, errno_name
from ctoffload_dpdk.cli.output import output_options, show_error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FAILURE, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141

# name: (module, command object, what it does); a module is imported only when its command runs.
COMMANDS = {
    "bench": ("ctoffload_dpdk.cli.bench", "bench", "Measure the rates of this machine, with the emulated NIC."),
    "capabilities": (
        "ctoffload_dpdk.cli.capabilities",
        "capabilities",
        "Say what ports can do for offload, and which plan follows.",
    ),
    "capture": ("ctoffload_dpdk.cli.capture", "capture", "Write what software handles into a pcapng file."),
    "completion": ("ctoffload_dpdk.cli.completion", "completion", "Print the script that makes a shell complete this."),
    "config": ("ctoffload_dpdk.cli.config", "config", "Show and check settings: TOML files, OVSDB, flags."),
    "demo": ("ctoffload_dpdk.cli.demo", "demo", "Run the main job on emulated ports: no NIC, no configuration."),
    "doctor": ("ctoffload_dpdk.cli.doctor", "doctor", "Say whether this machine is fit, and what mends it."),
    "man": ("ctoffload_dpdk.cli.man", "man", "Print the manual page."),
    "nicsim": ("ctoffload_dpdk.cli.nicsim", "nicsim", "Look into the emulated NICs of a running process."),
    "pmdinfo": ("ctoffload_dpdk.cli.pmdinfo", "pmdinfo", "Say which devices the DPDK drivers in a file serve."),
    "replay": ("ctoffload_dpdk.cli.replay", "replay", "Track the connections of a capture file."),
    "top": ("ctoffload_dpdk.cli.top", "top", "Watch a running daemon: connections, rates, reasons, queues."),
    "version": ("ctoffload_dpdk.cli.version", "version", "Say the versions of this program and of what it runs on."),
    "run": ("ctoffload_dpdk.cli.run", "run", "Join two ports as a stateful bump in the wire, until told to stop."),
    "explain": ("ctoffload_dpdk.cli.remote", "explain", "Say why a connection is in hardware or not."),
    "rules": ("ctoffload_dpdk.cli.remote", "rules", "Say what is in the NIC, and by which plans."),
    "dump": (
        "ctoffload_dpdk.cli.remote",
        "dump",
        "List the connections of a running daemon, with their offload state.",
    ),
    "count": ("ctoffload_dpdk.cli.remote", "count", "Say how many connections there are."),
    "flush": ("ctoffload_dpdk.cli.remote", "flush", "End connections: those that fit, or all."),
    "get": ("ctoffload_dpdk.cli.remote", "get", "Show one connection."),
    "del": ("ctoffload_dpdk.cli.remote", "delete", "End one connection."),
    "events": ("ctoffload_dpdk.cli.remote", "events", "Say what happens to connections, as it happens."),
    "stats": ("ctoffload_dpdk.cli.remote", "stats", "Show everything that is counted."),
    "providers": ("ctoffload_dpdk.cli.remote", "providers", "List the providers and their figures."),
    "status": ("ctoffload_dpdk.cli.remote", "status", "Say who runs, on what ports, and without what."),
    "offload": ("ctoffload_dpdk.cli.remote", "offload", "Switch offload on or off while it runs."),
    "ports": ("ctoffload_dpdk.cli.remote", "ports", "List the ports; take one out, or put it back."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - --help does without

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name][2]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@output_options
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Connection tracking offload to NICs through DPDK rte_flow."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command line. Returns the exit status: 0, 1 failure, 2 wrong usage, 130 interrupted, 141 broken pipe."""
    try:
        if "_CTOFFLOAD_COMPLETE" in os.environ:
            cli.main(list(arguments), prog_name="ctoffload")  # click answers the shell and exits
        # Not cli.main: it makes status 1 of a broken pipe.
        with cli.make_context("ctoffload", list(arguments)) as context:
            result = cli.invoke(context)
        sys.stdout.flush()
    except BaseException as error:
        if os.environ.get("CTOFFLOAD_TRACEBACK") == "1" and not isinstance(error, click.ClickException | UsageError):
            raise
        status, facts = explain(error)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.format_message(), err=True)
        elif facts:
            options = set(arguments[: arguments.index("--")] if "--" in arguments else arguments)
            pretty = "--pretty" in options
            # Flags may be joined: -jn 5.
            json = pretty or any(option == "--json" or option.startswith("-j") for option in options)
            show_error(facts, json=json, pretty=pretty)
        _discard_output()
        return status
    return result if isinstance(result, int) else 0


def explain(error: BaseException) -> tuple[int, dict[str, str | int]]:  # noqa: PLR0911 - one line per kind of error
    """Exit status and facts of what stopped the command; no facts where nothing is to be said."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code, {}
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED, {}
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE, {}
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILURE, {}
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "ctoffload"
        return USAGE, {"error": "UsageError", "message": error.format_message(), "hint": f"see: {command} --help"}
    if isinstance(error, click.ClickException):
        return error.exit_code, {"error": type(error).__name__, "message": error.format_message()}
    if isinstance(error, CtoffloadError):
        return USAGE if isinstance(error, UsageError) else FAILURE, error.as_dict()
    if isinstance(error, MemoryError):
        return FAILURE, {"error": "MemoryError", "message": "too little memory"}
    if isinstance(error, ImportError) and (facts := not_loaded(error)):
        return FAILURE, facts
    if isinstance(error, OSError) and error.errno:
        what = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str) else ""
        facts = {"error": "OSError", "message": f"{what}{error.strerror}", "errno": error.errno}
        return FAILURE, {**facts, "errno_name": errno_name(error.errno)}
    return FAILURE, bug(error)


def not_loaded(error: ImportError) -> dict[str, str | int]:
    """What is said where our own compiled modules or DPDK's libraries are missing; nothing for other imports."""
    if (error.name or "").startswith("ctoffload_dpdk.") and (error.name or "").rpartition(".")[2].startswith("_"):
        return {
            "error": "NotBuilt",
            "message": f"{error.name} is not built",
            "hint": "in the source tree, run: make build",
        }
    from ctoffload_dpdk.base.libraries import missing  # noqa: PLC0415 - seldom needed, and --help is to be quick

    said = missing(error)
    return said.as_dict() if said else {}


def bug(error: BaseException) -> dict[str, str | int]:
    """What is said of an exception nobody foresaw."""
    at = error.__traceback__
    while at and at.tb_next:
        at = at.tb_next
    place = f" ({at.tb_frame.f_code.co_filename} line {at.tb_lineno})" if at else ""
    return {
        "error": "Bug",
        "message": f"a bug in ctoffload: {type(error).__name__}: {error}{place}",
        "hint": "run it again with CTOFFLOAD_TRACEBACK=1 and report what it prints",
    }


def _discard_output() -> None:
    """What is still buffered goes nowhere, or Python would complain at exit of the pipe or disk that is at fault."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _open_standard_streams() -> None:
    """Puts something where standard input, output or error was closed, or the next file or socket gets its number.

    What is written there, or read, fails as it would without.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives


def main() -> None:
    _open_standard_streams()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
