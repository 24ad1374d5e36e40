"""What card the stand-in is: profiles by name, and such as a lab records."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from standin.mlx5 import Standin, Steering, Worker
from standin.mlx5.profiles import UnknownProfile, load, names
from standin.mlx5.sysfs import PCI_ADDRESS

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "hw-tests" / "record_profile.py"
WITH_CONTEXTS = [name for name in names() if name != "connectx-5"]


@pytest.mark.parametrize("name", names())
def test_a_profile_says_what_it_stands_on(name: str) -> None:
    profile = load(name)
    assert profile.card
    assert profile.known_by
    assert profile.is_recorded == ("recorded" in profile.known_by)


@pytest.mark.parametrize("name", ["connectx-9", "/none/card.json", "../sysfs.py"])
def test_a_profile_that_is_none_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownProfile, match="there are: bluefield-2, "):
        load(name)


@pytest.mark.parametrize("name", WITH_CONTEXTS)
def test_cards_from_connectx_6_dx_on_track_connections(bench: Callable[..., Worker], name: str) -> None:
    worker = bench(Steering.SOFTWARE, profile=name)
    assert worker.call("try_context") == {}
    assert worker.call("query_context"), "once it was answered for, it can be destroyed"


def recorded(profile: str, place: Path) -> Path:
    """The profile as the recorder reads it off a stand-in of this profile."""
    with Standin(Steering.SOFTWARE, profile=profile) as nic:
        command = nic.command([sys.executable, "-P", str(RECORD), PCI_ADDRESS])
        done = subprocess.run(command, env=nic.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place.write_text(done.stdout)
    return place


@pytest.mark.parametrize("name", ["connectx-5", "connectx-7"])
def test_what_was_recorded_is_played_back(
    standin_available: None, bench: Callable[..., Worker], name: str, tmp_path: Path
) -> None:
    """Byte for byte, and to the driver: a card without contexts has none in its recording either."""
    first = recorded(name, tmp_path / "first.json")
    second = recorded(str(first), tmp_path / "second.json")
    one, two = (json.loads(path.read_text()) for path in (first, second))
    assert len(one["recorded"]) >= 8
    assert one["recorded"] == two["recorded"]
    assert int(one["device"], 16) == int(two["device"], 16) == load(name).device
    worker = bench(Steering.SOFTWARE, profile=str(first))
    said = worker.call("try_context")
    if not said:
        worker.call("query_context")
    assert ("CT is not supported" in said.get("message", "")) == (name == "connectx-5")


def test_the_recorder_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(RECORD), "0000:ff:1f.7"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no RDMA device at 0000:ff:1f.7" in done.stderr
    assert "mlx5_core" in done.stderr
