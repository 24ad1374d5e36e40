"""What is at the far end of a wire: sends frames to a port under test, and takes what leaves it.

A generator of your own is a class with `send`, `receive` and `close`, named as python:MODULE:CLASS:ARGUMENT; it is made
as CLASS(ARGUMENT). With `send_at_rate` it serves the tests of rates as well. hw-tests/README.md shows one.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwlab.client import SSH, Bench, check_ssh
from hwlab.errors import LabError

AGENT = Path(__file__).with_name("agent.py")
ANSWER_S = 15.0


class Generator(Protocol):
    """One end of a wire. Frames are whole Ethernet frames, without the checksum at their end."""

    def send(self, frames: Sequence[bytes]) -> None:
        """Sends them in order, each once."""

    def receive(self, timeout_s: float) -> list[bytes]:
        """What arrived since the last call: at once where there is something, else after at most this time."""

    def close(self) -> None: ...


@runtime_checkable
class RateGenerator(Protocol):
    """A generator that can send the same frames over and over, as fast as it can."""

    def send_at_rate(self, frames: Sequence[bytes], seconds: float) -> dict[str, float]:
        """Returns {"packets": sent, "seconds": taken}."""


class OfBench:
    """A wire that the process under test holds: of an emulated NIC, or a second DPDK port."""

    def __init__(self, bench: Bench, side: int, *, is_fast: bool) -> None:
        self._bench, self._side, self._is_fast = bench, side, is_fast

    def send(self, frames: Sequence[bytes]) -> None:
        self._bench.call("send", self._side, b"".join(frames), [len(f) for f in frames])

    def receive(self, timeout_s: float) -> list[bytes]:
        got: list[bytes] = self._bench.call("receive", self._side)
        if not got and self._is_fast:
            self._bench.call("wait", min(timeout_s, 0.02))
            got = self._bench.call("receive", self._side)
        return got

    def send_at_rate(self, frames: Sequence[bytes], seconds: float) -> dict[str, float]:
        sent: dict[str, float] = self._bench.call(
            "rate", self._side, b"".join(frames), [len(f) for f in frames], seconds
        )
        return sent

    def close(self) -> None:
        """The process closes its ports."""


class OfInterface:
    """A network interface of the kernel's, here or on a machine that ssh reaches, through a packet socket."""

    def __init__(self, interface: str, prefix: Sequence[str] = ()) -> None:
        program = AGENT.read_text(encoding="utf-8")
        # ssh joins its words with blanks and hands them to a shell, which must not look into the program.
        words = ["python3", "-c", program, interface] if not prefix else [remote_words(program, interface)]
        self.where = f"{interface} of {prefix[-1]}" if prefix else interface
        python = [sys.executable, *words[1:]] if not prefix else [*prefix, *words]
        self._process = subprocess.Popen(python, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._ask({"op": "hello"})

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._unreachable() from None
        if not select.select([self._process.stdout], [], [], ANSWER_S)[0]:
            raise self._unreachable("it does not answer")
        line = self._process.stdout.readline()
        if not line:
            raise self._unreachable()
        answer = json.loads(line)
        if "error" in answer:
            self.close()
            raise LabError(f"the peer {self.where}: {answer['error']}", answer["hint"])
        return answer["answer"]

    def _unreachable(self, why: str = "") -> LabError:
        self._process.kill()
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        self.close()
        return LabError(
            f"the peer {self.where} cannot be reached: {why or (said[-1] if said else 'no words')}",
            "ssh to it must work without a password, as a user who may open packet sockets (root)",
        )

    def send(self, frames: Sequence[bytes]) -> None:
        self._ask({"op": "send", "frames": [base64.b64encode(f).decode() for f in frames]})

    def receive(self, timeout_s: float) -> list[bytes]:
        return [base64.b64decode(f) for f in self._ask({"op": "receive", "timeout_s": timeout_s})]

    def send_at_rate(self, frames: Sequence[bytes], seconds: float) -> dict[str, float]:
        asked = {"op": "rate", "frames": [base64.b64encode(f).decode() for f in frames], "seconds": seconds}
        sent: dict[str, float] = self._ask(asked)
        return sent

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def remote_words(program: str, interface: str) -> str:
    """The agent as one word for the shell at the far end."""
    packed = base64.b64encode(program.encode()).decode()
    return f"exec python3 -c \"import base64;exec(base64.b64decode('{packed}'))\" {interface}"


def generators(bench: Bench) -> list[Generator]:
    """What is at the far end of each side, in their order. Raises LabError; empty where nothing is."""
    inventory = bench.inventory
    if inventory.is_emulated:
        return [OfBench(bench, side, is_fast=False) for side in range(2)]
    made: list[Generator] = []
    n_dpdk = 0
    for peer in inventory.peers:
        kind, _, rest = peer.partition(":")
        if kind == "dpdk":
            made.append(OfBench(bench, n_dpdk, is_fast=True))
            n_dpdk += 1
        elif kind == "interface":
            made.append(OfInterface(rest))
        elif kind == "ssh":
            check_ssh()
            host, _, interface = rest.rpartition(":")
            made.append(OfInterface(interface, [*SSH, host]))
        else:
            made.append(plugged_in(rest))
    return made


def plugged_in(text: str) -> Generator:
    """A generator of the lab's own: MODULE:CLASS:ARGUMENT."""
    module, _, rest = text.partition(":")
    name, _, argument = rest.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(argument)
    except (ImportError, AttributeError) as error:
        raise LabError(
            f"the generator {text} cannot be loaded: {error}", "PYTHONPATH must lead to its module"
        ) from None
    missing = [word for word in ("send", "receive", "close") if not callable(getattr(made, word, None))]
    if missing:
        raise LabError(f"the generator {text} has no {missing[0]}()", "hw-tests/README.md says what one has")
    generator: Generator = made
    return generator


def until_received(generator: Generator, wanted: bytes, seconds: float = 2.0) -> bool:
    """Whether a frame that holds these bytes arrives in time."""
    end = time.monotonic() + seconds
    while True:
        if any(wanted in frame for frame in generator.receive(0.1)):
            return True
        if time.monotonic() >= end:
            return False
