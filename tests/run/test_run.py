"""`ctoffload run` and every command that speaks with it, as a user types them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from daemon_lab import BIN, EMULATED, Daemon, running

from ctoffload_dpdk.engine.account import SCHEMA
from ctoffload_dpdk.nicsim import NicsimError, driver_path


@pytest.fixture(scope="module", autouse=True)
def _driver() -> None:
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One daemon for the tests that leave it as it is."""
    with running(tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon
        assert daemon.stop()["closed"]


COMMANDS = [
    (["status"], "ports        net_nicsim0 <> net_nicsim1"),
    (["dump"], ""),
    (["dump", "--fresh", "--more", "--statistics"], ""),
    (["dump", "--format", "conntrack", "-p", "tcp", "-w", "5"], ""),
    (["count"], "0"),
    (["count", "--offloaded", "yes", "-s", "10.0.0.0/8"], "0"),
    (["flush"], "connections ended: 0"),
    (["flush", "-p", "udp"], "connections ended: 0"),
    (["stats"], "connections\n  created"),
    (["stats", "--explain"], "since the start: live + expired"),
    (["providers"], "provider dpdk (active)"),
    (["offload"], "offload is on\n  provider dpdk: on, active\n  port net_nicsim0: on"),
    (["config", "running"], "hw-offload = true  (default)"),
    (["config", "running", "ct-offload-idle"], "ct-offload-idle = sleep  (default)"),
    (["rules"], "net_nicsim0 > net_nicsim1: tcp over ipv4: "),
    (["rules", "--port", "net_nicsim1"], "net_nicsim1 (net_nicsim)\n  rules on "),
    (["capabilities", "--running"], "net_nicsim0 (net_nicsim)"),
    (["ports"], "net_nicsim0: net_nicsim, 02:6e:69:63:00:00, link up"),
]


@pytest.mark.parametrize(
    ("words", "said"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_command_answers_in_words_and_in_json(daemon, words, said):
    assert said in daemon.run(*words).stdout
    ways = ((["-j"], []), ([], ["--json"]), ([], ["--pretty"]))
    before, after = ways[len(" ".join(words)) % len(ways)]
    assert json.loads(daemon.run(*before, *words, *after).stdout)["schema"] == SCHEMA


WRONG = [
    (["dump", "-p", "tpc"], 2, "proto cannot be 'tpc'"),
    (["dump", "-w", "70000"], 2, "70000 is not in the range"),
    (["dump", "--format", "xml"], 2, "'xml' is not one of"),
    (["dump", "--state", "open"], 2, "state cannot be 'open'"),
    (["count", "-m", "x"], 2, "mark cannot be 'x'"),
    (["flush", "-s", "10.0.0.0/33"], 2, "src cannot be '10.0.0.0/33'"),
    (["get"], 2, "a connection is named by its id, or by src, dst and proto"),
    (["explain"], 2, "a connection is named by its id, or by src, dst and proto"),
    (["explain", "0x77"], 1, "there is no such connection"),
    (["capabilities", "--running", "eth9"], 2, "no port eth9 in the engine"),
    (["get", "--id", "77"], 1, "there is no such connection"),
    (["del", "-s", "10.0.0.1", "-d", "10.0.0.2", "-p", "tcp"], 1, "there is no such connection"),
    (["events", "-n", "0"], 2, "0 is not in the range"),
    (["offload", "away"], 2, "'away' is not one of"),
    (["offload", "off", "--provider", "nobody"], 1, "provider nobody is not registered"),
    (["offload", "off", "--port", "eth9"], 2, "no port eth9 in the engine"),
    (["rules", "--port", "eth9"], 2, "no port eth9 in the engine"),
    (["config", "running", "hw-ofload"], 1, "there is no setting 'hw-ofload'"),
    (["config", "set", "ct-offload-idle", "doze"], 1, "ct-offload-idle cannot be 'doze'"),
    (["ports", "remove"], 2, "ports remove needs port"),
    (["ports", "remove", "eth9"], 2, "there is no port eth9"),
    (["ports", "add", "net_nicsim0"], 2, "port net_nicsim0 is in already"),
]


@pytest.mark.parametrize(("words", "status", "said"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_is_wrong_is_refused_in_words_and_in_json(daemon, words, status, said):
    done = daemon.run(*words, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    done = daemon.run("-j", *words, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in json.loads(done.stderr)["message"]


def test_a_second_daemon_on_the_same_socket_is_refused(daemon):
    again = subprocess.run(
        [BIN, "run", "--socket", daemon.socket, "--memory", "128", *EMULATED],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert again.returncode == 2
    assert f"a daemon serves this socket already (process {daemon.process.pid})" in again.stderr
    assert daemon.call("count") == {"connections": 0}


def test_it_says_what_it_runs_without(daemon):
    assert "no hugepages: DPDK has 160 MiB of ordinary memory" in daemon.call("status")["notes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one or two PORTs"),
        (["--vdev", "net_nicsim0", "net_nicsim0", "net_nicsim0"], "net_nicsim0 was named twice"),
        (["--vdev", "net_null0", "--vdev", "net_null1", "--vdev", "net_null2"], "name one or two PORTs"),
        (["0000:ff:1f.7"], "there is no PCI device 0000:ff:1f.7"),
        (["nosuch0"], "nosuch0 is neither a PCI address"),
        (["--vdev", "net_nosuch0"], "net_nosuch0"),
        (["--vdev", "net_nicsim0,profile=none"], "profile"),
        (["--cores", "a", *EMULATED], "--cores cannot be 'a'"),
        (["--cores", "3-2", *EMULATED], "--cores cannot be '3-2'"),
        (["--cores", "1024", *EMULATED], "--cores cannot be '1024'"),
        (["--cores", "9" * 5000, *EMULATED], "--cores cannot be '9999"),
        (["--cores", "", *EMULATED], "--cores cannot be ''"),
        (["--cores", "0", "--pmd-cpu-mask", "1", *EMULATED], "--cores and --pmd-cpu-mask say the same"),
        (["--pmd-cpu-mask", "0-1", *EMULATED], "pmd-cpu-mask cannot be '0-1'"),
        (["--config", "/nonexistent.toml", *EMULATED], "/nonexistent.toml: cannot read the settings"),
        (["--ct-offload-rules", "forbid tcp", *EMULATED], "forbid is none of allow, deny"),
        (["--ct-offload-nat", "snat 10.0.0.9-10.0.0.1", *EMULATED], "10.0.0.9 is not below 10.0.0.1"),
        (["--ct-offload-zones", "net_nicsim0 vlan 5000 = 1", *EMULATED], "a VLAN id is 0 to 4095"),
        (["--ct-offload-zones", "net_nicsim7 = 1", *EMULATED], "net_nicsim7"),
        (["--memory", "1", *EMULATED], "1 is not in the range"),
        (["--memory", str(1 << 20), *EMULATED], "1048576 is not in the range"),
        (["--cores", "\u0661", *EMULATED], "--cores cannot be"),
        (["--vdev", "", *EMULATED], "'' is not the name of a virtual device"),
        (["--vdev", ",switch=1", *EMULATED], "',switch=1' is not the name of a virtual device"),
        (["--vdev", b"net_null\xff", *EMULATED], "is not the name of a virtual device"),
        (["--file-prefix", "", *EMULATED], "'' is not a prefix"),
        (["--file-prefix", "../out", *EMULATED], "'../out' is not a prefix"),
        (["--file-prefix", "a" * 65, *EMULATED], "is not a prefix"),
    ],
)
def test_a_wrong_start_says_what_is_wrong_and_what_to_do(tmp_path, words, said):
    done = subprocess.run([BIN, "run", "--no-hugepages", "--socket", tmp_path / "s", *words],
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode in {1, 2}, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_signal_ends_it_with_a_closed_account_and_frees_the_socket(tmp_path):
    for number in (signal.SIGINT, signal.SIGTERM):
        with running(tmp_path) as daemon:
            account = daemon.stop(number)
            assert account["closed"]
            assert account["audit"] == {"rules": 0, "objects": 0}
            assert not daemon.socket.exists()


def test_a_killed_daemons_socket_is_taken_over(tmp_path):
    with running(tmp_path) as daemon:
        daemon.kill()
        assert daemon.socket.exists()
        with running(tmp_path) as again:
            assert again.call("status")["pid"] == again.process.pid


def test_settings_are_read_again_and_a_wrong_file_changes_nothing(tmp_path):
    settings = tmp_path / "lab.toml"
    settings.write_text("[other_config]\nhw-offload = false\n")
    with running(tmp_path, "--config", str(settings), *EMULATED) as daemon:
        assert not daemon.call("offload")["enabled"]
        settings.write_text("[other_config]\nhw-offload = true\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: daemon.call("offload")["enabled"], "the file was not read again")
        settings.write_text("[other_config]\nhw-offload = 7\n")
        daemon.process.send_signal(signal.SIGHUP)
        problems = daemon.until(lambda: daemon.call("status")["problems"], "nothing is said of the wrong file")
        assert "hw-offload cannot be 7" in problems[0]["message"]
        assert daemon.call("offload")["enabled"]
        assert daemon.stop()["closed"]


def test_a_command_outranks_the_file_until_the_file_changes_that_key(tmp_path):
    settings = tmp_path / "lab.toml"
    settings.write_text("[other_config]\nhw-offload = true\n")
    with running(tmp_path, "--config", str(settings), "--ct-offload-rate", "5", *EMULATED) as daemon:
        daemon.run("offload", "off")
        assert daemon.call("config", name="hw-offload")["settings"]["hw-offload"] == {
            "value": False, "origin": "command (ctoffload offload)"
        }  # fmt: skip
        refused = daemon.run("-j", "config", "set", "ct-offload-rate", "7", check=False)
        assert "was given on the command line" in json.loads(refused.stderr)["message"]
        settings.write_text("[other_config]\nct-offload-burst = 9\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: daemon.call("offload")["enabled"], "the file's change did not outrank the command")


def test_ports_leave_and_come_back(tmp_path):
    with running(tmp_path) as daemon:
        for _ in range(20):
            daemon.run("ports", "remove", "net_nicsim1")
            assert "net_nicsim1: away, taken out by a command" in daemon.run("ports").stdout
            daemon.run("ports", "add", "net_nicsim1")
        assert all(port["present"] for port in daemon.call("ports")["ports"])
        assert daemon.stop()["closed"]


def test_readiness_and_signs_of_life_are_told_to_the_service_manager(tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(30)
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    with running(tmp_path, environment=told) as daemon:
        assert manager.recv(4096).startswith(b"READY=1")
        assert manager.recv(4096) == b"WATCHDOG=1"
        daemon.process.send_signal(signal.SIGHUP)
        seen = [manager.recv(4096) for _ in range(6)]
        assert b"RELOADING=1" in {line.partition(b"\n")[0] for line in seen}
        daemon.stop()
        manager.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                seen.append(manager.recv(4096))
    manager.close()
    assert b"STOPPING=1" in seen


def test_nobody_to_speak_with_is_said(tmp_path):
    done = subprocess.run(
        [BIN, "-j", "count", "--socket", tmp_path / "none"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    facts = json.loads(done.stderr)
    assert facts["errno_name"] == "ENOENT"
    assert "ctoffload run" in facts["hint"]


def test_the_usual_places_are_tried(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")  # short: DPDK's socket below it has 107 bytes for its path
    told = {"RUNTIME_DIRECTORY": str(place)}
    process = subprocess.Popen([BIN, "run", "--no-hugepages", "--memory", "160", *EMULATED], env=os.environ | told,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(200):
            done = subprocess.run([BIN, "count"], env=os.environ | told, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            time.sleep(0.1)
        assert done.stdout == "0\n", done.stderr
        assert Path(place / "control.sock").is_socket()
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_runtime_directory_that_is_too_long_for_a_socket_is_said(tmp_path):
    told = {"RUNTIME_DIRECTORY": str(tmp_path / ("long" * 25))}
    done = subprocess.run([BIN, "run", "--no-hugepages", "--memory", "160", *EMULATED], env=os.environ | told,
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1
    assert "path too long" in done.stderr
    assert "hint: choose a shorter RUNTIME_DIRECTORY" in done.stderr


def test_a_napping_loop_leaves_the_cpu_alone(daemon: Daemon):
    def cpu_s() -> float:
        words = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_s()
    time.sleep(2)
    assert cpu_s() - before < 1.0


def test_the_unit_file_is_one_that_systemd_understands(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    unit = Path(__file__).parents[2] / "systemd" / "ctoffload.service"
    done = subprocess.run([tool, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ctoffload.service" not in done.stderr
