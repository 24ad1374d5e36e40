"""DPDK and its drivers, as installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ctoffload_dpdk.cli.checks.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from ctoffload_dpdk.dpdk.pmdinfo import PciId

NICSIM = Path(__file__).resolve().parents[2] / "nicsim"
HWS_BY_DEFAULT = (24, 11)


@dataclass(frozen=True)
class Software:
    """version: of DPDK, "22.11.11", empty where it cannot be loaded; served: (device, driver) pairs."""

    version: str
    drivers: frozenset[str] = frozenset()
    served: tuple[tuple[PciId, str], ...] = ()

    @cached_property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])

    def driver_of(self, vendor: int, model: int, subsystem: tuple[int, int]) -> str:
        """The DPDK driver that serves a PCI device; empty where there is none."""
        for known, name in self.served:
            board = (known.subsystem_vendor, known.subsystem_device)
            right = all(wanted in {None, there} for wanted, there in zip(board, subsystem, strict=True))
            if right and (known.vendor, known.device) == (vendor, model):
                return name
        return ""

    @property
    def hws_by_default(self) -> bool:
        """Whether mlx5 steers by hardware (HWS) where the user says nothing."""
        return self.number >= HWS_BY_DEFAULT


def installed() -> Software:
    """The DPDK this process runs on, and its drivers."""
    from ctoffload_dpdk.cli.pmdinfo import drivers, running_dpdk  # noqa: PLC0415 - loads DPDK
    from ctoffload_dpdk.cli.version import dpdk_version  # noqa: PLC0415

    version = dpdk_version()
    if not version:
        return Software("")
    found = drivers(running_dpdk())
    served = tuple((known, info.name) for info in found for known in info.pci_ids)
    return Software(version, frozenset(info.name for info in found), served)


def check_software(software: Software) -> Iterator[Finding]:
    """DPDK, its network drivers, the emulated NIC."""
    if not software.version:
        yield fail("dpdk", "it cannot be loaded", mend="make build")
        return
    yield ok("dpdk", software.version)
    network = sorted(name for name in software.drivers if name.startswith("net_"))
    if network:
        yield ok("dpdk-drivers", f"{len(network)} network drivers")
    else:
        says = "no network driver is installed: DPDK would find no NIC"
        yield warn("dpdk-drivers", says, mend="apt-get install librte-meta-net")
    if any(NICSIM.glob("librte_net_nicsim.so")):
        yield ok("emulated-nic", "built: ctoffload demo shows it")
    else:
        yield warn("emulated-nic", "not built: demo and most tests need it", mend="make build (it says what it lacks)")
