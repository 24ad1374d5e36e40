"""Devices as users name them: PCI addresses, network interfaces, virtual devices; and why DPDK did not take one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ctoffload_dpdk.base.errors import PortError, UsageError

PCI = re.compile(r"(?:([0-9a-fA-F]{4}):)?([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")
INTERFACES = Path("/sys/class/net")
NETWORK_CLASS = "0x02"
MELLANOX = 0x15B3
# Kernel drivers through which DPDK reaches a device from user space.
USER_SPACE = ("vfio-pci", "uio_pci_generic", "igb_uio")


class Name(click.ParamType[str]):
    """Text that DPDK gets as it is: a virtual device, or a file prefix, of which it makes a directory."""

    name = "text"

    def __init__(self, pattern: str, what: str) -> None:
        self.pattern, self.what = pattern, what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not re.fullmatch(self.pattern, text):
            self.fail(f"{text!r} is not {self.what}", param, ctx)
        return text


VDEV = Name(r"[!-+\--~][ -~]*", "the name of a virtual device, and its arguments behind a comma: net_nicsim0,switch=1")


@dataclass(frozen=True)
class Device:
    """What EAL is given for a port: a PCI device or a virtual one, with its driver's arguments."""

    name: str
    args: str
    is_pci: bool

    @property
    def devargs(self) -> str:
        return ",".join(filter(None, (self.name, self.args)))

    def names(self, port: str) -> bool:
        """Whether a port of this name is one of this device's: itself, or a representor of it."""
        return port == self.name or port.startswith(f"{self.name}_representor_")


def pci_devices() -> Path:
    """Where the kernel lists PCI devices; EAL reads the same variable."""
    return Path(os.environ.get("SYSFS_PCI_DEVICES", "/sys/bus/pci/devices"))


def find_device(text: str) -> Device:
    """The PCI device that a user named, by address or by network interface, with ",arguments" for its driver.

    Raises UsageError where it is neither, PortError where there is no such device.
    """
    name, _, args = text.partition(",")
    address = PCI.fullmatch(name)
    if address is None:
        address = address_of_interface(name)
    full = f"{address[1] or '0000'}:{address[2]}".lower()
    if not (pci_devices() / full).is_dir():
        raise PortError(f"there is no PCI device {full}", port=full, hint=there_are())
    return Device(full, args, True)


def address_of_interface(name: str) -> re.Match[str]:
    """The PCI address of a network interface of the kernel.

    Raises UsageError where there is no such interface, PortError where it is none of a PCI device.
    """
    interface = INTERFACES / name
    if "/" in name or not interface.is_dir():
        raise UsageError(
            f"{name} is neither a PCI address, nor a network interface, nor a device given with --vdev",
            port=name,
            hint=f"name a port as 0000:03:00.0 or as ip link does; {there_are()}",
        )
    address = PCI.fullmatch((interface / "device").resolve().name)
    if address is None:
        raise PortError(
            f"{name} is not a PCI device; DPDK drives it with a virtual device, if at all",
            port=name,
            hint=f"for example: ctoffload capabilities --vdev net_af_packet0,iface={name}",
        )
    return address


def there_are() -> str:
    """The network devices of this machine, in words."""
    found = []
    for device in sorted(pci_devices().glob("*")):
        if read(device / "class").startswith(NETWORK_CLASS):
            found.append(f"{device.name} ({kernel_driver(device) or 'no kernel driver'})")
    return f"network devices here: {', '.join(found) or 'none'}"


def read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def number(path: Path) -> int:
    text = read(path)
    return int(text, 16) if text else 0


def kernel_driver(device: Path) -> str:
    """The kernel driver that a PCI device is bound to; empty where there is none."""
    link = device / "driver"
    return link.resolve().name if link.exists() else ""


def not_taken(device: Device, log: str) -> PortError:
    """The error for a device of which DPDK made no port. log: DPDK's error lines."""
    said = f": {log}" if log else ""
    if not device.is_pci:
        hint = "give the name of a driver that is installed, and arguments that it knows"
        return PortError(f"DPDK made no port of {device.name}{said}", port=device.name, hint=hint)
    return PortError(f"no DPDK driver took {device.name}{said}", port=device.name, hint=what_to_do(device))


def what_to_do(device: Device) -> str:
    """The next step for a PCI device of which DPDK made no port."""
    path = pci_devices() / device.name
    vendor, model, bound = number(path / "vendor"), number(path / "device"), kernel_driver(path)
    rights = "" if os.geteuid() == 0 else "run as root; "
    if not served(vendor, model):
        return (
            f"no installed DPDK driver serves {vendor:04x}:{model:04x}; see: ctoffload pmdinfo --device VENDOR:DEVICE"
        )
    if vendor == MELLANOX:
        if bound in USER_SPACE:
            return f"a ConnectX stays with its kernel driver: bind {device.name} to mlx5_core, not to {bound}"
        return f"{rights}mlx5 needs mlx5_core and ib_uverbs loaded, /dev/infiniband, and CAP_NET_RAW, CAP_NET_ADMIN"
    if bound in USER_SPACE:
        return f"{rights}it is bound to {bound}: is /dev/vfio readable, and do its drivers need --hugepages?"
    return f"{rights}it belongs to {bound or 'no kernel driver'}: dpdk-devbind.py --bind=vfio-pci {device.name}"


def served(vendor: int, model: int) -> bool:
    """Whether an installed DPDK driver knows this device."""
    from ctoffload_dpdk.cli.pmdinfo import drivers, running_dpdk  # noqa: PLC0415 - loads DPDK

    known = [i for info in drivers(running_dpdk()) for i in info.pci_ids]
    return any(i.vendor == vendor and i.device == model for i in known)
