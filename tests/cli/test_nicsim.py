"""`ctoffload nicsim dump` asks real processes: testpmd with the driver, and one of our own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nicsim_testpmd import Testpmd, require

from ctoffload_dpdk.cli.main import run
from ctoffload_dpdk.nicsim import DROPS

FORWARD = "flow create 0 transfer pattern represented_port ethdev_port_id is 0 / eth / ipv4 src is 10.0.0.1 dst is \
10.0.0.2 / tcp src is 1000 dst is 80 / end actions count / age timeout 30 / represented_port ethdev_port_id 1 / end"
MANY = "flow create 1 ingress pattern eth / ipv6 dst is 2001:db8::{n:x} / udp dst is {n} / end actions count / \
queue index 0 / end"

# A process of our own with one port, which ends with its input.
OURS = """
import sys
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.nicsim import Nic
from ctoffload_dpdk.base.packets import Packets
with Eal.start(["--no-pci", "--no-huge", "-m", "64", "--no-shconf", *sys.argv[1:]]) as eal:
    if "--file-prefix=bare" not in sys.argv:
        nic = Nic.create(eal, "net_nicsim7", clock="manual", capacity=500)
        nic.wire_send(Packets.of([bytes(60)] * 3))
        nic.advance_ms(1234)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[str]:
    """Where the processes have their sockets: a short path, as a socket needs one."""
    with tempfile.TemporaryDirectory(prefix="ct") as path:
        yield path


@pytest.fixture(autouse=True)
def here(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", directory)


@pytest.fixture(scope="module")
def testpmd(directory: str) -> Iterator[Testpmd]:
    vdevs = ("net_nicsim0,switch=3", "net_nicsim1,switch=3")
    with Testpmd(*vdevs, eal=["--file-prefix=pmd"], environ={"RUNTIME_DIRECTORY": directory}) as running:
        yield running


def start(*args: str) -> subprocess.Popen[str]:
    require()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", OURS, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def dumped(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    assert run(["nicsim", "dump", "--json", *args]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    return list(document["ports"])


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert run(["nicsim", "dump", *args]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


def test_the_books_of_a_testpmd_are_read_port_by_port(testpmd: Testpmd, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Flow rule #0 created" in testpmd.say(FORWARD)
    ports = dumped(capsys, "--file-prefix", "pmd")
    assert [p["name"] for p in ports] == ["net_nicsim0", "net_nicsim1"]
    assert [p["switch"] for p in ports] == [3, 3]
    assert [p["is_started"] for p in ports] == [True, True]
    assert ports[0]["rules"]["created"] == ports[0]["rules"]["live"] == 1
    assert ports[0]["rules"]["capacity"] == 1 << 20
    assert list(ports[0]["counters"]["nic_dropped"]) == list(DROPS)
    (rule,) = dumped(capsys, "--file-prefix", "pmd", "--port", "0", "--rules")[0]["rule_list"]
    assert (rule["src"], rule["dst"], rule["src_port"], rule["dst_port"]) == ("10.0.0.1", "10.0.0.2", 1000, 80)
    assert (rule["domain"], rule["in_port"], rule["proto"], rule["timeout_s"]) == ("transfer", 0, 6, 30)
    assert (rule["fate"], rule["fate_arg"], rule["packets"], rule["is_aged"]) == ("wire", 1, 0, 0)
    assert "Flow rule #0 destroyed" in testpmd.say("flow destroy 0 rule 0")
    books = dumped(capsys, "--file-prefix", "pmd", "--port", "0")[0]["rules"]
    assert (books["live"], books["destroyed"]) == (0, 1)


def test_more_rules_than_an_answer_holds_come_page_by_page(
    testpmd: Testpmd, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(1, 41):
        testpmd.say(MANY.format(n=n))
    testpmd.say("flow destroy 1 rule 3")
    (port,) = dumped(capsys, "--file-prefix", "pmd", "--port", "1", "--rules")
    wanted = [n for n in range(1, 41) if n != 4]
    assert [rule["dst_port"] for rule in port["rule_list"]] == wanted
    assert [rule["dst"] for rule in port["rule_list"]] == [f"2001:db8::{n:x}" for n in wanted]
    assert run(["nicsim", "dump", "--file-prefix", "pmd", "--rules"]) == 0
    text = capsys.readouterr().out
    assert "rules    live 39, created 40, destroyed 1, lost 0, most 40, capacity 1,048,576" in text
    assert re.search(r"ingress +0 +0 +1 +17 +any +2001:db8::28 40 +queue 0 +0 +0 +-\n", text)


def test_our_own_process_answers_too(directory: str, capsys: pytest.CaptureFixture[str]) -> None:
    process = start("--file-prefix=own")
    try:
        path = f"{directory}/dpdk/own/dpdk_telemetry.v2"
        (port,) = dumped(capsys, "--socket", path)
        assert (port["name"], port["now_ms"], port["is_started"], port["switch"]) == ("net_nicsim7", 1234, False, None)
        assert (port["counters"]["wire_in"], port["counters"]["nic_dropped"]["not_started"]) == (3, 3)
        assert run(["--socket", path, "nicsim", "dump"]) == 0
        assert "port 0 net_nicsim7: stopped, clock 1,234 ms" in capsys.readouterr().out
        assert "has no emulated port 9" in (words := refused(capsys, "--socket", path, "--port", "9"))
        assert "its emulated ports: 0" in words
    finally:
        process.communicate()


def test_a_process_without_the_driver_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    process = start("--file-prefix=bare")
    try:
        words = refused(capsys, "--file-prefix", "bare")
        assert f"process {process.pid} has no emulated NIC: its driver is not loaded there" in words
    finally:
        process.communicate()


def test_a_process_that_took_its_ports_out_has_none(testpmd: Testpmd, capsys: pytest.CaptureFixture[str]) -> None:
    for n in (0, 1):
        testpmd.say(f"port stop {n}")
        testpmd.say(f"port close {n}")
        testpmd.say(f"device detach net_nicsim{n}")
    assert "has no emulated port" in refused(capsys, "--file-prefix", "pmd")


def test_where_no_process_is_the_ones_that_are_get_named(
    testpmd: Testpmd, directory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = refused(capsys)
    assert f"no DPDK process answers at {directory}/dpdk/rte/dpdk_telemetry.v2: there is no such socket" in words
    assert "file prefixes: " in words and "pmd" in words
    assert run(["nicsim", "dump", "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"] == "NicsimError"


def test_another_kind_of_socket_is_told_from_one_of_dpdk(directory: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(directory) / "other"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(path))
        stream.listen()
        assert "it is no telemetry socket of DPDK" in refused(capsys, "--socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gone:
        gone.bind(f"{path}2")
    assert "the process that made the socket is gone" in refused(capsys, "--socket", f"{path}2")
