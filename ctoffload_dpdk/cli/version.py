"""`ctoffload version`."""

from __future__ import annotations

import platform

import click

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.cli.output import Output, output_options, pass_output


@click.command()
@output_options
@pass_output
def version(output: Output) -> None:
    """Say the versions of this program and of what it runs on."""
    versions = {"ctoffload": __version__, "python": platform.python_version(), "machine": platform.machine()}
    if output.json:
        output.document(versions)
        return
    for name, value in versions.items():
        click.echo(f"{name} {value}")
