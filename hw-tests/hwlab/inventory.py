"""What a lab consists of, from the command line or a TOML file.

[dut]
ports = ["0000:08:00.0,dv_flow_en=2", "0000:08:00.1,dv_flow_en=2"]
hugepages = true
firmware = "22.35.1012"         # the oldest one that the tests are meant for

[[peer]]                        # what is cabled to the first port, then to the second
at = "interface:ens5f0"
[[peer]]
at = "ssh:root@far-end:ens5f1"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hwlab.errors import LabError

EMULATED, STANDIN, VDEV = "nicsim:", "standin:", "vdev:"
PROFILES = ("free", "connectx-sws", "connectx-hws", "tap", "queue-only", "no-flow")
STEERINGS = ("software", "hardware")
PEERS = ("interface", "ssh", "dpdk", "python")
FORMS = "0000:08:00.0, an interface, nicsim:connectx-hws, standin:hardware or vdev:net_null0"


@dataclass(frozen=True)
class Inventory:
    """One lab. Only `dut` must be given.

    dut: devices as FORMS, with ",arguments" for their drivers; the emulated NIC and the stand-in bring all their ports.
    peers: what is cabled to each joined port, in their order. forward: names of the ports that are joined; none: the
    only one with itself, or the last two (a switch's first is its uplink). host: a machine that ssh reaches, where the
    device is; directory: where this repository is there. scale: connections in the tests of scale; most_rules: rules
    after which a table counts as endless; soak_s: how long the soak lasts.
    """

    dut: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()
    firmware: str = ""
    hugepages: bool = False
    memory_mb: int = 512
    host: str = ""
    directory: str = ""
    scale: int = 1000
    most_rules: int = 1 << 20
    soak_s: int = 10

    @property
    def is_emulated(self) -> bool:
        return self.dut[0].startswith(EMULATED)

    @property
    def is_standin(self) -> bool:
        return self.dut[0].startswith(STANDIN)

    @property
    def is_real(self) -> bool:
        """Whether the device is one of the machine's, at a PCI address."""
        return not self.dut[0].startswith((EMULATED, STANDIN, VDEV))

    @property
    def profile(self) -> str:
        """Which NIC is emulated."""
        return self.dut[0].removeprefix(EMULATED).partition(",")[0]

    @property
    def name(self) -> str:
        return " + ".join(self.dut)


def checked(inventory: Inventory) -> Inventory:
    """The inventory where it makes sense. Raises LabError."""
    if not inventory.dut or not all(inventory.dut):
        raise LabError("no device under test is named", f"name one with --dut or in a file with --lab: {FORMS}")
    special = [d for d in inventory.dut if d.startswith((EMULATED, STANDIN))]
    if special and len(inventory.dut) > 1:
        raise LabError(f"{special[0]} cannot stand beside another device", "it brings its ports itself: name it alone")
    if inventory.is_emulated and inventory.profile not in PROFILES:
        raise LabError(f"no emulated NIC is called {inventory.profile!r}", f"there are: {', '.join(PROFILES)}")
    if inventory.is_standin and inventory.dut[0].removeprefix(STANDIN).partition(",")[0] not in STEERINGS:
        raise LabError(f"{inventory.dut[0]} names no steering", "say standin:software or standin:hardware")
    for peer in inventory.peers:
        if peer.partition(":")[0] not in PEERS or not peer.partition(":")[2]:
            raise LabError(
                f"{peer!r} is no peer",
                "say interface:ens5f0, ssh:HOST:ens5f0, dpdk:0000:81:00.0 or python:MODULE:CLASS:ARGUMENT",
            )
    if inventory.is_standin and inventory.peers:
        raise LabError("the stand-in moves no packet, it can have no peer", "leave --peer out")
    if inventory.is_emulated and inventory.peers:
        raise LabError("the emulated NIC's wires are in the tests' hands", "leave --peer out")
    return inventory


def read(path: Path) -> dict[str, Any]:
    """The inventory in a file, as the fields of Inventory. Raises LabError."""
    if path.is_char_device():  # that may have no end
        raise LabError(f"{path} is a device, not a file", "give --lab the path of a TOML file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}", "give --lab the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not TOML: {error}", "hw-tests/README.md shows one") from None
    return from_tables(table, str(path))


def from_tables(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of Inventory in parsed TOML."""
    unknown = sorted(set(table) - {"dut", "peer"})
    if unknown:
        raise LabError(f"{where}: there is no table [{unknown[0]}]", "the tables are [dut] and [[peer]]")
    dut = table.get("dut", {})
    peers = table.get("peer", [])
    if not isinstance(dut, dict) or not isinstance(peers, list) or not all(isinstance(p, dict) for p in peers):
        raise LabError(f"{where}: [dut] is a table and [[peer]] a list of tables", "hw-tests/README.md shows one")
    found: dict[str, Any] = {}
    kinds = {f.name: type(f.default) for f in fields(Inventory)}
    for key, value in dut.items():
        name = "dut" if key == "ports" else key.replace("-", "_")
        kind = kinds.get(name)
        if kind is None or key in ("dut", "peers"):
            names = ("ports" if n == "dut" else n.replace("_", "-") for n in kinds if n != "peers")
            raise LabError(f"{where}: [dut] has no key {key!r}", f"it has: {', '.join(names)}")
        if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
            found[name] = tuple(value)
        elif type(value) is not kind:
            raise LabError(
                f"{where}: {key} cannot be {value!r}", f"it is a {'list of texts' if kind is tuple else kind.__name__}"
            )
        else:
            found[name] = value
    for peer in peers:
        if set(peer) != {"at"} or not isinstance(peer["at"], str):
            raise LabError(f"{where}: a [[peer]] has one key, at", 'for example: at = "interface:ens5f0"')
    if peers:
        found["peers"] = tuple(peer["at"] for peer in peers)
    return found
