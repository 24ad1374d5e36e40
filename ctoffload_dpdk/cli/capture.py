"""`ctoffload capture`: packets of a running daemon's software path, into a pcapng file."""

from __future__ import annotations

import sys
import time
from typing import IO, Any

import click

from ctoffload_dpdk.cli.output import Output, Seconds, as_json, output_options, pass_output
from ctoffload_dpdk.cli.remote import FILTERS, client, with_options


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("-n", "--number", type=click.IntRange(1), metavar="N", help="End after so many packets.")
@click.option("--seconds", type=Seconds(0.01, 86400 * 366), metavar="S", help="End after so long.")
@click.option(
    "--snaplen", type=click.IntRange(1, 65535), metavar="BYTES", help="Keep so much of each packet; default: all."
)
@click.option("--ring", type=click.IntRange(1, 256), metavar="MIB", help="Memory between loop and writer; default: 8.")
@with_options(FILTERS)
@output_options
@pass_output
def capture(output: Output, /, file: str, seconds: float | None, **given: Any) -> None:
    """Write what software handles into FILE, as pcapng; - is standard output.

    Each packet is taken just before it is sent on or dropped: translated, with its verdict and the offload state of its
    connection as a comment. Packets that the NIC forwards are not of the software path. Filters are about connections:
    with one, packets that belong to none are left out. Ends with Ctrl-C; packets that the writer was too slow for are
    counted in the file and said at the end.

    \b
    ctoffload capture - -p tcp --dport 443 | tshark -r - -T fields -e frame.comment
    """
    if file == "-" and sys.stdout.isatty():
        raise click.UsageError("a capture is no text: name a FILE, or lead standard output into a pipe")
    # Lazy: what the daemon refuses leaves a file of that name as it was.
    with client(output) as daemon, click.open_file(file, "wb", lazy=file != "-") as stream:
        written, dropped = copied(daemon, given, stream, seconds)
    if output.json:
        facts = {"schema": 1, "file": file, "packets": written, "dropped": dropped}
        click.echo(as_json(facts, pretty=output.pretty), err=file == "-")
    else:
        click.echo(f"{written} packets have been captured, {dropped} were dropped", err=True)


def copied(daemon: Any, parameters: dict[str, Any], stream: IO[Any], seconds: float | None) -> tuple[int, int]:
    """(packets written, packets dropped by the daemon), when it ends or is told to."""
    import base64  # noqa: PLC0415 - --help does without

    from ctoffload_dpdk.base.pcapng import statistics  # noqa: PLC0415

    written = captured = dropped = 0
    until = time.monotonic() + seconds if seconds else None
    try:
        for row in daemon.rows_until("capture", parameters, until):
            written, captured, dropped = written + row["packets"], row["captured"], row["dropped"]
            stream.write(base64.b64decode(row["blocks"]))
            stream.flush()
    except KeyboardInterrupt:
        pass
    finally:
        if captured or written:
            stream.write(statistics(0, time.time_ns(), captured + dropped, dropped))
    return written, dropped
