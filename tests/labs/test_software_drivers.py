"""Drivers that move packets in software: the engine forwards by them, and says that they take no rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from suite import ROOT  # noqa: E402 - needs the path above

GUEST = Path(__file__).with_name("software_guest.py")
KINDS = ("null", "ring", "pcap", "memif", "af_packet")
LIMIT_S = 100


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each kind said, in one process; packet sockets need root, and a network of their own."""
    is_root = os.geteuid() == 0
    kinds = [kind for kind in KINDS if is_root or kind != "af_packet"]
    command = ["unshare", "--net"] if is_root else []
    command += [sys.executable, "-P", str(GUEST), str(tmp_path_factory.mktemp("ports")), *kinds]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S)
    head, mark, last = done.stdout.rpartition("ANSWER ")
    assert done.returncode == 0 and mark, f"status {done.returncode}\n{head[-2000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(last)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_forwards_and_declines_rules_with_the_drivers_word(kind: str, answers: dict[str, Any]) -> None:
    if kind not in answers:
        pytest.skip("packet sockets need root")
    found = answers[kind]
    assert found["plan"] == "none"
    assert f"net_{kind}0 takes no rules" in found["why"]
    assert "Function not implemented [ENOSYS]" in found["why"]
    assert found["rules"] == 0
    assert found["problems"] == []
    assert found["host_rx"] == found["host_tx"] >= 2
    if kind == "null":
        return  # what its packets hold is whatever was in their buffers
    assert found["connections"] == 1, "question and answer are one connection"
    reasons = {reason for offloaded, reason in found["seen"] if offloaded == "no"}
    assert "no-capability" in reasons
    assert reasons <= {"not-established", "no-capability"}, "one that is out of hardware always says why"
    assert "yes" not in {offloaded for offloaded, _ in found["seen"]}
    if kind != "ring":  # what is sent by a port of it comes in again by the same one
        assert found["arrived"] == [True, True]
