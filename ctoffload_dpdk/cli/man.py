"""`ctoffload man`: the manual page, made from the commands themselves."""

from __future__ import annotations

import click

from ctoffload_dpdk.cli.output import output_options, pass_output


@click.command()
@output_options
@pass_output
def man(output: object) -> None:
    """Print the manual page: every command with its options.

    \b
    ctoffload man | man -l -
    ctoffload man > /usr/local/share/man/man1/ctoffload.1
    """
    from ctoffload_dpdk.cli.main import cli  # noqa: PLC0415 - it imports this module
    from ctoffload_dpdk.cli.man_page import page_of  # noqa: PLC0415 - --help does without

    click.echo(page_of(cli), nl=False)
