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
LIMIT_S = 100


def answer(kind: str, directory: Path) -> dict[str, Any]:
    command = [sys.executable, "-P", str(GUEST), kind, str(directory)]
    if kind == "af_packet":
        if os.geteuid() != 0:
            pytest.skip("packet sockets need root")
        command = ["unshare", "--net", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S)
    head, mark, last = done.stdout.rpartition("ANSWER ")
    assert done.returncode == 0 and mark, f"status {done.returncode}\n{head[-2000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(last)
    return found


@pytest.mark.parametrize("kind", ["null", "ring", "pcap", "memif", "af_packet"])
def test_it_forwards_and_declines_rules_with_the_drivers_word(kind: str, tmp_path: Path) -> None:
    found = answer(kind, tmp_path)
    assert found["plan"] == "none"
    assert f"net_{kind}0 takes no rules" in found["why"]
    assert "Function not implemented [ENOSYS]" in found["why"]
    assert found["rules"] == found["offloaded"] == 0
    assert found["problems"] == []
    assert found["host_rx"] == found["host_tx"] >= 2
    if kind == "null":
        return  # what its packets hold is whatever was in their buffers
    assert found["connections"] == 1, "question and answer are one connection"
    if kind != "ring":  # where both ports bring both directions: a connection that moves each turn is offered anew
        assert found["reasons"] == ["no-capability"]
        assert found["arrived"] == [True, True]
