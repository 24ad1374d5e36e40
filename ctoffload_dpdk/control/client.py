"""A client of the control socket, for the command line and for programs."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.paths import check_length, find_socket
from ctoffload_dpdk.control.protocol import error_of

CONNECT_LIMIT_S = 5
ANSWER_LIMIT_S = 60.0


class Client:
    """Speaks with a running daemon. path: of its socket; None: in the usual places.

    Raises CtoffloadError where there is none: ENOENT, ECONNREFUSED, EACCES; UsageError ENAMETOOLONG for a long path.
    What asks raises what the daemon refuses with, of the same class (UsageError, SettingsError, ...), CtoffloadError
    ETIMEDOUT where it does not answer in time, and where it is gone: ECONNRESET, EPIPE.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, timeout_s: float = ANSWER_LIMIT_S) -> None:
        """timeout_s: how long to wait for the next piece of an answer; a place at the daemon is waited for 5 s."""
        self.path = Path(path) if path is not None else find_socket()
        check_length(self.path)
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Blocking: the kernel refuses at once where many wait for a daemon, unless it may wait as well.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_LIMIT_S, 0))
        try:
            self._socket.connect(os.fspath(self.path))
        except OSError as error:
            self._socket.close()
            raise not_reached(self.path, error) from None
        self._socket.settimeout(timeout_s)
        self._lines = self._socket.makefile("rb", buffering=256 * 1024)

    def call(
        self, command: str, /, *, told: Callable[[dict[str, Any]], None] | None = None, **parameters: object
    ) -> dict[str, Any]:
        """The document that a command answers; parameters with _ for -. CtoffloadError for one that answers rows.

        told: gets what is known until then, each time the daemon says how far it is.
        """
        for answer in self.answers(command, parameters):
            if told is not None and "progress" in answer:
                told(answer["progress"])
            if "result" in answer:
                found: dict[str, Any] = answer["result"]
                return found
        raise CtoffloadError(f"{command} answers rows, not a document", op=command)

    def rows(self, command: str, /, **parameters: object) -> Iterator[dict[str, Any]]:
        """The rows that a command answers, as they come."""
        for answer in self.answers(
            command, {"format": "json"} | parameters if command in {"dump", "get"} else parameters
        ):
            yield from answer.get("rows", ())

    def rows_until(
        self, command: str, parameters: dict[str, object], until_s: float | None
    ) -> Iterator[dict[str, Any]]:
        """The rows of a stream until this time of the monotonic clock; None: as long as it goes on."""
        self.wait_forever()
        answers = self.answers(command, parameters)
        while True:
            if until_s is not None:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return
                self._socket.settimeout(left_s)
            try:
                answer = next(answers)
            except StopIteration:
                return
            except CtoffloadError as error:
                if until_s is not None and error.errno == errno.ETIMEDOUT:
                    return
                raise
            yield from answer.get("rows", ())

    def texts(self, command: str, /, **parameters: object) -> Iterator[str]:
        """The finished lines that a command answers, many at a time."""
        for answer in self.answers(command, parameters):
            if "text" in answer:
                yield answer["text"]

    def answers(self, command: str, parameters: dict[str, object]) -> Iterator[dict[str, Any]]:
        """Each line of an answer, parsed. Raises CtoffloadError: what the daemon refused, or that it is gone."""
        for line in self.raw_lines(command, parameters):
            yield parsed(line)

    def raw_lines(self, command: str, parameters: dict[str, object]) -> Iterator[bytes]:
        """Each line of an answer as it came, an error's and the last included. For programs that pass rows on."""
        self._number += 1
        asked = {name.replace("_", "-"): value for name, value in parameters.items() if value is not None}
        request = {"id": self._number, "command": command, "parameters": asked}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            for line in self._lines:
                yield line
                if is_last(line):
                    return
        except TimeoutError:
            raise CtoffloadError(
                "the daemon does not answer", errno=errno.ETIMEDOUT, op=command, hint="see its log; is it stopped?"
            ) from None
        except OSError as error:
            raise CtoffloadError(f"the daemon is gone: {error.strerror}", errno=error.errno or 0, op=command) from None
        raise CtoffloadError("the daemon closed the connection", errno=errno.ECONNRESET, op=command, hint="see its log")

    def wait_forever(self) -> None:
        """No limit to how long the next piece of an answer may take: for streams."""
        self._socket.settimeout(None)

    def close(self) -> None:
        """Leaves; an answer that still comes is not read. Idempotent."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def parsed(line: bytes) -> dict[str, Any]:
    """An answer's line. Raises what it tells of, see `error_of`, and CtoffloadError EBADMSG for what is no answer."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise CtoffloadError("the daemon's answer is no JSON object", errno=errno.EBADMSG)
    if "error" in answer:
        raise error_of(answer["error"])
    found: dict[str, Any] = answer
    return found


def is_last(line: bytes) -> bool:
    """Whether an answer ends with this line: its keys stand in a fixed order; a part is rows, text or progress."""
    _, _, rest = line[:80].partition(b', "schema": ')
    return not rest.partition(b", ")[2].startswith((b'"rows": ', b'"text": ', b'"progress": '))


def rows_of(line: bytes) -> bytes:
    """The rows of an answer's part as they came, JSON objects joined by commas; empty where it is a part of text."""
    head, found, rows = line.partition(b'"rows": [')
    return rows[: rows.rindex(b"]")] if found and len(head) < 80 else b""


def not_reached(path: Path, error: OSError) -> CtoffloadError:
    """The error for a socket that cannot be connected to, with what helps."""
    hints = {
        errno.ENOENT: "start one: ctoffload run PORT PORT; or name its socket with --socket",
        errno.ECONNREFUSED: "the daemon that made this socket has ended; start one: ctoffload run PORT PORT",
        errno.EACCES: "only the user who runs the daemon may speak with it, and root",
    }
    number = error.errno or errno.EIO
    return CtoffloadError(
        f"no daemon can be reached at {path}: {os.strerror(number)}",
        errno=number,
        op="connect",
        hint=hints.get(number, ""),
    )
