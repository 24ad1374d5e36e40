"""The machine as its files tell: /sys, /proc, /dev and /etc, of this machine or copied below another root."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NETWORK_CLASS = "0x02"
PCI_DEVICES = "sys/bus/pci/devices"
COMMANDS = "commands"
LIMIT_S = 10


class Machine:
    """Reads files below a root. Nothing is ever written.

    Below another root than / the answers of commands are files as well: commands/<the words, / as _>.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, *parts: str) -> Path:
        return self.root.joinpath(*parts)

    def read(self, *parts: str) -> str:
        """The text of a file without white space around it; empty where there is none, or none to be read."""
        try:
            return self.path(*parts).read_text(errors="replace").strip()
        except OSError:
            return ""

    def number(self, *parts: str, base: int = 10, otherwise: int = -1) -> int:
        """The number in a file; `otherwise` where there is none."""
        try:
            return int(self.read(*parts), base)
        except ValueError:
            return otherwise

    def exists(self, *parts: str) -> bool:
        return self.path(*parts).exists()

    def names(self, *parts: str) -> list[str]:
        """What a directory holds, sorted; nothing where there is none."""
        try:
            return sorted(entry.name for entry in self.path(*parts).iterdir())
        except OSError:
            return []

    def link(self, *parts: str) -> str:
        """The last part of what a link points to; empty where there is none."""
        try:
            return self.path(*parts).readlink().name
        except OSError:
            return ""

    def may_write(self, *parts: str) -> bool:
        """Whether this user may open a file for reading and writing."""
        return os.access(self.path(*parts), os.R_OK | os.W_OK)

    def module(self, name: str) -> bool:
        """Whether the kernel has this module, loaded or built in."""
        return self.exists("sys/module", name)

    def answer(self, *words: str) -> Any:
        """What a command that answers in JSON says; None where it cannot be run, fails or answers something else."""
        try:
            if self.root == Path("/"):
                done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
                text = done.stdout if done.returncode == 0 else ""
            else:
                text = self.read(COMMANDS, " ".join(words).replace("/", "_"))
            return json.loads(text)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None

    def devices(self) -> Iterator[PciDevice]:
        """The network devices on the PCI bus, in order of address."""
        for address in self.names(PCI_DEVICES):
            if self.read(PCI_DEVICES, address, "class").startswith(NETWORK_CLASS):
                yield PciDevice(self, address)

    def status(self, key: str) -> str:
        """A line of /proc/self/status."""
        found = re.search(rf"^{key}:\s*(.*)$", self.read("proc/self/status"), re.MULTILINE)
        return found[1] if found else ""


@dataclass(frozen=True)
class PciDevice:
    """A network device on the PCI bus. devargs: what the user means to give its DPDK driver."""

    machine: Machine
    address: str
    devargs: str = ""

    def read(self, *parts: str) -> str:
        return self.machine.read(PCI_DEVICES, self.address, *parts)

    def number(self, *parts: str, base: int = 10, otherwise: int = -1) -> int:
        return self.machine.number(PCI_DEVICES, self.address, *parts, base=base, otherwise=otherwise)

    def names(self, *parts: str) -> list[str]:
        return self.machine.names(PCI_DEVICES, self.address, *parts)

    def link(self, *parts: str) -> str:
        return self.machine.link(PCI_DEVICES, self.address, *parts)

    @property
    def vendor(self) -> int:
        return self.number("vendor", base=16, otherwise=0)

    @property
    def model(self) -> int:
        return self.number("device", base=16, otherwise=0)

    @property
    def subsystem(self) -> tuple[int, int]:
        """Vendor and device of the board."""
        vendor, model = (self.number(f"subsystem_{name}", base=16, otherwise=0) for name in ("vendor", "device"))
        return vendor, model

    @property
    def driver(self) -> str:
        """The kernel driver it is bound to; empty where there is none."""
        return self.link("driver")

    @property
    def interfaces(self) -> list[str]:
        """The kernel's network interfaces of it, representors included."""
        return self.names("net")

    @property
    def node(self) -> int:
        """The NUMA node it is at; -1 where the machine has one only, or does not say."""
        return self.number("numa_node")

    @property
    def physical(self) -> str:
        """The PCI address of the physical function; empty where it is one itself, or where that is not to be seen."""
        return self.link("physfn")
