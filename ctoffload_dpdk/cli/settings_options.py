"""The options every command takes that needs settings: where they come from, and a flag for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctoffload_dpdk.config import Given, given_flags
from ctoffload_dpdk.settings import TABLE

if TYPE_CHECKING:
    from ctoffload_dpdk.config import Tls

Command = TypeVar("Command", bound=Callable[..., Any])

OVSDB_HELP = "Follow other_config of this OVSDB: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT; several with commas."


def source_options(command: Command) -> Command:
    """Adds --config, --ovsdb and the files of an ssl: remote."""
    file = click.Path(path_type=Path)
    options = (
        click.option("--config", "config_file", type=file, metavar="FILE", help="Settings from this TOML file."),
        click.option("--ovsdb", metavar="REMOTE", help=OVSDB_HELP),
        click.option("--private-key", metavar="FILE", help="Our key for ssl:, PEM."),
        click.option("--certificate", metavar="FILE", help="Our certificate for ssl:, PEM."),
        click.option("--ca-cert", metavar="FILE", help="Who signed the OVSDB's certificate, PEM."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def setting_flags(command: Command) -> Command:
    """Adds a flag for each setting of the table; they arrive as keyword arguments of the settings' field names."""
    for setting in reversed(list(TABLE.values())):
        words = f"{setting.doc[0].upper()}{setting.doc[1:]}."
        placeholder = "TEXT" if setting.kind is str else "NUMBER"
        metavar = None if setting.kind is bool else "|".join(setting.choices) or setting.unit.upper() or placeholder
        command = click.option(setting.flag, setting.field, default=None, metavar=metavar, help=words)(command)
    return command


def flags_given(flags: dict[str, Any]) -> dict[str, Given]:
    """The flags as a source. Raises SettingsError for a value one cannot have."""
    return given_flags({setting.name: flags[setting.field] for setting in TABLE.values()})


def tls_from(private_key: str | None, certificate: str | None, ca_cert: str | None) -> Tls | None:
    """The files of an ssl: remote: all three or none."""
    from ctoffload_dpdk.config import Tls  # noqa: PLC0415 - the ovs package is slow to load

    if private_key and certificate and ca_cert:
        return Tls(private_key, certificate, ca_cert)
    if private_key or certificate or ca_cert:
        raise click.UsageError("--private-key, --certificate and --ca-cert belong together")
    return None
