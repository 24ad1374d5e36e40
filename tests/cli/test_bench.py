"""ctoffload bench: every figure is of something that happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scapy.all as scapy

from ctoffload_dpdk.demo.rates import frames, in_rounds, rate_of

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "ctoffload"
NAMES = [
    "new connections",
    "first replies",
    "packets in software",
    "connections put into the NIC",
    "packets through the emulated NIC",
    "connections taken out",
]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "bench", *words], capture_output=True, text=True, check=False, timeout=100)


def test_each_rate_has_its_percentiles():
    done = bench("--connections", "500", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["schema"] == 1
    assert [rate["name"] for rate in said["rates"]] == NAMES
    for rate in said["rates"]:
        assert rate["n"] == 500
        assert rate["per_s"] == pytest.approx(rate["n"] / rate["seconds"], rel=0.01)
        assert rate["ns"]["p50"] <= rate["ns"]["p90"] <= rate["ns"]["p99"] <= rate["ns"]["max"]


def test_for_people_it_is_a_table():
    done = bench("--connections", "64")
    assert all(name in done.stdout for name in NAMES)


def test_too_few_connections_are_wrong_usage():
    assert bench("--connections", "1").returncode == 2


def test_the_packets_are_what_scapy_would_make():
    packets = frames(np.array([0, 1, 70_000], np.uint32))
    for frame, host in zip(packets, ("10.0.0.0", "10.0.0.1", "10.1.17.112"), strict=True):
        seen = scapy.Ether(frame)
        assert (seen.src, seen[scapy.IP].src, seen[scapy.UDP].sport, seen[scapy.UDP].dport) == (
            "02:00:00:00:00:0a", host, 40_000, 53)  # fmt: skip
        right = seen.copy()
        del right[scapy.IP].chksum
        assert scapy.Ether(bytes(right))[scapy.IP].chksum == seen[scapy.IP].chksum
        assert seen[scapy.UDP].len == len(frame) - 34
    back = scapy.Ether(frames(np.array([5], np.uint32), reply=True)[0])
    assert (back[scapy.IP].dst, back[scapy.UDP].sport) == ("10.0.0.5", 53)


def test_a_rate_counts_all_the_time_and_a_percentile_is_of_one():
    rate = rate_of("x", "packets", [10, 30], [1000, 9000])
    assert rate.per_s == pytest.approx(40 / 10e-6)
    assert rate.percentiles_ns["max"] == 300
    assert in_rounds([0, 5, 0, 2, 0], [1, 2, 3, 4, 5]) == ([5, 2], [3, 7])


@pytest.mark.parametrize("words", [["nosuch"], [""], ["--nosuch"], ["_control"]])
def test_the_speed_bars_refuse_a_part_that_there_is_not_and_measure_nothing(words):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no part" in done.stderr or "unrecognized arguments" in done.stderr
    assert "Traceback" not in done.stderr
