"""Real hosts, each a kernel in a namespace, talk through the emulated NIC: its wires are TAP interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_lab import run_apart, unshare_or_skip

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    return unshare_or_skip()


@pytest.fixture(scope="module")
def said(unshare: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the hosts and the NIC saw in one run."""
    return dict(run_apart(unshare, HERE / "kernel_hosts.py", tmp_path_factory.mktemp("kernel") / "said.json"))


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
    assert run_apart(unshare, HERE / "kernel_veth.py", tmp_path / "counted.json") == [0, 5]
