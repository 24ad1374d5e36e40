"""The part of sysfs that the driver looks at before it opens a device: its PCI function and its RDMA device."""

from __future__ import annotations

from pathlib import Path

VENDOR = 0x15B3
N_RESOURCES = 7


def pci_address(number: int) -> str:
    """Of one of the card's PCI functions."""
    return f"0000:af:00.{number}"


PCI_ADDRESS = pci_address(0)


def make_tree(root: Path, number: int, interfaces: list[str], device: int) -> None:
    """Writes one function's part below root; interfaces: of its ports, in their order; device: its PCI device id."""
    pci = root / "pci" / pci_address(number)
    rdma = root / "infiniband" / f"mlx5_{number}" / "device"
    driver = root / "drivers" / "mlx5_core"
    for directory in (pci, rdma, driver):
        directory.mkdir(parents=True, exist_ok=True)
    numbers = {
        "vendor": VENDOR,
        "device": device,
        "subsystem_vendor": VENDOR,
        "subsystem_device": 0x0040,
        "class": 0x020000,
    }
    for name, value in numbers.items():
        (pci / name).write_text(f"{value:#06x}\n")
    (pci / "numa_node").write_text("0\n")
    (pci / "resource").write_text("0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * N_RESOURCES)
    (pci / "driver").symlink_to(driver)
    (rdma / "uevent").write_text(f"DRIVER=mlx5_core\nPCI_SLOT_NAME={pci_address(number)}\n")
    for port, name in enumerate(interfaces):
        interface = rdma / "net" / name
        interface.mkdir(parents=True)
        (interface / "dev_port").write_text(f"{port}\n")
