"""What holds for the interfaces of any NIC: MTU, link, PCI Express."""

from __future__ import annotations

from collections.abc import Iterator

from ctoffload_dpdk.cli.checks.finding import Finding, ok, warn
from ctoffload_dpdk.cli.checks.machine import PciDevice


def check_links(devices: list[PciDevice]) -> Iterator[Finding]:
    """Ports that are meant to be joined should be alike; a card should have all lanes it can use."""
    mtus = {
        (device.address, name): device.machine.number("sys/class/net", name, "mtu")
        for device in devices
        for name in device.interfaces
    }
    known = {key: mtu for key, mtu in mtus.items() if mtu > 0}
    largest = max(known.values(), default=0)
    for (address, name), mtu in known.items():
        if mtu == largest:
            yield ok("mtu", f"{name}: {mtu}", address)
        else:
            says = f"{name}: {mtu}, while another port has {largest}: larger packets are dropped between them"
            yield warn("mtu", says, address, mend=f"ip link set dev {name} mtu {largest}")
    for device in devices:
        yield from link(device)
        yield from lanes(device)


def link(device: PciDevice) -> Iterator[Finding]:
    for name in device.interfaces:
        state = device.machine.read("sys/class/net", name, "operstate")
        if state == "down":
            yield warn("link", f"{name} is down", device.address, mend=f"ip link set dev {name} up")
        elif state == "up":
            yield ok("link", f"{name} is up", device.address)


def lanes(device: PciDevice) -> Iterator[Finding]:
    now, most = device.number("current_link_width", otherwise=0), device.number("max_link_width", otherwise=0)
    if 0 < now < most:
        says = f"{now} lanes of PCI Express, of {most} that it can use"
        yield warn("pcie", says, device.address, mend="put the card into a wider slot, or look into the BIOS setup")
