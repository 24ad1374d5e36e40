"""DPDK's own measure of rules, dpdk-test-flow-perf: an application of its own, which takes the device for itself."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from hwlab.client import standin_of
from hwlab.inventory import EMULATED, VDEV, Inventory

PROGRAM = "dpdk-test-flow-perf"
BATCHES, LIMIT_S = 4, 300
# Its threads share one variable for the rule that was made last (`flow` in app/test-flow-perf/main.c): with several
# cores a run now and then destroys one rule twice, and ends with these words, or never.
LOST, TRIES, LIMIT_SHARED_S = "Error in deleting flow", 5, 60
# Rules of a run: a NIC's table holds more; the stand-in writes down each of its rules.
N_RULES, N_RULES_EMULATED, N_RULES_STANDIN = 400_000, 100_000, 4_000
# Of all cores together, until the slowest was done. (What it calls throughput divides by the mean of their times.)
RATE = re.compile(
    r"^:: \[Latency \| (Insertion|Deletion)\] All Cores :: Port 0 :: Total [a-z ]+ -> (\d+(?:\.\d+)?) K Rules/Sec",
    re.MULTILINE,
)
# The driver's words, else the program's.
REFUSALS = (
    re.compile(r"^Flow can't be created.* message: (.+)$", re.MULTILINE),
    re.compile(r"^  Cause: (.+)$", re.MULTILINE),
)


@dataclass(frozen=True)
class Rates:
    """Rules per second, of all cores together; refusal: the program's last words where it did not get that far."""

    created_per_s: float = 0.0
    destroyed_per_s: float = 0.0
    refusal: str = ""


def why_not(inventory: Inventory, cores: int) -> str:
    """Why it cannot be run on this device; empty where it can."""
    if inventory.host:
        return f"{PROGRAM} is run where the device is, not through ssh"
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed (Debian: dpdk-dev)"
    have = len(os.sched_getaffinity(0))
    return f"{cores} cores are wanted, there are {have}" if have < cores else ""


def lcores(cores: int) -> list[str]:
    """EAL's argument: a thread on each of so many cores, and one more, which the program wants and leaves idle."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    return ["--lcores", ",".join(f"{thread}@{core}" for thread, core in enumerate([*chosen, chosen[0]]))]


def n_rules(inventory: Inventory) -> int:
    if inventory.is_standin:
        return N_RULES_STANDIN
    return N_RULES if inventory.is_real else N_RULES_EMULATED


def questions(n: int, cores: int) -> list[str]:
    """What the program is asked: rules with COUNT into a queue, on its first port, and out again."""
    rules = ["--ingress", "--group=1", "--ether", "--ipv4", "--udp", "--count", "--queue"]
    sizes = [f"--rules-count={n}", f"--rules-batch={n // BATCHES}", f"--cores={cores}", "--portmask=0x1"]
    return [*rules, *sizes, "--deletion-rate"]


def device(inventory: Inventory) -> list[str]:
    """EAL's arguments for the first device. The stand-in has its own."""
    memory = [] if inventory.hugepages else ["--no-huge", "-m", str(inventory.memory_mb)]
    first = inventory.dut[0]
    if inventory.is_real:
        return [*memory, f"--file-prefix=ctoffload-flow-perf-{os.getpid()}", "-a", first]
    alone = [*memory, "--no-pci", "--no-shconf", "--no-telemetry"]
    if not inventory.is_emulated:
        return [*alone, "--vdev", first.removeprefix(VDEV)]
    profile, _, more = first.removeprefix(EMULATED).partition(",")
    vdev = ",".join(filter(None, ["net_nicsim0", f"profile={profile}", more]))
    return [*alone, "-d", "librte_net_nicsim.so", "--vdev", vdev]


def environment(inventory: Inventory) -> dict[str, str]:
    """EAL finds the emulated NIC's driver by its bare name: it takes no path that it thinks insecure."""
    if not inventory.is_emulated:
        return dict(os.environ)
    from ctoffload_dpdk.nicsim import driver_path  # noqa: PLC0415 - nothing of it for a real NIC

    found = [str(driver_path().parent), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, found))}


def run(inventory: Inventory, cores: int) -> Rates:
    """Runs it once."""
    try:
        return parsed(output(inventory, cores))
    except subprocess.TimeoutExpired:
        return Rates(refusal=f"no answer within {LIMIT_S if cores == 1 else LIMIT_SHARED_S} s")


def output(inventory: Inventory, cores: int) -> str:
    """What it printed, with several cores the first time that it lost no rule. Raises TimeoutExpired."""
    for _ in range(TRIES - 1 if cores > 1 else 0):
        with contextlib.suppress(subprocess.TimeoutExpired):
            text = once(inventory, cores)
            if LOST not in text:
                return text
    return once(inventory, cores)


def once(inventory: Inventory, cores: int) -> str:
    on, asked = lcores(cores), questions(n_rules(inventory), cores)
    limit_s = LIMIT_S if cores == 1 else LIMIT_SHARED_S
    if not inventory.is_standin:
        return printed([PROGRAM, *on, *device(inventory), "--", *asked], environment(inventory), limit_s)
    nic = standin_of(inventory)
    try:
        return printed(nic.command([PROGRAM, *on, *nic.eal_args(), "--", *asked]), nic.environment(), limit_s)
    finally:
        nic.close()


def printed(command: Sequence[str], environ: dict[str, str], limit_s: int) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, timeout=limit_s, env=environ
    )
    return done.stdout + done.stderr


def parsed(text: str) -> Rates:
    """The rates in what it printed, in thousands per second there."""
    found = {name: float(rate) * 1000 for name, rate in RATE.findall(text)}
    if set(found) != {"Insertion", "Deletion"}:
        said = [match[1] for match in (pattern.search(text) for pattern in REFUSALS) if match]
        return Rates(refusal=[*said, *reversed(text.strip().splitlines()), "it said nothing"][0])
    return Rates(found["Insertion"], found["Deletion"])
