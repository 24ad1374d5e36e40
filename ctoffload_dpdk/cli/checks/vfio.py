"""What NICs other than a ConnectX need: vfio-pci, and an IOMMU behind it."""

from __future__ import annotations

from collections.abc import Iterator

from ctoffload_dpdk.cli.checks.finding import Finding, fail, ok, warn
from ctoffload_dpdk.cli.checks.machine import Machine, PciDevice
from ctoffload_dpdk.cli.checks.software import Software

NO_IOMMU = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def check_vfio(device: PciDevice, software: Software, *, asked: bool) -> Iterator[Finding]:
    """All of one NIC. asked: the user named it, so that it is meant for DPDK."""
    served = software.driver_of(device.vendor, device.model, device.subsystem)
    if not served:
        says = f"no installed DPDK driver serves {device.vendor:04x}:{device.model:04x}"
        mend = f"ctoffload pmdinfo --device {device.vendor:04x}:{device.model:04x}"
        yield fail("dpdk-driver", says, device.address, mend=mend) if asked else ok("dpdk-driver", says, device.address)
        return
    yield ok("dpdk-driver", served, device.address)
    yield from binding(device, asked=asked)


def binding(device: PciDevice, *, asked: bool) -> Iterator[Finding]:
    machine = device.machine
    load = "" if machine.module("vfio_pci") else "modprobe vfio-pci && "
    bind = f"{load}dpdk-devbind.py --bind=vfio-pci {device.address}"
    match device.driver:
        case "vfio-pci":
            yield ok("kernel-driver", "vfio-pci", device.address)
            yield iommu(device)
        case "uio_pci_generic" | "igb_uio":
            says = f"{device.driver} lets the NIC write anywhere in memory, and needs root"
            yield warn("kernel-driver", says, device.address, mend=bind)
        case bound:
            in_use = [name for name in device.interfaces if machine.read("sys/class/net", name, "operstate") == "up"]
            says = f"left to the kernel ({bound or 'no driver'}{', ' + in_use[0] + ' is up' if in_use else ''})"
            if asked:
                yield fail("kernel-driver", f"{says}: DPDK cannot take it", device.address, mend=bind)
            else:
                yield ok("kernel-driver", says, device.address, bind)


def iommu(device: PciDevice) -> Finding:
    """vfio-pci without an IOMMU works only in its unsafe mode."""
    machine = device.machine
    group = device.link("iommu_group")
    if not group:
        if machine.read(NO_IOMMU) == "Y":
            says = "none, and vfio runs in its unsafe mode: the NIC can write anywhere in memory"
            return warn("iommu", says, device.address, mend=f"add {kernel_words(machine)} to the kernel's command line")
        mend = f"add {kernel_words(machine)} to the kernel's command line (in a VM without one: echo Y > /{NO_IOMMU})"
        return fail("iommu", "none: vfio-pci cannot hand the NIC to DPDK", device.address, mend=mend)
    file = f"dev/vfio/{group}"
    if not machine.exists(file):
        mend = f"docker run --device=/dev/vfio/vfio --device=/{file} ..."
        return fail("iommu", f"group {group}, but /{file} is not there", device.address, mend=mend)
    if not machine.may_write(file):
        return fail("iommu", f"/{file} may not be opened", device.address, mend=f"sudo chown $USER /{file}")
    return ok("iommu", f"group {group}, /{file}", device.address)


def kernel_words(machine: Machine) -> str:
    return "amd_iommu=on iommu=pt" if "AuthenticAMD" in machine.read("proc/cpuinfo") else "intel_iommu=on iommu=pt"
