"""What a ConnectX needs: its kernel driver, verbs, firmware, E-Switch and trust."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ctoffload_dpdk.cli.checks.finding import Finding, fail, ok, unknown, warn
from ctoffload_dpdk.cli.checks.machine import PCI_DEVICES, Machine, PciDevice
from ctoffload_dpdk.cli.checks.software import Software

MELLANOX = 0x15B3
USER_SPACE = ("vfio-pci", "uio_pci_generic", "igb_uio")
# Physical functions by PCI id. CONNTRACK and AGE begin with ConnectX-6 Dx.
WITHOUT_CONNTRACK = {0x1013: "ConnectX-4", 0x1015: "ConnectX-4 Lx", 0x1017: "ConnectX-5", 0x1019: "ConnectX-5 Ex",
                     0x101B: "ConnectX-6", 0xA2D2: "BlueField"}  # fmt: skip
WITH_CONNTRACK = {0x101D: "ConnectX-6 Dx", 0x101F: "ConnectX-6 Lx", 0x1021: "ConnectX-7", 0x1023: "ConnectX-8",
                  0xA2D6: "BlueField-2", 0xA2DC: "BlueField-3"}  # fmt: skip
VIRTUAL = {0x1014, 0x1016, 0x1018, 0x101A, 0x101C, 0x101E, 0xA2D3}
# Hardware steering (dv_flow_en=2) needs firmware xx.35.1012.
HWS_FIRMWARE = (35, 1012)
STEERING = {0: "without steering of its own", 1: "SWS", 2: "HWS"}


def check_mlx5(device: PciDevice, software: Software) -> Iterator[Finding]:
    """All of one card. What stands on the kernel driver is looked at only where that is right."""
    yield model(device)
    yield driver(device)
    if device.driver == "mlx5_core":
        yield from verbs(device)
        yield from firmware(device, software)
        yield eswitch(device)
        yield from trust(device)
    yield pmd(device, software)
    yield from devargs(device)


def model(device: PciDevice) -> Finding:
    name = WITH_CONNTRACK.get(device.model)
    if name:
        return ok("model", f"{name}: can do CONNTRACK and AGE", device.address)
    if device.model in VIRTUAL:
        return ok("model", "a virtual function", device.address)
    old = WITHOUT_CONNTRACK.get(device.model)
    mend = f"ctoffload capabilities {device.address}"
    if old:
        return warn("model", f"{old}: no CONNTRACK and no AGE, the plan is count at best", device.address, mend=mend)
    return unknown("model", f"15b3:{device.model:04x} does not say which card it is", device.address, mend=mend)


def driver(device: PciDevice) -> Finding:
    """mlx5 shares the card with the kernel: it stays with mlx5_core."""
    if device.driver == "mlx5_core":
        return ok("kernel-driver", "mlx5_core", device.address)
    bind = f"dpdk-devbind.py --bind=mlx5_core {device.address}"
    if device.driver in USER_SPACE:
        says = f"bound to {device.driver}: DPDK reaches a ConnectX through mlx5_core only"
        return fail("kernel-driver", says, device.address, mend=bind)
    missing = "" if device.machine.module("mlx5_core") else "modprobe mlx5_core && "
    says = f"bound to {device.driver}" if device.driver else "bound to no kernel driver"
    return fail("kernel-driver", f"{says}, not to mlx5_core", device.address, mend=missing + bind)


def verbs(device: PciDevice) -> Iterator[Finding]:
    """libibverbs, its provider for mlx5, and the device files through which it speaks."""
    machine = device.machine
    missing = [name for name in ("mlx5_ib", "ib_uverbs") if not machine.module(name)]
    if missing or not device.names("infiniband"):
        says = f"no RDMA device of it: {' and '.join(missing) or 'mlx5_ib'} not loaded"
        yield fail("rdma-device", says, device.address, mend=f"modprobe -a {' '.join(missing) or 'mlx5_ib'}")
        return
    yield ok("rdma-device", ", ".join(device.names("infiniband")), device.address)
    for name in device.names("infiniband_verbs"):
        file = f"dev/infiniband/{name}"
        if not machine.exists(file):
            says = f"/{file} is not there: in a container, it was not handed in"
            yield fail("uverbs", says, device.address, mend="docker run --device=/dev/infiniband ...")
        elif not machine.may_write(file):
            yield fail("uverbs", f"/{file} may not be opened", device.address, mend=f"sudo chmod a+rw /{file}")
        else:
            yield ok("uverbs", f"/{file}", device.address)
    yield provider(device)


def provider(device: PciDevice) -> Finding:
    machine = device.machine
    named = machine.exists("etc/libibverbs.d/mlx5.driver")
    libraries = [path for place in ("usr/lib", "usr/lib64", "lib") for path in
                 machine.path(place).glob("**/libmlx5.so*")] if named else []  # fmt: skip
    if named and libraries:
        return ok("verbs-provider", f"libibverbs knows mlx5 ({libraries[0].name})", device.address)
    says = "libibverbs has no provider for mlx5"
    return fail("verbs-provider", says, device.address, mend="apt-get install ibverbs-providers")


def firmware(device: PciDevice, software: Software) -> Iterator[Finding]:
    """Whether the firmware can do the steering that the driver will use."""
    versions = [device.read("infiniband", name, "fw_ver") for name in device.names("infiniband")]
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", versions[0] if versions else "")
    if not found:
        says = "the version could not be read"
        yield unknown("firmware", says, device.address, mend=f"devlink dev info pci/{device.address}")
        return
    text, new_enough = found[0], (int(found[2]), int(found[3])) >= HWS_FIRMWARE
    mode, why = steering(device, software)
    if mode == 2 and not new_enough:
        says = f"{text} is older than xx.35.1012, which hardware steering ({why}) needs"
        mend = f"mlxfwmanager --online -u -d {device.address} (or give dv_flow_en=1)"
        yield fail("firmware", says, device.address, mend=mend)
    elif not new_enough:
        says = f"{text}: fit for software steering, too old for hardware steering (xx.35.1012)"
        yield ok("firmware", says, device.address)
    else:
        yield ok("firmware", f"{text}: fit for {STEERING.get(mode, 'it')} ({why})", device.address)


def steering(device: PciDevice, software: Software) -> tuple[int, str]:
    """dv_flow_en as it will be, and who says so."""
    given = arguments(device.devargs).get("dv_flow_en", "")
    if given.isdecimal():
        return int(given), f"dv_flow_en={given}"
    return (2 if software.hws_by_default else 1), f"the default of DPDK {software.version or 'this version'}"


def arguments(devargs: str) -> dict[str, str]:
    return {key: value for key, _, value in (part.partition("=") for part in devargs.split(",") if part)}


def devargs(device: PciDevice) -> Iterator[Finding]:
    """Arguments for the driver that stand against offload."""
    given = arguments(device.devargs)
    if not given:
        return
    wrong = []
    if given.get("dv_flow_en") == "0":
        wrong.append(("dv_flow_en=0 leaves only rules by verbs: no CONNTRACK, no groups", "dv_flow_en=1"))
    if given.get("dv_esw_en") == "0":
        wrong.append(("dv_esw_en=0 forbids rules in the card's switch", "dv_esw_en=1"))
    if "representor" in given and eswitch_mode(device) == "legacy":
        mend = f"devlink dev eswitch set pci/{device.address} mode switchdev"
        wrong.append(("representor= needs the E-Switch in mode switchdev", mend))
    for says, mend in wrong:
        yield fail("devargs", says, device.address, mend=mend)
    if not wrong:
        yield ok("devargs", device.devargs, device.address)


def eswitch_mode(device: PciDevice) -> str:
    """ "legacy" or "switchdev"; empty where devlink does not say."""
    handle = f"pci/{device.address}"
    answer = device.machine.answer("devlink", "-j", "dev", "eswitch", "show", handle)
    try:
        return str(answer["dev"][handle]["mode"])
    except (KeyError, TypeError):
        return ""


def eswitch(device: PciDevice) -> Finding:
    if device.model in VIRTUAL:
        return ok("eswitch", "a virtual function: its switch is its physical function's", device.address)
    mode = eswitch_mode(device)
    virtual = device.number("sriov_numvfs", otherwise=0)
    to_switchdev = f"devlink dev eswitch set pci/{device.address} mode switchdev"
    if mode == "switchdev":
        return ok("eswitch", f"switchdev, {virtual} VFs: pairs of its ports are joined in its switch", device.address)
    if mode == "legacy" and virtual:
        says = f"legacy, with {virtual} VFs: pairs of its ports cannot be joined in its switch"
        return warn("eswitch", says, device.address, mend=to_switchdev)
    if mode == "legacy":
        return ok("eswitch", "legacy, no VFs: two ports of the card are joined by hairpin queues", device.address)
    says = "devlink does not say whether it is legacy or switchdev"
    return unknown("eswitch", says, device.address, mend=f"devlink dev eswitch show pci/{device.address}")


def trust(device: PciDevice) -> Iterator[Finding]:
    """A VF makes rules in groups above 0, and receives promiscuously, only if it is trusted."""
    if device.model not in VIRTUAL:
        return
    machine = device.machine
    number = virtual_number(machine, device)
    parent = next(iter(PciDevice(machine, device.physical).interfaces), "") if device.physical else ""
    answer = machine.answer("ip", "-j", "link", "show", "dev", parent) if parent else None
    mend = f"ip link set dev {parent or 'PF'} vf {number if number >= 0 else 'N'} trust on"
    trusted = trust_of(answer, number)
    if trusted is None:
        says = "whether this VF is trusted is seen where its physical function is"
        yield unknown("vf-trust", says, device.address, mend=mend)
    elif trusted:
        yield ok("vf-trust", f"VF {number} of {parent} is trusted", device.address)
    else:
        says = f"VF {number} of {parent} is not trusted: rules above group 0 and promiscuous mode are refused"
        yield fail("vf-trust", says, device.address, mend=mend)


def virtual_number(machine: Machine, device: PciDevice) -> int:
    """Which VF of its physical function a device is; -1 where that is not to be seen."""
    for name in PciDevice(machine, device.physical).names() if device.physical else ():
        if name.startswith("virtfn") and machine.link(PCI_DEVICES, device.physical, name) == device.address:
            return int(name.removeprefix("virtfn"))
    return -1


def trust_of(answer: Any, number: int) -> bool | None:
    """What `ip -j link show` of the physical function says of a VF."""
    try:
        return next(bool(vf["trust"]) for vf in answer[0]["vfinfo_list"] if vf["vf"] == number)
    except (KeyError, TypeError, IndexError, StopIteration):
        return None


def pmd(device: PciDevice, software: Software) -> Finding:
    if any("mlx5" in name for name in software.drivers):
        return ok("dpdk-driver", "mlx5", device.address)
    says = "DPDK's mlx5 driver is not installed"
    return fail("dpdk-driver", says, device.address, mend="apt-get install librte-meta-net")
