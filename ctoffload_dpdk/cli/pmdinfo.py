"""`ctoffload pmdinfo`: which devices the DPDK drivers in a file serve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.cli.output import Output, output_options, pass_output, printable
from ctoffload_dpdk.dpdk.pmdinfo import PmdInfo, plugin_directory, read, read_directory

SCHEMA = 1
ID = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})")


class DeviceId(click.ParamType[tuple[int, int]]):
    """VENDOR:DEVICE in hexadecimal, as lspci -n prints it."""

    name = "vendor:device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        found = ID.fullmatch(str(value))
        if not found:
            self.fail(f"{value!r} is not VENDOR:DEVICE as lspci -n prints it, for example 15b3:101d", param, ctx)
        return int(found[1], 16), int(found[2], 16)


@click.command()
@click.argument("paths", metavar="[FILE]...", nargs=-1)
@click.option("--device", type=DeviceId(), metavar="VENDOR:DEVICE", help="Only drivers that serve this device.")
@output_options
@pass_output
def pmdinfo(output: Output, paths: tuple[str, ...], device: tuple[int, int] | None) -> None:
    """Say which devices the DPDK drivers in FILEs serve.

    A FILE is a shared object, an archive, a statically linked program, or a directory of shared objects; of
    librte_eal.so, those that it loads are shown. Without a FILE, the drivers of the DPDK that ctoffload runs on.
    """
    found = [info for path in paths or (running_dpdk(),) for info in drivers(Path(path))]
    if device:
        found = [info for info in found if any((i.vendor, i.device) == device for i in info.pci_ids)]
    if output.json:
        output.document({"schema": SCHEMA, "drivers": [as_dict(info) for info in found]})
    else:
        for info in found:
            click.echo(as_text(info))
        if not found:
            click.echo("no driver found", err=True)


def drivers(path: Path) -> list[PmdInfo]:
    """The drivers in a file or directory, else those it loads."""
    if path.is_dir():
        return read_directory(path)
    found = read(path)
    plugins = None if found else plugin_directory(path)
    return read_directory(plugins) if plugins else found


def running_dpdk() -> Path:
    """The librte_eal.so of this process."""
    libraries = re.findall(r"(/\S*/librte_eal\.so\S*)", Path("/proc/self/maps").read_text())
    if not libraries:
        raise CtoffloadError("no librte_eal.so is loaded", hint="name a file or a directory of drivers")
    return Path(libraries[0])


def as_dict(info: PmdInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "file": str(info.file),
        "parameters": info.parameters,
        "kernel_modules": info.kernel_modules,
        "pci_ids": [
            {
                "vendor": i.vendor,
                "device": i.device,
                "subsystem_vendor": i.subsystem_vendor,
                "subsystem_device": i.subsystem_device,
            }
            for i in info.pci_ids
        ],
    }


def as_text(info: PmdInfo) -> str:
    lines = [f"{printable(info.name)}  {printable(str(info.file))}"]
    ids = list(dict.fromkeys(map(str, info.pci_ids)))
    lines += [
        f"  devices:        {' '.join(ids[i : i + 8])}" if i == 0 else f"{'':18}{' '.join(ids[i : i + 8])}"
        for i in range(0, len(ids), 8)
    ]
    if info.kernel_modules:
        lines.append(f"  kernel modules: {printable(info.kernel_modules)}")
    if info.parameters:
        lines.append(f"  parameters:     {printable(info.parameters)}")
    return "\n".join(lines)
