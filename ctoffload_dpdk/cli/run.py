"""`ctoffload run`: a stateful bump in the wire, until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

import click

from ctoffload_dpdk.cli.devices import VDEV, Device, Name, find_device
from ctoffload_dpdk.cli.output import Output, output_options, pass_output
from ctoffload_dpdk.cli.settings_options import flags_given, setting_flags, source_options, tls_from
from ctoffload_dpdk.settings.cpus import MAX_CPU, mask_of

# How long the start waits for an OVSDB's first answer, so that settings of the start can stand there.
OVSDB_PATIENCE_S = 3.0
# What DPDK has room for as it is built (RTE_MAX_MEM_MB); of twice as much rte_eal_init() dies.
MOST_MEMORY_MB = 1 << 19


FILE_PREFIX = Name(r"(?!\.)[!-.0-~]{1,64}", "a prefix of 1 to 64 ASCII characters without / and no dot ahead")


@click.command()
@click.argument("ports", metavar="PORT [PORT]", nargs=-1)
@click.option(
    "--vdev",
    "vdevs",
    type=VDEV,
    multiple=True,
    metavar="NAME[,ARGS]",
    help="Make this virtual device; may be repeated, in order.",
)
@click.option(
    "--hugepages/--no-hugepages", default=None, help="Memory from hugepages, or ordinary; default: hugepages if free."
)
@click.option("--memory", type=click.IntRange(64, MOST_MEMORY_MB), default=256, show_default=True, help="MiB for DPDK.")
@click.option(
    "--file-prefix", type=FILE_PREFIX, default="ctoffload", show_default=True, help="Of DPDK's own files and sockets."
)
@click.option("--cores", metavar="LIST", help="CPUs of the loops, as 2,3 or 2-5: --pmd-cpu-mask in other words.")
@source_options
@setting_flags
@output_options
@pass_output
def run(
    output: Output,
    /,
    ports: tuple[str, ...],
    vdevs: tuple[str, ...],
    config_file: Path | None,
    ovsdb: str | None,
    **given: Any,
) -> int:
    """Join two PORTs as a stateful bump in the wire; one: a hairpin.

    A PORT is a PCI address or a network interface, with ",arguments" for its DPDK driver, or the name of a --vdev;
    without any, the virtual devices are the ports. What arrives at one is tracked, judged by the policy, and sent by
    the other; connections that the NIC can carry go into it. SIGTERM and SIGINT take everything out of the NIC and end
    with an account, SIGHUP reads the settings file again.
    """
    from ctoffload_dpdk.cli.daemon import Daemon, Plan  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.control.front_ends import serve_front_ends  # noqa: PLC0415
    from ctoffload_dpdk.control.paths import SOCKET, make_runtime_directory  # noqa: PLC0415
    from ctoffload_dpdk.demo.view import account_lines, verdict  # noqa: PLC0415

    virtual = [Device(*vdev.partition(",")[::2], False) for vdev in vdevs]
    devices = chosen(ports, virtual)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    if given["cores"] is not None:
        if given["pmd_cpu_mask"] is not None:
            raise click.UsageError("--cores and --pmd-cpu-mask say the same: leave one out")
        given["pmd_cpu_mask"] = mask_of_cores(given["cores"])
    plan = Plan(
        devices=devices,
        virtual=virtual,
        socket=Path(output.socket) if output.socket else make_runtime_directory() / SOCKET,
        hugepages=given["hugepages"],
        memory_mb=given["memory"],
        file_prefix=given["file_prefix"],
        extras=[serve_front_ends],
    )
    with contextlib.closing(watch_of(config_file, ovsdb, given)) as watch:
        account = Daemon(plan, watch).run()
    if output.json:
        output.document(account.as_dict())
    else:
        console = output.console()
        console.print(account_lines(account), highlight=False, soft_wrap=True)
        console.print(verdict(account), highlight=False)
    return 0 if account.closed else 1


def chosen(ports: tuple[str, ...], virtual: list[Device]) -> list[Device]:
    """The devices of the ports that are joined."""
    named = {device.name: device for device in virtual}
    devices = [named.get(port) or find_device(port) for port in ports] or virtual
    if not 1 <= len(devices) <= 2:
        raise click.UsageError(
            "name one or two PORTs, or make them with --vdev; two emulated ones: "
            "--vdev net_nicsim0,switch=1 --vdev net_nicsim1,switch=1"
        )
    if len(devices) == 2 and devices[0].name == devices[1].name:
        raise click.UsageError(f"{devices[0].name} was named twice; a hairpin is one PORT")
    return devices


def mask_of_cores(text: str) -> str:
    """CPUs as 2,3 or 2-5, as pmd-cpu-mask has them. Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        is_list = all(
            end.isascii() and end.isdecimal() and len(end) <= len(str(MAX_CPU)) for end in (first, last or first)
        )
        if not (is_list and int(first) <= int(last or first) <= MAX_CPU):
            raise click.UsageError(f"--cores cannot be {text!r}; it is a list of CPUs: 2,3 or 2-5")
        found += range(int(first), int(last or first) + 1)
    return mask_of(found)


def watch_of(config_file: Path | None, ovsdb: str | None, given: dict[str, Any]) -> Any:
    """The configuration, followed. What the OVSDB says holds from the start, where it answers in time."""
    from ctoffload_dpdk.cli.version import dpdk_version  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.config import OvsdbOwner, OvsdbSource, Watch  # noqa: PLC0415

    source = owner = None
    if ovsdb is not None:
        tls = tls_from(given["private_key"], given["certificate"], given["ca_cert"])
        source = OvsdbSource(ovsdb, tls=tls)
        owner = OvsdbOwner(ovsdb, f"DPDK {dpdk_version()}", tls=tls)
    watch = Watch(file=config_file, flags=flags_given(given), ovsdb=source, owner=owner)
    watch.wait(OVSDB_PATIENCE_S)
    return watch
