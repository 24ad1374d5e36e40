"""Commands on DPDK's telemetry socket, driven by the real dpdk-telemetry.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from dpdk_lab import in_a_process

PROGRAM = shutil.which("dpdk-telemetry.py")
PREFIX = "ctfront"
CONNECTIONS = 60


def asked(*commands: str) -> list[dict[str, object]]:
    """What dpdk-telemetry.py prints for each command, typed in."""
    words = [PROGRAM, "-f", f"{PREFIX}{os.getpid()}"]
    typed = "".join(f"{command}\n" for command in (*commands, "quit"))
    done = subprocess.run(words, input=typed, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"/')]


def fuzzed(eal, seed: int = 1, rounds: int = 200) -> int:
    """Random parameters and half commands on the socket itself; returns how many were answered."""
    dice, answered = random.Random(seed), 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(20)
        client.connect(f"{eal.runtime_dir}/dpdk_telemetry.v2")
        client.recv(16384)
        for _ in range(rounds):
            path = dice.choice(["/ctoffload/conntrack", "/ctoffload/stats", "/ctoffload/providers", "/ctoffload/no"])
            parameter = "".join(chr(dice.randint(1, 255)) for _ in range(dice.randint(0, 60)))
            parameter = dice.choice([parameter, str(dice.randint(-5, 2**70)), "0" * 500])
            client.send(f"{path},{parameter}".encode("latin-1")[:900])
            answered += json.loads(client.recv(65536).decode("latin-1")) is not None
    return answered


def crowded(eal) -> int:
    """A thousand clients, a hundred at once, that say nothing; how many of ten that come afterwards are answered.

    DPDK serves ten at once, and closes on others until it has seen that those left.
    """
    path, answered = f"{eal.runtime_dir}/dpdk_telemetry.v2", 0
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                client.connect(path)
    end = time.monotonic() + 30
    while answered < 10 and time.monotonic() < end:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client, contextlib.suppress(ConnectionError):
            client.settimeout(20)
            client.connect(path)
            if client.recv(16384):
                client.send(b"/ctoffload/status")
                answered += b"net_nicsim0" in client.recv(65536)
    return answered


def served() -> list[object]:
    """An engine with connections, its telemetry asked, then ended."""
    from story import StoryLab  # noqa: PLC0415 - only the child loads DPDK

    from ctoffload_dpdk.control.server import Server  # noqa: PLC0415
    from ctoffload_dpdk.control.system import System  # noqa: PLC0415
    from ctoffload_dpdk.control.telemetry import Telemetry  # noqa: PLC0415
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        arguments = ["--no-pci", "--no-huge", "-m", "256", "--no-shconf", "--file-prefix", f"{PREFIX}{os.getpid()}"]
        eal = Eal.start(arguments)
        with StoryLab(eal) as lab:
            for _ in range(CONNECTIONS):
                lab.udp()
            system = System(lab.engine)
            answers: list[object] = []

            async def serve() -> None:
                server = Server(system, Path(directory) / "control.sock")
                await server.start()
                telemetry = Telemetry(system, server.call)
                await telemetry.start()
                answers.append(await asyncio.to_thread(fuzzed, eal))
                answers.append(await asyncio.to_thread(crowded, eal))
                asking = threading.Thread(
                    target=lambda: answers.extend(
                        asked(
                            "/ctoffload/status",
                            "/ctoffload/stats",
                            "/ctoffload/providers",
                            "/ctoffload/conntrack",
                            "/ctoffload/conntrack,48",
                            "/ctoffload/conntrack,50",
                            "/ctoffload/conntrack,many",
                            "/ctoffload/conntrack," + "9" * 300,
                        )
                    )
                )
                asking.start()
                while asking.is_alive():
                    await asyncio.sleep(0.01)
                await telemetry.close()
                await server.close()

            asyncio.run(serve())
            answers += asked("/ctoffload/stats", "/help,/ctoffload/conntrack")
        eal.close()
    return answers


@pytest.mark.skipif(PROGRAM is None, reason="dpdk-telemetry.py is not installed: apt-get install dpdk-dev")
def test_dpdk_telemetry_py_gets_the_engines_figures():
    n_fuzzed, n_after_a_crowd, status, stats, providers, first, following, later, wrong, *rest = in_a_process(
        served
    ).answer
    assert n_fuzzed == 200
    assert n_after_a_crowd == 10
    assert status["/ctoffload/status"]["connections"] == CONNECTIONS
    assert status["/ctoffload/status"]["ports"] == "net_nicsim0, net_nicsim1"
    figures = stats["/ctoffload/stats"]
    assert figures["connections"]["live"] == CONNECTIONS
    assert figures["packets"]["host_rx"] == 2 * CONNECTIONS
    assert providers["/ctoffload/providers"]["dpdk"]["connections"] == CONNECTIONS
    assert providers["/ctoffload/providers"]["dpdk"]["est_completed"] == CONNECTIONS
    shown = first["/ctoffload/conntrack"]
    assert (shown["connections"], shown["first"], shown["shown"], len(shown["rows"])) == (CONNECTIONS, 0, 48, 48)
    assert shown["rows"]["0"]["orig"].startswith("udp,orig=(src=198.51.100.1,dst=198.51.100.254,")
    assert shown["next"] == 48
    rest_of_it = following["/ctoffload/conntrack"]
    assert (rest_of_it["next"], list(rest_of_it["rows"])) == (0, [str(place) for place in range(48, CONNECTIONS)])
    assert later["/ctoffload/conntrack"]["shown"] == CONNECTIONS - 50
    assert "no number" in wrong["/ctoffload/conntrack"]["error"]
    *_, ended, helped = rest
    assert ended["/ctoffload/stats"] == {"error": "the engine has ended"}
    assert "place in the table of the first" in str(helped)
