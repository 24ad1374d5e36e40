"""The process that bench.control measures in: an engine in threads with a million connections, and its control socket.

python -m bench._control      prints one JSON object
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import ovs.json

from bench import PAIRS
from ctoffload_dpdk.conntrack._bench import Frames
from ctoffload_dpdk.control import telemetry
from ctoffload_dpdk.control.client import Client
from ctoffload_dpdk.control.front_ends import UNIXCTL
from ctoffload_dpdk.control.metrics import EngineCollector
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.control.unixctl import UnixctlServer
from ctoffload_dpdk.demo.lab import EAL_ARGS, Lab
from ctoffload_dpdk.demo.rates import A, frames
from ctoffload_dpdk.engine import Eal, Settings

MILLION = 1_000_000
POOL = 1 << 16
# Connections of which one side alone speaks: there is nothing to offload.
ONE_WAY = 32_768
BURST = 32
PROGRAM = Path(sys.executable).parent / "ctoffload"


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@contextmanager
def serving(system: System, path: Path) -> Iterator[Server]:
    """The servers in a thread of their own."""
    server = Server(system, path)
    unixctl = UnixctlServer(system, path.with_name(UNIXCTL))
    ready, ends = threading.Event(), []

    async def serve() -> None:
        await server.start()
        await unixctl.start()
        end = asyncio.Event()
        ends.extend([asyncio.get_running_loop(), end])
        ready.set()
        await end.wait()
        await unixctl.close()
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield server
    ends[0].call_soon_threadsafe(ends[1].set)
    thread.join()


def fill(lab: Lab) -> None:
    """A million connections, as packets make them."""
    tracker = lab.engine.trackers[0]
    made = Frames(POOL)
    for start in range(0, MILLION, POOL):
        n = min(POOL, MILLION - start)
        made.fill(np.arange(start, start + n, dtype=np.uint32))
        made.run(tracker, n, now_ms=time.monotonic_ns() // 1_000_000)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def dumps(path: Path) -> dict[str, list[float]]:
    """Lines a second of `ctoffload dump` into a file, and of reading that file line by line in Python, in turn."""
    ours, control = [], []
    dump = [PROGRAM, "--socket", path, "dump"]
    with tempfile.NamedTemporaryFile() as text:
        for _ in range(PAIRS):
            text.truncate(0)
            text.seek(0)
            ours.append(
                MILLION / seconds(lambda: subprocess.run(dump, stdout=text, stderr=subprocess.PIPE, check=True))
            )
            began = time.perf_counter()
            assert n_lines(Path(text.name)) == MILLION
            took = time.perf_counter() - began
            control.append(MILLION / took)
    return {"ours": ours, "control": control}


def n_lines(path: Path) -> int:
    with path.open("rb") as text:
        return sum(1 for _ in text)


# Of `Frames`: some fit nothing, some all. Those that say how far they are answer by their first line.
ASKED: tuple[tuple[str, dict[str, object]], ...] = (
    ("count", {}),
    ("status", {}),
    ("stats", {}),
    ("providers", {}),
    ("rules", {}),
    ("capabilities", {}),
    ("offload", {}),
    ("dump", {}),
    ("dump", {"src": "203.0.113.1"}),
    ("dump", {"fresh": True}),
    ("count", {"proto": "udp"}),
    ("count", {"zone": 7}),
    ("count", {"offloaded": "no"}),
    ("count", {"reply-dst": "0.0.0.0/0"}),
    ("flush", {"sport": 1}),
    ("top", {}),
    ("top", {"proto": "udp"}),
)
APPCTL = (
    ("dpctl/ct-stats-show",),
    ("dpctl/ct-stats-show", "zone=7"),
    ("dpctl/ct-get-nconns",),
    ("dpctl/ct-bkts",),
    ("dpctl/ct-get-limits",),
    ("dpctl/offload-stats-show",),
    ("dpctl/dump-conntrack", "zone=7"),
    ("dpctl/flush-conntrack", "zone=7"),
    ("dpctl/flush-conntrack", "ct_nw_src=203.0.113.1"),
    ("dpctl/flush-conntrack", "labels=1"),
)
LAST_PLACES = MILLION - 100


def named(command: str, words: object) -> str:
    return " ".join(
        [command, *(f"{k} {v}" for k, v in words.items())] if isinstance(words, dict) else [command, *words]
    )


def answers(path: Path, system: System) -> dict[str, dict[str, list[float]]]:
    """By command: how long the first line took, and the whole answer, in ms, each time."""
    found = {}
    for command, parameters in ASKED:
        found[named(command, parameters)] = timed(partial(over_control, path, command, parameters))
    for command, *words in APPCTL:
        found[named(command, words)] = timed(partial(over_unixctl, path.with_name(UNIXCTL), command, words))
    for place in (0, LAST_PLACES):
        found[f"/ctoffload/conntrack,{place}"] = timed(partial(once, partial(telemetry.conntrack, system, str(place))))
    found["/metrics"] = timed(lambda: once(lambda: [*EngineCollector(system).collect()]))
    return found


def timed(ask: Callable[[], tuple[float, float]]) -> dict[str, list[float]]:
    """ask: gives the seconds until the first line, and until the last."""
    asked = [ask() for _ in range(2 * PAIRS - 1)]
    return {"first": [first * 1000 for first, _ in asked], "whole": [whole * 1000 for _, whole in asked]}


def once(work: Callable[[], object]) -> tuple[float, float]:
    took = seconds(work)
    return took, took


def over_control(path: Path, command: str, parameters: dict[str, object]) -> tuple[float, float]:
    with Client(path) as client:
        began = time.perf_counter()
        lines = client.raw_lines(command, parameters)
        next(lines)
        first = time.perf_counter() - began
        for _ in lines if command != "dump" else ():
            pass
        return first, time.perf_counter() - began


def over_unixctl(path: Path, command: str, words: list[str]) -> tuple[float, float]:
    """As ovs-appctl asks, without the start of a program; the answer comes in one piece."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        parser = ovs.json.Parser()
        began = time.perf_counter()
        client.sendall(json.dumps({"id": 0, "method": command, "params": words}).encode())
        while not parser.is_done():
            parser.feed(client.recv(1 << 20).decode())
        took = time.perf_counter() - began
        assert parser.finish()["error"] is None
    return took, took


