"""Speed and size of the emulated NIC: rules of a million found by bursts from the wire, made, destroyed."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench import Row, paired
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack._bench import Plain
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.dpdk._bench import UdpRules
from ctoffload_dpdk.nicsim import Nic, driver_path

MILLION = 1_000_000
BURSTS = 1 << 17  # packets of one round
FEW = 64
MADE_BAR, DESTROYED_BAR = 2.5, 6.0  # millions a second
AGAINST = "plain C hash lookup"

# The control on the machine the bars were set for (two cores of an AMD EPYC 9004, virtual), in ns.
REFERENCE_RANDOM = 31.0

# Ethernet, IPv4, UDP to port 53, two bytes.
HEADER = bytes.fromhex("02000000000202000000000108004500001e0000000040110000000000000000000000000035000a00007878")


def frames(numbers: NDArray[np.uint32]) -> Packets:
    """One packet of each of these connections, with right checksums."""
    n = len(numbers)
    data = np.tile(np.frombuffer(HEADER, np.uint8), (n, 1))
    words = data[:, 14:].view(">u2")  # IPv4 and UDP
    src = numbers.astype(np.uint32) + np.uint32(0x0A000000)
    words[:, 6], words[:, 7], words[:, 8], words[:, 9] = src >> 16, src & 0xFFFF, 0xC000, 0x0201
    words[:, 10] = numbers & 0xFFFF
    words[:, 5] = folded(words[:, :10].astype(np.uint64).sum(axis=1))
    pseudo = words[:, 6:10].astype(np.uint64).sum(axis=1) + 17 + 10
    words[:, 13] = folded(pseudo + words[:, 10:].astype(np.uint64).sum(axis=1))
    return Packets(data.reshape(-1), np.arange(n, dtype=np.uint64) * len(HEADER), np.full(n, len(HEADER), np.uint32))


def folded(total: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The checksum over a sum of 16-bit words."""
    for _ in range(3):
        total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    return ~total & np.uint64(0xFFFF)


def control_of_a_million() -> tuple[Plain, NDArray[np.uint32]]:
    return Plain(MILLION), np.random.default_rng(1).integers(0, MILLION, 1 << 18, dtype=np.uint32)


def lookup_rows(nic: Nic) -> Iterable[Row]:
    dice = np.random.default_rng(2)
    plain, order = control_of_a_million()
    for name, most, bar in (("random of 1M", MILLION, 80.0), (f"one of the same {FEW}", FEW, None)):
        packets = frames(dice.integers(0, most, BURSTS, dtype=np.uint32))

        def ours(packets: Packets = packets) -> float:
            begun = time.thread_time_ns()
            nic.wire_send(packets)
            return (time.thread_time_ns() - begun) / BURSTS

        ours()
        missed = nic.counters().host_rx
        if missed:
            raise RuntimeError(f"{missed} packets met no rule")
        took = paired(ours, lambda: plain.run(order) / len(order))
        yield Row(f"nicsim: a rule found, {name}", "ns", took.ours, bar or took.ours, True, took.control,
                  REFERENCE_RANDOM if bar else took.control, AGAINST, took.low, took.high)  # fmt: skip


EAL = ["-l", "0,1", "--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry", "-d", "librte_net_nicsim.so"]
FLOWS = ["--ingress", "--ether", "--ipv4", "--udp", "--count", "--queue", "--deletion-rate"]
FLOW_PERF = [*EAL, "--vdev", "net_nicsim0,prefault=1", "--", *FLOWS, "--rules-count=1000000", "--rules-batch=100000"]


def flow_perf() -> tuple[float, float]:
    """Rules per second made and destroyed, in millions, by DPDK's own program."""
    places = [str(driver_path().parent), os.environ.get("LD_LIBRARY_PATH")]
    environ = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, places))}
    done = subprocess.run(
        ["dpdk-test-flow-perf", *FLOW_PERF], capture_output=True, text=True, timeout=120, env=environ, check=True
    )
    rates = re.findall(r"Total (?:flows insertion|deletion) rate -> ([0-9.]+) K", done.stdout)
    return float(rates[0]) / 1000, float(rates[-1]) / 1000


def rate_row(name: str, rates: list[float], bar: float, control: float) -> Row:
    low, middle, high = statistics.quantiles(rates, n=4)
    return Row(f"nicsim: {name}", "M/s", middle, bar, False, control, REFERENCE_RANDOM, AGAINST, low, high)


def change_rows(rules: UdpRules) -> Iterable[Row]:
    """A million made and destroyed in the order in which they came, in the thread's own time."""
    plain, order = control_of_a_million()
    made, gone = [], []

    def once() -> float:
        gone.append(MILLION * 1000 / rules.destroy())
        made.append(MILLION * 1000 / rules.create(MILLION))
        return 0.0

    took = paired(once, lambda: plain.run(order) / len(order))
    yield rate_row("rules made, 1M", made, MADE_BAR, took.control)
    yield rate_row("rules destroyed, 1M", gone, DESTROYED_BAR, took.control)


def flow_perf_rows() -> Iterable[Row]:
    """The program takes the time on the wall, so its control does too."""
    plain, order = control_of_a_million()
    made, gone = [], []

    def once() -> float:
        rates = flow_perf()
        made.append(rates[0])
        gone.append(rates[1])
        return 0.0

    def control() -> float:
        begun = time.perf_counter_ns()
        for _ in range(16):
            plain.run(order)
        return (time.perf_counter_ns() - begun) / (16 * len(order))

    took = paired(once, control)
    yield rate_row("rules made, 1M, dpdk-test-flow-perf", made, MADE_BAR, took.control)
    yield rate_row("rules destroyed, 1M, dpdk-test-flow-perf", gone, DESTROYED_BAR, took.control)


def rows() -> Iterable[Row]:
    affinity = os.sched_getaffinity(0)
    with Eal.start(["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry"]) as eal:
        os.sched_setaffinity(0, affinity)
        nic = Nic.create(eal, "net_nicsim0", capacity=MILLION, clock="manual", prefault=True)
        port = eal.port(nic.port_id)
        port.configure()
        port.setup_queues(eal.mempool(1023, cache_size=0))
        port.start()
        rules = UdpRules(nic.port_id)
        rules.create(MILLION)
        yield from lookup_rows(nic)
        size = nic.audit().bytes_per_rule
        yield Row("nicsim: memory of a rule", "bytes", size, 144, True, 0, 0, "none", size, size)
        yield from change_rows(rules)
    if shutil.which("dpdk-test-flow-perf"):
        yield from flow_perf_rows()
