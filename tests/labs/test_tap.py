"""Connections on TAP devices of a kernel that has tc flower: the provider's rules are the kernel's filters.

Where this machine's kernel has it, in a network namespace; else in a virtual machine with Debian's kernel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

from suite import EVERYTHING, ROOT  # noqa: E402 - needs the path above

from build_support import flower_vm  # noqa: E402

GUEST = Path(__file__).with_name("tap_guest.py")
# An emulated processor on a busy machine.
LIMIT_S = 600
TRY = """ip tuntap add dev try0 mode tap && ip link set try0 up && tc qdisc add dev try0 root handle 1: multiq &&
tc filter add dev try0 parent 1: protocol ip flower ip_proto tcp action skbedit queue_mapping 0"""


@cache
def this_kernel_has_flower() -> bool:
    """Whether a filter like the driver's can be made here."""
    done = subprocess.run(["unshare", "--net", "sh", "-c", TRY], capture_output=True, check=False)
    return os.geteuid() == 0 and done.returncode == 0


@cache
def answer() -> dict[str, Any]:
    """What the devices and the kernel said; the run is shared by all tests."""
    command = [sys.executable, "-P", str(GUEST)]
    if this_kernel_has_flower():
        done = subprocess.run(["unshare", "--net", *command], capture_output=True, text=True, check=False, cwd=ROOT,
                              timeout=LIMIT_S)  # fmt: skip
    else:
        done = flower_vm.boot(ROOT, command, LIMIT_S)
    lines = [line.partition("ANSWER ")[2] for line in done.stdout.splitlines() if "ANSWER {" in line]
    assert lines, f"status {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(lines[0])
    return found


@pytest.fixture
def tap() -> dict[str, Any]:
    if not this_kernel_has_flower():
        if not EVERYTHING:
            pytest.skip("this kernel has no tc flower, and a virtual machine takes minutes; make test-all runs it")
        why = flower_vm.why_not(ROOT)
        if why:
            pytest.skip(f"this kernel has no tc flower: {why}")
    return answer()


pytestmark = pytest.mark.timeout(LIMIT_S + 60)


def test_the_provider_steers_and_says_why_not_more(tap: dict[str, Any]) -> None:
    assert (tap["plan"], tap["fate"]) == ("steer", "queue"), tap["why"]
    for plan in ("ct", "age", "count", "mark"):
        assert f"not {plan}" in tap["why"]


def test_an_established_connection_is_a_filter_of_each_direction(tap: dict[str, Any]) -> None:
    assert tap["before"] == {"t0": [], "t1": []}
    assert tap["connection"] == {"in_hardware": True, "reason": "none"}, tap["refusal"]
    (forth,), (back,) = tap["installed"]["t0"], tap["installed"]["t1"]
    assert (forth["src_ip"], forth["dst_ip"], forth["src_port"], forth["dst_port"]) == (
        "198.51.100.1", "198.51.100.2", "1000", "80",
    )  # fmt: skip
    assert (back["src_ip"], back["dst_ip"], back["src_port"], back["dst_port"]) == (
        "198.51.100.2", "198.51.100.1", "80", "1000",
    )  # fmt: skip
    assert forth["does"]
    assert back["does"]


def test_packets_hit_the_filters(tap: dict[str, Any]) -> None:
    hits = [tap["hit"][name][0]["hits"] - tap["installed"][name][0]["hits"] for name in ("t0", "t1")]
    assert hits == [5, 1]
    assert tap["host_rx"] >= 9, "steered packets reach software, which forwards them"


def test_nothing_is_left_when_the_connection_ends(tap: dict[str, Any]) -> None:
    assert tap["after"] == {"t0": [], "t1": []}
    assert tap["rules"] == 0
    assert tap["problems"] == []
