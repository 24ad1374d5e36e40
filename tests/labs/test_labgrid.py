"""A lab of labgrid's: a real coordinator and exporter on this machine; a place is reserved, taken and given back."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from suite import passed, run, words  # noqa: E402 - needs the path above

BIN = Path(sys.executable).parent
PLACE, LIMIT_S = "rack1-nic", 30

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("labgrid") is None, reason="labgrid is not installed: make lab"),
    pytest.mark.timeout(300),
    pytest.mark.slow,
]


class Grid:
    """The coordinator, an exporter of one host (this one), and a place there."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.directory = directory
        (directory / "exports.yaml").write_text(
            "host:\n  NetworkService:\n    address: 127.0.0.1\n    username: root\n    port: 22\n"
        )
        self.running = [self._start("labgrid-coordinator", "-l", self.address)]
        self._until("places")
        self.running.append(self._start("labgrid-exporter", "-c", self.address, "-n", "rack1", "exports.yaml"))
        self._until("resources", "rack1/host/NetworkService")
        self.client("-p", PLACE, "create")
        self.client("-p", PLACE, "add-match", "rack1/host/NetworkService")

    def _start(self, name: str, *words_: str) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{name}.log").open("wb")
        with log:
            return subprocess.Popen([str(BIN / name), *words_], cwd=self.directory, stdout=log, stderr=log)

    def client(self, *words_: str, check: bool = True) -> str:
        done = subprocess.run(
            [str(BIN / "labgrid-client"), "-x", self.address, *words_], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if done.returncode == 0 else ""

    def _until(self, command: str, wanted: str = "") -> None:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            done = subprocess.run([str(BIN / "labgrid-client"), "-x", self.address, command], capture_output=True,
                                  text=True, check=False)  # fmt: skip
            if done.returncode == 0 and wanted in done.stdout:
                return
            time.sleep(0.2)
        raise AssertionError(f"labgrid-client {command} did not show {wanted!r}")

    def environment(self, ports: str = "[nicsim:connectx-hws]") -> str:
        path = self.directory / "lab.yaml"
        path.write_text(
            f"targets:\n  dut:\n    resources:\n      RemotePlace:\n        name: {PLACE}\n"
            f"    options:\n      ports: {ports}\n"
        )
        return str(path)

    def close(self) -> None:
        for process in reversed(self.running):
            process.terminate()
            process.wait(LIMIT_S)


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Grid]:
    made = Grid(tmp_path)
    yield made
    made.close()


def test_a_place_is_reserved_used_and_given_back(grid: Grid) -> None:
    arguments = ["--lg-env", grid.environment(), "--lg-coordinator", grid.address, "-k", "test_start"]
    done = run(*arguments)
    assert "labgrid does not say where dut is" in words(done)
    assert "--acquire" in words(done)
    done = run(*arguments, "--acquire")
    assert passed(done) >= 4
    assert "device under test: nicsim:connectx-hws" in done.stdout
    assert PLACE not in grid.client("who")
    assert grid.client("reservations").strip() == ""


def test_a_coordinator_that_is_not_there_is_told(grid: Grid) -> None:
    done = run("--lg-env", grid.environment(), "--lg-coordinator", "127.0.0.1:1", "--acquire")
    assert "labgrid-client reserve failed" in words(done)
    assert "--lg-coordinator" in words(done)
