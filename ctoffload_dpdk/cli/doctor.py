"""`ctoffload doctor`: whether this machine is fit for offload, and which command mends what is not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctoffload_dpdk.cli.output import Output, output_options, pass_output, printable

if TYPE_CHECKING:
    from ctoffload_dpdk.cli.checks.finding import Finding
    from ctoffload_dpdk.cli.checks.machine import Machine, PciDevice
    from ctoffload_dpdk.cli.checks.software import Software

SCHEMA = 1
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "cyan"}


@click.command()
@click.argument("ports", metavar="[PORT]...", nargs=-1)
@click.option("--quiet", "-q", is_flag=True, help="Only what is not ok.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/",
    metavar="DIR",
    help="Look at copies of /sys, /proc, /dev and /etc below DIR.",
)
@output_options
@pass_output
def doctor(output: Output, ports: tuple[str, ...], quiet: bool, root: Path) -> int:
    """Say whether this machine is fit for offload, and which command mends what is not.

    A PORT is a PCI address or a network interface, with ",arguments" for its DPDK driver
    (0000:03:00.0,dv_flow_en=2); without one, every network device is looked at. Nothing is changed. Exit status 1 if
    something fails.
    """
    from ctoffload_dpdk.cli.checks.machine import Machine  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.cli.checks.software import installed  # noqa: PLC0415

    software = installed()
    found = examine(Machine(root), software, ports)
    failed = any(finding.verdict == "fail" for finding in found)
    shown = [finding for finding in found if not quiet or finding.verdict != "ok"]
    if output.json:
        findings = [finding.as_dict() for finding in shown]
        output.document({"schema": SCHEMA, "fit": not failed, "dpdk": software.version, "findings": findings})
    else:
        click.echo("\n".join([*lines_of(shown), summary(found)]))
    return 1 if failed else 0


def examine(machine: Machine, software: Software, ports: tuple[str, ...] = ()) -> list[Finding]:
    """Every finding: the machine's first, then each device's. ports: as the user names them; none: all there are."""
    from ctoffload_dpdk.cli.checks.finding import ok  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.cli.checks.links import check_links  # noqa: PLC0415
    from ctoffload_dpdk.cli.checks.memory import check_memory  # noqa: PLC0415
    from ctoffload_dpdk.cli.checks.mlx5 import MELLANOX, check_mlx5  # noqa: PLC0415
    from ctoffload_dpdk.cli.checks.rights import check_nodes, check_rights  # noqa: PLC0415
    from ctoffload_dpdk.cli.checks.software import check_software  # noqa: PLC0415
    from ctoffload_dpdk.cli.checks.vfio import check_vfio  # noqa: PLC0415

    devices = chosen(machine, ports)
    found = [*check_software(software), *check_memory(machine), *check_rights(machine)]
    if not devices:
        found.append(ok("network-devices", "none on the PCI bus: emulated NICs, TAP and af_packet work without"))
    for device in devices:
        if device.vendor == MELLANOX:
            found += check_mlx5(device, software)
        else:
            found += check_vfio(device, software, asked=bool(ports))
    for_dpdk = [device for device in devices if ports or device.vendor == MELLANOX]
    return [*found, *check_links(for_dpdk), *check_nodes(machine, for_dpdk)]


def chosen(machine: Machine, ports: tuple[str, ...]) -> list[PciDevice]:
    """The devices that the user named. Raises PortError where there is none of that name."""
    from ctoffload_dpdk.base.errors import PortError  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.cli.checks.machine import PciDevice  # noqa: PLC0415

    there = list(machine.devices())
    if not ports:
        return there
    found = []
    for port in ports:
        name, _, devargs = port.partition(",")
        addresses = {name.lower(), f"0000:{name.lower()}"}
        same = [device for device in there if device.address in addresses or name in device.interfaces]
        if not same:
            names = ", ".join(f"{d.address} ({d.driver or 'no kernel driver'})" for d in there) or "none"
            raise PortError(f"there is no network device {name}", port=name, hint=f"network devices here: {names}")
        found.append(PciDevice(machine, same[0].address, devargs))
    return found


def lines_of(found: list[Finding]) -> list[str]:
    """The findings for people: those of the machine, then those of each device under its address."""
    lines: list[str] = []
    for device in dict.fromkeys(finding.device for finding in found):
        if device:
            lines += ["", device]
        for finding in found:
            if finding.device == device:
                word = click.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
                lines.append(f"{word}{finding.check:<18} {printable(finding.says)}")
                lines += [f"{'':27}{printable(finding.mend)}"] if finding.mend else []
    return lines


def summary(found: list[Finding]) -> str:
    counts = Counter(str(finding.verdict) for finding in found)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in COLOURS if counts[verdict])
    return f"\n{said}"
