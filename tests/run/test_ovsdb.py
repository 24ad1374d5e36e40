"""`ctoffload run --ovsdb` with a real ovsdb-server: it follows the row, and answers for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_lab import EMULATED, Daemon, running
from ovsdb_lab import Server, place

from ctoffload_dpdk.nicsim import NicsimError, driver_path


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    place()
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))


@pytest.fixture
def daemon(tmp_path: Path, ovsdb: Server) -> Iterator[Daemon]:
    with running(tmp_path, "--ovsdb", ovsdb.unix, *EMULATED) as daemon:
        yield daemon


def get(server: Server, *columns: str) -> str:
    return server.vsctl("--if-exists", "get", "Open_vSwitch", ".", *columns)


def setting(daemon: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("config", name=name)["settings"][name]
    return found


def owned(server: Server, daemon: Daemon) -> None:
    daemon.until(lambda: get(server, "dpdk_initialized") == "true", "it does not answer for the row")


def test_ovs_vsctl_returns_when_the_running_daemon_took_the_change(ovsdb: Server, daemon: Daemon) -> None:
    owned(ovsdb, daemon)
    for value in (False, True, False, True):
        ovsdb.vsctl("set", "Open_vSwitch", ".", f"other_config:hw-offload={str(value).lower()}", wait=True)
        assert daemon.call("offload")["enabled"] is value
        assert setting(daemon, "hw-offload")["value"] is value
    assert "OVSDB" in setting(daemon, "hw-offload")["origin"].upper()
    assert get(ovsdb, "cur_cfg") == get(ovsdb, "next_cfg") != "0"
    assert get(ovsdb, "dpdk_version").strip('"') == f"DPDK {daemon.call('status')['dpdk'].removeprefix('DPDK ')}"
    assert daemon.stop()["closed"]


def cpus_of_threads(daemon: Daemon) -> set[str]:
    """On which CPUs the threads of the daemon may run."""
    found = Path(f"/proc/{daemon.process.pid}/task").glob("*/status")
    return {line.split()[1] for status in found for line in status.read_text().splitlines() if "allowed_list" in line}


def test_pmd_cpu_mask_in_the_row_moves_the_loop_at_once(ovsdb: Server, daemon: Daemon) -> None:
    owned(ovsdb, daemon)
    cpu = min(os.sched_getaffinity(0))
    before = cpus_of_threads(daemon)
    ovsdb.vsctl("set", "Open_vSwitch", ".", f"other_config:pmd-cpu-mask={1 << cpu:#x}", wait=True)
    assert cpus_of_threads(daemon) == before | {str(cpu)}
    ovsdb.vsctl("remove", "Open_vSwitch", ".", "other_config", "pmd-cpu-mask", wait=True)
    assert cpus_of_threads(daemon) == before


def test_a_wrong_value_is_refused_and_ovs_vsctl_does_not_hang(ovsdb: Server, daemon: Daemon) -> None:
    owned(ovsdb, daemon)
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:ct-offload-rate=-5", wait=True)
    assert "ct-offload-rate cannot be '-5'" in daemon.call("status")["problems"][0]["message"]
    daemon.until(lambda: "problems=1: " in get(ovsdb, "external_ids"), "its status does not say so")
    ovsdb.vsctl("remove", "Open_vSwitch", ".", "other_config", "ct-offload-rate", wait=True)
    assert daemon.call("status")["problems"] == []


def test_its_status_stands_in_the_row_and_goes_with_it(ovsdb: Server, daemon: Daemon) -> None:
    said = "hw-offload=true ports=net_nicsim0,net_nicsim1"
    daemon.until(lambda: said in get(ovsdb, "external_ids"), "its status was not written")
    assert daemon.stop()["closed"]
    assert "ct-offload-status" not in get(ovsdb, "external_ids")


def test_settings_of_the_start_may_stand_in_the_row(tmp_path: Path, ovsdb: Server) -> None:
    ovsdb.set(ct_offload_max_connections="5000", hw_offload="false")
    with running(tmp_path, "--ovsdb", ovsdb.unix, *EMULATED) as daemon:
        assert setting(daemon, "ct-offload-max-connections")["value"] == 5000
        assert "next start" not in daemon.log
        assert not daemon.call("offload")["enabled"]


def test_a_server_that_stops_is_said_and_changes_nothing(ovsdb: Server, daemon: Daemon) -> None:
    owned(ovsdb, daemon)
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=false", wait=True)
    ovsdb.stop()

    def problems() -> Any:
        return daemon.call("status")["problems"]

    assert "not connected to unix:" in daemon.until(problems, "the loss was not said")[0]["message"]
    assert not daemon.call("offload")["enabled"]
    assert "its last values stay in force; it connects again by itself" in daemon.log
    ovsdb.start()
    daemon.until(lambda: not problems(), "it did not connect again", 40)
    daemon.until(lambda: f"OVSDB: connected to {ovsdb.unix} again" in daemon.log, "its return was not said")
    assert "what held before" not in daemon.log
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=true", wait=True)
    assert daemon.call("offload")["enabled"]


def test_no_server_at_all_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    began = time.monotonic()
    with running(tmp_path, "--ovsdb", f"unix:{tmp_path / 'none'}", *EMULATED) as daemon:
        assert time.monotonic() - began < 30
        assert "not connected to unix:" in daemon.call("status")["problems"][0]["message"]
        said = "nothing was read yet, so the other sources hold; it connects again by itself"
        daemon.until(lambda: said in daemon.log, "that it cannot be reached was not logged")
        assert daemon.stop()["closed"]
