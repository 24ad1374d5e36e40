"""What has to be right before DPDK is asked: rights, hugepages, the device and its kernel driver, the firmware."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ctoffload_dpdk.cli.devices import USER_SPACE, find_device, kernel_driver, number, pci_devices
from hwlab.errors import LabError
from hwlab.inventory import Inventory

MELLANOX = 0x15B3
HUGEPAGES = Path("/sys/kernel/mm/hugepages")


def check(inventory: Inventory) -> None:
    """Raises LabError, or PortError of `find_device`, for what can be seen to be wrong without DPDK."""
    if inventory.host or not inventory.is_real:
        return
    devices = [find_device(text) for text in inventory.dut]
    for device in devices:
        path = pci_devices() / device.name
        bound = kernel_driver(path)
        is_mellanox = number(path / "vendor") == MELLANOX
        if is_mellanox and bound in USER_SPACE:
            raise LabError(
                f"{device.name} is a ConnectX, but bound to {bound}",
                f"it stays with its kernel's driver: dpdk-devbind.py --bind=mlx5_core {device.name}",
                port=device.name,
            )
        if not is_mellanox and bound not in USER_SPACE:
            raise LabError(
                f"{device.name} belongs to {bound or 'no kernel driver'}, where DPDK cannot reach it",
                f"dpdk-devbind.py --bind=vfio-pci {device.name}",
                port=device.name,
            )
    check_rights(devices[0].name)
    check_hugepages(inventory)


def check_rights(device: str) -> None:
    if os.geteuid() != 0 and not has_capabilities():
        raise LabError(
            f"this user may not take {device} from user space",
            "run as root, or give Python CAP_NET_RAW, CAP_NET_ADMIN and CAP_IPC_LOCK (setcap, or a systemd unit)",
            port=device,
        )


def has_capabilities() -> bool:
    """Whether CAP_NET_ADMIN (12) and CAP_NET_RAW (13) are in effect."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return found is not None and int(found[1], 16) >> 12 & 3 == 3


def check_hugepages(inventory: Inventory, place: Path = HUGEPAGES) -> None:
    if not inventory.hugepages:
        return
    free = 0
    for size in place.glob("hugepages-*kB"):
        kilobytes = int(size.name.removeprefix("hugepages-").removesuffix("kB"))
        free += int((size / "free_hugepages").read_text()) * kilobytes // 1024
    if free < inventory.memory_mb:
        pages = -(-inventory.memory_mb // 2)
        raise LabError(
            f"{inventory.memory_mb} MiB of hugepages are needed, {free} MiB are free",
            f"echo {pages} > /proc/sys/vm/nr_hugepages, or less with --memory-mb, or none without --hugepages",
        )


def check_firmware(inventory: Inventory, ports: list[dict[str, Any]]) -> None:
    """Raises LabError where a port's firmware is older than the inventory asks for, or not told."""
    if not inventory.firmware:
        return
    wanted = numbers_of(inventory.firmware)
    for port in ports:
        if port["is_representor"]:
            continue
        if numbers_of(port["firmware"]) < wanted:
            raise LabError(
                f"{port['name']} has firmware {port['firmware'] or 'of a version it does not tell'}, "
                f"the inventory asks for {inventory.firmware} or later",
                "burn a newer one (mlxfwmanager --online -u for a ConnectX) and reset the NIC, or change the inventory",
                port=port["name"],
            )


def numbers_of(version: str) -> tuple[int, ...]:
    """22.35.1012 (MT_0000000359) as numbers."""
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("(")[0]))
