"""DPDK's own test program on the stand-in, driven command by command."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import time
from dataclasses import dataclass

from standin.mlx5 import Control, Standin

PROMPT = b"testpmd> "
LIMIT_S = 20
CORES = ("--lcores", "0@0,1@0")  # it wants two, on whatever CPUs there are
PORT_OPTIONS = ("--no-mlockall", "--total-num-mbufs=4096", "--rxd=64", "--txd=64", "--rxq=2", "--txq=2")

COMPLAINT = re.compile(
    r"Caught PMD error type (\d+) \(([^)]*)\): (?:cause: 0x[0-9a-f]+, )?(.*): ([^:]+)$", re.MULTILINE
)
ERRNOS = {os.strerror(n): n for n in range(1, 134)}


@dataclass(frozen=True)
class Complaint:
    """What the driver said: struct rte_flow_error and rte_errno."""

    errno: int
    type: int
    message: str


class Testpmd:
    """A testpmd on one stand-in. Commands are run one at a time; each returns what it printed."""

    __test__ = False  # not a test class, in spite of its name

    def __init__(self, nic: Standin) -> None:
        self.nic = nic
        self._control: Control | None = None
        self._out, terminal = os.openpty()  # a terminal, so that lines come when they are written
        argv = ["dpdk-testpmd", *nic.eal_args(), *CORES, "--", "-i", *PORT_OPTIONS]
        self._process = subprocess.Popen(
            nic.command(argv), env=nic.environment(), stdin=subprocess.PIPE, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        self.started = ""

    def wait_until_ready(self) -> None:
        self.started = self._read()
        assert "Fail to start" not in self.started, self.started

    def _read(self) -> str:
        """Everything up to the next prompt."""
        end = time.monotonic() + LIMIT_S
        got = b""
        while not got.endswith(PROMPT):
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            try:
                chunk = os.read(self._out, 65536) if ready else b""
            except OSError:  # the other end is closed
                chunk = b""
            if not chunk:
                text = got.decode(errors="replace")
                raise AssertionError(
                    f"testpmd {'ended' if ready else 'did not answer'}; its last words:\n{text[-3000:]}"
                )
            got += chunk
        return got.removesuffix(PROMPT).decode(errors="replace").replace("\r\n", "\n")

    def run(self, command: str) -> str:
        """What the command printed, without its echo."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        return self._read().partition("\n")[2]

    @property
    def control(self) -> Control:
        if self._control is None:
            self._control = self.nic.control()
        return self._control

    def close(self) -> None:
        """Ends the process; raises AssertionError where it did not end well."""
        if self._control is not None:
            self._control.close()
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.write(b"quit\n")
            self._process.stdin.flush()
            self._drain()
        status = self._process.wait(LIMIT_S)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        os.close(self._out)
        self.nic.close()
        assert status == 0, f"testpmd ended with {status}"

    def _drain(self) -> None:
        try:
            while os.read(self._out, 65536):
                pass
        except OSError:
            pass


def complaint(output: str) -> Complaint | None:
    """What the driver complained of in a command's output, or None."""
    found = COMPLAINT.search(output)
    if found is None:
        return None
    return Complaint(ERRNOS.get(found[4].strip(), 0), int(found[1]), found[3])
