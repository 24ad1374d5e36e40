"""What is wrong with a lab is said in two lines, before the first test: what, and how to mend it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "hw-tests")]

from hwlab.errors import LabError  # noqa: E402 - needs the path above
from hwlab.inventory import Inventory, from_tables  # noqa: E402
from hwlab.preflight import check_firmware, check_hugepages, numbers_of  # noqa: E402
from suite import several  # noqa: E402

CONNECTX = {"vendor": "0x15b3", "device": "0x101d", "class": "0x020000"}
INTEL = {"vendor": "0x8086", "device": "0x10fb", "class": "0x020000"}


@dataclass(frozen=True)
class Wrong:
    """A lab in which something is wrong, and words of the two lines that say so."""

    arguments: tuple[str, ...]
    first: str
    second: str
    environment: dict[str, str] = field(default_factory=dict)


def on(dut: str, *more: str) -> tuple[str, ...]:
    return ("--dut", dut, *more)


NULL, CARD, FREE = "vdev:net_null0", "0000:08:00.0", "nicsim:free"
# {place} and {port} are filled in: a directory, and a port of this machine's that nobody listens at.
CONNECTX_ON = {"SYSFS_PCI_DEVICES": "{place}/connectx/pci"}
WRONG = {
    "no-device": Wrong((), "no device under test is named", CARD),
    "nameless-device": Wrong(on(""), "no device under test is named", CARD),
    "no-such-address": Wrong(on("0000:ff:1f.7"), "there is no PCI device 0000:ff:1f.7", "network devices here"),
    "no-such-interface": Wrong(on("eth-none"), "eth-none is neither a PCI address", "ip link"),
    "no-such-profile": Wrong(on("nicsim:connectx-9"), "no emulated NIC is called 'connectx-9'", "connectx-hws"),
    "no-such-steering": Wrong(on("standin:both"), "names no steering", "standin:hardware"),
    "too-many-devices": Wrong(on("standin:software,devices=9"), "so many devices", "devices=1 or 2"),
    "not-alone": Wrong(on(FREE, "--dut", NULL), "cannot stand beside", "alone"),
    "no-such-driver": Wrong(on("vdev:net_nonesuch0"), "net_nonesuch0", "driver that is installed"),
    "no-peer": Wrong(on(NULL, "--peer", "eth5"), "'eth5' is no peer", "interface:ens5f0"),
    "no-peer-interface": Wrong(on(NULL, "--peer", "interface:none-such"), "none-such cannot be opened", "ip link"),
    "no-generator": Wrong(on(NULL, "--peer", "python:none_such:A:b"), "cannot be loaded", "PYTHONPATH"),
    "no-inventory": Wrong(("--lab", "/none/lab.toml"), "/none/lab.toml cannot be read", "TOML"),
    "no-report": Wrong(on(FREE, "--compare", "/none/r.json"), "/none/r.json cannot be read", "report.json"),
    "device-as-inventory": Wrong(("--lab", "/dev/null"), "/dev/null is a device, not a file", "TOML"),
    "device-as-report": Wrong(on(FREE, "--compare", "/dev/null"), "/dev/null is a device, not a file", "report.json"),
    "other-report": Wrong(on(FREE, "--compare", "{place}/r.json"), "no report of this form", "report.json"),
    "no-place": Wrong(on(FREE, "--acquire"), "--acquire has no place to take", "--lg-env"),
    "firmware-not-told": Wrong(
        on(NULL, "--firmware", "22.35.1012"), "the inventory asks for 22.35.1012 or later", "mlxfwmanager"
    ),
    "too-few-hugepages": Wrong(
        on(CARD, "--hugepages", "--memory-mb", "99999999"), "99999999 MiB of hugepages are needed", "--memory-mb",
        CONNECTX_ON,
    ),
    "connectx-bound-to-vfio": Wrong(
        on(CARD), f"{CARD} is a ConnectX, but bound to vfio-pci", f"--bind=mlx5_core {CARD}",
        {"SYSFS_PCI_DEVICES": "{place}/connectx-vfio/pci"},
    ),
    "other-nic-bound-to-its-kernel": Wrong(
        on(CARD), f"{CARD} belongs to ixgbe, where DPDK cannot reach it", f"--bind=vfio-pci {CARD}",
        {"SYSFS_PCI_DEVICES": "{place}/ixgbe/pci"},
    ),
    "no-ssh": Wrong(
        on(NULL, "--peer", "ssh:far-end:eth0"), "ssh is not installed here", "openssh-client", {"PATH": "/none"}
    ),
    "no-ssh-to-the-host": Wrong(on(NULL, "--host", "far-end"), "ssh is not installed", "openssh", {"PATH": "/none"}),
    "peer-not-reached": Wrong(
        on(NULL, "--peer", "ssh:ssh://nobody@127.0.0.1:{port}:eth0"), "cannot be reached", "without a password"
    ),
    "host-not-reached": Wrong(
        on(NULL, "--host", "ssh://nobody@127.0.0.1:{port}"), "no process under test at", "without a password"
    ),
}  # fmt: skip
BY_SSH = ("peer-not-reached", "host-not-reached")


def pci_tree(place: Path, driver: str, card: dict[str, str]) -> None:
    """A NIC as sysfs would list it, bound to this kernel driver; where EAL and we look."""
    device = place / "pci" / CARD
    device.mkdir(parents=True)
    for name, value in card.items():
        (device / name).write_text(f"{value}\n")
    bound = place / "drivers" / driver
    bound.mkdir(parents=True)
    (device / "driver").symlink_to(bound)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Status and words of a run in each lab of WRONG."""
    place = tmp_path_factory.mktemp("labs")
    (place / "r.json").write_text(json.dumps({"schema": 99}))
    pci_tree(place / "connectx", "mlx5_core", CONNECTX)
    pci_tree(place / "connectx-vfio", "vfio-pci", CONNECTX)
    pci_tree(place / "ixgbe", "ixgbe", INTEL)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        fill = {"place": place, "port": listener.getsockname()[1]}
    runs = [
        {
            "arguments": [word.format(**fill) for word in wrong.arguments],
            "environment": {key: value.format(**fill) for key, value in wrong.environment.items()},
        }
        for wrong in WRONG.values()
    ]
    return dict(zip(WRONG, several(runs), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_lab_is_told_in_two_lines(told: dict[str, dict[str, Any]], name: str) -> None:
    """Before the first test: the first line says what, the second how to mend it."""
    if name in BY_SSH and shutil.which("ssh") is None:
        pytest.skip("ssh is not installed (Debian: openssh-client)")
    status, words = told[name]["status"], told[name]["words"]
    assert status == pytest.ExitCode.USAGE_ERROR, words
    assert "passed" not in words
    _, mark, said = words.partition("ERROR: ")
    lines = [line for line in said.splitlines() if line.strip()]
    assert mark and len(lines) == 2, words
    assert WRONG[name].first in lines[0]
    assert WRONG[name].second in lines[1]


def test_missing_hugepages_are_told(tmp_path: Path) -> None:
    size = tmp_path / "hugepages-2048kB"
    size.mkdir()
    (size / "free_hugepages").write_text("3\n")
    with pytest.raises(LabError, match="512 MiB of hugepages are needed, 6 MiB are free") as told:
        check_hugepages(Inventory(hugepages=True), tmp_path)
    assert "echo 256 > /proc/sys/vm/nr_hugepages" in told.value.hint
    (size / "free_hugepages").write_text("256\n")
    check_hugepages(Inventory(hugepages=True), tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_missing_rights_are_told(tmp_path: Path) -> None:
    """As another user, who may not take a device."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            from hwlab.preflight import check_rights  # noqa: PLC0415

            check_rights("0000:08:00.0")
        except LabError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as channel:
        first, second = channel.read().splitlines()
    assert first == "this user may not take 0000:08:00.0 from user space"
    assert "CAP_NET_ADMIN" in second


@pytest.mark.parametrize("version", ["22.31.1014 (MT_0000000359)", ""])
def test_old_firmware_is_told(version: str) -> None:
    port = {"name": "0000:08:00.0", "firmware": version, "is_representor": False}
    with pytest.raises(LabError, match="the inventory asks for") as error:
        check_firmware(Inventory(firmware="22.35.1012"), [port])
    assert "mlxfwmanager" in error.value.hint
    check_firmware(Inventory(firmware="22.31"), [{**port, "firmware": "22.35.1012 (MT_0000000359)"}])
    assert numbers_of("22.35.1012 (MT_0000000359)") > numbers_of("22.35.998")


@pytest.mark.parametrize(
    ("table", "first"),
    [
        ({"duts": {}}, "no table [duts]"),
        ({"dut": {"port": []}}, "no key 'port'"),
        ({"dut": {"ports": "0000:08:00.0"}}, "ports cannot be"),
        ({"dut": {"hugepages": 1}}, "hugepages cannot be 1"),
        ({"dut": {}, "peer": [{"at": 5}]}, "has one key, at"),
        ({"dut": [], "peer": {}}, "is a table"),
    ],
)
def test_a_wrong_inventory_is_told(table: dict[str, object], first: str) -> None:
    with pytest.raises(LabError) as told:
        from_tables(table, "lab.toml")
    assert first in told.value.message
    assert told.value.hint


def test_an_inventory_is_read(tmp_path: Path) -> None:
    found = from_tables({"dut": {"ports": ["0000:08:00.0"], "memory-mb": 64}, "peer": [{"at": "dpdk:net_x"}]}, "x")
    assert Inventory(**found) == Inventory(dut=("0000:08:00.0",), memory_mb=64, peers=("dpdk:net_x",))
