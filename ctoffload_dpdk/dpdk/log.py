"""DPDK's log as text lines, kept for error messages and handed on to Python's logging."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ctoffload_dpdk.dpdk._log import put_mark, redirect

LOGGER = logging.getLogger("ctoffload.dpdk")
LOGGER.addHandler(logging.NullHandler())

MARK = 0xFFFFFFFF
HEADER_BYTES = 8
KEPT_LINES = 10_000

# DPDK's levels, 1 emergency to 8 debug, as Python's.
_PYTHON_LEVELS = {
    1: logging.CRITICAL,
    2: logging.CRITICAL,
    3: logging.CRITICAL,
    4: logging.ERROR,
    5: logging.WARNING,
    6: logging.INFO,
    7: logging.INFO,
    8: logging.DEBUG,
}
ERROR_LEVEL = 4


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: DPDK's level (1 emergency to 8 debug) and the text, without its end."""

    level: int
    text: str


def in_one_line(texts: Iterable[str]) -> str:
    """Log lines as the reason of an error: each once, without the name of the part that logged it."""
    return "; ".join(dict.fromkeys(text.removeprefix("EAL: ").rstrip(".") for text in texts))


class Log:
    """Reads what DPDK logs, from the first line on. Made once per process by Eal.start. n_lines: lines so far."""

    def __init__(self, forward: bool = True) -> None:
        self.forward = forward
        self.n_lines = 0
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._unfinished = ""
        self._marks: dict[int, threading.Event] = {}
        self._next_mark = 0
        self._lock = threading.Lock()
        self._fd = redirect()
        threading.Thread(target=self._run, name="dpdk-log", daemon=True).start()

    @property
    def lines(self) -> list[LogLine]:
        """The last 10 000 lines, oldest first."""
        self.sync()
        with self._lock:
            return list(self._lines)

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(line.text for line in self.lines)

    def since(self, n_lines: int) -> list[LogLine]:
        """The lines after the first n_lines: what was logged since `n_lines` was read; of them the last 10 000."""
        self.sync()
        with self._lock:
            kept = list(self._lines)
            return kept[max(0, len(kept) - (self.n_lines - n_lines)) :]

    def errors_since(self, n_lines: int) -> str:
        """The error lines after the first n_lines, joined; the wording DPDK gave a failure."""
        return in_one_line(line.text for line in self.since(n_lines) if line.level <= ERROR_LEVEL)

    def note(self, text: str, level: int = 5) -> None:
        """Adds lines that DPDK printed past its log, unless they are in the log as well."""
        known = {line.text for line in self.lines}
        for line in text.splitlines():
            if line.strip() and line.rstrip().replace("FATAL: ", "") not in known:
                self._add(LogLine(level, line.rstrip()))

    def sync(self) -> None:
        """Returns when everything logged so far was read, at the latest after 2 s."""
        with self._lock:
            self._next_mark += 1
            token, arrived = self._next_mark, threading.Event()
            self._marks[token] = arrived
        try:
            put_mark(token)
        except BlockingIOError:
            return  # the pipe is full: the reader is behind, and lines were lost anyway
        arrived.wait(timeout=2.0)

    def _run(self) -> None:
        pending = b""
        while chunk := os.read(self._fd, 65536):
            pending += chunk
            while len(pending) >= HEADER_BYTES:
                level = int.from_bytes(pending[:4], "little")
                end = HEADER_BYTES + int.from_bytes(pending[4:8], "little")
                if len(pending) < end:
                    break
                self._record(level, pending[HEADER_BYTES:end])
                pending = pending[end:]

    def _record(self, level: int, body: bytes) -> None:
        if level == MARK:
            with self._lock:
                arrived = self._marks.pop(int.from_bytes(body, "little"), None)
            if arrived is not None:
                arrived.set()
            return
        *whole, self._unfinished = (self._unfinished + body.decode("utf-8", "replace")).split("\n")
        for text in whole:
            self._add(LogLine(level, text))

    def _add(self, line: LogLine) -> None:
        with self._lock:
            self._lines.append(line)
            self.n_lines += 1
        if self.forward:
            LOGGER.log(_PYTHON_LEVELS.get(line.level, logging.INFO), "%s", line.text)
