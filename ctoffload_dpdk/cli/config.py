"""ctoffload config: what the settings are, where each comes from, what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.cli.output import Output, output_options, pass_output, printable, show
from ctoffload_dpdk.cli.settings_options import flags_given, setting_flags, source_options, tls_from
from ctoffload_dpdk.config import Configuration, Given, Sources, check_toml
from ctoffload_dpdk.settings import TABLE, ContradictionError, Setting, Value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@output_options
def config() -> None:
    """Show and check settings.

    They come from a TOML file (table [other_config]), from an OVSDB (column other_config of Open_vSwitch) and from
    flags; later ones win.
    """


@config.command("show")
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
@source_options
@setting_flags
@output_options
@pass_output
def show_settings(output: Output, /, changed: bool, config_file: Path | None, ovsdb: str | None, **given: Any) -> int:
    """Show each setting's value and where it comes from."""
    sources = Sources(flags=flags_given(given))
    problems: list[SettingsError] = []
    if config_file is not None:
        sources.file, problems = check_toml(config_file)
    if ovsdb is not None:
        sources.ovsdb, more = read_row(ovsdb, given)
        problems += more
    configuration = sources.resolve()
    names = [name for name in TABLE if not changed or configuration.origins[name].source != "default"]
    if output.json:
        output.document(as_document(configuration, names, problems))
    else:
        print_settings(output, configuration, names)
    for problem in problems if not output.json else []:
        show(problem, output)
    return 1 if problems else 0


@config.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@source_options
@output_options
@pass_output
def check(output: Output, /, files: tuple[Path, ...], config_file: Path | None, ovsdb: str | None, **given: Any) -> int:
    """Say all that is wrong in settings files and in an OVSDB's row; exit status 1 if something is."""
    places: dict[str, tuple[Mapping[str, Given], list[SettingsError]]] = {}
    for path in [*files, *([config_file] if config_file else [])]:
        places[str(path)] = whole_or_error(path)
    if ovsdb is not None:
        row, errors = read_row(ovsdb, given)
        places[f"OVSDB {ovsdb}"] = row, [*errors, *contradictions(row)]
    if not places:
        raise click.UsageError("nothing to check: name a FILE, or give --ovsdb REMOTE")
    n_wrong = sum(len(errors) for _, errors in places.values())
    if output.json:
        found = {
            p: {"settings": len(g), "problems": [e.as_dict() for e in errors]} for p, (g, errors) in places.items()
        }
        output.document({"schema": 1, "checked": found, "problems": n_wrong})
        return 1 if n_wrong else 0
    for place, (settings, errors) in places.items():
        click.echo(f"{place}: {len(settings)} right, {len(errors) or 'nothing'} wrong")
        for error in errors:
            show(error, output)
    return 1 if n_wrong else 0


@config.command()
@click.option("--format", "form", type=click.Choice(["table", "markdown"]), default="table", help="Of the text.")
@output_options
@pass_output
def schema(output: Output, form: str) -> None:
    """List every setting: what it does, its default and range, its flag and its key in OVSDB."""
    if output.json:
        output.document({"schema": 1, "settings": [as_row(s) for s in TABLE.values()]})
    elif form == "markdown":
        click.echo(markdown(), nl=False)
    else:
        print_schema(output)


@config.command()
@click.argument("name", required=False)
@output_options
@pass_output
def running(output: Output, name: str | None) -> None:
    """Show the settings of a running daemon, or the one of that NAME, with their origins."""
    show_running(output, ask_running(output, name=name))


@config.command("set")
@click.argument("name")
@click.argument("value")
@output_options
@pass_output
def set_running(output: Output, name: str, value: str) -> None:
    """Set one setting of a running daemon, until its file's or OVSDB's value of that key changes."""
    show_running(output, ask_running(output, name=name, value=value))


def ask_running(output: Output, **parameters: Any) -> dict[str, Any]:
    from ctoffload_dpdk.control.client import Client  # noqa: PLC0415 - most of this room speaks with no daemon

    with Client(output.socket) as daemon:
        return daemon.call("config", **parameters)


