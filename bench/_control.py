"""The process that bench.control measures in: an engine in threads with a million connections, and its control socket.

python -m bench._control      prints one JSON object
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench import PAIRS
from ctoffload_dpdk.conntrack._bench import Frames
from ctoffload_dpdk.control.client import Client
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System
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
    """The server in a thread of its own."""
    server = Server(system, path)
    ready, ends = threading.Event(), []

    async def serve() -> None:
        await server.start()
        end = asyncio.Event()
        ends.extend([asyncio.get_running_loop(), end])
        ready.set()
        await end.wait()
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


def answers(path: Path) -> dict[str, float]:
    """The longest of 20 answers, or of 20 first parts, in ms, by command."""
    longest = {}
    with Client(path) as client:
        for command in ("count", "status", "stats", "providers", "rules", "capabilities", "offload"):
            longest[command] = max(seconds(lambda c=command: client.call(c)) for _ in range(20)) * 1000

    def first() -> None:
        with Client(path) as client:
            next(iter(client.raw_lines("dump", {})))

    longest["dump"] = max(seconds(first) for _ in range(20)) * 1000
    return longest


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
            with serving(System(lab.engine), path):
                before = resident_mb()
                report["answers_ms"] = answers(path)
                report["dump"] = dumps(path)
                report["grown_mb"] = resident_mb() - before
            lab.engine.stop()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
