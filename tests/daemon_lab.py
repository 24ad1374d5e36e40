"""A running `ctoffload run`, as a user starts it: a process of its own, spoken with through its socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.client import Client

BIN = Path(sys.executable).parent / "ctoffload"
EMULATED = ("--vdev", "net_nicsim0,switch=1,capacity=4096", "--vdev", "net_nicsim1,switch=1,capacity=4096")
START_LIMIT_S = 40
END_LIMIT_S = 40


class Daemon:
    """One daemon. `stop` ends it in order and gives its account."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        memory_mb: int = 160,
        environment: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
    ):
        """before: words in front of the program's name, such as what makes it another user's."""
        self.socket = directory / "control.sock"
        self.log_path = directory / "daemon.log"
        words = [*before, BIN, "run", "--json", "--socket", self.socket, "--memory", str(memory_mb), "--no-hugepages"]
        words += ["--file-prefix", f"ct-test-{os.getpid()}", *(arguments or EMULATED)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                list(map(str, words)),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | (environment or {}),
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def until_ready(self) -> Daemon:
        """Waits until it answers."""
        end = time.monotonic() + START_LIMIT_S
        while True:
            assert self.process.poll() is None, f"it ended with status {self.process.returncode}:\n{self.log[-3000:]}"
            with contextlib.suppress(CtoffloadError):
                with Client(self.socket) as client:
                    client.call("count")
                return self
            assert time.monotonic() < end, f"it does not answer:\n{self.log[-3000:]}"
            time.sleep(0.05)

    def call(self, command: str, /, **parameters: Any) -> dict[str, Any]:
        with Client(self.socket) as client:
            return client.call(command, **parameters)

    def rows(self, command: str = "dump", /, **parameters: Any) -> list[dict[str, Any]]:
        with Client(self.socket) as client:
            return list(client.rows(command, **parameters))

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of `ctoffload` on it."""
        done = subprocess.run(
            [BIN, "--socket", self.socket, *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done

    def until(self, holds: Callable[[], Any], what: str, limit_s: float = 20) -> Any:
        """Waits until that holds; returns what it gave."""
        end = time.monotonic() + limit_s
        while not (found := holds()):
            assert time.monotonic() < end, f"{what}; the daemon said:\n{self.log[-3000:]}"
            time.sleep(0.02)
        return found

    def stop(self, number: int = signal.SIGTERM, status: int = 0) -> dict[str, Any]:
        """Ends it by a signal; its account."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=END_LIMIT_S)
        assert self.process.returncode == status, f"{output[-2000:]}\n{self.log[-3000:]}"
        account: dict[str, Any] = json.loads(output)
        return account

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def running(directory: Path, *arguments: str, **options: Any) -> Iterator[Daemon]:
    """A daemon that is ready, and ended in the end whatever happens."""
    daemon = Daemon(directory, *arguments, **options)
    try:
        yield daemon.until_ready()
    finally:
        daemon.kill()
