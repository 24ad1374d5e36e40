"""What is wrong with a lab is said in two lines, before the first test: what, and how to mend it."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "hw-tests")]

from hwlab.errors import LabError  # noqa: E402 - needs the path above
from hwlab.inventory import Inventory, from_tables  # noqa: E402
from hwlab.preflight import check_firmware, check_hugepages, numbers_of  # noqa: E402
from suite import run, words  # noqa: E402

CONNECTX = {"vendor": "0x15b3", "device": "0x101d", "class": "0x020000"}


def refusal(*arguments: str, **environment: str) -> list[str]:
    """The lines by which a run ended before it began."""
    done = run(*arguments, environment=environment)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, words(done)
    assert "passed" not in done.stdout
    lines = [line.removeprefix("ERROR: ") for line in words(done).splitlines() if line.strip()]
    at = next(i for i, line in enumerate(words(done).splitlines()) if line.startswith("ERROR: "))
    said = [line.removeprefix("ERROR: ") for line in words(done).splitlines()[at:] if line.strip()]
    assert len(lines) >= len(said) >= 2, words(done)
    return said[:2]


def pci_tree(place: Path, driver: str) -> str:
    """A ConnectX as sysfs would list it, bound to this kernel driver; where EAL and we look."""
    device = place / "pci" / "0000:08:00.0"
    device.mkdir(parents=True)
    for name, value in CONNECTX.items():
        (device / name).write_text(f"{value}\n")
    bound = place / "drivers" / driver
    bound.mkdir(parents=True)
    (device / "driver").symlink_to(bound)
    return str(place / "pci")


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        ([], "no device under test is named", "0000:08:00.0"),
        (["--dut", "0000:ff:1f.7"], "there is no PCI device 0000:ff:1f.7", "network devices here"),
        (["--dut", "eth-none"], "eth-none is neither a PCI address", "ip link"),
        (["--dut", "nicsim:connectx-9"], "no emulated NIC is called 'connectx-9'", "connectx-hws"),
        (["--dut", "standin:both"], "names no steering", "standin:hardware"),
        (["--dut", "nicsim:free", "--dut", "vdev:net_null0"], "cannot stand beside", "alone"),
        (["--dut", "vdev:net_null0", "--peer", "eth5"], "'eth5' is no peer", "interface:ens5f0"),
        (["--dut", "vdev:net_null0", "--peer", "interface:none-such"], "none-such cannot be opened", "ip link"),
        (["--dut", "vdev:net_null0", "--peer", "python:none_such:A:b"], "cannot be loaded", "PYTHONPATH"),
        (["--dut", "vdev:net_nonesuch0"], "net_nonesuch0", "driver that is installed"),
        (["--lab", "/none/lab.toml"], "/none/lab.toml cannot be read", "TOML"),
        (["--dut", "nicsim:free", "--compare", "/none/r.json"], "/none/r.json cannot be read", "report.json"),
    ],
)
def test_a_wrong_lab_is_told_in_two_lines(arguments: list[str], first: str, second: str) -> None:
    said = refusal(*arguments)
    assert first in said[0]
    assert second in said[1]


def test_a_peer_that_ssh_does_not_reach_is_told(tmp_path: Path) -> None:
    """No name server is asked: the address is this machine's, on a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    said = refusal("--dut", "vdev:net_null0", "--peer", f"ssh:ssh://nobody@127.0.0.1:{port}:eth0")
    assert "cannot be reached" in said[0]
    assert "without a password" in said[1]


def test_a_connectx_bound_to_vfio_is_told(tmp_path: Path) -> None:
    said = refusal("--dut", "0000:08:00.0", SYSFS_PCI_DEVICES=pci_tree(tmp_path, "vfio-pci"))
    assert said[0] == "0000:08:00.0 is a ConnectX, but bound to vfio-pci"
    assert "--bind=mlx5_core 0000:08:00.0" in said[1]


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


@pytest.mark.parametrize("told", ["22.31.1014 (MT_0000000359)", ""])
def test_old_firmware_is_told(told: str) -> None:
    port = {"name": "0000:08:00.0", "firmware": told, "is_representor": False}
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


def test_an_earlier_report_of_another_form_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"schema": 99}))
    said = refusal("--dut", "nicsim:free", "--compare", str(tmp_path / "r.json"))
    assert "no report of this form" in said[0]
