"""`ctoffload completion`: the script that makes a shell complete this command."""

from __future__ import annotations

import click

from ctoffload_dpdk.cli.output import output_options, pass_output

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CTOFFLOAD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@output_options
@pass_output
def completion(output: object, shell: str) -> None:
    """Print the script that makes SHELL complete this command.

    \b
    bash: ctoffload completion bash > ~/.local/share/bash-completion/completions/ctoffload
    zsh:  ctoffload completion zsh > ~/.zfunc/_ctoffload     (a directory in $fpath)
    fish: ctoffload completion fish > ~/.config/fish/completions/ctoffload.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - --help does without

    from ctoffload_dpdk.cli.main import cli  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(cli, {}, "ctoffload", VARIABLE)
    # Not source(): that runs a bash to see how old it is.
    click.echo(made.source_template % made.source_vars())
