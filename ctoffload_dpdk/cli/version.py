"""`ctoffload version`."""

from __future__ import annotations

import ctypes
import platform

import click

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.cli.output import Output, output_options, pass_output


@click.command()
@output_options
@pass_output
def version(output: Output) -> None:
    """Say the versions of this program and of what it runs on."""
    versions = {"ctoffload": __version__, "dpdk": dpdk_version(), "python": platform.python_version()}
    if output.json:
        output.document(versions)
        return
    for name, value in versions.items():
        click.echo(f"{name} {value or 'cannot be loaded'}")


def dpdk_version() -> str | None:
    """The version of the DPDK that this process runs on, None where it cannot be loaded."""
    try:
        from ctoffload_dpdk.cli.pmdinfo import running_dpdk  # noqa: PLC0415 - loads DPDK
    except ImportError:
        return None
    library = ctypes.CDLL(str(running_dpdk()))
    library.rte_version.restype = ctypes.c_char_p
    text: bytes = library.rte_version()
    return text.decode().removeprefix("DPDK ")
