"""The part of sysfs that the driver looks at before it opens the device: one PCI function and its RDMA device."""

from __future__ import annotations

from pathlib import Path

PCI_ADDRESS = "0000:af:00.0"
VENDOR = 0x15B3
N_RESOURCES = 7


def make_tree(root: Path, interfaces: list[str], device: int) -> None:
    """Writes the tree below root; interfaces: of the ports, in their order; device: its PCI device id."""
    pci = root / "pci" / PCI_ADDRESS
    rdma = root / "infiniband" / "mlx5_0" / "device"
    driver = root / "drivers" / "mlx5_core"
    for directory in (pci, rdma, driver):
        directory.mkdir(parents=True)
    numbers = {
        "vendor": VENDOR,
        "device": device,
        "subsystem_vendor": VENDOR,
        "subsystem_device": 0x0040,
        "class": 0x020000,
    }
    for name, number in numbers.items():
        (pci / name).write_text(f"{number:#06x}\n")
    (pci / "numa_node").write_text("0\n")
    (pci / "resource").write_text("0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * N_RESOURCES)
    (pci / "driver").symlink_to(driver)
    (rdma / "uevent").write_text(f"DRIVER=mlx5_core\nPCI_SLOT_NAME={PCI_ADDRESS}\n")
    for number, name in enumerate(interfaces):
        interface = rdma / "net" / name
        interface.mkdir(parents=True)
        (interface / "dev_port").write_text(f"{number}\n")