def through(lab: Lab, packets_ns: list[float]) -> None:
    """A packet of each one-way connection through the engine; appends what one took in the median burst.

    The median, since other processes of the machine take the CPU away in the midst of some.
    """
    order = np.random.default_rng(len(packets_ns)).permutation(ONE_WAY).astype(np.uint32)
    packets = frames(order)
    spent = []
    for start in range(0, ONE_WAY, BURST):
        lab.nics[A].wire_send(packets.slice(start, start + BURST))
        began = time.perf_counter_ns()
        lab.engine.loops[0].run_once(lab.now_ms)
        spent.append(time.perf_counter_ns() - began)
        for nic in lab.nics:
            nic.wire_receive()
    packets_ns.append(float(np.median(spent)) / BURST)


def nothing_to_offload(eal: Eal) -> dict[str, list[float]]:
    """What a packet costs with the switch on and off, in turn, where nothing can be offloaded."""
    found: dict[str, list[float]] = {"on": [], "off": []}
    with Lab(eal, Settings(hw_offload=False)) as lab:
        through(lab, [])
        for _ in range(PAIRS):
            for state in ("on", "off"):
                lab.engine.layer.set_global_cfg({"hw-offload": "true" if state == "on" else "false"})
                lab.engine.settle(lab.now_ms)
                through(lab, found[state])
        assert lab.engine.provider.stats().connections == 0
    return found


def main() -> None:
    with Eal.start(list(EAL_ARGS)) as eal, tempfile.TemporaryDirectory() as directory:
        report: dict[str, object] = {"packet_ns": nothing_to_offload(eal)}
        # The threads go by the clock, and the connections are to stay.
        with Lab(eal, Settings(hw_offload=False, ct_offload_timeout_udp_first=86_400)) as lab:
            fill(lab)
            lab.engine.start()
            path = Path(directory) / "control.sock"
            system = System(lab.engine)
            with serving(system, path):
                before = resident_mb()
                report["answers_ms"] = answers(path, system)
                report["dump"] = dumps(path)
                report["grown_mb"] = resident_mb() - before
            lab.engine.stop()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
