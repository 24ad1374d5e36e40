"""A Python process on the stand-in that calls functions on demand: where the binding of DPDK is tested.

    with Worker(Standin(Steering.SOFTWARE), "bench.py") as worker:
        worker.call("create_rule", ...)

The file is a module of functions; each is called with the arguments given, what it returns comes back. The module keeps
what it wants between calls. DPDK is loaded in the worker only.
"""

from __future__ import annotations

import os
import pickle
import runpy
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from standin.mlx5.control import Control
from standin.mlx5.process import ROOT, Standin

LENGTH = struct.Struct("!I")
TIMEOUT_S = 60


class WorkerError(Exception):
    """A function of the worker raised; the text is the worker's traceback."""


class WorkerDied(Exception):
    """The process ended in the middle of a call; the text tells how, with its last words."""


def send(channel: socket.socket, value: object) -> None:
    data = pickle.dumps(value)
    channel.sendall(LENGTH.pack(len(data)) + data)


def receive_exactly(channel: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        chunk = channel.recv(n - len(got))
        if not chunk:
            raise EOFError
        got += chunk
    return got


def receive(channel: socket.socket) -> Any:
    (length,) = LENGTH.unpack(receive_exactly(channel, LENGTH.size))
    return pickle.loads(receive_exactly(channel, length))


class Worker:
    """One process on one stand-in, which it owns."""

    def __init__(self, nic: Standin, module: Path) -> None:
        self.nic = nic
        self._control: Control | None = None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(TIMEOUT_S)
        modules = ":".join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
        argv = [sys.executable, "-P", str(Path(__file__)), str(theirs.fileno()), str(module)]
        self._process = subprocess.Popen(
            nic.command(argv),
            env={**nic.environment(), "PYTHONPATH": modules},
            pass_fds=[theirs.fileno()],
            stdout=self._words,
            stderr=self._words,
        )
        theirs.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: str, *args: object) -> Any:
        """What the module's function returns. WorkerError where it raised, WorkerDied where the process ended."""
        try:
            send(self._channel, (function, args))
            ok, value = receive(self._channel)
        except (EOFError, ConnectionError):
            status = self._process.wait()
            raise WorkerDied(f"{function}: the process ended with {status}; its last words:\n{self.words()}") from None
        except TimeoutError:
            self._process.kill()
            raise WorkerDied(f"{function}: no answer within {TIMEOUT_S} s; last words:\n{self.words()}") from None
        if not ok:
            raise WorkerError(value)
        return value

    def words(self) -> str:
        """The last of what the process printed."""
        self._words.seek(0)
        return self._words.read().decode(errors="replace")[-4000:]

    @property
    def control(self) -> Control:
        """The channel into the stand-in, once the device was probed."""
        if self._control is None:
            self._control = self.nic.control()
        return self._control

    def close(self) -> int:
        """Ends the process by itself and returns its status."""
        if self._control is not None:
            self._control.close()
        self._channel.close()
        try:
            status = self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._words.close()
        self.nic.close()
        return status


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    functions = runpy.run_path(sys.argv[2])
    while True:
        try:
            name, args = receive(channel)
        except EOFError:
            break
        try:
            answer = (True, functions[name](*args))
        except Exception:  # whatever it is, the caller has to see it
            answer = (False, traceback.format_exc())
        send(channel, answer)
    if "finish" in functions:
        functions["finish"]()


if __name__ == "__main__":
    main()
