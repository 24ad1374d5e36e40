"""Real hosts, each a kernel in a namespace, talk through the emulated NIC: its wires are TAP interfaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# As anyone inside a user namespace, or as root where those are forbidden.
UNSHARES = (
    ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"],
    ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"],
)
TRY = "ip tuntap add dev t0 mode tap && ip link set t0 up && unshare --net true"


def environment() -> dict[str, str]:
    """With the directories where ip lives, which not every user has."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"}


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    for tool in ("unshare", "nsenter", "ip", "ping"):
        if shutil.which(tool, path=environment()["PATH"]) is None:
            pytest.skip(f"{tool} is not installed")
    for command in UNSHARES:
        mounted = [*command, "--mount-proc", "sh", "-c", TRY]
        if subprocess.run(mounted, capture_output=True, check=False, env=environment()).returncode == 0:
            return [*command, "--mount-proc"]
    pytest.skip("no network namespace with a TAP interface can be had here, neither in a user namespace nor as root")


@pytest.fixture(scope="module")
def said(unshare: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the hosts and the NIC saw in one run."""
    return dict(run(unshare, "kernel_hosts.py", tmp_path_factory.mktemp("kernel") / "said.json"))


def run(unshare: list[str], script: str, report: Path) -> Any:
    """Runs a script in namespaces of its own; what it wrote."""
    command = [*unshare, sys.executable, "-P", str(Path(__file__).with_name(script)), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=environment())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(report.read_text())


def test_hosts_reach_each_other_through_two_ports_and_software(said: dict[str, Any]) -> None:
    assert "3 received, 0% packet loss" in said["ping"]
    assert said["software"] == "200000"
    assert sum(c["nic_forwarded"] for c in said["before"]) == 0


def test_a_connection_goes_through_the_nic_alone_and_arrives_whole_with_its_ports_translated(
    said: dict[str, Any],
) -> None:
    assert said["nic"] == "200000"
    assert min(said["bytes"]) > 200_000
    for before, after in zip(said["before"], said["after"], strict=True):
        forwarded = after["nic_forwarded"] - before["nic_forwarded"]
        by_software = after["host_rx"] - before["host_rx"]
        assert forwarded > 10 * by_software


def test_the_account_closes_with_a_kernel_at_each_end(said: dict[str, Any]) -> None:
    for c in said["after"]:
        assert c["wire_in"] + c["nic_received"] == c["nic_forwarded"] + sum(c["nic_dropped"].values()) + c["host_rx"]
    sums = said["after"]
    came = sum(c["host_tx"] + c["nic_forwarded"] for c in sums)
    assert came == sum(c["wire_out"] + c["wire_out_dropped"] + c["nic_received"] for c in sums)


def test_a_kernel_that_leaves_checksums_to_its_interface_is_matched_once_it_makes_them(
    unshare: list[str], tmp_path: Path
) -> None:
    assert run(unshare, "kernel_veth.py", tmp_path / "counted.json") == [0, 5]
