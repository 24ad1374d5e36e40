"""How results and errors are shown: text or JSON, decided by options that work before and after the sub-command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctoffload_dpdk.base.errors import CtoffloadError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Output:
    """The global options. pretty implies json; socket: path of the control socket, None for the usual places."""

    json: bool = False
    pretty: bool = False
    socket: str | None = None

    def document(self, content: object) -> None:
        """Writes one JSON document to standard output."""
        click.echo(as_json(content, pretty=self.pretty))

    def console(self) -> Console:
        """Where tables and text for people go."""
        from rich.console import Console  # noqa: PLC0415 - --help does without

        return Console(highlight=False, soft_wrap=not sys.stdout.isatty())

    def table(self, table: Table) -> None:
        """Writes a table: as wide as the terminal, or a row a line where it goes elsewhere."""
        console = self.console()
        if not console.is_terminal:
            console.width = 1000
        console.print(table)


def as_json(content: object, *, pretty: bool) -> str:
    import json  # noqa: PLC0415 - --help does without

    return json.dumps(content, indent=2 if pretty else None)


def printable(text: str) -> str:
    """Text from outside (file names, driver messages) as a terminal may get it: one line, nothing that steers it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_error(facts: dict[str, str | int], *, json: bool, pretty: bool = False) -> None:
    """Says on standard error what failed: message and hint in two lines, or one JSON object."""
    if json:
        text = as_json(facts, pretty=pretty)
    else:
        name = f" [{facts['errno_name']}]" if "errno_name" in facts else ""
        text = f"ctoffload: {printable(str(facts['message']))}{name}"
        if facts.get("hint"):
            text += f"\n  hint: {printable(str(facts['hint']))}"
    click.echo(text, err=True)


def show(error: CtoffloadError, output: Output) -> None:
    """Says an error that did not stop the command."""
    show_error(error.as_dict(), json=output.json, pretty=output.pretty)


class Seconds(click.FloatRange):
    """A time in seconds between two bounds. NaN is between any two for click, and is refused here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if seconds != seconds:  # noqa: PLR0124 - NaN alone is not itself
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


def _store(context: click.Context, parameter: click.Parameter, value: bool | str | None) -> None:
    if value == "":
        raise click.BadParameter("the path of a socket is empty", context, parameter)
    if value:
        output = context.ensure_object(Output)
        setattr(output, str(parameter.name), value)
        output.json = output.json or output.pretty


def output_options(command: Command) -> Command:
    """Adds -j/--json, --pretty and --socket, which work before and after the sub-command."""
    options = (
        click.option("-j", "--json", is_flag=True, expose_value=False, callback=_store, help="Give JSON."),
        click.option("--pretty", is_flag=True, expose_value=False, callback=_store, help="Give indented JSON."),
        click.option(
            "--socket",
            metavar="PATH",
            expose_value=False,
            callback=_store,
            help="Control socket of the engine.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


pass_output = click.make_pass_decorator(Output, ensure=True)
