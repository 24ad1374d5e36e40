"""ctoffload demo: the main job on emulated ports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctoffload_dpdk.cli.output import Output, Seconds, output_options, pass_output, show

if TYPE_CHECKING:
    from ctoffload_dpdk.demo.view import View


@click.command()
@click.option(
    "--pcap",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Traffic of this capture; default: the example that ships.",
)
@click.option("--generated", is_flag=True, help="Traffic made with scapy.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated traffic.")
@click.option(
    "--pace",
    type=Seconds(0, 3600),
    metavar="SECONDS",
    help="Show the traffic in so many seconds; default: 10 on a terminal, 0 elsewhere.",
)
@output_options
@pass_output
def demo(output: Output, pcap: Path | None, generated: bool, seed: int, pace: float | None) -> int:
    """Run the main job on emulated ports: no NIC, no hugepages, no configuration.

    Two emulated NIC ports are joined by the engine. Side A begins each connection. Software sees the first packets,
    puts established connections into the NIC, and lets them age out on a clock run by hand. At the end every packet,
    connection and rule is accounted for; the exit status is 1 if not.
    """
    from ctoffload_dpdk.demo import traffic as source  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.demo.lab import EAL_ARGS, Lab  # noqa: PLC0415
    from ctoffload_dpdk.demo.run import Demo  # noqa: PLC0415
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415
    from ctoffload_dpdk.settings import Settings  # noqa: PLC0415

    if pcap is not None and generated:
        raise click.UsageError("--pcap and --generated exclude each other")
    traffic = source.generated(seed) if generated else source.from_capture(pcap or source.EXAMPLE)
    view, default_pace = choose_view(
        output, f"{traffic.name}: {len(traffic.packets):,} packets, net_nicsim0 <> net_nicsim1"
    )
    with Eal.start(list(EAL_ARGS)) as eal, Lab(eal, Settings()) as lab:
        account = Demo(lab, traffic, view, default_pace if pace is None else pace).run()
    if output.json:
        output.document(account.as_dict())
    if traffic.error is not None:
        show(traffic.error, output)
    return 0 if account.closed and traffic.error is None else 1


def choose_view(output: Output, title: str) -> tuple[View, float]:
    """The view for where the output goes, and its pace."""
    from ctoffload_dpdk.demo.view import LiveView, PlainView, SilentView  # noqa: PLC0415

    if output.json:
        return SilentView(), 0.0
    console = output.console()
    return (LiveView(console, title), 10.0) if console.is_terminal else (PlainView(console, title), 0.0)
