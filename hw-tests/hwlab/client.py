"""The side of the tests: starts the process under test, here or on another machine, and calls its functions."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hwlab.errors import BenchDied, BenchError, LabError
from hwlab.inventory import STANDIN, Inventory
from hwlab.serve import decode, encode

ROOT = Path(__file__).resolve().parents[2]
SERVE = "hw-tests/hwlab/serve.py"
LIMIT_S = 300
# The stand-in as one switch, and as two physical ports without any.
SHAPES: dict[str, dict[str, Any]] = {
    "1": {"n_ports": 3, "options": "representor=vf[0-1]"},
    "2": {"n_devices": 2},
}
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class Bench:
    """One process under test. Its functions are those of bench.py: `bench.call("ports")`."""

    def __init__(self, inventory: Inventory) -> None:
        if inventory.host:
            check_ssh()
        self.inventory = inventory
        self.nic = standin_of(inventory) if inventory.is_standin else None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command, environment = self._command()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, env=environment, cwd=ROOT
        )

    def _command(self) -> tuple[list[str], dict[str, str] | None]:
        if self.inventory.host:
            remote = f"cd {shlex.quote(self._directory)} && exec .venv/bin/python -P {SERVE}"
            return [*SSH, self.inventory.host, remote], None
        command = [sys.executable, "-P", str(ROOT / SERVE)]
        if self.nic is None:
            return command, None
        return self.nic.command(command), self.nic.environment()

    @property
    def _directory(self) -> str:
        """Where this repository is on the machine that has the device."""
        return self.inventory.directory or str(ROOT)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def call(self, function: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the function returns. BenchError where it raised, BenchDied where the process ended or hangs."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = json.dumps({"call": function, "args": args, "kwargs": kwargs}, default=encode)
        try:
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()
            line = self._line()
        except (BrokenPipeError, ConnectionError):
            line = b""
        if not line.endswith(b"\n"):
            raise self._died(function)
        reply = json.loads(line, object_hook=decode)
        if "error" in reply:
            raise rebuilt(reply["error"])
        return reply["answer"]

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(LIMIT_S):
                self._process.kill()
                return b""
        return self._process.stdout.readline()

    def _died(self, function: str) -> BenchDied:
        status = self._process.wait()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        last = self.words().strip().splitlines()
        if self.inventory.host and function == "start":
            return BenchDied(
                f"no process under test at {self.inventory.host}: {last[-1] if last else how}",
                hint=f"ssh to it must work without a password, and {self._directory} be this repository, built there",
            )
        return BenchDied(
            f"the process under test {how} in {function}: {last[-1] if last else 'it said nothing'}",
            hint="the driver is at fault where the signal is SIGSEGV or SIGABRT; its words are in the test's log",
        )

    def words(self) -> str:
        """The last of what the process printed."""
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - 8000))
        return self._words.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL, as a crash would end it: nothing is taken down."""
        if self.inventory.host:
            subprocess.run([*SSH, self.inventory.host, f"kill -KILL {self.call('pid')}"], check=True)
        else:
            self._process.kill()
        self._process.wait()
        self._release()

    def close(self) -> int:
        """Lets the process take everything down, and returns its status."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._release()
        return status

    def _release(self) -> None:
        """What is held for a process that has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._words.close()
        if self.nic is not None:
            self.nic.close()


def check_ssh() -> None:
    """Raises LabError where there is no ssh to reach another machine with."""
    if shutil.which(SSH[0]) is None:
        raise LabError("ssh is not installed here, and the lab names another machine", "apt-get install openssh-client")


def standin_of(inventory: Inventory) -> Any:
    """The stand-in that the inventory names. Raises LabError where it cannot run here."""
    sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []
    from standin.mlx5 import Standin, Steering, why_unavailable  # noqa: PLC0415 - labs with a NIC have no use for it
    from standin.mlx5.profiles import DEFAULT, UnknownProfile  # noqa: PLC0415

    why = why_unavailable()
    if why:
        raise LabError(f"the stand-in cannot run here: {why}", "docs/standin.md says what it needs")
    steering, _, rest = inventory.dut[0].removeprefix(STANDIN).partition(",")
    options = dict(word.partition("=")[::2] for word in filter(None, rest.split(",")))
    shape = SHAPES.get(options.get("devices", "1"))
    if shape is None:
        raise LabError(f"{inventory.dut[0]}: so many devices there cannot be", f"say devices={' or '.join(SHAPES)}")
    try:
        return Standin(Steering[steering.upper()], profile=options.get("profile", DEFAULT), **shape)
    except UnknownProfile as error:
        raise LabError(str(error), "hw-tests/record_profile.py makes one of a real card") from None


def rebuilt(facts: dict[str, Any]) -> BenchError:
    error = BenchError(
        facts["message"], errno=facts.get("errno", 0), port=facts.get("port", ""), hint=facts.get("hint", "")
    )
    error.kind = facts["error"]
    return error


def until(condition: Any, seconds: float = 10.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
