"""The emulated NICs of another process, read through DPDK's telemetry socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from ctoffload_dpdk.nicsim.types import Audit, Books, Counters, NicsimError, RemotePort

SOCKET = "dpdk_telemetry.v2"
GREETING_BYTES = 1024
PAGE = 16  # rules of one answer, the driver's limit
TIMEOUT_S = 10.0


def runtime_directory() -> Path:
    """Where DPDK processes of this user have their directories, one by file prefix: as EAL finds it."""
    below = os.environ.get("RUNTIME_DIRECTORY")
    if below is None:
        below = "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    return Path(below) / "dpdk"


def socket_path(file_prefix: str = "rte") -> Path:
    """The telemetry socket of the process that was started with this --file-prefix."""
    return runtime_directory() / file_prefix / SOCKET


def others(path: Path) -> str:
    """What to try instead of this socket, as a hint."""
    found = sorted(p.parent.name for p in runtime_directory().glob(f"*/{SOCKET}") if p != path)
    if found:
        return f"there are sockets of these file prefixes: {', '.join(found)} (--file-prefix)"
    return "start the process without --no-telemetry; name its socket with --socket, or its --file-prefix"


class Remote:
    """A connection to one process. Raises NicsimError where nothing useful answers; close() it, or use it in a with.

    path: of its telemetry socket; an answer is waited for 10 s. Its methods raise NicsimError where the process has
    ended or does not answer, `port` also where there is no such emulated port.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(TIMEOUT_S)
        try:
            self.connection.connect(str(self.path))
            greeting = json.loads(self.connection.recv(GREETING_BYTES))
            self.limit_bytes = int(greeting["max_output_len"])
            self.pid = int(greeting["pid"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.connection.close()
            raise self.no_process(error) from None

    def no_process(self, error: Exception) -> NicsimError:
        if isinstance(error, FileNotFoundError):
            words = "there is no such socket"
        elif isinstance(error, ConnectionRefusedError):
            words = "the process that made the socket is gone"
        elif isinstance(error, PermissionError):
            words = "this user may not use the socket"
        elif isinstance(error, TimeoutError):
            words = f"no answer within {TIMEOUT_S:.0f} s"
        else:
            words = "it is no telemetry socket of DPDK"
        return NicsimError(f"no DPDK process answers at {self.path}: {words}", hint=others(self.path))

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def ask(self, command: str) -> Any:
        """The answer to a telemetry command; None where the process does not know it or has none."""
        try:
            self.connection.send(command.encode())
            answer = self.connection.recv(self.limit_bytes)
            return json.loads(answer)[command.partition(",")[0]]
        except (OSError, ValueError, KeyError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else "it ended, or its answer cannot be read"
            raise NicsimError(f"process {self.pid} was asked {command}: {why}") from None

    def port_ids(self) -> list[int]:
        """The numbers of its emulated ports. Raises NicsimError where the driver is not loaded."""
        ids = self.ask("/nicsim/ports")
        if ids is None:
            raise NicsimError(
                f"process {self.pid} has no emulated NIC: its driver is not loaded there",
                hint="load it with -d librte_net_nicsim.so, or nicsim.load() in Python",
            )
        return list(ids)

    def ask_port(self, what: str, port_id: int) -> dict[str, Any]:
        answer = self.ask(f"/nicsim/{what},{port_id}")
        if answer is None:
            ids = ", ".join(map(str, self.port_ids())) or "none"
            raise NicsimError(f"process {self.pid} has no emulated port {port_id}", hint=f"its emulated ports: {ids}")
        return dict(answer)

    def port(self, port_id: int) -> RemotePort:
        """The books and counters of one port."""
        audit = self.ask_port("audit", port_id)
        counters = self.ask_port("counters", port_id)
        return RemotePort(
            port_id=port_id,
            name=audit["name"],
            switch=audit["switch"] if audit["switch"] >= 0 else None,
            is_started=bool(audit["is_started"]),
            is_link_up=bool(audit["is_link_up"]),
            now_ms=audit["now_ms"],
            audit=Audit(Books(**audit["rules"]), Books(**audit["objects"]), audit["bytes_per_rule"], audit["aged"]),
            counters=Counters(**counters),
        )

    def rules(self, port_id: int) -> Iterator[dict[str, int | str]]:
        """The live rules of a port, page by page, none of a port that is not there.

        Rules that come and go meanwhile may be missed.
        """
        start = 0
        while page := self.ask(f"/nicsim/rules,{port_id},{start},{PAGE}"):
            yield from page.values()
            start = max(map(int, page)) + 1