def show_running(output: Output, answer: dict[str, Any]) -> None:
    """Settings of a running daemon, those that wait, and what is wrong in its sources."""
    if output.json:
        output.document({"schema": 1, **answer})
        return
    for name, setting in answer["settings"].items():
        value = str(setting["value"]).lower() if isinstance(setting["value"], bool) else str(setting["value"])
        click.echo(f"{name} = {printable(value)}  ({printable(setting['origin'])})")
    for name in answer["waiting"]:
        click.echo(f"{name} takes effect at the next start", err=True)
    for problem in answer["problems"]:
        click.echo(f"problem: {printable(problem['message'])}", err=True)


def whole_or_error(path: Path) -> tuple[Mapping[str, Given], list[SettingsError]]:
    """What a file gives and what is wrong with it; a file that cannot be read is one thing wrong."""
    try:
        given, errors = check_toml(path)
    except SettingsError as error:
        return {}, [error]
    return given, [*errors, *contradictions(given)]


def contradictions(given: Mapping[str, Given]) -> list[SettingsError]:
    """What one source contradicts itself in, or the defaults."""
    try:
        Sources(file=given).resolve()
    except ContradictionError as error:
        return [error]
    return []


def read_row(remotes: str, given: Mapping[str, Any]) -> tuple[dict[str, Given], list[SettingsError]]:
    """What an OVSDB's row gives and what is wrong with it. Raises SettingsError where it cannot be reached."""
    from ctoffload_dpdk.config.reach import read_once  # noqa: PLC0415 - the ovs package is slow to load

    source = read_once(remotes, tls=tls_from(given["private_key"], given["certificate"], given["ca_cert"]))
    source.close()
    return source.given, source.problems


def as_document(configuration: Configuration, names: list[str], problems: list[SettingsError]) -> dict[str, Any]:
    return {
        "schema": 1,
        "settings": {
            name: {
                "value": configuration.settings[name],
                "source": configuration.origins[name].source,
                "where": configuration.origins[name].where,
            }
            for name in names
        },
        "problems": [p.as_dict() for p in problems],
    }


def text(value: Value) -> str:
    """A value as a settings file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def print_settings(output: Output, configuration: Configuration, names: list[str]) -> None:
    from rich.table import Table  # noqa: PLC0415 - --help does without

    table = Table(box=None, pad_edge=False)
    for title, justify in (("setting", "left"), ("value", "right"), ("unit", "left"), ("from", "left")):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name in names:
        origin = str(configuration.origins[name])
        table.add_row(name, text(configuration.settings[name]), TABLE[name].unit, origin)
    output.table(table)


def as_row(setting: Setting) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": setting.name,
        "type": setting.kind.__name__,
        "default": setting.default,
        "allowed": setting.allowed,
        "live": setting.live,
        "flag": setting.flag,
        "ovsdb": setting.ovsdb_key,
        "doc": setting.doc,
    }
    if setting.kind is int:
        row |= {"minimum": setting.minimum, "maximum": setting.maximum, "unit": setting.unit}
    if setting.choices:
        row["choices"] = list(setting.choices)
    return row


def print_schema(output: Output) -> None:
    from rich.table import Table  # noqa: PLC0415 - --help does without

    table = Table(box=None, pad_edge=False)
    for title in ("setting", "default", "allowed", "takes effect", "what it does"):
        table.add_column(title, overflow="fold")
    for s in TABLE.values():
        table.add_row(s.name, text(s.default), s.allowed, "at once" if s.live else "at the next start", s.doc)
    output.table(table)


def escaped(words: str) -> str:
    """Words as a cell of a Markdown table."""
    return words.replace("|", "\\|")


def markdown() -> str:
    """The reference page of the settings."""
    lines = [
        "# Settings",
        "",
        "<!-- made by: ctoffload config schema --format markdown -->",
        "",
        "The same names stand in a TOML file under `[other_config]`, in OVSDB as `other_config:NAME` of the table",
        "Open_vSwitch, and as flags `--NAME VALUE` (`--NAME`, `--no-NAME` for true and false). Flags win over OVSDB,",
        "OVSDB over the file, the file over the default. `ctoffload config show` says where each value comes from.",
        "",
        "| setting | default | allowed | takes effect | what it does |",
        "|---|---|---|---|---|",
    ]
    for s in TABLE.values():
        effect = "at once" if s.live else "at the next start"
        lines.append(f"| `{s.name}` | {text(s.default)} | {escaped(s.allowed)} | {effect} | {s.doc} |")
    return "\n".join(lines) + "\n"
