"""`ctoffload top`: a running daemon, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ctoffload_dpdk.cli.output import Output, Seconds, as_json, output_options, pass_output
from ctoffload_dpdk.cli.remote import FILTERS, client, with_options

if TYPE_CHECKING:
    from ctoffload_dpdk.cli.top_text import Look

SCHEMA = 1
# Where it goes into a file or a pipe.
WIDTH = 140


@click.command()
@click.option(
    "--interval",
    type=Seconds(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Between two looks.",
)
@click.option("-n", "--number", type=click.IntRange(1), metavar="N", help="End after N looks; default: 1 unless live.")
@click.option(
    "--rows", type=click.IntRange(0, 200), default=12, show_default=True, metavar="N", help="Show so many connections."
)
@with_options(FILTERS)
@output_options
@pass_output
def top(output: Output, /, interval: float, number: int | None, rows: int, **filters: Any) -> None:
    """Watch a running daemon: connections, rates, what is in hardware and why the rest is not, what providers wait for.

    On a terminal the screen changes until Ctrl-C; elsewhere one look is printed, or N; with --json, a document a line.
    A look goes over all connections, a slice at a time. Filters choose the connections that are shown and told apart by
    reason; rates and rules are of all.
    """
    from ctoffload_dpdk.cli.top_text import Look  # noqa: PLC0415 - --help does without

    is_live = not output.json and number is None and sys.stdout.isatty()
    with client(output) as daemon:

        def look(told: Callable[[Look], None] | None = None) -> Look:
            facts = {name: daemon.call(name) for name in ("status", "stats")}

            def made(found: dict[str, Any]) -> Look:
                return Look(time.monotonic(), **facts, top=found)

            until_now = None if told is None else lambda found: told(made(found))
            return made(daemon.call("top", rows=rows, told=until_now, **filters))

        if is_live:
            watch(output, look, interval)
        else:
            tell(output, look, interval, number or 1)


def watch(output: Output, look: Callable[..., Look], interval: float) -> None:
    """Until Ctrl-C. The first look is drawn as it comes, where there are very many connections."""
    from ctoffload_dpdk.cli.top_text import screen_of  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.demo.screen import LiveScreen  # noqa: PLC0415

    before = None
    with LiveScreen(output.console()) as live:
        while True:
            now = look((lambda now: live.draw(screen_of(now, None))) if before is None else None)
            live.draw(screen_of(now, before))
            before = now
            time.sleep(interval)


def tell(output: Output, look: Callable[..., Look], interval: float, number: int) -> None:
    """So many looks, one after the other."""
    from ctoffload_dpdk.cli.top_text import screen_of  # noqa: PLC0415 - --help does without

    before = None
    for left in reversed(range(number)):
        now = look()
        if output.json:
            click.echo(as_json({"schema": SCHEMA, **now.as_dict(before)}, pretty=output.pretty))
        else:
            console = output.console()
            console.width = console.width if console.is_terminal else WIDTH
            console.print(screen_of(now, before))
        sys.stdout.flush()
        before = now
        if left:
            time.sleep(interval)
