"""DPDK's own test program on emulated NICs, driven command by command."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest
from search_path import library_path

PROMPT = b"testpmd> "
LIMIT_S = 60
EAL = ("--lcores", "0@0,1@0", "--no-huge", "-m", "128", "--no-shconf", "--no-pci", "-d", "librte_net_nicsim.so")
OPTIONS = ("--no-mlockall", "--total-num-mbufs=2048")


def require() -> str:
    """The directory of the driver; skips in words where testpmd or the driver is not there."""
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    try:
        driver = driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    if shutil.which("dpdk-testpmd") is None:
        pytest.skip("dpdk-testpmd is not installed (Debian: dpdk-dev)")
    return str(driver.parent)


class Testpmd:
    """A testpmd on these ports: Testpmd("net_nicsim0,switch=1", ...). Each command returns what it printed."""

    __test__ = False  # not a test class, in spite of its name

    def __init__(
        self,
        *vdevs: str,
        eal: Sequence[str] = ("--no-telemetry",),
        options: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environment = {**os.environ, **(environ or {}), "LD_LIBRARY_PATH": library_path(Path(require()))}
        self._out, terminal = os.openpty()  # a terminal, so that lines come when they are written
        ports = [word for vdev in vdevs for word in ("--vdev", vdev)]
        argv = ["dpdk-testpmd", *EAL, *eal, *ports, "--", "-i", *OPTIONS, *options]
        self._process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.started = self._read()
        assert "Fail to start" not in self.started, self.started

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> str:
        """Everything up to the next prompt."""
        end = time.monotonic() + LIMIT_S
        got = b""
        while not got.endswith(PROMPT):
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"testpmd did not answer within {LIMIT_S} s:\n{got.decode(errors='replace')}"
            with contextlib.suppress(OSError):
                piece = os.read(self._out, 65536)
                got += piece
                if piece:
                    continue
            raise AssertionError(f"testpmd ended:\n{got.decode(errors='replace')}")
        return got.decode(errors="replace").replace("\r\n", "\n")

    def say(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
