"""DPDK's own measure of rules, dpdk-test-flow-perf: an application of its own, which takes the device for itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from hwlab.inventory import Inventory

PROGRAM = "dpdk-test-flow-perf"
N_RULES, BATCH, LIMIT_S = 400_000, 100_000, 300


@dataclass(frozen=True)
class Rates:
    """Rules per second; refusal: the program's last words where it did not get that far."""

    created_per_s: float = 0.0
    destroyed_per_s: float = 0.0
    refusal: str = ""


def why_not(inventory: Inventory, cores: int) -> str:
    """Why it cannot be run on this device; empty where it can."""
    if not inventory.is_real:
        return "dpdk-test-flow-perf is for a real NIC: an emulated one is rated by `make bench`"
    if inventory.host:
        return "dpdk-test-flow-perf is run where the device is, not through ssh"
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed (package dpdk)"
    have = len(os.sched_getaffinity(0))
    return f"{cores} cores and one for the program are wanted, there are {have}" if have < cores + 1 else ""


def command(inventory: Inventory, cores: int) -> list[str]:
    memory = [] if inventory.hugepages else ["--no-huge", "-m", str(inventory.memory_mb)]
    allow = [word for device in inventory.dut for word in ("-a", device)]
    rules = ["--ingress", "--group=1", "--ether", "--ipv4", "--udp", "--count", "--queue"]
    sizes = [f"--rules-count={N_RULES}", f"--rules-batch={BATCH}", f"--cores={cores}", "--deletion-rate"]
    return [PROGRAM, "-l", f"0-{cores}", *memory, *allow, "--", *rules, *sizes]


def run(inventory: Inventory, cores: int) -> Rates:
    """Runs it once."""
    try:
        done = subprocess.run(
            command(inventory, cores), capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return Rates(refusal=f"no answer within {LIMIT_S} s")
    return parsed(done.stdout + done.stderr)


def parsed(text: str) -> Rates:
    """The rates in what it printed, in thousands per second there."""
    found = {
        name: float(rate)
        for name, rate in re.findall(r"(Insertion|Deletion) Rate\D*?(\d+(?:\.\d+)?)\s*K Rule/Sec", text)
    }
    if "Insertion" not in found:
        found = {
            name: float(rate)
            for name, rate in re.findall(r"(?i)(insertion|deletion) rate\D*?->?\s*(\d+(?:\.\d+)?)\s*K", text)
        }
        found = {name.capitalize(): rate for name, rate in found.items()}
    if "Insertion" not in found:
        return Rates(refusal=(text.strip().splitlines() or ["it said nothing"])[-1])
    return Rates(found["Insertion"] * 1000, found.get("Deletion", 0.0) * 1000)
