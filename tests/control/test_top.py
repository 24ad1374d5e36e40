"""ctoffload top over a running engine: the numbers are the engine's, the screen is the demo's."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Serving

from ctoffload_dpdk.cli.top_text import Look
from ctoffload_dpdk.control import server
from ctoffload_dpdk.control.client import Client
from ctoffload_dpdk.control.looking import top
from ctoffload_dpdk.control.system import System

pytestmark = pytest.mark.eal

PROGRAM = Path(sys.executable).parent / "ctoffload"


def run(serving: Serving, *words: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "--socket", serving.servers[0].path, "top", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


def finished(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_busiest_come_first_and_all_are_told_apart(lab):
    quiet = lab.udp(answered=False)
    busy = lab.udp()
    for _ in range(5):
        quiet.client_sends()
    for _ in range(3):
        lab.ping()
    lab.tcp(established=False).send(0, "S")
    found = finished(top(System(lab.engine), rows=2))
    assert found["connections"] == 6
    assert found["busiest"][0]["orig"]["sport"] == quiet.sport
    assert len(found["busiest"]) == 2
    assert sum(found["offload"].values()) == 6
    assert found["offload"]["yes"] == sum(int(row["offload"] == 2) for row in lab.engine.conntrack.connections())
    assert busy.in_hardware
    assert sum(found["reasons"].values()) == found["offload"]["no"] + found["offload"]["pending"]
    only_tcp = finished(top(System(lab.engine), proto="tcp"))
    assert (only_tcp["connections"], len(only_tcp["busiest"])) == (1, 1)
    assert finished(top(System(lab.engine), rows=0))["busiest"] == []


def test_json_has_rates_from_the_second_look_on(lab, serving):
    lab.udp()
    done = run(serving, "--json", "-n", "2", "--interval", "0.1")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["schema"] == 1
    assert first["per_s"]["created"] is None
    assert second["per_s"]["created"] == 0
    assert second["connections"] == 1
    assert second["rules"] == lab.engine.rules().live
    assert {queue["queue"] for queue in second["queues"]} == {"add", "delete", "query"}


def look(client: Client, at_s: float) -> Look:
    return Look(at_s, client.call("status"), client.call("stats"), client.call("top"))


def test_a_rate_is_what_happened_in_between(lab, serving):
    with Client(serving.servers[0].path) as client:
        before = look(client, 10.0)
        for _ in range(20):
            lab.udp(answered=False)
        now = look(client, 12.0)
    assert now.rates(before)["created"] == 10
    assert now.rates(before)["packets_received"] == 10
    assert now.rates(None)["created"] is None


def test_for_people_it_is_a_screen(lab, serving):
    lab.udp(host=9)
    said = run(serving).stdout
    assert "net_nicsim0 <> net_nicsim1" in said
    assert "in hardware" in said
    assert "198.51.100.9:" in said
    assert "offloaded=yes" in said
    assert "outstanding" in said


def test_on_a_terminal_it_is_drawn_anew_until_ctrl_c(lab, serving):
    lab.udp(host=9)
    main, terminal = pty.openpty()
    command = [PROGRAM, "--socket", serving.servers[0].path, "top", "--interval", "0.1"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
                               start_new_session=True)  # fmt: skip
    os.close(terminal)
    seen = b""
    while seen.count(b"198.51.100.9:") < 3:
        seen += os.read(main, 65536)
    process.send_signal(2)
    try:
        while os.read(main, 65536):
            pass
    except OSError:  # the terminal is closed with the process
        pass
    os.close(main)
    assert process.wait(20) == 130


@pytest.mark.parametrize(
    ("words", "printed"),
    [(["count", "--sport", "50001"], "1\n"), (["flush", "-p", "udp"], "connections ended: 1\n")],
)
def test_on_a_terminal_a_long_command_says_how_far_it_is_in_a_line_that_goes(lab, serving, monkeypatch, words, printed):
    monkeypatch.setattr(server, "PROGRESS_AFTER_S", 0.0)
    lab.udp(sport=50_001)
    main, terminal = pty.openpty()
    command = [PROGRAM, "--socket", serving.servers[0].path, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True, timeout=60)
    os.close(terminal)
    said = os.read(main, 65536).decode()
    os.close(main)
    assert done.stdout == printed
    assert said == "\r1 until now, 1 of 1 looked at\x1b[K\r\x1b[K"


def test_without_a_daemon_it_is_said(tmp_path):
    done = subprocess.run([PROGRAM, "--socket", tmp_path / "none", "top"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "start one: ctoffload run" in done.stderr
