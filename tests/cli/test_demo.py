"""`ctoffload demo` as a user runs it: a process of its own, its output, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctoffload_dpdk.base.capture import write_capture
from ctoffload_dpdk.demo.traffic import EXAMPLE
from ctoffload_dpdk.nicsim import NicsimError, driver_path

BIN = Path(sys.executable).parent / "ctoffload"


@pytest.fixture(autouse=True)
def _driver() -> None:
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN, "demo", *arguments], capture_output=True, text=True, check=False, timeout=100)


def account(*arguments: str | Path) -> dict[str, Any]:
    done = run("--json", *arguments)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def sums(a: dict[str, Any]) -> None:
    """The sums of the account, reckoned here and not by the product."""
    packets, connections, rules, objects = a["packets"], a["connections"], a["rules"], a["objects"]
    assert packets["wire_in"] == packets["nic_forwarded"] + sum(packets["nic_dropped"].values()) + packets["host_rx"]
    assert packets["host_rx"] == packets["host_tx"] + sum(packets["sw_dropped"].values())
    ended = ("live", "expired", "closed", "flushed", "replaced")
    assert connections["created"] == sum(connections[name] for name in ended)
    assert rules["created"] == rules["destroyed"] + rules["lost"] + rules["live"]
    assert rules["live"] == a["audit"]["rules"]
    assert objects["live"] == a["audit"]["objects"]


def test_the_example_capture_ends_with_a_closed_account_and_an_empty_nic() -> None:
    a = account()
    sums(a)
    assert a["schema"] == 1
    assert a["packets"]["wire_in"] == 532
    assert a["packets"]["nic_forwarded"] > a["packets"]["host_rx"]
    assert a["connections"]["live"] == 0
    assert a["connections"]["closed"] > 0
    assert a["connections"]["expired"] > 0
    assert a["rules"]["created"] > 0
    assert a["rules"]["live"] == a["rules"]["lost"] == 0


@pytest.mark.parametrize("seed", ["1", "2"])
def test_generated_traffic_too(seed: str) -> None:
    a = account("--generated", "--seed", seed)
    sums(a)
    assert a["connections"]["created"] == 40
    assert a["rules"]["created"] == a["rules"]["destroyed"] > 0


def test_a_capture_of_the_users_own(tmp_path: Path) -> None:
    from scapy.all import IP, UDP, Ether  # noqa: PLC0415

    from ctoffload_dpdk.base.packets import Packets  # noqa: PLC0415

    there = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
    back = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src="10.0.0.2", dst="10.0.0.1")
    frames = [bytes(there / UDP(sport=1000, dport=53)), bytes(back / UDP(sport=53, dport=1000))] * 5
    write_capture(tmp_path / "own.pcap", Packets.of(frames, (i * 1_000_000 for i in range(10))))
    a = account("--pcap", tmp_path / "own.pcap")
    sums(a)
    assert a["packets"]["wire_in"] == 10
    assert a["packets"]["host_rx"] == 2
    assert a["rules"]["created"] >= 2


def test_a_truncated_capture_shows_what_it_had_then_the_error_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "cut.pcap").write_bytes(EXAMPLE.read_bytes()[:-7])
    done = run("--json", "--pcap", tmp_path / "cut.pcap")
    assert done.returncode == 1
    a = json.loads(done.stdout)
    sums(a)
    assert a["packets"]["wire_in"] == 531
    assert json.loads(done.stderr)["error"] == "CaptureError"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--pcap", "/nonexistent"], 1, "No such file"),
        (["--pcap", "/etc/passwd"], 1, "neither pcap nor pcapng"),
        (["--pcap", "/dev/null"], 1, "empty"),
        (["--pcap", "x", "--generated"], 2, "exclude each other"),
        (["--seed", "x"], 2, "not a valid integer"),
        (["--pace", "-1"], 2, "not in the range"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_wrong_input_gets_words_and_a_status(arguments: list[str], status: int, words: str) -> None:
    done = run(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_pipe_gets_plain_lines_and_the_account() -> None:
    done = run()
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "in hardware" in done.stdout
    assert "The account is closed" in done.stdout
