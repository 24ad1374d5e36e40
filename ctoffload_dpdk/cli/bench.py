"""`ctoffload bench`: the rates of this machine, with the emulated NIC."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctoffload_dpdk.cli.output import Output, output_options, pass_output

if TYPE_CHECKING:
    from rich.table import Table

    from ctoffload_dpdk.demo.rates import Rate

MEMORY_MB = 512


@click.command()
@click.option(
    "--connections",
    type=click.IntRange(64, 1_000_000),
    default=50_000,
    show_default=True,
    metavar="N",
    help="How many connections are made, put into the NIC and taken out.",
)
@output_options
@pass_output
def bench(output: Output, connections: int) -> None:
    """Measure the rates of this machine, with the emulated NIC.

    One core runs the engine between two emulated ports: it tracks, forwards, puts connections into the NIC and takes
    them out. Rates of software are what this machine does; those of rules are with an emulated NIC and say what the
    layers above a driver cost, not what a real NIC does. ns is the time of one, by percentile over bursts.
    """
    from ctoffload_dpdk.demo.lab import EAL_ARGS  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.demo.rates import SCHEMA, Rates  # noqa: PLC0415
    from ctoffload_dpdk.engine import Eal  # noqa: PLC0415

    arguments = list(EAL_ARGS)
    arguments[arguments.index("-m") + 1] = str(MEMORY_MB)
    with Eal.start(arguments) as eal:
        version = eal.version.removeprefix("DPDK ")
        with Rates(eal, connections) as rates:
            found = rates.all()
    if output.json:
        facts = {"schema": SCHEMA, "dpdk": version, "processor": processor(), "connections": connections}
        output.document({**facts, "load": round(os.getloadavg()[0], 2), "rates": [rate.as_dict() for rate in found]})
    else:
        output.table(table_of(found, f"{connections:,} connections, DPDK {version}, {processor()}"))


def processor() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def table_of(rates: list[Rate], title: str) -> Table:
    from rich.table import Table  # noqa: PLC0415 - --help does without

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("per second", "p50 ns", "p90 ns", "p99 ns", "max ns"):
        table.add_column(name, justify="right", no_wrap=True)
    for rate in rates:
        values: list[Any] = [f"{value:,.0f}" for value in rate.percentiles_ns.values()]
        table.add_row(rate.name, f"{rate.per_s:,.0f}", *values)
    return table
